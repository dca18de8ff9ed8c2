"""What the fleet decides at a tick: feeds, complaints, and the days that the watermark has passed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import cache, partial

import numpy as np

from monitor.core import cells as c
from monitor.core.alarms import Alarms
from monitor.core.batches import Batches, is_batch
from monitor.core.bursts import Bursts
from monitor.core.canary import Canary
from monitor.core.channel import CLOCKS_JUDGED, LATE, LN_PRIOR, Channel, is_warm, no_evidence, prune
from monitor.core.declared_windows import DeclaredWindows
from monitor.core.drift import Drift
from monitor.core.evidence import LN_M, mixture
from monitor.core.facets import DAYS_KEPT, Facet
from monitor.core.facets import add as add_to_facet
from monitor.core.facets import prune as prune_facet
from monitor.core.feeds import feeds_of, is_held, watch
from monitor.core.fleet_header import FleetHeader
from monitor.core.forecast import complaints_ahead
from monitor.core.groups import Day, Group, Membership, judge_groups
from monitor.core.handovers import PLACE_OF, Handovers, is_forwarder, named
from monitor.core.incidents import Incident, Stock, StockOf, feed_incident
from monitor.core.judge import judge_day
from monitor.core.overdue import pass_midnight, usual_of
from monitor.core.params import Params
from monitor.core.parcel import part_of
from monitor.core.scope import scope
from monitor.core.spread import EXCESS, SQUARES
from monitor.core.unseen import larger, set_aside
from monitor.core.verdict import say
from monitor.core.vocabulary import DAY_US


class Judging:
    """Judges the state in the mappings given at construction, which the fleet fold adds to. ``put`` keeps a changed
    incident, and says so if it is news."""

    def __init__(
        self,
        params: Params,
        channels: MutableMapping[str, Channel],
        groups: MutableMapping[str, Group],
        facets: MutableMapping[str, Facet],
        incidents: MutableMapping[str, Incident],
        header: FleetHeader,
        put: Callable[[Incident, bool], None],
    ) -> None:
        self.params = params
        self.channels = channels
        self.groups = groups
        self.facets = facets
        self.incidents = incidents
        self.header = header
        self.judged: tuple[int, Membership, Day] | None = None  # the last judged day, for who looks on; no state
        self._put = put
        self._membership: Membership | None = None
        self._alarms = Alarms(params, incidents, put)
        self._bursts = Bursts(params, facets, channels, incidents, put)
        self._canary = Canary(params, channels, incidents, put)
        self._drift = Drift(params, channels, incidents, put)
        self._handovers = Handovers(params, facets, groups, incidents, put, self._forget_first_scans)
        self._batches = Batches(params, facets, channels, incidents, put, self._forget_first_scans)
        self._touched: set[str] = set()  # facets of the tick that is being closed, and how many sentinels are in them
        self._sentinels: dict[str, int] = {}

    def changed(self) -> None:
        """There is a channel that was not."""
        self._membership = None

    def is_warm(self) -> bool:
        """Whether time alone can still change something (an incident of a channel waits for reports, not for time)."""
        return self._bursts.waits or any(is_warm(channel) for channel in self.channels.values())

    def add_facet(self, name: str, changes: dict[int, int]) -> None:
        facet = self.facets.get(name)
        if facet is None:
            facet = Facet()
            self._bursts.know(name)
            self._pairs_changed(name)
        sentinels = add_to_facet(facet, changes, self.header.open_day)
        self.facets[name] = facet
        self._touched.add(name)
        if sentinels:
            self._sentinels[name] = self._sentinels.get(name, 0) + sentinels

    def _pairs_changed(self, name: str) -> None:
        """A facet is there that was not, or is there no more."""
        if is_forwarder(name):
            self._handovers.changed()
        elif is_batch(name):
            self._batches.changed()

    def watch_feeds(self, tick: int, at: int, scans: dict[str, list[int]]) -> None:
        """Feeds that fell silent or late, and those that are back."""
        header = self.header
        for news in watch(tick, 7 * DAY_US // self.params.tick_us, scans, header.reports):
            feed = header.reports[news.feed]
            known = self.incidents.get(feed.incident_id)
            if known is not None and not known.closed_us:
                known.closed_us = at
                known.revision += 1
                self._put(known, True)
            if news.mode:
                names = [name for name in self.members().names if news.feed in feeds_of(part_of(name))]
                incident = feed_incident(
                    scope("feed", carrier=news.feed),
                    news.mode,
                    names,
                    sum(in_flight(self.channels[name]) for name in names),
                    (feed.since - 1) * self.params.tick_us,
                    at,
                    (feed.score, feed.seen, feed.expected),
                )
                feed.incident_id = incident.incident_id
                self._put(incident, True)

    def watch_complaints(self, at: int) -> None:
        """Bursts of complaints, and those of which one is enough."""
        touched, sentinels = self._touched, self._sentinels
        self._touched, self._sentinels = set(), {}
        today = (at - 1) // DAY_US
        log_days = 0 if self.header.first_day is None else today - self.header.first_day
        self._bursts.after_tick(at, today, log_days, touched, sentinels, self._stock_at(at))

    def _stock_at(self, at_us: int) -> StockOf:
        """What some channels hold at a tick: parcels in flight, and the complaints to expect."""
        usual = cache(lambda: usual_of([self.channels[name] for name in self.members().names]))

        def stock(some: Iterable[str], severity: str) -> Stock:
            mine = [self.channels[name] for name in some]
            ahead = complaints_ahead(mine, usual(), at_us // DAY_US, [severity] * len(mine))
            return Stock(sum(map(in_flight, mine)), ahead)

        return stock

    def members(self) -> Membership:
        if self._membership is None:
            self._membership = Membership(sorted(self.channels))
        return self._membership

    def judge(self, day: int, at_us: int) -> None:
        membership = self.members()
        names = membership.names
        channels = [self.channels[name] for name in names]
        first_day = day if self.header.first_day is None else self.header.first_day
        young, old = self._alarms.learning(day)
        log_days = day - first_day
        if log_days < self.params.shadow_days:
            young, old = frozenset(), frozenset(names)
        else:
            self._season(log_days, channels)
            if log_days < self.params.late_shadow_days:
                late = {name for name, channel in zip(names, channels, strict=True) if self._is_late(channel)}
                old = old | (late - young)
        warm = [is_warm(channel) for channel in channels]
        ticks_per_day = DAY_US // self.params.tick_us
        first, tick, reports = day * ticks_per_day, at_us // self.params.tick_us, self.header.reports
        silent = {part: is_held(part, reports, first, tick, ticks_per_day) for part in sorted({*map(part_of, names)})}
        held = [silent[part_of(name)] for name in names]
        hushed = self._bursts.is_hushed(day)
        declared = DeclaredWindows(day, self.header.calendar, self.facets)
        verdicts, found = judge_day(
            day,
            names,
            channels,
            young,
            old,
            self.params,
            warm,
            held,
            hushed,
            log_days >= self.params.late_shadow_days,
            declared,
            partial(self._canary.weigh, day, day - first_day, names, channels),
        )
        self.judged = day, membership, found
        for name, channel, changed in zip(names, channels, warm, strict=True):
            if changed:
                self.channels[name] = channel
        rows = {name: row for row, name in enumerate(names)}
        may_page = log_days >= self.params.shadow_days
        stock = self._stock_at(at_us)
        self._batches.weigh(day, rows, found)
        rising = self._handovers.judge(day, at_us, may_page, rows, found, self._batches.explains, stock)
        elsewhere = self._handovers.explained()
        tellers = named(self.incidents, day)
        elsewhere |= self._batches.judge(day, at_us, may_page, verdicts, tellers, rising, stock)
        self._set_aside(rows, found)
        if not verdicts:
            return  # nothing was reported at all: that resolves nothing
        for name, mode in elsewhere:
            if name in rows:
                found.judged[rows[name], PLACE_OF[mode]] = False  # and so no evidence of other groups
        shared = judge_groups(day, found, membership, self.groups, self._alarms.explained(), self.params.learn_ln_m)
        unheard = frozenset(
            name
            for name, mute in zip(names, held, strict=True)
            if mute or (name not in verdicts and declared.is_struck(name))
        )
        self._alarms.after_day(
            day,
            at_us,
            log_days,
            verdicts,
            shared,
            self.groups,
            membership,
            unheard,
            stock,
            elsewhere,
            rising,
        )
        self._canary.after_day(day, at_us, stock)

    def _set_aside(self, rows: Mapping[str, int], found: Day) -> None:
        """Parcels for whose first scans a forwarder or a batch is named are no evidence of their channels any more."""
        for name, waiting in larger(self._handovers.unseen(), self._batches.unseen()).items():
            channel = self.channels[name]
            if set_aside(channel, waiting, found.first[rows[name]]):
                self.channels[name] = channel

    def watch_drift(self, days: range, at_us: int) -> None:
        """Baselines that have moved, after ``days`` were judged at a tick."""
        self._drift.after_days(days, self.header.first_day, at_us, self._stock_at(at_us))

    def _season(self, log_days: int, channels: list[Channel]) -> None:
        """What was weighed against a baseline that was still being learnt is no evidence any more: after the first
        days of a log, and, of the clocks about old parcels, once such parcels are known."""
        header = self.header
        if not header.seasoned:
            header.seasoned = True
            self._begin_anew(channels, range(CLOCKS_JUDGED))
        if not header.late_seasoned and log_days >= self.params.late_shadow_days:
            header.late_seasoned = True
            self._begin_anew(channels, LATE)

    def _begin_anew(self, channels: list[Channel], clocks: Sequence[int]) -> None:
        """What some clocks have shown counts no more."""
        for name, channel in zip(self.members().names, channels, strict=True):
            _forget(channel, clocks)
            self.channels[name] = channel
        for scope_, group in sorted(self.groups.items()):
            _forget(group, clocks)
            group.before, group.fit, group.beside = -np.inf, 0.0, 0.0
            self.groups[scope_] = group

    def _forget_first_scans(self, name: str) -> None:
        """What the first scans of a channel have shown counts no more."""
        channel = self.channels[name]
        _forget(channel, [0])
        self.channels[name] = channel

    def _is_late(self, channel: Channel) -> bool:
        """Whether what a channel shows is about old parcels."""
        return channel.ln_m > self.params.learn_ln_m and say(channel.evidence, channel.ln_m).clock in LATE

    def pass_midnight(self, today: int) -> None:
        names = self.members().names
        channels = [self.channels[name] for name in names]
        for name, channel, changed in zip(names, channels, pass_midnight(channels, today), strict=True):
            if changed:
                self.channels[name] = channel

    def prune(self, today: int) -> None:
        window = today - self.params.kept_days
        for name in sorted(self.facets):
            facet = self.facets[name]
            days, booked, raised = facet.days, facet.booked, facet.raised
            if prune_facet(name, facet, today - DAYS_KEPT, self.header.open_day):
                del self.facets[name]
                self._bursts.forget(name)
                self._pairs_changed(name)
            elif facet.days is not days or facet.booked is not booked or facet.raised is not raised:
                # a table writes what is set
                self.facets[name] = facet
        for name in self.members().names:
            channel = self.channels[name]
            if channel.recent and min(channel.recent) <= window:
                prune(channel, window)
                self.channels[name] = channel


def _forget(node: Channel | Group, clocks: Sequence[int]) -> None:
    node.evidence[:, clocks] = no_evidence()[:, clocks]
    node.spread[np.ix_([EXCESS, SQUARES], clocks)] = 0.0
    node.ln_m = float(mixture(node.evidence[LN_M], LN_PRIOR))


def in_flight(channel: Channel) -> int:
    """Parcels without an outcome."""
    return sum(n for key, n in channel.life.items() if key >> 40 == c.OPEN)
