"""Provider payloads to canonical events, one file a provider."""
