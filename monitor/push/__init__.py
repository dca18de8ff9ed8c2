"""Pushes the table of carriers to a shipping system whenever it changes."""
