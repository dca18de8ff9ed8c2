"""What one parcel is, and the cells it adds to its channel: a pure function of its state.

The state keeps the earliest time per milestone, so that it does not depend on the order of arrival; silence and
last place use the latest scan. The outcome is delivered, else returned, else lost.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import Struct, field

from monitor.core import cells as c
from monitor.core.params import Params
from monitor.core.scope import batch_scope, forwarder_scope
from monitor.core.vocabulary import DAY_US, END_TO_END, HOUR_US, MILESTONES, ORIGIN, STAGE_RANK

#: Milestone → its place in :data:`MILESTONES`; states store the place.
INDEX: Final[dict[str, int]] = {name: i for i, name in enumerate(MILESTONES)}

#: Places in ``Parcel.times``: the first scan of a carrier, then the earliest time per stage rank reached and per
#: milestone that ends a clock otherwise.
FIRST, ACCEPTED, DEPARTED, ARRIVED, DELIVERED, HELD, SECURITY_RETURNED, RETURNING, RETURNED, LOST = range(10)
_OWN: Final = {
    "customs_held": HELD,
    "security_returned": SECURITY_RETURNED,
    "returning": RETURNING,
    "returned": RETURNED,
    "lost": LOST,
}


def _places(milestone: str) -> tuple[int, ...]:
    rank = STAGE_RANK[milestone]
    places = [] if milestone == "info_received" else [FIRST]
    places += [] if rank is None else [rank]
    places += [_OWN[milestone]] if milestone in _OWN else []
    return tuple(places)


#: Milestone index → the places of ``Parcel.times`` that it can make earlier.
PLACES: Final[tuple[tuple[int, ...], ...]] = tuple(_places(name) for name in MILESTONES)
_NEVER: Final = 1 << 62

ATTEMPT_FAILED: Final = INDEX["attempt_failed"]
ATTEMPTS_KEPT: Final = 8
ATTEMPT_GAP_US: Final = 12 * HOUR_US

#: How much of a parcel is kept.
FULL, STONE, FINGERPRINT = 0, 1, 2


class Waiting(Struct, array_like=True, frozen=True, gc=False):
    """An event that waits for its parcel: when it was recorded, its bytes, where it stands in the input."""

    recorded_us: int
    raw: bytes
    position: tuple[str | int, ...]


class Complaint(Struct, array_like=True, gc=False):
    """An open or closed complaint about a parcel; the kind as in the contract."""

    opened_us: int  # 0: its closing came before its opening
    kind: str
    closed: bool = False


class Parcel(Struct, array_like=True):
    """Everything known of a parcel. Times in microseconds since 1970 UTC; ``channel`` is empty until registration."""

    channel: str = ""
    registered_us: int = 0
    promised_days: int | None = None
    times: list[int] = field(default_factory=lambda: [0] * 10)  # earliest time per place (FIRST …); 0 never
    last_us: int = 0  # time of the latest scan; 0 before any
    last_milestone: int = -1
    last_place: str = ""
    lost_claim_us: int = 0  # when a settled claim said the parcel is lost; 0 never
    presumed: bool = False
    untimed: bool = False  # its outcome is known, but not when
    complaints: dict[int, Complaint] = {}  # hash of complaint id →
    refs: list[int] = []  # hashes of order, complaint and refund ids that lead to this parcel
    seen: dict[int, int] = {}  # hash of (source, id) → hash of body
    waiting: list[Waiting] = []
    handled_us: int = 0  # when a person muted it or called it done; 0 never
    kept: int = FULL
    origin: str = ORIGIN  # country
    customer: str = ""
    forwarder: str = ""
    attempts: list[int] = []  # times of failed attempts to deliver, the earliest ``ATTEMPTS_KEPT``, sorted
    abroad: dict[int, int] = {}  # number of a country that is neither origin nor destination → earliest scan there
    batch: str = ""  # hand-over batch


@lru_cache(maxsize=16384)
def part_of(channel: str) -> str:
    """The carrier part of a channel's id: the carrier, with its service if there is one."""
    return channel.rsplit("|", 1)[1]


