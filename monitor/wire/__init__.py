"""Models at the edge: decoding, encoding and checking events, and the source of the JSON Schemas."""
