"""Which partition a key belongs to, and the number under which the log finds it again.

Both come from one 64-bit xxHash of the UTF-8 key. They are part of the log: another function would send the
events of a known parcel to a partition that does not know it, so a change needs a new log.
"""

from __future__ import annotations

import xxhash


def partition_of(key: str, partitions: int) -> int:
    """The partition, ``0 <= p < partitions``, that holds everything about ``key`` (a parcel id)."""
    return xxhash.xxh3_64_intdigest(key.encode()) % partitions


def key_hash(key: str) -> int:
    """The hash of ``key`` as the signed 64-bit integer under which the log's event index keeps it."""
    unsigned = xxhash.xxh3_64_intdigest(key.encode())
    return unsigned - (1 << 64) if unsigned >= 1 << 63 else unsigned
