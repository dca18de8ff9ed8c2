"""What the tracking feeds say about the journeys: scans, some missing, all late, a few twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.replay.simulate.effects import Feed
from monitor.replay.simulate.journeys import Journeys, Setting
from monitor.replay.simulate.planting import Influence
from monitor.replay.simulate.rows import DAY_S, Kind, Rows, concatenate, make_rows
from monitor.replay.simulate.streams import AnyArray, BoolArray, FloatArray, IntArray, stream
from monitor.replay.simulate.tables import WORDS, WRONG_COUNTRIES

LAG_SIGMA: Final = 0.8
MAX_LAG_DAYS: Final = 30.0
LATE_SCANS: Final = 0.004
DUPLICATES: Final = 0.003
NO_PLACE: Final = 0.04
_MINUTE_D: Final = 1 / 1440


@dataclass(frozen=True, slots=True)
class Form:
    """What all scans of one kind have in common; ``suffix`` makes the event id from the parcel's."""

    suffix: str
    milestone: str
    country: str | None
    place: str | None
    code: str
    text: str
    feed: str


class Forms:
    """The forms in use, numbered in the order of first use."""

    def __init__(self) -> None:
        self._numbers: dict[Form, int] = {}

    def number(self, form: Form) -> int:
        """The form's number."""
        return self._numbers.setdefault(form, len(self._numbers))

    def all(self) -> list[Form]:
        """All forms by number."""
        return list(self._numbers)


@dataclass(frozen=True, slots=True)
class _Leg:
    """One kind of scan: when it happens for each parcel, and where (a country with one or more places)."""

    suffix: str
    milestone: str
    when: FloatArray
    country: str | None
    places: tuple[str, ...]
    words: str = ""


def _legs(j: Journeys, u: FloatArray) -> list[_Leg]:
    """All kinds of scan in the order of the journey."""
    channel = j.channel
    home, dest, hub = "CN", channel.country, channel.carrier.transit
    origin, gateway = (channel.origin,), (dest.gateway,)
    begin = np.where(np.isfinite(j.held), j.released, j.arrived)
    reached = np.minimum(j.delivered, j.attempted)
    with np.errstate(invalid="ignore"):
        waiting = j.departed - j.accepted
        at_hub = j.accepted + np.minimum((0.25 + 0.35 * u[:, 0]) * waiting, 1.5)
        export = np.where(np.isfinite(waiting), j.accepted + (0.75 + 0.2 * u[:, 1]) * waiting, np.inf)
        transit = j.departed + np.minimum(0.45 * (j.arrived - j.departed), 4.0)
        to_door = reached - begin
        office = begin + np.minimum((0.35 + 0.3 * u[:, 2]) * to_door, 8.0)
        out = np.where(np.isfinite(to_door), reached - np.minimum(0.1 + 0.2 * u[:, 3], 0.3 * to_door), np.inf)
        missed = (u[:, 4] < 0.06) & np.isfinite(j.delivered) & (to_door > 2.0)
        first_try = np.where(missed, j.delivered - np.minimum(1.0 + 2.0 * u[:, 5], 0.5 * to_door), np.inf)
        pickup = np.where(missed & (u[:, 5] < 0.5), first_try + 0.3 * (j.delivered - first_try), np.inf)
    first_try = np.where(np.isfinite(j.attempted), j.attempted, first_try)
    pickup = np.where(np.isfinite(j.attempted), j.attempted + 2.1, pickup)
    legs = [
        _Leg("info", "info_received", j.registered + 0.02 + 0.15 * u[:, 6], home, origin),
        _Leg("acc", "accepted", j.accepted, home, origin),
        _Leg("hub", "origin_hub", at_hub, home, (f"{channel.origin} hub",)),
        _Leg("exp", "export_customs", export, home, (f"{channel.origin} hub",)),
        _Leg("sec", "security_returned", j.security, home, (f"{channel.origin} hub",)),
        _Leg("dep", "departed_origin", j.departed, home, (f"{channel.origin} airport",)),
        *_arrival(j, "", ~j.second_hub, gateway),
        _Leg("off", "delivery_office", office, dest.code, dest.cities),
        _Leg("try", "attempt_failed", first_try, dest.code, dest.cities),
        _Leg("try2", "attempt_failed", j.attempted + 2.0, dest.code, dest.cities),
        _Leg("pick", "available_for_pickup", pickup, dest.code, dest.cities),
        _Leg("out", "out_for_delivery", out, dest.code, dest.cities),
        _Leg("dlv", "delivered", j.delivered, dest.code, dest.cities),
        _Leg("rts", "returning", j.returning, dest.code, gateway),
        _Leg("rtd", "returned", j.returned, home, origin),
        _Leg("lost", "lost", j.lost, None, ()),
    ]
    if j.second_hub.any():
        legs += _arrival(j, "2", j.second_hub, (dest.second_hub,))
    for number, wrong in enumerate(WRONG_COUNTRIES):
        if wrong != dest.code:
            when = np.where(j.wrong_country % len(WRONG_COUNTRIES) == number, j.misrouted, np.inf)
            legs.append(_Leg("mis", "arrived_destination", when, wrong, (f"{wrong} gateway",)))
    if hub is not None and hub[0] != dest.code:
        legs.append(_Leg("trn", "departed_origin", transit, hub[0], (hub[1],), "transit"))
    return legs


