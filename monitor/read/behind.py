"""The events behind an incident: which parcels' events count, and which of their events.

Everything is told by the state as of ``known_by`` and by the events recorded up to then. Slowness is told by the
parcels that stand in the stage; rare events and complaints by the events themselves; a silent feed by what was heard
of it last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct

from monitor.core import cells as c
from monitor.core.contribution import Position
from monitor.core.events import from_us, to_us
from monitor.core.facets import SENTINELS
from monitor.core.identity import hash64
from monitor.core.incidents import DRIFT, Incident
from monitor.core.parcel import (
    DELIVERED,
    HELD,
    RETURNED,
    RETURNING,
    SECURITY_RETURNED,
    Parcel,
    cells_of,
    second_attempt,
)
from monitor.core.rare import is_transit
from monitor.core.vocabulary import (
    CLOCKS,
    DAY_US,
    END_TO_END,
    STAGE_CLOCKS,
    UNDERWAY,
    UNDERWAY_CLOCK,
    ComplaintKind,
)
from monitor.read.lists import Picture, position_record
from monitor.read.rules import kind_of
from monitor.read.told import told
from monitor.wire.decode import decode

Record = dict[str, Any]
PARCELS_SHOWN: Final = 50
EVENTS_SHOWN: Final = 500
SCANS_SHOWN: Final = 10  # of a feed
HEARD_DAYS: Final = 7
_NEVER: Final = 1 << 62

_SCAN: Final = "parcel.scanned.v1"
_COMPLAINT: Final = "complaint.opened.v1"
#: Clock of an incident → rank of the stage where the wait begins, and of that which ends it.
WAITS: Final[dict[str, tuple[int, int]]] = {
    **{name: (rank, rank + 1) for rank, name in enumerate(CLOCKS[:STAGE_CLOCKS])},
    CLOCKS[END_TO_END]: (0, DELIVERED),
    UNDERWAY_CLOCK: (UNDERWAY[0], DELIVERED),
}
#: Modes of rare scans: kind of the cell that counts it, places in ``Parcel.times``, milestones.
_STOPPED: Final[dict[str, tuple[int, tuple[int, ...], frozenset[str]]]] = {
    "customs_hold": (c.HELD_DAY, (HELD,), frozenset({"customs_held"})),
    "security_return": (c.SECURITY_DAY, (SECURITY_RETURNED,), frozenset({"security_returned"})),
    "returned": (c.RETURN_DAY, (RETURNING, RETURNED), frozenset({"returning", "returned", "attempt_failed"})),
}
#: Modes of complaints → the kinds that count.
_COMPLAINTS: Final[dict[str, frozenset[str]]] = {
    "complaints": frozenset({"not_received"}),
    "empty_box": frozenset({"empty_box"}),
    "sentinel": frozenset(SENTINELS),
}
EVERY_KIND: Final[frozenset[str]] = frozenset(get_args(ComplaintKind))


class _Said(Struct, frozen=True, gc=False):
    parcel_id: str | None = None
    order_id: str | None = None
    complaint_id: str | None = None
    milestone: str | None = None
    kind: str | None = None
    country: str | None = None


class Glance(Struct, frozen=True, gc=False):
    """What is looked at of an event to see whether it counts; the rest of it is decoded only then."""

    type: str
    time: datetime
    data: _Said


_glance: Final = msgspec.json.Decoder(Glance).decode


@dataclass(frozen=True, slots=True)
class Behind:
    """What to look for, in words (``what``; empty for nothing). ``parcels``: whose events count; if they are
    ``ranked``, ``most`` of them are shown, the first in front, else the ``most`` newest events are. ``orders``: hash of
    an order → its parcel. ``counts``: whether an event of one of them does.
    """

    what: str
    parcels: Sequence[str] = ()
    ranked: bool = True
    orders: Mapping[int, str] = field(default_factory=dict)
    counts: Callable[[str, Glance], bool] = lambda _, __: True
    most: int = PARCELS_SHOWN

    def parcel_of(self, said: _Said, wanted: Set[str]) -> str | None:
        """The parcel among those ``wanted`` that an event is about."""
        if said.parcel_id is not None:
            return said.parcel_id if said.parcel_id in wanted else None
        return self.orders.get(hash64("order|" + said.order_id)) if said.order_id is not None and self.orders else None


def behind(picture: Picture, incident: Incident) -> Behind:
    """What the incident rests on, in a ``picture`` of the moment at which it became known."""
    covers = frozenset(incident.members)
    picture = of_whom(picture, incident)
    if kind_of(incident) == "feed":
        return _heard(picture, incident, covers)
    if incident.judged_by == DRIFT:
        return Behind("")
    if incident.clock in WAITS:
        return Behind(f"parcels that stood in {incident.clock}", in_stage(picture, incident))
    if incident.mode in _STOPPED:
        return _stopped(picture, incident, covers)
    if incident.mode == "misroute":
        return _misrouted(picture, incident, covers)
    if incident.mode in _COMPLAINTS:
        return _complained(picture, incident, covers)
    return Behind("")


def of_whom(picture: Picture, incident: Incident) -> Picture:
    """The picture with the parcels of the forwarder, batch or customer only, if the incident is about one."""
    kind, *_, name = incident.scope.split("|", 4)
    if kind not in ("forwarder", "batch", "customer"):
        return picture
    whose = attrgetter(kind)
    return replace(picture, parcels={id_: one for id_, one in picture.parcels.items() if whose(one) == name})


def in_stage(picture: Picture, incident: Incident) -> list[str]:
    """The parcels that stood in the incident's stage when it became known, those first that had stood there longest.

    Those beyond the age cap are left out, as they are from the evidence, and so is what had been stopped otherwise.
    """
    start, end = WAITS[incident.clock]  # places in Parcel.times: later stages, then what stops it
    covers = frozenset(incident.members)
    oldest_day = incident.known_us // DAY_US - picture.params.age_cap_days
    found = []
    for id_, parcel in picture.parcels.items():
        if parcel.channel not in covers or parcel.untimed:
            continue
        since = next((t for t in parcel.times[start:end] if t), 0) if start else parcel.registered_us
        left = min((t for t in (*parcel.times[end:], parcel.lost_claim_us) if t), default=_NEVER)
        if 0 < since <= incident.known_us < left and since // DAY_US >= oldest_day:
            found.append((since, id_))
    return [id_ for _, id_ in sorted(found)]


def _heard(picture: Picture, incident: Incident, covers: frozenset[str]) -> Behind:
    """What the feed told of the days before."""
    names = [id_ for id_, parcel in picture.parcels.items() if parcel.channel in covers]
    since_us = incident.known_us - HEARD_DAYS * DAY_US

    def counts(_: str, it: Glance) -> bool:
        return it.type == _SCAN and to_us(it.time) >= since_us

    what = f"the last scans of the {HEARD_DAYS} days before"
    return Behind(what, names, ranked=False, counts=counts, most=SCANS_SHOWN)


def _stopped(picture: Picture, incident: Incident, covers: frozenset[str]) -> Behind:
    """Parcels that were stopped in the incident's way since its sums began."""
    kind, places, milestones = _STOPPED[incident.mode]
    first_scan_us = picture.params.first_scan_days * DAY_US
    found = []
    for id_, parcel in picture.parcels.items():
        if parcel.channel not in covers:
            continue
        if any(parcel.times[place] for place in places):
            why = cells_of(parcel, first_scan_us)[14]
            if why >> 40 == kind and why & c.MASK >= incident.since_day:
                found.append((-min(parcel.times[place] or _NEVER for place in places), id_))
                continue
        if incident.mode == "returned":
            tried = second_attempt(parcel.attempts)
            if tried // DAY_US >= max(incident.since_day, 1):
                found.append((-tried, id_))
    ids = [id_ for _, id_ in sorted(found)]
    what = f"parcels with {' or '.join(sorted(milestones))} since {_day(incident)}"
    return Behind(what, ids, counts=lambda _, it: it.type == _SCAN and it.data.milestone in milestones)


