"""What a backtest notes while a replay folds: complaints, registrations, evidence by day, transit when known.

Complaints and registrations are read from the events themselves; evidence and transit are looked up in the world at
each closed tick, so that they are what was known then.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np

from monitor.core import cells as c
from monitor.core.events import ComplaintOpened, Event, ParcelRegistered, channel_id, to_us
from monitor.core.identity import hash64, identity
from monitor.core.incidents import page_level_of
from monitor.core.scope import channel_scope
from monitor.core.survival import kaplan_meier
from monitor.core.vocabulary import DAY_US, HOUR_US
from monitor.read.backtest import Steps
from monitor.read.figures import merged
from monitor.replay.driver import World

#: Parcels registered in so many days before an incident was known are "now".
NOW_DAYS = 30
Transit = tuple[Steps | None, Steps | None]


class Observation:
    """The notes; an :class:`~monitor.replay.driver.Observer`."""

    def __init__(self) -> None:
        self.first_us: int | None = None
        #: Channel → first and last recorded registration.
        self.used: dict[str, tuple[int, int]] = {}
        self.parcels = 0
        #: Incident → transit of its members "now" and before, as of when it was known.
        self.transit: dict[str, Transit] = {}
        self._channel_of: dict[str, str] = {}
        self._by_order: dict[str, tuple[int, str, str]] = {}
        self._complaints: list[tuple[int, str | None, str | None, str | None]] = []
        self._seen: set[int] = set()
        self._days = array("q")
        self._ln_m: dict[str, tuple[int, array[float]]] = {}  # by scope
        #: Incident → its scope.
        self.scope: dict[str, str] = {}
        #: Incident → its members, each with the ln M that would page it by itself, as of when it was known.
        self.page_at: dict[str, dict[str, float]] = {}
        self._known: dict[str, int] = {}

    # -- while the replay folds ------------------------------------------------------------------------------

    def saw(self, event: Event, recorded_us: int, refused: bool) -> None:
        """Note a registration or a complaint, once."""
        if self.first_us is None:
            self.first_us = recorded_us
        if isinstance(event, ParcelRegistered):
            if not refused:
                self._register(event, recorded_us)
        elif isinstance(event, ComplaintOpened):
            data = event.data
            keys = {identity(event), hash64(f"{data.complaint_id}\0{data.parcel_id}\0{data.order_id}")}
            if not keys & self._seen and not refused:
                self._complain(event, recorded_us)
            self._seen |= keys

    def _register(self, event: ParcelRegistered, recorded_us: int) -> None:
        data = event.data
        if data.parcel_id in self._channel_of:
            return
        self.parcels += 1
        channel = channel_id(data.destination, data.product, data.carrier, data.service)
        self._channel_of[data.parcel_id] = channel
        first = self.used[channel][0] if channel in self.used else recorded_us
        self.used[channel] = first, recorded_us
        if data.order_id is not None:
            place = to_us(event.time), data.parcel_id, channel
            self._by_order[data.order_id] = min(place, self._by_order.get(data.order_id, place))

    def _complain(self, event: ComplaintOpened, recorded_us: int) -> None:
        data = event.data
        stated = None
        if data.parcel_id is None and data.order_id is None and data.destination and data.product and data.carrier:
            stated = channel_id(data.destination, data.product, data.carrier)
        self._complaints.append((recorded_us, data.parcel_id, data.order_id, stated))

    def closed(self, tick_us: int, world: World) -> None:
        """Note the evidence of a day that was judged, and the transit behind incidents that became known."""
        day = world.fleet.open_day - 1
        if not self._days or day > self._days[-1]:
            self._days.append(day)
            for name, channel in world.channels.items():
                self._note(channel_scope(name), channel.ln_m)
            for scope, group in world.groups.items():
                self._note(scope, group.ln_m)
        for incident_id, incident in world.incidents.items():
            if self._known.get(incident_id) != incident.known_us:
                self._known[incident_id] = incident.known_us
                self.scope[incident_id] = incident.scope
                self.transit[incident_id] = transit(world, incident.members, tick_us)
                self.page_at[incident_id] = {
                    name: page_level_of(world.channels[name], world.params)
                    for name in incident.members
                    if name in world.channels
                }

    def _note(self, scope: str, ln_m: float) -> None:
        if scope not in self._ln_m:
            if ln_m == -np.inf:
                return
            self._ln_m[scope] = len(self._days) - 1, array("d")
        self._ln_m[scope][1].append(ln_m)

    # -- afterwards ------------------------------------------------------------------------------------------

    def complaints(self) -> tuple[dict[str, list[int]], int]:
        """Channel → recorded moments of its complaints, sorted; and the number of those that belong to none."""
        found: dict[str, list[int]] = {}
        elsewhere = 0
        for recorded_us, parcel, order, stated in self._complaints:
            if parcel is not None:
                channel = self._channel_of.get(parcel)
            elif order is not None:
                channel = self._by_order[order][2] if order in self._by_order else None
            else:
                channel = stated
            if channel is None:
                elsewhere += 1
            else:
                found.setdefault(channel, []).append(recorded_us)
        return {name: sorted(found[name]) for name in sorted(found)}, elsewhere

    def evidence(self, scope: str, first_day: int, last_day: int) -> list[tuple[int, float]]:
        """(judged day, ln M) of a channel's or a group's scope within two days, both included."""
        if scope not in self._ln_m:
            return []
        start, values = self._ln_m[scope]
        low = max(bisect_left(self._days, first_day), start)
        high = bisect_left(self._days, last_day + 1)
        return [(self._days[i], values[i - start]) for i in range(low, min(high, start + len(values)))]


def transit(world: World, members: Sequence[str], at_us: int) -> Transit:
    """Days to delivery of the members' parcels registered in the last ``NOW_DAYS`` before ``at_us``, and earlier."""
    channels = [world.channels[name] for name in members if name in world.channels]
    since = at_us // DAY_US - NOW_DAYS
    now = merged(_lasting(counters) for ch in channels for day, counters in ch.recent.items() if day > since)
    life = merged(ch.life for ch in channels)
    return steps(now, at_us), steps({key: n - now.get(key, 0) for key, n in life.items()}, at_us)


