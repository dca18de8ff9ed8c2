"""Hashes that say whether two events are one: 64 bits of xxh3, which is the same on every machine."""

from __future__ import annotations

from xxhash import xxh3_64_intdigest

from monitor.core.events import Event, canonical_body


def hash64(text: str) -> int:
    """64-bit hash of a text."""
    return xxh3_64_intdigest(text.encode())


def identity(event: Event) -> int:
    """Hash of (subject, source, id): equal for the same event."""
    return xxh3_64_intdigest(f"{event.subject}\0{event.source}\0{event.id}".encode())


def body_hash(event: Event) -> int:
    """Hash of what the event says, without when it was recorded."""
    return xxh3_64_intdigest(canonical_body(event))


def raw_hash(raw: bytes) -> int:
    """Hash of bytes."""
    return xxh3_64_intdigest(raw)
