"""What the fleet advises at a tick: every midnight, and at once when an incident, an offer or a rule changes.

Rules it keeps:

1. Advice follows from whole numbers, the book, open incidents, the terms and the advice before; lanes are decided in
   sorted order, and those that share an offer which is short of capacity together.
2. A carrier that a rule or an offer excludes is never advised, and one with an open incident neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Final

from monitor.core.channel import Channel
from monitor.core.fleet_header import FleetHeader
from monitor.core.incidents import Incident, Note
from monitor.core.params import Params
from monitor.core.scope import groups_of
from monitor.core.switch import carried
from monitor.core.switch.advice import BACK_DAYS, SWITCH, Advice, Lane, accept, ended, same
from monitor.core.switch.book import Book, Index, Offer, Rule, enter_offer, enter_rule, forget
from monitor.core.switch.capacity import Plan, alone, share_capacity
from monitor.core.switch.carried import LANE_DAYS, Sums
from monitor.core.switch.counts import Counts
from monitor.core.switch.deciding import Moment, candidates, decide, is_comparable, price
from monitor.core.switch.lane_rules import LaneRules
from monitor.core.switch.measuring import is_open, measure
from monitor.core.switch.outcomes import KEPT, balance, warning
from monitor.core.switch.weighing import believe
from monitor.core.vocabulary import DAY_US


def lane_of(channel: str) -> str:
    """The lane of a channel: country, a bar, product.

    >>> lane_of("RU|tablet|china-post/registered")
    'RU|tablet'
    """
    return channel.rsplit("|", 1)[0]


class Advising:
    """Keeps the lanes and the book in the mappings given at construction; ``put(lane, advice)`` tells a news."""

    def __init__(
        self,
        params: Params,
        lanes: MutableMapping[str, Lane],
        book: Book,
        channels: Mapping[str, Channel],
        incidents: Mapping[str, Incident],
        header: FleetHeader,
        put: Callable[[str, Advice], None],
    ) -> None:
        self._params = params
        self._terms = params.switch
        self._lanes = lanes
        self._book = book
        self._channels = channels
        self._incidents = incidents
        self._header = header
        self._put = put
        self._counts = Counts(channels)
        self._stirred = False  # something changed in the tick that is being closed that cannot wait for midnight

    # -- what is added -----------------------------------------------------------------------------------------

    def add(self, channel: str, changes: Mapping[int, int]) -> None:
        """Apply signed changes of cells."""
        self._counts.add(channel, changes)

    def carry(self, channel: str, sums: Sums) -> None:
        """Add what parcels of a channel carried."""
        name, part = channel.rsplit("|", 1)
        lane = self._lanes.get(name) or Lane()
        carried.add(lane.carriages.setdefault(part, carried.Carriage()), sums)
        self._lanes[name] = lane

    def complained(self, channel: str, cohort: int, day: int) -> None:
        """A complaint about a parcel of a channel."""
        self.carry(channel, {carried.complained(cohort, day): {cohort: [1, 0, 0]}})

    def declare(self, offers: list[Offer], rules: list[Rule]) -> None:
        """Enter offers and rules."""
        for offer in offers:
            enter_offer(self._book, offer)
        for rule in rules:
            enter_rule(self._book, rule)
        self._stirred |= bool(offers or rules)

    def stir(self, incident: Incident) -> None:
        """An incident changed."""
        self._stirred |= incident.severity != "feed"

    def answer(self, target: str, note: Note) -> bool:
        """Enter a person's decision about an advice; whether there is one with that id.

        A switch that is accepted is measured from then on, also when the advice is another; one that is declined
        afterwards is not.
        """
        for name in sorted(self._lanes):
            lane = self._lanes[name]
            advice = lane.advice if lane.advice is not None and lane.advice.advice_id == target else None
            known = next((one for one in lane.accepted if one.advice_id == target), None)
            if advice is None and (known is None or note.what != "decline"):
                continue
            if note.what == "decline":
                lane.accepted = [one for one in lane.accepted if one.advice_id != target]
            elif note.what == "accept" and known is None and advice is not None:
                taken = accept(advice, note)
                lane.accepted = [*lane.accepted, *([taken] if taken else [])][-KEPT:]
            if advice is not None:
                advice.notes = [*advice.notes, note]
                advice.revision += 1
                self._put(name, advice)
            self._lanes[name] = lane
            return True
        return False

    # -- what is advised ---------------------------------------------------------------------------------------

    def after_tick(self, at_us: int, is_midnight: bool) -> None:
        """Advise, if it is time."""
        stirred, self._stirred = self._stirred, False
        if is_midnight:
            forget(self._book, at_us // DAY_US)
        if is_midnight or stirred:
            self._advise(at_us)

    def _advise(self, at_us: int) -> None:
        today = (at_us - 1) // DAY_US
        lanes = self._by_lane()
        for name in sorted(self._lanes):
            lane = self._lanes[name]
            if sum(carried.prune(one, today) for one in lane.carriages.values()):
                self._lanes[name] = lane
        names = sorted(self._channels)
        if not names:
            return
        trouble = self._trouble()
        at_day = (at_us - self._header.lag_us) / DAY_US
        parcels = self._counts.registered(names, today, (LANE_DAYS, self._params.recent_days))
        now = Moment(
            at_us,
            at_day,
            today,
            self._terms,
            parcels,
            lambda lane, part: _said(trouble, lane, part),
            self._params.recent_days,
            self._channels,
            warning(balance(one for lane in self._lanes.values() for one in lane.accepted)),
        )
        index = Index(self._book, at_us)
        plans: list[Plan] = []
        measured: list[Plan] = []  # also lanes without parcels now
        for name, parts in lanes.items():
            lane = self._lanes.get(name) or Lane()
            rules = LaneRules(
                index, self._terms, name, [lane.carriages[p] for p in sorted(lane.carriages)], at_us, today
            )
            found = candidates(name, rules, index.carriers(*name.split("|")), parts, now)
            if found:
                plans.append((name, lane, found))
            elif lane.advice is not None:
                self._put(name, ended(name, lane.advice, at_us))
                lane.advice = None
                self._lanes[name] = lane
            if is_open(lane):
                measured.append((name, lane, found))
        promises = self._price(plans, measured, lanes, trouble, now)
        self._decide(plans, promises, now)
        self._drop_empty()

    def _price(
        self,
        plans: list[Plan],
        measured: list[Plan],
        parts: Mapping[str, list[str]],
        trouble: Mapping[str, str],
        now: Moment,
    ) -> dict[str, float | None]:
        """Work out what the carriers of comparable lanes cost, and what accepted switches brought; the promise of each
        lane."""
        priced = [plan for plan in plans if is_comparable(plan[2], self._terms)]
        if not priced and not measured:
            return {}
        names = sorted(self._channels)
        troubled = frozenset(name for name in names if name in trouble)
        window = self._params.recent_days
        beliefs = believe(self._counts, names, troubled, self._lanes, self._terms, now.at_day, window)
        for name, lane, found in measured:
            measure(name, lane, found, parts[name], self._counts, beliefs, now)
            self._lanes[name] = lane
        return price(priced, beliefs, now)

    def _decide(self, plans: list[Plan], promises: Mapping[str, float | None], now: Moment) -> None:
        """Decide every lane, by itself unless offers are short of capacity."""
        plans.sort(key=lambda plan: plan[0])
        rooms = {name: alone(found, self._terms) for name, _, found in plans}
        advised = {name: decide(name, lane, found, promises.get(name), rooms[name], now) for name, lane, found in plans}
        short = share_capacity(plans, advised, rooms, now)
        for name, lane, found in plans:
            if name in short:
                advised[name] = decide(name, lane, found, promises.get(name), short[name], now)
            self._enter(name, lane, advised[name], now)

    def _enter(self, name: str, lane: Lane, advice: Advice, now: Moment) -> None:
        """Keep what a lane is advised, and tell it if it is news."""
        before = lane.advice
        is_news = before is None or not same(advice, before)
        if advice.decision == SWITCH and is_news:
            lane.left[advice.from_carrier] = now.at_us
        bound = now.at_us - BACK_DAYS * DAY_US
        lane.left = {part: at for part, at in sorted(lane.left.items()) if at > bound}
        lane.advice = advice
        self._lanes[name] = lane
        if is_news or before is None or advice.revision != before.revision:
            self._put(name, advice)

    def _by_lane(self) -> dict[str, list[str]]:
        """Lane → its carrier parts, both sorted."""
        out: dict[str, list[str]] = {}
        for name in sorted(self._channels):
            lane, part = name.rsplit("|", 1)
            out.setdefault(lane, []).append(part)
        return dict(sorted(out.items()))

    def _trouble(self) -> dict[str, str]:
        """Channel, or scope of a wider incident, → the open incident on it in words."""
        out: dict[str, str] = {}
        for id_ in sorted(self._incidents):
            incident = self._incidents[id_]
            if incident.closed_us or incident.severity == "feed" or incident.scope.split("|", 1)[0] in _NOT_OF_CARRIER:
                continue
            text = f"{incident.mode}, {incident.incident_id}"
            for name in (*incident.covers, incident.scope):
                out.setdefault(name, text)
        return out

    def _drop_empty(self) -> None:
        for name in sorted(self._lanes):
            lane = self._lanes[name]
            if (
                lane.advice is None
                and not (lane.left or lane.accepted)
                and not any(c.days or c.weeks for c in lane.carriages.values())
            ):
                del self._lanes[name]


#: Incidents that say nothing of the carrier of their channels.
_NOT_OF_CARRIER: Final = frozenset({"country", "country_product", "customer", "forwarder", "batch", "all"})


def _said(trouble: Mapping[str, str], lane: str, part: str) -> str:
    """The open incident on a carrier part of a lane, also of one that has no parcels there."""
    if not trouble:
        return ""
    channel = f"{lane}|{part}"
    return next((trouble[key] for key in (channel, *groups_of(channel)) if key in trouble), "")
