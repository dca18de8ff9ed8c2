"""Which partition a key belongs to, and the number under which the embedded log finds it again.

Both are part of the log: another function would send the events of a known parcel to a partition that does not know
it, so a change needs a new log.
"""

from __future__ import annotations

from functools import lru_cache

import xxhash
from kafka.partitioner.default import murmur2

from monitor.core.events import EVERYWHERE, ClockTicked, Event, Rejected, route


@lru_cache(maxsize=1 << 16)  # a parcel's events come one after the other
def partition_of(key: str, partitions: int) -> int:
    """The partition, ``0 <= p < partitions``, that holds everything about ``key`` (a parcel id).

    It is that of Kafka's default partitioner for the UTF-8 key, so that producers of other make agree.
    """
    hashed: int = murmur2(key.encode())
    return (hashed & 0x7FFFFFFF) % partitions


def key_hash(key: str) -> int:
    """The 64-bit xxHash of ``key`` as the signed integer under which the embedded log's event index keeps it."""
    unsigned = xxhash.xxh3_64_intdigest(key.encode())
    return unsigned - (1 << 64) if unsigned >= 1 << 63 else unsigned


def at_home(event: Event, partition: int, partitions: int) -> Event | Rejected:
    """The event, if a foreign producer put it where the fold expects it; else why it cannot be folded there."""
    key = route(event)
    if isinstance(event, ClockTicked):
        return event
    if key is EVERYWHERE:
        return Rejected(
            "misplaced",
            "an event that names no parcel belongs into every partition: send it through `ingest`, not to the topic",
        )
    home = partition_of(key, partitions)
    if home == partition:
        return event
    return Rejected(
        "misplaced",
        f"the events of parcel {key[:80]!r} belong into partition {home}, not {partition}: let the record's key be the "
        "parcel id, with Kafka's default partitioner",
    )
