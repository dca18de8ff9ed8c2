"""The fleet fold: contributions of all partitions in; rolling statistics and incidents out.

Rules it keeps:

1. A contribution is applied once: what is not above its partition's mark is dropped.
2. Tick k closes when every partition has said that it adds nothing more to it. Until then everything that belongs to
   it is held, summed, as state; so neither the order nor the batching of contributions can matter.
3. At the close: the held integers are added, events that name no parcel are resolved, days that the watermark has
   passed are judged in order, channels in sorted order.
4. Floats live here only, rounded before they are kept.

The watermark is the grid time less the 75% quantile of the reporting lag of closed ticks.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from functools import cache

import numpy as np
from msgspec import Struct

from monitor.core import cells as c
from monitor.core.alarms import Alarms
from monitor.core.bursts import Bursts
from monitor.core.channel import Channel, add, is_warm, new_channel, no_evidence, prune
from monitor.core.contribution import Announced, Contribution, DeadLetter, Decision, Matched, Segment
from monitor.core.facets import DAYS_KEPT, Facet, counted, is_facet
from monitor.core.facets import add as add_to_facet
from monitor.core.facets import prune as prune_facet
from monitor.core.feeds import Feed, feeds_of, is_held, watch
from monitor.core.forecast import complaints_ahead
from monitor.core.groups import Day, Group, Membership, judge_groups
from monitor.core.handovers import PLACE_OF, Handovers
from monitor.core.incidents import Incident, Note, Stock, StockOf, feed_incident
from monitor.core.judge import judge_day
from monitor.core.overdue import pass_midnight, usual_of
from monitor.core.params import Params
from monitor.core.parcel import part_of
from monitor.core.scope import scope
from monitor.core.spread import EXCESS, SQUARES
from monitor.core.vocabulary import DAY_US, HOUR_US

LAG_QUANTILE = 0.75
LAG_DEFAULT_US = DAY_US
LAG_MOST_US = 4 * DAY_US
LAG_ENOUGH = 100  # scans before the histogram is believed
LAG_FORGET = 200_000  # scans after which all counts are halved


class Unresolved(Struct, array_like=True):
    """An event that names no parcel, until a partition knows its parcel or its time is up."""

    announced: Announced
    done: bool = False


class FleetHeader(Struct):
    """Where the fleet stands. Ticks are numbers of grid points; days are UTC day numbers."""

    tick: int | None = None  # last closed
    open_day: int = 0  # next day to be judged
    first_day: int | None = None  # day before whose end the first event was recorded
    lag_us: int = LAG_DEFAULT_US
    marks: dict[int, int] = {}  # partition → offset last applied
    complete: dict[int, int] = {}  # partition → last tick it adds nothing more to
    counts: dict[str, int] = {}
    lags: dict[int, int] = {}
    feeds: dict[str, int] = {}
    reports: dict[str, Feed] = {}  # what each feed usually reports, and whether it does
    seasoned: bool = False  # the log's first days are over, and evidence begins anew
    first_us: int = 1 << 62
    last_us: int = 0


class FleetFold:
    """The fold. State lives in the mappings given at construction; ``partitions`` is how many it waits for."""

    def __init__(
        self,
        params: Params,
        channels: MutableMapping[str, Channel],
        groups: MutableMapping[str, Group],
        facets: MutableMapping[str, Facet],
        incidents: MutableMapping[str, Incident],
        held: MutableMapping[str, Segment],
        unresolved: MutableMapping[str, Unresolved],
        header: FleetHeader,
        partitions: int = 1,
    ) -> None:
        self.params = params
        self.channels = channels
        self.groups = groups
        self.facets = facets
        self.incidents = incidents
        self.held = held
        self.unresolved = unresolved
        self.header = header
        self.dead_letters: list[DeadLetter] = []
        self.changed: dict[str, Incident] = {}
        self.judged: tuple[int, Membership, Day] | None = None  # the last judged day, for who looks on; no state
        self._partitions = partitions
        self._waiting_us = params.days_us("waiting_days")
        self._membership: Membership | None = None
        self._alarms = Alarms(params, incidents, self._put)
        self._bursts = Bursts(params, facets, channels, incidents, self._put)
        self._handovers = Handovers(params, facets, groups, incidents, self._put)
        self._touched: set[str] = set()  # facets of the tick that is being closed, and how many sentinels are in them
        self._sentinels: dict[str, int] = {}
        self._scans: dict[str, list[int]] = {}  # those of the tick that is being closed
        self._held_ticks: dict[int, set[str]] = {}
        for key in held:
            self._held_ticks.setdefault(int(key.split("|", 1)[0]), set()).add(key)

    # -- contributions -----------------------------------------------------------------------------------------

    def step(self, contribution: Contribution) -> bool:
        """Apply a contribution once; False when it was known. Closes the ticks that are complete."""
        header = self.header
        partition = contribution.partition
        if contribution.offset <= header.marks.get(partition, -1):
            return False
        header.marks[partition] = contribution.offset
        for segment in contribution.segments:
            self._hold(segment)
        if contribution.complete is not None:
            header.complete[partition] = contribution.complete
        if len(header.complete) == self._partitions:
            self._close_up_to(min(header.complete.values()))
        return True

    def _hold(self, segment: Segment) -> None:
        """Keep a segment with its tick: its cells by channel, the rest in one place. The segment is given away."""
        keys = self._held_ticks.setdefault(segment.tick, set())
        for channel, changes in segment.cells.items():
            key = f"{segment.tick}|{channel}"
            kept = self.held.get(key)
            if kept is None:
                kept = Segment(tick=segment.tick, cells={channel: changes})
            else:
                sums = kept.cells[channel]
                for cell, n in changes.items():
                    sums[cell] = sums.get(cell, 0) + n
            self.held[key] = kept
            keys.add(key)
        key = f"{segment.tick}|"
        rest = self.held.get(key) or Segment(tick=segment.tick)
        for name, n in segment.counts.items():
            rest.counts[name] = rest.counts.get(name, 0) + n
        for lag, n in segment.lags.items():
            rest.lags[lag] = rest.lags.get(lag, 0) + n
        for feed, time in segment.feeds.items():
            rest.feeds[feed] = max(rest.feeds.get(feed, 0), time)
        rest.first_us = min(rest.first_us, segment.first_us)
        rest.last_us = max(rest.last_us, segment.last_us)
        rest.announced += segment.announced
        rest.matched += segment.matched
        rest.decisions += segment.decisions
        for carrier, (n, hours) in segment.scans.items():
            scans = rest.scans.setdefault(carrier, [0, 0])
            scans[0] += n
            scans[1] += hours
        self.held[key] = rest
        keys.add(key)

    # -- ticks -------------------------------------------------------------------------------------------------

    def _close_up_to(self, last: int) -> None:
        header = self.header
        if header.tick is None:
            first = min([last + 1, *self._held_ticks])
            header.tick = first - 1
            header.open_day = (header.tick * self.params.tick_us - header.lag_us) // DAY_US
        while header.tick < last:
            tick = header.tick + 1
            # Told by the state alone: a tick that is passed over must be so after a restart, too.
            if tick not in self._held_ticks and not self.unresolved and not self._is_warm():
                header.tick = min([last, *(held - 1 for held in self._held_ticks)])
                at = header.tick * self.params.tick_us
                header.open_day = max(header.open_day, (at - header.lag_us) // DAY_US)
                continue
            self._close(tick)

    def _close(self, tick: int) -> None:
        header = self.header
        at = tick * self.params.tick_us
        self._add_held(tick)
        if header.first_day is None and header.last_us:
            header.first_day = (at - self.params.tick_us) // DAY_US
        self._resolve(at)
        self._watch_feeds(tick, at)
        self._watch_complaints(at)
        is_midnight = at // DAY_US != (at - self.params.tick_us) // DAY_US
        if is_midnight:
            self._pass_midnight(at // DAY_US)
        while (header.open_day + 1) * DAY_US + header.lag_us <= at:
            self._judge(header.open_day, at)
            header.open_day += 1
        if is_midnight:
            self._prune(at // DAY_US)
        header.tick = tick
        header.lag_us = self._lag()

    def _is_warm(self) -> bool:
        """Whether time alone can still change something (an incident of a channel waits for reports, not for time)."""
        return self._bursts.waits or any(is_warm(channel) for channel in self.channels.values())

    def settle(self) -> None:
        """Add what is held for ticks not closed yet, judging nothing: the end of a replay between two grid points."""
        for tick in sorted(self._held_ticks):
            self._add_held(tick)
            self._resolve(0)

    def _add_held(self, tick: int) -> None:
        window = (tick - 1) * self.params.tick_us // DAY_US - self.params.recent_days
        rest = f"{tick}|"
        for key in sorted(self._held_ticks.pop(tick, ())):
            if key == rest:
                continue
            for name, changes in self.held[key].cells.items():
                if is_facet(name):
                    self._add_facet(name, changes)
                    continue
                channel = self.channels.get(name)
                if channel is None:
                    channel = new_channel(self.params.age_cap_days + 2)
                    self._membership = None
                add(channel, changes, self.header.open_day, window)
                self.channels[name] = channel
            del self.held[key]
        if rest in self.held:
            self._add_rest(self.held[rest])
            del self.held[rest]

    def _add_facet(self, name: str, changes: dict[int, int]) -> None:
        facet = self.facets.get(name)
        if facet is None:
            facet = Facet()
            self._bursts.know(name)
            self._handovers.changed()
        sentinels = add_to_facet(facet, changes, self.header.open_day)
        self.facets[name] = facet
        self._touched.add(name)
        if sentinels:
            self._sentinels[name] = self._sentinels.get(name, 0) + sentinels

    def _add_rest(self, segment: Segment) -> None:
        header = self.header
        for name, n in segment.counts.items():
            header.counts[name] = header.counts.get(name, 0) + n
        for lag, n in segment.lags.items():
            header.lags[lag] = header.lags.get(lag, 0) + n
        for feed, time in segment.feeds.items():
            header.feeds[feed] = max(header.feeds.get(feed, 0), time)
        for carrier, (n, hours) in segment.scans.items():
            scans = self._scans.setdefault(carrier, [0, 0])
            scans[0] += n
            scans[1] += hours
        header.first_us = min(header.first_us, segment.first_us)
        header.last_us = max(header.last_us, segment.last_us)
        for announced in segment.announced:
            if announced.uid not in self.unresolved:
                self.unresolved[announced.uid] = Unresolved(announced)
        self._match(segment.matched)
        for decision in sorted(segment.decisions):
            self._decide(decision)

    def _lag(self) -> int:
        """75% quantile of the reporting lag so far, in whole hours rounded up; forgets by halving."""
        lags = self.header.lags
        total = sum(lags.values())
        if total < LAG_ENOUGH:
            return LAG_DEFAULT_US
        reached, lag = 0, 0
        for lag in sorted(lags):
            reached += lags[lag]
            if reached >= LAG_QUANTILE * total:
                break
        if total > LAG_FORGET:
            self.header.lags = {hours: n // 2 for hours, n in sorted(lags.items()) if n > 1}
        return min((lag + 1) * HOUR_US if lag else 0, LAG_MOST_US)

    def _watch_feeds(self, tick: int, at: int) -> None:
        """Feeds that fell silent or late, and those that are back."""
        header, scans = self.header, self._scans
        self._scans = {}
        for news in watch(tick, 7 * DAY_US // self.params.tick_us, scans, header.reports):
            feed = header.reports[news.feed]
            known = self.incidents.get(feed.incident_id)
            if known is not None and not known.closed_us:
                known.closed_us = at
                known.revision += 1
                self._put(known, True)
            if news.mode:
                names = [name for name in self._members().names if news.feed in feeds_of(part_of(name))]
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

    def _watch_complaints(self, at: int) -> None:
        """Bursts of complaints, and those of which one is enough."""
        touched, sentinels = self._touched, self._sentinels
        self._touched, self._sentinels = set(), {}
        today = (at - 1) // DAY_US
        log_days = 0 if self.header.first_day is None else today - self.header.first_day
        self._bursts.after_tick(at, today, log_days, touched, sentinels, self._stock_at(at))

    def _stock_at(self, at_us: int) -> StockOf:
        """What some channels hold at a tick: parcels in flight, and the complaints to expect."""
        usual = cache(lambda: usual_of([self.channels[name] for name in self._members().names]))

        def stock(some: Iterable[str], severity: str) -> Stock:
            mine = [self.channels[name] for name in some]
            ahead = complaints_ahead(mine, usual(), at_us // DAY_US, [severity] * len(mine))
            return Stock(sum(map(in_flight, mine)), ahead)

        return stock

    # -- events that name no parcel ----------------------------------------------------------------------------

    def _match(self, matched: list[Matched]) -> None:
        """The least match of each event counts, once."""
        for match in sorted(matched):
            entry = self.unresolved.get(match.uid)
            if entry is None or entry.done:
                continue
            entry.done = True
            self.unresolved[match.uid] = entry
            if entry.announced.type == "complaint.opened.v1" and match.channel:
                channel = self.channels[match.channel]
                cohort, day = match.registered_us // DAY_US, entry.announced.time_us // DAY_US
                promised = None if match.promised_days < 0 else match.promised_days
                cells = c.complaint_cells(entry.announced.kind, cohort, day, promised)
                changes = dict.fromkeys(cells, 1)
                tick = self.header.tick or 0
                window = tick * self.params.tick_us // DAY_US - self.params.recent_days
                add(channel, changes, self.header.open_day, window)
                self.channels[match.channel] = channel
                customer = entry.announced.customer or match.customer
                for name, cell in counted(match.channel, entry.announced.kind, customer, match.forwarder, day, cohort):
                    self._add_facet(name, {cell: 1})

    def _resolve(self, at_us: int) -> None:
        """Forget what is resolved and past its time; what nobody knew by then is a dead letter."""
        for uid in sorted(self.unresolved):
            entry = self.unresolved[uid]
            told = entry.announced
            if told.recorded_us + self._waiting_us > at_us:
                continue
            del self.unresolved[uid]
            if not entry.done:
                self._set_aside(told.type, "nothing it names (order, complaint or refund) became known", told)

    def _set_aside(self, kind: str, why: str, told: Announced | Decision) -> None:
        counts = self.header.counts
        counts["events|" + kind] = counts.get("events|" + kind, 0) - 1
        counts["dead|unknown_parcel"] = counts.get("dead|unknown_parcel", 0) + 1
        days = f" within {self.params.waiting_days:g} days" if isinstance(told, Announced) else ""
        self.dead_letters.append(DeadLetter(told.raw, "unknown_parcel", why + days, told.position, told.recorded_us))

    def _decide(self, decision: Decision) -> None:
        incident = self.incidents.get(decision.target)
        if incident is None:
            self._set_aside(
                "decision.recorded.v1", f"no incident or parcel has the id {decision.target[:80]!r}", decision
            )
            return
        incident.notes = [*incident.notes, Note(decision.recorded_us, decision.what, decision.by, decision.note)]
        incident.revision += 1
        self._put(incident, True)

    # -- judging -----------------------------------------------------------------------------------------------

    def _members(self) -> Membership:
        if self._membership is None:
            self._membership = Membership(sorted(self.channels))
        return self._membership

    def _judge(self, day: int, at_us: int) -> None:
        membership = self._members()
        names = membership.names
        channels = [self.channels[name] for name in names]
        first_day = day if self.header.first_day is None else self.header.first_day
        young, old = self._alarms.learning(day)
        if day - first_day < self.params.shadow_days:
            young, old = frozenset(), frozenset(names)
        else:
            self._season(channels)
        warm = [is_warm(channel) for channel in channels]
        ticks_per_day = DAY_US // self.params.tick_us
        first, tick, reports = day * ticks_per_day, at_us // self.params.tick_us, self.header.reports
        silent = {part: is_held(part, reports, first, tick, ticks_per_day) for part in sorted({*map(part_of, names)})}
        held = [silent[part_of(name)] for name in names]
        hushed = self._bursts.is_hushed(day)
        verdicts, found = judge_day(day, names, channels, young, old, self.params, warm, held, hushed)
        self.judged = day, membership, found
        for name, channel, changed in zip(names, channels, warm, strict=True):
            if changed:
                self.channels[name] = channel
        rows = {name: row for row, name in enumerate(names)}
        log_days = day - first_day
        may_page = log_days >= self.params.shadow_days
        stock = self._stock_at(at_us)
        rising = self._handovers.judge(day, at_us, may_page, rows, found, stock)
        if not verdicts:
            return  # nothing was reported at all: that resolves nothing
        elsewhere = self._handovers.explained()
        for name, mode in elsewhere:
            if name in rows:
                found.judged[rows[name], PLACE_OF[mode]] = False  # and so no evidence of other groups
        shared = judge_groups(day, found, membership, self.groups, self._alarms.explained(), self.params.learn_ln_m)
        unheard = frozenset(name for name, mute in zip(names, held, strict=True) if mute)
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

    def _season(self, channels: list[Channel]) -> None:
        """What the first days gave against a baseline that was still being learnt is no evidence any more."""
        if self.header.seasoned:
            return
        self.header.seasoned = True
        for name, channel in zip(self._members().names, channels, strict=True):
            channel.evidence, channel.ln_m = no_evidence(), -np.inf
            channel.spread[[EXCESS, SQUARES]] = 0.0
            self.channels[name] = channel
        for scope_, group in sorted(self.groups.items()):
            group.evidence, group.ln_m, group.before, group.fit = no_evidence(), -np.inf, -np.inf, 0.0
            group.spread[[EXCESS, SQUARES]] = 0.0
            self.groups[scope_] = group

    def _put(self, incident: Incident, news: bool) -> None:
        self.incidents[incident.incident_id] = incident
        if news:
            self.changed[incident.incident_id] = incident

    def _pass_midnight(self, today: int) -> None:
        names = self._members().names
        channels = [self.channels[name] for name in names]
        for name, channel, changed in zip(names, channels, pass_midnight(channels, today), strict=True):
            if changed:
                self.channels[name] = channel

    def _prune(self, today: int) -> None:
        window = today - self.params.recent_days
        for name in sorted(self.facets):
            facet = self.facets[name]
            if prune_facet(facet, today - DAYS_KEPT, self.header.open_day):
                del self.facets[name]
                self._bursts.forget(name)
                self._handovers.changed()
            else:
                self.facets[name] = facet
        for name in self._members().names:
            channel = self.channels[name]
            if any(cohort <= window for cohort in channel.recent):
                prune(channel, window)
                self.channels[name] = channel


def in_flight(channel: Channel) -> int:
    """Parcels without an outcome."""
    return sum(n for key, n in channel.life.items() if key >> 40 == c.OPEN)
