"""The fleet fold: contributions of all partitions in; rolling statistics and incidents out.

Rules it keeps:

1. A contribution is applied once: what is not above its partition's mark is dropped.
2. Tick k closes when every partition has said that it adds nothing more to it. Until then everything that belongs to
   it is held, summed, as state; so neither the order nor the batching of contributions can matter.
3. At the close: the held integers are added, events that name no parcel are resolved, days that the watermark has
   passed are judged in order, channels in sorted order.
4. Floats live here only, rounded before they are kept.

The watermark is the grid time less the 25% quantile of the reporting lag of closed ticks.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from msgspec import Struct

from monitor.core import cells as c
from monitor.core.channel import Channel, add, new_channel
from monitor.core.contribution import Announced, Contribution, DeadLetter, Decision, Matched, Segment
from monitor.core.declared import declare, forget
from monitor.core.facets import Facet, counted, is_facet
from monitor.core.fleet_header import LAG_DEFAULT_US, FleetHeader
from monitor.core.groups import Group
from monitor.core.incidents import Incident, Note
from monitor.core.judging import Judging
from monitor.core.params import LAG_MOST_DAYS, Params
from monitor.core.switch.advice import Advice, Lane
from monitor.core.switch.advising import Advising
from monitor.core.switch.book import Page
from monitor.core.switch.carried import merge
from monitor.core.vocabulary import DAY_US, HOUR_US

LAG_QUANTILE = 0.25
LAG_ENOUGH = 100  # scans before the histogram is believed
LAG_FORGET = 200_000  # scans after which all counts are halved


class Unresolved(Struct, array_like=True):
    """An event that names no parcel, until a partition knows its parcel or its time is up."""

    announced: Announced
    done: bool = False


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
        lanes: MutableMapping[str, Lane],
        book: MutableMapping[str, Page],
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
        self.advised: dict[str, Advice] = {}  # lane → its advice, if it is news
        self._partitions = partitions
        self._waiting_us = params.days_us("waiting_days")
        self.judging = Judging(params, channels, groups, facets, incidents, header, self._put)
        self.lanes = lanes
        self.advising = Advising(params, lanes, book, channels, incidents, header, self._advise)
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
        rest.declared += segment.declared
        rest.offers += segment.offers
        rest.rules += segment.rules
        for channel, carried in segment.carried.items():
            merge(rest.carried.setdefault(channel, {}), carried)
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
            if tick not in self._held_ticks and not self.unresolved and not self.judging.is_warm():
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
        scans, self._scans = self._scans, {}
        self.judging.watch_feeds(tick, at, scans)
        self.judging.watch_complaints(at)
        is_midnight = at // DAY_US != (at - self.params.tick_us) // DAY_US
        if is_midnight:
            self.judging.pass_midnight(at // DAY_US)
        judged_from = header.open_day
        while (header.open_day + 1) * DAY_US + header.lag_us <= at:
            self.judging.judge(header.open_day, at)
            header.open_day += 1
        self.judging.watch_drift(range(judged_from, header.open_day), at)
        if is_midnight:
            self.judging.prune(at // DAY_US)
            forget(header.calendar, at // DAY_US)
        self.advising.after_tick(at, is_midnight)
        header.tick = tick
        header.lag_us = self._lag()

    def settle(self) -> None:
        """Add what is held for ticks not closed yet, judging nothing: the end of a replay between two grid points."""
        for tick in sorted(self._held_ticks):
            self._add_held(tick)
            self._resolve(0)

    def _add_held(self, tick: int) -> None:
        window = (tick - 1) * self.params.tick_us // DAY_US - self.params.kept_days
        rest = f"{tick}|"
        for key in sorted(self._held_ticks.pop(tick, ())):
            if key == rest:
                continue
            for name, changes in self.held[key].cells.items():
                if is_facet(name):
                    self.judging.add_facet(name, changes)
                    continue
                channel = self.channels.get(name)
                if channel is None:
                    channel = new_channel(self.params.age_cap_days + 2)
                    self.judging.changed()
                add(channel, changes, self.header.open_day, window)
                self.channels[name] = channel
                self.advising.add(name, changes)
            del self.held[key]
        if rest in self.held:
            self._add_rest(self.held[rest])
            del self.held[rest]

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
        for one in segment.declared:
            declare(header.calendar, one)
        self.advising.declare(segment.offers, segment.rules)
        for name in sorted(segment.carried):
            self.advising.carry(name, segment.carried[name])
        for decision in sorted(segment.decisions):
            self._decide(decision)

    def _lag(self) -> int:
        """25% quantile of the reporting lag so far, in whole hours rounded up; forgets by halving."""
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
        return min((lag + 1) * HOUR_US if lag else 0, LAG_MOST_DAYS * DAY_US)

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
                window = tick * self.params.tick_us // DAY_US - self.params.kept_days
                add(channel, changes, self.header.open_day, window)
                self.channels[match.channel] = channel
                self.advising.add(match.channel, changes)
                self.advising.complained(match.channel, cohort, day)
                customer = entry.announced.customer or match.customer
                for name, cell in counted(match.channel, entry.announced.kind, customer, match.forwarder, day, cohort):
                    self.judging.add_facet(name, {cell: 1})

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
        note = Note(decision.recorded_us, decision.what, decision.by, decision.note, decision.carrier, decision.share)
        incident = self.incidents.get(decision.target)
        if incident is None:
            if self.advising.answer(decision.target, note):
                counts = self.header.counts
                counts["answer|" + decision.what] = counts.get("answer|" + decision.what, 0) + 1
                return
            why = f"no incident, parcel or recommendation has the id {decision.target[:80]!r}"
            self._set_aside("decision.recorded.v1", why, decision)
            return
        incident.notes = [*incident.notes, note]
        incident.revision += 1
        self._put(incident, True)

    def _put(self, incident: Incident, news: bool) -> None:
        self.incidents[incident.incident_id] = incident
        if news:
            self.changed[incident.incident_id] = incident
            self.advising.stir(incident)

    def _advise(self, lane: str, advice: Advice) -> None:
        self.advised[lane] = advice