@lru_cache(maxsize=4096)
def feed_of(channel: str) -> str:
    """The carrier whose feed tells of a channel: its carrier without the service."""
    return channel.rsplit("|", 1)[1].split("/", 1)[0]


def outcome(p: Parcel) -> tuple[str, int] | None:
    """``("delivered" | "returned" | "lost", time_us)``, or None while the parcel is on its way."""
    times = p.times
    if times[DELIVERED]:
        return "delivered", times[DELIVERED]
    if times[RETURNED]:
        return "returned", times[RETURNED]
    lost = min(times[LOST] or _NEVER, p.lost_claim_us or _NEVER)
    return None if lost == _NEVER else ("lost", lost)


def stage(p: Parcel) -> int:
    """Highest stage rank reached: 0 registered, 1 accepted, 2 departed, 3 arrived, 4 delivered."""
    return next((rank for rank in (DELIVERED, ARRIVED, DEPARTED, ACCEPTED) if p.times[rank]), 0)


def silent_since(p: Parcel) -> int:
    """Time of the latest news: the latest scan, else the registration."""
    return max(p.last_us, p.registered_us)


def next_due(p: Parcel, params: Params) -> int | None:
    """When time alone changes this parcel next (presumed loss, shrinking, waiting events), or None."""
    if not p.channel:
        return (
            min((w.recorded_us for w in p.waiting), default=0) + params.days_us("waiting_days") if p.waiting else None
        )
    end = outcome(p)
    if end is None:
        return None if p.presumed else silent_since(p) + params.age_cap_days * DAY_US + 1
    if p.kept == FULL:
        return end[1] + params.days_us("dedup_days")
    if p.kept == STONE:
        window = p.registered_us + params.dispute_window_days * DAY_US
        return max(end[1], window) + params.days_us("dedup_days")
    return None


# Kinds as the high bits of a cell: this is the hottest place of the program.
_OPEN, _PRESUMED, _DELIVERED, _RETURNED, _LOST, _ON_TIME, _LATE, _PROMISED_OPEN = (
    kind << 40 for kind in (c.OPEN, c.PRESUMED, c.DELIVERED, c.RETURNED, c.LOST, c.ON_TIME, c.LATE, c.PROMISED_OPEN)
)
_FIRST_SCAN, _ARRIVED, _HELD = (kind << 40 for kind in (c.FIRST_SCAN, c.ARRIVED, c.HELD))
_ENTER1, _ENTER2, _ENTER3 = (c.ENTER + clock << 40 for clock in (1, 2, 3))
_HELD_DAY, _SECURITY_DAY, _RETURN_DAY = (kind << 40 for kind in (c.HELD_DAY, c.SECURITY_DAY, c.RETURN_DAY))

#: Cells of a parcel before its registration: none in any slot.
NO_CELLS: Final[tuple[int, ...]] = (0,) * 15


#: The slot of the end of the first clock.
_LEFT_FIRST: Final = 9


def constant_cells(p: Parcel) -> tuple[int, ...]:
    """The cells that every registered parcel counts in for good: registered, and in its first two clocks."""
    a = p.registered_us // DAY_US << 20
    return a | p.registered_us // HOUR_US % 24, c.ENTER << 40 | a, c.ENTER + END_TO_END << 40 | a