def _misrouted(picture: Picture, incident: Incident, covers: frozenset[str]) -> Behind:
    """Parcels first scanned in a country that is none of their channel's since the sums began."""
    found: dict[str, tuple[int, frozenset[int]]] = {}
    for id_, parcel in picture.parcels.items():
        if parcel.channel in covers and parcel.abroad:
            strange = _strange(picture, parcel, incident.since_day)
            if strange:
                found[id_] = max(parcel.abroad[country] for country in strange), strange
    ids = sorted(found, key=lambda id_: (-found[id_][0], id_))

    def counts(id_: str, it: Glance) -> bool:
        country = it.data.country
        return it.type == _SCAN and country is not None and c.country_number(country) in found[id_][1]

    return Behind(f"parcels scanned in a wrong country since {_day(incident)}", ids, counts=counts)


def _strange(picture: Picture, parcel: Parcel, since_day: int) -> frozenset[int]:
    routes = picture.channels[parcel.channel].routes
    return frozenset(
        country
        for country, time in parcel.abroad.items()
        if time // DAY_US >= since_day and not is_transit(routes, country)
    )


def _complained(picture: Picture, incident: Incident, covers: frozenset[str]) -> Behind:
    """The complaints of the incident's kind since the sums began, also those that name only an order."""
    wide = incident.mode == "complaints" and kind_of(incident) in ("all", "customer")
    kinds = EVERY_KIND if wide else _COMPLAINTS[incident.mode]
    since_us = incident.since_day * DAY_US
    parcels = {id_: parcel for id_, parcel in picture.parcels.items() if parcel.channel in covers}
    orders = {ref: id_ for id_, parcel in parcels.items() for ref in parcel.refs}

    def counts(_: str, it: Glance) -> bool:
        return it.type == _COMPLAINT and it.data.kind in kinds and to_us(it.time) >= since_us

    what = f"complaints ({', '.join(sorted(kinds))}) since {_day(incident)}"
    return Behind(what, list(parcels), ranked=False, orders=orders, counts=counts)


