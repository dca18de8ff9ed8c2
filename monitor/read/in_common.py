"""What the overdue parcels of an incident have in common: a place where they were last seen, a batch, an attribute.

Looked at are the parcels of the incident's channels by when they were due to leave a stage: when 80% usually have. (The
P95 lies where nothing moves any more if some deliveries are never scanned, and an incident is known long before.)

* ``OVERDUE``: became due since the trouble began to show, and still stands in the stage
* ``USUAL``: the same before the trouble: seen at the end of spans of the same length, ``BACK_DAYS`` back
* ``IN_TIME``: left the stage by its due day, which lies within the last ``BACK_DAYS``

Usual numbers are those of a span. A value is told if half or more of the overdue beyond the usual number have it, and
if it is more frequent among the overdue than usual, since what is slow by nature is always frequent among the overdue,
and than among those in time. Of the place of the latest scan only the first is asked: those in time have gone on.
Parcels are compared within their channel and stage, and, so that a batch of one day is not blamed for the day, nor a
hub that is in use since last week for last week, with parcels registered between the first and the last that share the
value or were ever scanned at the place. Only batches are new by nature: what they usually have is that of other ones.

If the overdue ones were drawn blindly from both groups of a stratum (channel and stage), the number of them with a
value would be hypergeometric, and over the strata a sum of such numbers (Fisher's test, stratified: Mehta, Patel, Gray
1985, J. Am. Stat. Assoc. 80, 969). The chance of so many or more, the larger one of two comparisons, times the number
of values that enough parcels have (Bonferroni; Tarone 1990, Biometrics 46, 515: what is too rare to be told does not
count) is ``p``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from monitor.core.contribution import Position
from monitor.core.events import to_us
from monitor.core.incidents import Incident
from monitor.core.parcel import DELIVERED, LOST, RETURNED, RETURNING, SECURITY_RETURNED, Parcel
from monitor.core.vocabulary import DAY_US, STAGE_CLOCKS
from monitor.read.behind import of_whom
from monitor.read.lists import Picture
from monitor.read.rules import kind_of
from monitor.read.sums import Baselines, Tallies

Record = dict[str, Any]
Value = tuple[str, str]  # cause, value
Kind = Literal["overdue", "usual", "in_time"]
OVERDUE: Final = "overdue"
USUAL: Final = "usual"
IN_TIME: Final = "in_time"
BACK_DAYS: Final = 60
#: A value is told if so many of the overdue beyond the usual have it, and its corrected chance is below ``CHANCE``.
LEAST_RATIO: Final = 0.5
CHANCE: Final = 0.001
PLACE: Final = "place"
BATCH: Final = "batch_id"
CUSTOMER: Final = "customer_id"
_REGISTERED: Final = ("forwarder", BATCH, "destination_region", CUSTOMER)
#: What may be the cause of trouble beside the channel, in the words of the contract.
CAUSES: Final = (PLACE, "forwarder", BATCH, "destination_region", "attributes", CUSTOMER)
_NEVER: Final = 1 << 62
_STOPS: Final = (SECURITY_RETURNED, RETURNING, RETURNED, LOST)


class _Said(Struct, frozen=True, gc=False):
    parcel_id: str | None = None
    place: str | None = None
    country: str | None = None
    forwarder: str | None = None
    batch_id: str | None = None
    destination_region: str | None = None
    attributes: tuple[str, ...] | None = None
    customer_id: str | None = None


class _Glance(Struct, frozen=True, gc=False):
    type: str
    time: datetime
    data: _Said


_glance: Final = msgspec.json.Decoder(_Glance).decode


@dataclass(frozen=True, slots=True)
class Due:
    """A parcel that was to leave a stage. ``stratum``: its channel and the rank of the stage; ``seen_us``: when it is
    looked at."""

    parcel: str
    stratum: tuple[str, int]
    registered_day: int
    kind: Kind
    seen_us: int


@dataclass(frozen=True, slots=True)
class Shared:
    """A value that ``overdue`` parcels have, and its shares. Those of the other kinds are weighted as channels and
    stages are among the overdue; None where there is nothing to compare with."""

    cause: str
    value: str
    overdue: int
    overdue_ratio: float
    usual_ratio: float | None
    in_time_ratio: float | None
    p: float


def in_common(
    picture: Picture, incident: Incident, tallies: Tallies | None, lines: Iterable[tuple[bytes, Position]]
) -> Record | None:
    """The number of parcels of each kind, and of each cause the value that the overdue ones have more often, where it
    is clear; None of a feed.

    ``picture`` and ``tallies`` (what the baselines had learnt): of the moment at which the incident became known;
    ``lines``: the events up to then. Of a customer it is only said that there is one.
    """
    if kind_of(incident) == "feed":
        return None
    parcels = due(picture, incident, tallies)
    number = Counter(kind for kind, _ in {(one.kind, one.parcel) for one in parcels})
    return {
        **{kind: number[kind] for kind in (OVERDUE, USUAL, IN_TIME)},
        "found": [
            {
                "cause": one.cause,
                "value": None if one.cause == CUSTOMER else one.value,
                "overdue": one.overdue,
                "overdue_ratio": round(one.overdue_ratio, 6),
                "usual_ratio": None if one.usual_ratio is None else round(one.usual_ratio, 6),
                "in_time_ratio": None if one.in_time_ratio is None else round(one.in_time_ratio, 6),
                "p": float(f"{one.p:.3g}"),
            }
            for one in shared(parcels, known_of(parcels, lines), Spans.of(incident).number)
        ],
    }


def due(picture: Picture, incident: Incident, tallies: Tallies | None) -> list[Due]:
    """The parcels that were to leave a stage, once for each stage; none before anything was judged."""
    if tallies is None:
        return []
    baselines = Baselines(tallies)
    usual = {
        name: [baselines.quantiles(name, clock)["p80_days"] for clock in range(STAGE_CLOCKS)]
        for name in incident.members
        if name in baselines
    }
    found = []
    for id_, parcel in of_whom(picture, incident).parcels.items():
        if parcel.channel not in usual or parcel.untimed:
            continue
        for rank, days in enumerate(usual[parcel.channel]):
            since = parcel.times[rank] if rank else parcel.registered_us
            seen = _seen(parcel, rank, since, since // DAY_US + days, incident) if since and days is not None else None
            if seen is not None:
                found.append(Due(id_, (parcel.channel, rank), parcel.registered_us // DAY_US, *seen))
    return found


class Spans(NamedTuple):
    """The span of days in which parcels became overdue, and the ``number`` of spans before it."""

    begin_day: int
    days: int
    number: int

    @classmethod
    def of(cls, incident: Incident) -> Spans:
        """From the beginning of the trouble, at most ``BACK_DAYS`` back, to the day on which it became known."""
        known_day = incident.known_us // DAY_US
        days = min(max(known_day - incident.since_day, 1), BACK_DAYS)
        return cls(known_day - days, days, BACK_DAYS // days)


def _seen(parcel: Parcel, rank: int, since: int, due_day: int, incident: Incident) -> tuple[Kind, int] | None:
    """What kind of parcel it is that should have left a stage by a day, and when it is looked at (µs)."""
    begin, days, number = Spans.of(incident)
    left = min((t for t in parcel.times[rank + 1 : DELIVERED + 1] if t), default=_NEVER)
    ago = begin + days - due_day  # days before it became known
    if since <= left < (due_day + 1) * DAY_US:
        return (IN_TIME, 0) if 0 < ago <= BACK_DAYS else None
    if not 0 < ago <= (number + 1) * days:
        return None
    end = incident.known_us if due_day >= begin else (begin - (begin - 1 - due_day) // days * days) * DAY_US
    stopped = min((t for t in (*(parcel.times[place] for place in _STOPS), parcel.lost_claim_us) if t), default=_NEVER)
    if min(left, stopped) < end:
        return None
    return (OVERDUE if due_day >= begin else USUAL), end


class Known(NamedTuple):
    """``values``: what each parcel has of the causes, of the place that of the latest scan before it is looked at.
    ``days``: first and last day on which parcels were registered that have a value or were ever scanned at it."""

    values: Mapping[Due, frozenset[Value]]
    days: Mapping[Value, tuple[int, int]]


def known_of(parcels: Sequence[Due], lines: Iterable[tuple[bytes, Position]]) -> Known:
    """What the events say of the parcels."""
    said: dict[str, set[Value]] = {one.parcel: set() for one in parcels}
    scans: dict[str, list[tuple[int, str]]] = {one.parcel: [] for one in parcels}
    for raw, _ in lines if said else ():
        it = _glance(raw)
        id_ = it.data.parcel_id or ""
        if id_ not in said:
            continue
        if it.type == "parcel.scanned.v1":
            scans[id_].append((to_us(it.time), it.data.place or it.data.country or ""))
        elif it.type == "parcel.registered.v1":
            named = [(cause, getattr(it.data, cause)) for cause in _REGISTERED]
            named += [("attributes", attribute) for attribute in it.data.attributes or ()]
            said[id_].update((cause, value) for cause, value in named if value)
    values: dict[Due, frozenset[Value]] = {}
    days: dict[Value, tuple[int, int]] = {}
    for one in parcels:
        _, place = max((scan for scan in scans[one.parcel] if scan[0] <= one.seen_us), default=(0, ""))
        values[one] = frozenset(said[one.parcel] | ({(PLACE, place)} if place else set()))
        for value in sorted(said[one.parcel] | {(PLACE, name) for _, name in scans[one.parcel]}):
            first, last = days.get(value, (one.registered_day, one.registered_day))
            days[value] = min(first, one.registered_day), max(last, one.registered_day)
    return Known(values, days)


def shared(parcels: Sequence[Due], known: Known, spans: int) -> list[Shared]:
    """Of each cause the value with the largest lift, its share of the overdue over that of the others, among those that
    are clear. The usual ones are those of so many ``spans``."""
    overdue, usual = ([known.values[one] for one in parcels if one.kind == kind] for kind in (OVERDUE, USUAL))
    counts = Counter(value for values in overdue for value in sorted(values))
    usually = Counter(value for values in usual for value in sorted(values))
    beyond = len(overdue) - len(usual) / spans
    everywhere = Counter(value for one in parcels for value in sorted(known.values[one]))
    looked_at = sum(everywhere[value] >= LEAST_RATIO * beyond for value in counts)
    best: dict[str, tuple[float, Shared]] = {}
    for value, n in sorted(counts.items()):
        if n - usually[value] / spans < LEAST_RATIO * max(beyond, 0):
            continue
        compared = _comparisons(value, parcels, known)
        if compared is None:
            continue
        before, in_time = compared
        asked = [one for one in compared if one is not None]
        found = Shared(
            *value,
            n,
            n / len(overdue),
            None if before is None else before.ratio,
            None if in_time is None else in_time.ratio,
            max(one.chance for one in asked) * looked_at,
        )
        lift = found.overdue_ratio / max(1e-9, *(one.ratio for one in asked))
        if found.p < CHANCE and (found.cause not in best or lift > best[found.cause][0]):
            best[found.cause] = lift, found
    return [best[cause][1] for cause in CAUSES if cause in best]


class _Comparison(NamedTuple):
    ratio: float  # share of the others, weighted as the strata are among the overdue
    chance: float


def _comparisons(
    value: Value, parcels: Sequence[Due], known: Known
) -> tuple[_Comparison | None, _Comparison | None] | None:
    """The overdue against the usual ones, and against those in time; None if there is nothing that could tell."""
    first, last = known.days[value]
    same_days = [one for one in parcels if first <= one.registered_day <= last]
    usual = _compared(value, parcels if value[0] == BATCH else same_days, known.values, USUAL)
    if value[0] == PLACE:
        return None if usual is None else (usual, None)
    in_time = _compared(value, same_days, known.values, IN_TIME)
    return None if in_time is None else (usual, in_time)


def _compared(
    value: Value, parcels: Sequence[Due], known: Mapping[Due, frozenset[Value]], others: Kind
) -> _Comparison | None:
    """The overdue ``parcels`` against those of the kind ``others``; None if no stratum has both."""
    from scipy.stats import hypergeom  # only where a value is frequent: it loads slowly

    counts: defaultdict[tuple[str, int], Counter[tuple[bool, bool]]] = defaultdict(Counter)
    for one in parcels:
        if one.kind in (OVERDUE, others):
            counts[one.stratum][one.kind == OVERDUE, value in known[one]] += 1
    chances = np.ones(1)  # of 0, 1, … overdue parcels with the value
    seen = compared = 0
    expected = 0.0
    for _, n in sorted(counts.items()):
        overdue, control = n[True, True] + n[True, False], n[False, True] + n[False, False]
        if overdue and control:
            drawn = hypergeom.pmf(np.arange(overdue + 1), overdue + control, n[True, True] + n[False, True], overdue)
            chances = np.convolve(chances, drawn)
            seen, compared = seen + n[True, True], compared + overdue
            expected += overdue * n[False, True] / control
    return _Comparison(expected / compared, min(float(chances[seen:].sum()), 1.0)) if compared else None
