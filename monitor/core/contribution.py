"""What the parcel fold sends to the fleet fold: signed integers, and the few things that are not integers.

One contribution stands for one source record (one event, a pack of events, or a tick). Its identity is
(generation, partition, offset): a function of the log alone, so a repeat after a crash is the same bytes.
"""

from __future__ import annotations

from msgspec import Struct

from monitor.core.declared import Declaration
from monitor.core.switch.book import Offer, Rule
from monitor.core.switch.carried import Sums
from monitor.core.vocabulary import Reason

Position = tuple[str | int, ...]


class DeadLetter(Struct, frozen=True, gc=False):
    """A record set aside: its bytes, a reason code, a sentence, where it stands, when it was recorded (µs)."""

    raw: bytes
    reason: Reason
    detail: str
    position: Position
    recorded_us: int


class Announced(Struct, array_like=True, frozen=True, gc=False):
    """An event that names no parcel, told to the fleet by its home partition; it waits there for a match."""

    uid: str
    type: str
    time_us: int
    recorded_us: int
    raw: bytes
    position: Position
    kind: str = ""  # of a complaint
    customer: str = ""


class Matched(Struct, array_like=True, frozen=True, gc=False, order=True):
    """A partition's word that it knows the parcel behind an announced event; the least one counts."""

    uid: str
    registered_us: int
    parcel_id: str
    channel: str
    customer: str = ""
    forwarder: str = ""
    promised_days: int = -1  # none promised


class Decision(Struct, array_like=True, frozen=True, gc=False, order=True):
    """A person's decision on its way to an incident."""

    recorded_us: int
    target: str
    what: str
    by: str
    note: str
    raw: bytes
    position: Position
    carrier: str = ""  # taken instead of the advised one
    share: float = -1.0  # moved instead of the advised one; negative: as advised


class Segment(Struct, array_like=True):
    """The part of a contribution that belongs to one tick (``tick`` = number of the grid point that closes it)."""

    tick: int
    cells: dict[str, dict[int, int]] = {}  # channel, or scope of a facet → cell → change
    counts: dict[str, int] = {}  # "events|TYPE", "duplicates", "dead|REASON", "waiting", "parcels" → change
    lags: dict[int, int] = {}  # reporting lag in whole hours (at most 168) → scans
    feeds: dict[str, int] = {}  # carrier → time of its latest event
    first_us: int = 1 << 62  # least and greatest event time
    last_us: int = 0
    announced: list[Announced] = []
    matched: list[Matched] = []
    decisions: list[Decision] = []
    scans: dict[str, list[int]] = {}  # carrier part of the channel → scans recorded, sum of their lags in hours
    declared: list[Declaration] = []
    carried: dict[str, Sums] = {}  # channel → what its parcels carry
    offers: list[Offer] = []
    rules: list[Rule] = []


class Contribution(Struct, array_like=True):
    """Everything one source record changes. ``complete`` is the last tick this partition will not add to any more."""

    generation: str
    partition: int
    offset: int
    complete: int | None
    segments: list[Segment]