def _day(incident: Incident) -> str:
    return from_us(incident.since_day * DAY_US)[:10]


def look_up(sought: Behind, lines: Iterable[tuple[bytes, Position]]) -> tuple[list[str], list[Record], Record]:
    """The parcels shown, their events with their positions, and how much there is: ``what``, and of ``parcels`` and
    ``events`` the number with what was left out of it.

    ``lines``: the events with where each stands, in the order of the log. Events are counted of the parcels shown
    where these are ``ranked``, else of all.
    """
    shown = list(sought.parcels[: sought.most]) if sought.ranked else []
    wanted = frozenset(shown if sought.ranked else sought.parcels)
    found: list[tuple[str, bytes, Position]] = []
    if wanted:
        for raw, position in lines:
            it = _glance(raw)
            id_ = sought.parcel_of(it.data, wanted)
            if id_ is not None and sought.counts(id_, it):
                found.append((id_, raw, position))
    parcels = len(sought.parcels) if sought.ranked else len({id_ for id_, _, _ in found})
    events = [_told(*one) for one in (found if sought.ranked else found[: -sought.most - 1 : -1])]
    if sought.ranked:
        rank = {id_: number for number, id_ in enumerate(shown)}
        events.sort(key=lambda one: (rank[one["parcel_id"]], one["time"], one["recordedtime"]))
        del events[EVENTS_SHOWN:]
    else:
        shown = list(dict.fromkeys(one["parcel_id"] for one in events))
    number = {
        "what": sought.what,
        "parcels": parcels,
        "parcels_left_out": parcels - len(shown),
        "events": len(found),
        "events_left_out": len(found) - len(events),
    }
    return shown, events, number


def _told(id_: str, raw: bytes, position: Position) -> Record:
    event = decode(raw)
    recorded = event.time if event.recordedtime is None else event.recordedtime
    return {"parcel_id": id_, **told(event, to_us(recorded), position_record(position))}
