"""The topics of the log, and over how many partitions each is spread.

Only ``events`` is spread: everything about one parcel lies in one partition of it. The others have one
partition, so that their order is total.
"""

from __future__ import annotations

from typing import Final

EVENTS: Final = "events"
"""The log of record: canonical events, packed; the truth from which all else is rebuilt."""
CONTRIBUTIONS: Final = "contributions"
"""Signed integers from the parcel fold to the fleet fold; may be trimmed behind the fleet's mark."""
INCIDENTS: Final = "incidents"
RECOMMENDATIONS: Final = "recommendations"
REFERENCE: Final = "reference"
DEAD_LETTERS: Final = "dead-letters"

TOPICS: Final = (EVENTS, CONTRIBUTIONS, INCIDENTS, RECOMMENDATIONS, REFERENCE, DEAD_LETTERS)

DEFAULT_PARTITIONS: Final = 4
MAX_PARTITIONS: Final = 256


def partition_count(topic: str, event_partitions: int) -> int:
    """Partitions of ``topic`` in a log whose ``events`` has ``event_partitions``."""
    return event_partitions if topic == EVENTS else 1