def cells_of(p: Parcel, first_scan_us: int) -> tuple[int, ...]:
    """The cells a registered parcel counts in besides the constant ones, one a slot, 0 for none.

    The slots: outcome, presumed lost, promise, first scan, arrived, held, entries into clocks 1 to 3, ends of clocks
    0 to 4, what stopped it. ``first_scan_us`` is the bound on the first scan.
    """
    first, r1, r2, r3, delivered, held, security, returning, returned, lost = p.times
    reg = p.registered_us
    cohort = reg // DAY_US
    a = cohort << 20
    claim = p.lost_claim_us
    if claim and (not lost or claim < lost):
        lost = claim
    presumed = 0
    if p.untimed and (delivered or returned or lost):
        kind = c.DELIVERED if delivered else c.RETURNED if returned else c.LOST
        day = cohort & c.MASK
        stop0, stop4 = c.CENSOR << 40 | a | day, c.CENSOR + END_TO_END << 40 | a | day
        return (
            kind << 40 | a | c.UNKNOWN,
            0,
            0,
            c.SCAN_UNKNOWN << 40 | a | reg // HOUR_US % 24,
            0,
            0,
            0,
            0,
            0,
            stop0,
            0,
            0,
            0,
            stop4,
            0,
        )
    if delivered:
        state = _DELIVERED | a | _hours(reg, delivered)
    elif returned:
        state = _RETURNED | a | _hours(reg, returned)
    elif lost:
        state = _LOST | a | _hours(reg, lost)
    else:
        state = _OPEN | a | reg // HOUR_US
        if p.presumed:
            presumed = _PRESUMED | a
    promise = 0
    if p.promised_days is not None:
        due_day = cohort + p.promised_days
        if not delivered:
            promise = _PROMISED_OPEN | a | due_day
        else:
            promise = (_ON_TIME if delivered // DAY_US <= due_day else _LATE) | a
    scanned = _FIRST_SCAN | a | reg // HOUR_US % 24 if first and first - reg <= first_scan_us else 0
    arrived = _ARRIVED | a if r3 or delivered else 0
    stopped, why = _NEVER, 0
    if held or returning or returned or lost or security:
        stopped = min(t for t in (held, returning, returned, lost, security) if t)
        if stopped < (delivered or _NEVER):
            day = stopped // DAY_US
            if stopped == held:
                came = min(t for t in (r3, held) if t) // DAY_US
                why = _HELD_DAY | came << 20 | max(day, came)
            elif stopped == security:
                why = _SECURITY_DAY | a | max(day, cohort)
            elif stopped != lost:
                why = _RETURN_DAY | a | max(day, cohort)
    # A later milestone ends all earlier clocks; a clock runs if it was entered before it ended.
    end3 = delivered or _NEVER
    end2 = r3 if r3 and r3 < end3 else end3
    end1 = r2 if r2 and r2 < end2 else end2
    end0 = r1 if r1 and r1 < end1 else end1
    enter1 = enter2 = enter3 = left1 = left2 = left3 = 0
    if r1 and r1 <= end1 and r1 < stopped:
        key = r1 // DAY_US << 20
        enter1 = _ENTER1 | key
        left1 = _left(1, key, end1, stopped)
    if r2 and r2 <= end2 and r2 < stopped:
        key = r2 // DAY_US << 20
        enter2 = _ENTER2 | key
        left2 = _left(2, key, end2, stopped)
    if r3 and r3 <= end3 and r3 < stopped:
        key = r3 // DAY_US << 20
        enter3 = _ENTER3 | key
        left3 = _left(3, key, end3, stopped)
    return (
        state,
        presumed,
        promise,
        scanned,
        arrived,
        _HELD | a if held else 0,
        enter1,
        enter2,
        enter3,
        _left(0, a, end0, stopped),
        left1,
        left2,
        left3,
        _left(END_TO_END, a, end3, stopped),
        why,
    )


def add_difference(
    cells: dict[str, dict[int, int]], p: Parcel, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    """Add ``after`` − ``before`` (of :func:`cells_of`) to the cells of the channel, and what of it counts for the
    forwarder and the batch to those of the pairs."""
    own = cells.setdefault(p.channel, {})
    for old, new in zip(before, after, strict=True):
        if old != new:
            if new:
                own[new] = own.get(new, 0) + 1
            if old:
                own[old] = own.get(old, 0) - 1
    old, new = before[_LEFT_FIRST], after[_LEFT_FIRST]
    if old != new:
        for scope in _hand_over(p):
            pair = cells.setdefault(scope, {})
            if new:
                pair[new] = pair.get(new, 0) + 1
            if old:
                pair[old] = pair.get(old, 0) - 1


def handed_over(p: Parcel) -> list[tuple[str, int]]:
    """What a registered parcel counts for besides its channel: scopes, each with a cell."""
    cohort = p.registered_us // DAY_US
    out = [(scope, c.cell(c.ENTER, cohort)) for scope in _hand_over(p)]
    if not p.batch:
        return out
    return [*out, (batch_scope(p.batch), c.cell(c.PARCEL_DAY, cohort, c.forwarder_number(p.forwarder)))]


def _hand_over(p: Parcel) -> list[str]:
    """Scopes of the parcels of its forwarder and of its batch on its channel."""
    out = [forwarder_scope(p.forwarder, p.channel)] if p.forwarder else []
    return [*out, batch_scope(p.batch, p.channel)] if p.batch else out


def see_rare(p: Parcel, milestone: int, country: str | None, time_us: int) -> list[tuple[int, int]]:
    """What else a scan may be: one in a wrong country, a failed attempt. The cells it changes, with the change."""
    changes = []
    if country is not None and country not in (p.origin, p.channel[:2]):
        changes += see_abroad(p, c.country_number(country), time_us)
    if milestone == ATTEMPT_FAILED:
        changes += see_attempt(p, time_us)
    return changes


def see_abroad(p: Parcel, country: int, time_us: int) -> list[tuple[int, int]]:
    """Note a scan in a country that is neither origin nor destination; the cells it changes, with the change.

    The earliest scan there counts.
    """
    known, cohort = p.abroad.get(country, 0), p.registered_us // DAY_US
    if known and known <= time_us:
        return []
    p.abroad[country] = time_us
    kind = c.ABROAD + country
    changes = [(c.cell(kind, cohort, max(time_us // DAY_US, cohort)), 1)]
    return [(c.cell(kind, cohort, max(known // DAY_US, cohort)), -1), *changes] if known else changes


def see_attempt(p: Parcel, time_us: int) -> list[tuple[int, int]]:
    """Note a failed attempt to deliver; the cells it changes, with the change.

    The second is the first that is ``ATTEMPT_GAP_US`` or more after the earliest: reports of one attempt count once.
    """
    if time_us in p.attempts:
        return []
    old = second_attempt(p.attempts)
    p.attempts = sorted((*p.attempts, time_us))[:ATTEMPTS_KEPT]
    new, cohort = second_attempt(p.attempts), p.registered_us // DAY_US
    if old == new:
        return []
    return [(c.cell(c.ATTEMPT_DAY, cohort, max(day // DAY_US, cohort)), n) for day, n in ((old, -1), (new, 1)) if day]


def second_attempt(attempts: list[int]) -> int:
    """When a parcel was tried in vain for the second time, µs; 0: never. ``attempts`` are sorted."""
    return next((time for time in attempts if time >= attempts[0] + ATTEMPT_GAP_US), 0)


def _hours(start_us: int, end_us: int) -> int:
    hours = (end_us - start_us) // HOUR_US
    return 0 if hours < 0 else min(hours, c.UNKNOWN - 1)


def _left(clock: int, key: int, end: int, stopped: int) -> int:
    """The cell of leaving a clock entered on day ``key >> 20``: by its end, or stopped before; 0 while in it."""
    if end <= stopped:
        if end == _NEVER:
            return 0
        kind, day = c.EXIT + clock, end // DAY_US
    else:
        kind, day = c.CENSOR + clock, stopped // DAY_US
    entry = key >> 20
    return kind << 40 | key | (day if day > entry else entry)