def _arrival(j: Journeys, suffix: str, here: BoolArray, places: tuple[str, ...]) -> list[_Leg]:
    """What is scanned where a parcel arrives, of the parcels that arrive ``here``."""
    return [
        _Leg(name + suffix, milestone, np.where(here, when, np.inf), j.channel.country.code, places)
        for name, milestone, when in (
            ("arr", "arrived_destination", j.arrived),
            ("held", "customs_held", j.held),
            ("rel", "customs_released", j.released),
        )
    ]


def scan_rows(setting: Setting, journeys: Journeys, influence: Influence, forms: Forms) -> Rows:
    """The scans of a channel's parcels as they are recorded."""
    n = len(journeys)
    rng = stream(setting.seed, f"scans/{journeys.channel.id}")
    legs = _legs(journeys, rng.random((n, 7)))
    parts = []
    for leg in legs:
        own = stream(setting.seed, f"scans/{journeys.channel.id}/{leg.suffix}/{leg.country}")
        parts.append(_leg_rows(setting, journeys, influence, forms, leg, own))
    return concatenate(parts)


def _leg_rows(
    setting: Setting, journeys: Journeys, influence: Influence, forms: Forms, leg: _Leg, rng: np.random.Generator
) -> Rows:
    """The scans of one leg. The n-th parcel draws the same numbers whatever is planted."""
    n, channel = len(journeys), journeys.channel
    u = rng.random((n, 7))
    unseen = channel.unseen.get(leg.milestone, 0.01)
    seen = np.flatnonzero(np.isfinite(leg.when) & (leg.when < setting.days) & (u[:, 0] >= unseen) & ~journeys.unscanned)
    when, u = leg.when[seen], u[seen]
    normal = np.sqrt(-2.0 * np.log1p(-u[:, 5])) * np.cos(2.0 * np.pi * u[:, 6])  # Box and Muller
    lag = channel.carrier.lag_h / 24.0 * np.exp(LAG_SIGMA * normal)
    lag += np.where(u[:, 1] < LATE_SCANS, 3.0 + 4000.0 * u[:, 1], 0.0)
    recorded = when + np.clip(lag, _MINUTE_D, MAX_LAG_DAYS)
    recorded = _through_feed(influence, recorded, u[:, 2])
    form = _choose_forms(forms, leg, journeys, u[:, 3])
    time_s, recorded_s = (when * DAY_S).astype(np.int64), recorded
    known = np.isfinite(recorded_s)
    rows = make_rows((recorded_s[known] * DAY_S).astype(np.int64), time_s[known], Kind.SCAN, seen[known], form[known])
    twice = np.flatnonzero(u[known, 4] < DUPLICATES)
    again = rows.take(twice)
    delay_s = (3_600 + 2 * DAY_S * u[known, 4][twice] / DUPLICATES).astype(np.int64)
    return concatenate([rows, make_rows(again.recorded_s + delay_s, again.time_s, Kind.SCAN, again.item, again.form)])


def _through_feed(influence: Influence, recorded: FloatArray, u: FloatArray) -> FloatArray:
    """Recorded times after what was planted on the feed: never (infinity), or all together at the end of the gap."""
    for item, effect in influence.effects(Feed):
        inside = (recorded >= item.first) & (recorded < item.end)
        recorded = np.where(inside, np.inf if effect.scans == "missing" else item.end + 0.25 * u, recorded)
    return recorded


def _choose_forms(forms: Forms, leg: _Leg, journeys: Journeys, u: FloatArray) -> IntArray:
    """The form of each scan: one of the leg's places, or none for a few that come without country and place."""
    carrier = journeys.channel.carrier
    code, text = WORDS[leg.words or leg.milestone][0 if carrier.post else 1]
    feed = f"/tracking/{carrier.part}"
    places: tuple[str | None, ...] = leg.places or (None,)
    numbers = [forms.number(Form(leg.suffix, leg.milestone, leg.country, place, code, text, feed)) for place in places]
    bare = forms.number(Form(leg.suffix, leg.milestone, None, None, code, text, feed))
    which: AnyArray = np.minimum(((u - NO_PLACE) / (1 - NO_PLACE) * len(numbers)).astype(np.int64), len(numbers) - 1)
    chosen = np.array(numbers)[np.maximum(which, 0)]
    return np.asarray(np.where(u < NO_PLACE, bare, chosen), dtype=np.int64)