def _lasting(counters: Mapping[int, int]) -> dict[int, int]:
    """Recent counters by the keys of lasting ones: without the hour of the day."""
    out: dict[int, int] = {}
    for key, n in counters.items():
        lasting = key >> 40 << 40 if key >> 40 in c.HOURLY else key
        out[lasting] = out.get(lasting, 0) + n
    return out


def steps(counters: Mapping[int, int], at_us: int) -> Steps | None:
    """The survival curve of some counters in steps of a day, parcels in flight counted; None without parcels."""
    exits: dict[int, int] = {}
    censored: dict[int, int] = {}
    registered = flying = 0
    for key, n in counters.items():
        kind, _, b = c.split(key)
        if kind == c.REGISTERED:
            registered += n
        elif b == c.UNKNOWN:
            continue
        elif kind == c.DELIVERED:
            exits[b] = exits.get(b, 0) + n
        elif kind in (c.RETURNED, c.LOST):
            censored[b] = censored.get(b, 0) + n
        elif kind == c.OPEN:
            age = max(at_us // HOUR_US - b, 0)
            censored[age] = censored.get(age, 0) + n
            flying += n
    if not sum(exits.values()) + sum(censored.values()):
        return None
    curve = kaplan_meier(exits, censored)
    oldest = max([*exits, *censored]) / 24
    days = [float(day) for day in range(int(oldest) + 1)]
    places = np.searchsorted(curve.time / 24, days, side="right") - 1

    def at(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
        return [1.0 if i < 0 else round(float(values[i]), 6) for i in places]

    return Steps(days, at(curve.survival), at(curve.low), at(curve.high), registered, flying)
