"""The parcel fold: events of one partition in, signed integers for the fleet out.

Rules it keeps:

1. Log position decides. The effective recorded time of an event is never before that of the previous one.
2. A tick at grid point T follows every event recorded up to T and precedes every later one. It is implied by the
   first event recorded after T, or told by ``clock.ticked``; what time alone changes (presumed loss, waiting
   events that expire, parcels that shrink) happens at ticks only.
3. What a parcel contributes is cells(after) − cells(before).
4. First means first in the log. The same (source, id) of a subject is the same event; a repeat changes nothing.

State lives in the mappings given at construction (plain dicts in a replay, Faust tables live); the indexes beside
them are derived from it. The fold reads no clock and draws no random number.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from monitor.core import cells as c
from monitor.core.contribution import (
    Announced,
    Contribution,
    DeadLetter,
    Decision,
    Matched,
    Position,
    Segment,
)
from monitor.core.events import (
    EVENT_TYPES,
    EVERYWHERE,
    ClaimSettled,
    ClockTicked,
    ComplaintClosed,
    ComplaintOpened,
    DecisionRecorded,
    Event,
    ParcelRegistered,
    ParcelScanned,
    RefundCompleted,
    RefundRequested,
    Rejected,
    channel_id,
    check_times,
    route,
    to_us,
    type_of,
)
from monitor.core.identity import body_hash, hash64, identity
from monitor.core.ordering import EffectiveClock
from monitor.core.params import Params
from monitor.core.parcel import (
    FINGERPRINT,
    FIRST,
    FULL,
    INDEX,
    NO_CELLS,
    PLACES,
    STONE,
    Complaint,
    Parcel,
    Waiting,
    cells_of,
    constant_cells,
    next_due,
    outcome,
)
from monitor.core.vocabulary import DAY_US, HOUR_US, YEAR_2000_US, YEAR_2089_US

_decode_again = msgspec.json.Decoder(Event).decode

_EVENTS: Final = {cls: "events|" + name for name, cls in EVENT_TYPES.items()}

#: Milestones that are an outcome, by their place.
OUTCOMES: Final = frozenset(INDEX[name] for name in ("delivered", "returned", "lost"))
#: Longer reporting lags count as this many hours.
LAG_CAP_HOURS: Final = 168
#: Outcomes of a settled claim that say the parcel is lost.
CLAIM_SAYS_LOST = frozenset({"lost", "paid", "won", "granted", "accepted", "approved", "refunded", "settled"})


class Wait(Struct, array_like=True, frozen=True, gc=False):
    """An event that names no parcel (``uid``) waits for an order, complaint or refund (hash ``ref``) to be known."""

    ref: int
    until_us: int
    uid: str


class Thing(Struct, array_like=True):
    """The subject of events about no parcel: ids seen, what its events wait for, what is known through them."""

    seen: dict[int, int]
    keep_until_us: int
    waits: list[Wait] = []
    gives: list[int] = []  # hashes of complaint and refund ids


class Header(Struct, array_like=True):
    """Where a partition stands: least effective recorded time of its next event, last tick done (None before any)."""

    floor_us: int = EffectiveClock().floor_us
    tick: int | None = None


class ParcelFold:
    """One partition's fold.

    ``home(subject)`` says whether this partition counts an event that all partitions see; ``keep(raw, recorded_us)``
    gives the bytes to keep of an event that waits or is set aside.
    """

    def __init__(
        self,
        params: Params,
        parcels: MutableMapping[str, Parcel],
        things: MutableMapping[str, Thing],
        header: Header,
        home: Callable[[str], bool] = lambda _: True,
        keep: Callable[[bytes, int], bytes] = lambda raw, _: raw,
    ) -> None:
        self.params = params
        self.parcels = parcels
        self.things = things
        self.header = header
        self.dead_letters: list[DeadLetter] = []
        self._home = home
        self._keep = keep
        self._clock = EffectiveClock(header.floor_us)
        self._tick_us = params.tick_us
        self._lateness_us = params.days_us("lateness_days")
        self._waiting_us = params.days_us("waiting_days")
        self._first_scan_us = params.first_scan_days * DAY_US
        self._silence_us = params.age_cap_days * DAY_US
        kept_us = params.dispute_window_days * DAY_US + params.days_us("dedup_days")
        self._thing_us = max(kept_us, self._waiting_us)
        self._segment = Segment(tick=0)
        self._closed: list[Segment] = []
        self._due: list[tuple[int, bool, str]] = []  # when, whether it is a thing, key
        self._refs: dict[int, list[str]] = {}
        self._waiting_refs: dict[int, list[str]] = {}  # hash → uids of the events that wait for it
        self._given: dict[int, int] = {}
        self._rebuild()

    def _rebuild(self) -> None:
        """Derive the due heap and the indexes from the state; exact, so a restart leaves no trace."""
        for pid in sorted(self.parcels):
            parcel = self.parcels[pid]
            self._schedule(pid, parcel)
            if parcel.kept != FINGERPRINT:
                for ref in parcel.refs:
                    self._refs.setdefault(ref, []).append(pid)
        for key in sorted(self.things):
            thing = self.things[key]
            heapq.heappush(self._due, (thing.keep_until_us, True, key))
            for ref in thing.gives:
                self._given[ref] = self._given.get(ref, 0) + 1
            for wait in thing.waits:
                self._wait(key, wait)

    # -- time ------------------------------------------------------------------------------------------------

    def stamp(self, stated_us: int) -> int:
        """Effective recorded time of the next event; passes the ticks that lie before it."""
        header = self.header
        recorded = header.floor_us = self._clock.stamp(stated_us)
        tick = -(-recorded // self._tick_us)
        if tick == self._segment.tick:
            return recorded
        if header.tick is None:
            header.tick = tick - 1
        if tick != header.tick + 1:
            self._pass_ticks(tick - 1)
        if self._segment.tick != tick:
            self._open_segment(tick)
        return recorded

    def tick(self, at_us: int) -> None:
        """The clock ticked at ``at_us`` (a grid point): every tick up to it is done; repeats change nothing."""
        if at_us >= YEAR_2089_US:
            return
        last = at_us // self._tick_us
        header = self.header
        if header.tick is None:
            header.tick = last
        elif last > header.tick:
            self._pass_ticks(last)
        self._clock.tick(last * self._tick_us)
        header.floor_us = self._clock.floor_us

    def _pass_ticks(self, last: int) -> None:
        """Do every tick up to number ``last``; only those at which something is due cost anything."""
        due = self._due
        bound = last * self._tick_us
        done = last if self.header.tick is None else self.header.tick
        while due and due[0][0] <= bound:
            when, is_thing, key = heapq.heappop(due)
            tick = max(-(-when // self._tick_us), done + 1)
            if self._segment.tick != tick:
                self._open_segment(tick)
            if is_thing:
                self._thing_due(key, tick * self._tick_us)
            else:
                self._parcel_due(key, tick * self._tick_us)
        self.header.tick = last

    def _open_segment(self, tick: int) -> None:
        if self._segment.tick:
            self._closed.append(self._segment)
        self._segment = Segment(tick=tick)

    def take(self, generation: str, partition: int, offset: int) -> Contribution:
        """Everything since the last call, as the contribution of one source record."""
        if self._segment.tick:
            self._closed.append(self._segment)
        segments, self._closed = self._closed, []
        self._segment = Segment(tick=0)
        return Contribution(generation, partition, offset, self.header.tick, segments)

    # -- events ----------------------------------------------------------------------------------------------

    def apply(self, event: Event, stated_us: int, raw: bytes, position: Position) -> None:
        """Fold one event. ``stated_us``: its recorded time as stated or defaulted; ``raw``: the bytes to keep of it."""
        kind = event.__class__
        if kind is ClockTicked:
            self.tick(to_us(event.data.at))  # type: ignore[union-attr]
            return
        recorded = self.stamp(stated_us)
        time = to_us(event.time)
        parcel_id: str | None = getattr(event.data, "parcel_id", None)
        if not YEAR_2000_US <= time <= recorded + DAY_US or recorded - time > self._lateness_us:
            try:
                check_times(time, recorded, self._lateness_us, event.history)
            except Rejected as error:
                if self._is_home(event):
                    if self._is_repeat(event, parcel_id):
                        self._count("duplicates")
                    else:
                        self._refuse(error, event, raw, position, recorded)
                return
        if parcel_id is None:
            self._apply_thing(event, time, recorded, raw, position)
            return
        parcel = self.parcels.get(parcel_id)
        if parcel is None:
            parcel = Parcel()
        elif parcel.kept == FINGERPRINT:
            self._count("duplicates")
            return
        key, body = identity(event), body_hash(event)
        known = parcel.seen.get(key)
        if known is not None:
            self._repeat(event, known == body, raw, position, recorded)
            return
        self.parcels[parcel_id] = parcel  # a table notes the change
        if parcel.kept == FULL:
            parcel.seen[key] = body
        if parcel.channel and kind is ParcelRegistered and self._conflicts(parcel, event, raw, position, recorded):
            return
        segment = self._segment
        counts, name = segment.counts, _EVENTS[kind]
        counts[name] = counts.get(name, 0) + 1
        if time < segment.first_us:
            segment.first_us = time
        if time > segment.last_us:
            segment.last_us = time
        if parcel.kept == STONE:
            self._change_stone(parcel_id, parcel, event, time, recorded)
        elif parcel.channel:
            self._change(parcel_id, parcel, event, time, recorded)
        elif isinstance(event, ParcelRegistered):
            self._register(parcel_id, parcel, event, time)
        else:
            parcel.waiting.append(Waiting(recorded, self._keep(raw, recorded), position))
            self._count("waiting")
            if len(parcel.waiting) == 1:
                self._schedule(parcel_id, parcel)

    def _is_repeat(self, event: Event, parcel_id: str | None) -> bool:
        """Whether an event that comes too late is one that came in time before: a file that is ingested again."""
        known: Parcel | Thing | None
        if parcel_id is None:
            known = self.things.get(_thing_of(event))
        else:
            known = self.parcels.get(parcel_id)
            if known is not None and known.kept == FINGERPRINT:
                return True
        return known is not None and known.seen.get(identity(event)) == body_hash(event)

    def _repeat(self, event: Event, same: bool, raw: bytes, position: Position, recorded: int) -> None:
        if same:
            self._count("duplicates")
            return
        detail = f"id {event.id[:80]!r} of source {event.source[:80]!r} came before with another body; the first stands"
        self._refuse(Rejected("conflicting_duplicate", detail), event, raw, position, recorded)

    def _conflicts(self, parcel: Parcel, event: Event, raw: bytes, position: Position, recorded: int) -> bool:
        """Whether a second registration names another channel; if so it is set aside."""
        if not isinstance(event, ParcelRegistered):
            return False
        data = event.data
        channel = channel_id(data.destination, data.product, data.carrier, data.service)
        if channel == parcel.channel:
            return False
        detail = f"the parcel is registered on {parcel.channel}; this names {channel}; the first stands"
        self._refuse(Rejected("conflicting_registration", detail), event, raw, position, recorded)
        return True

    def _register(self, parcel_id: str, parcel: Parcel, event: ParcelRegistered, time: int) -> None:
        data = event.data
        parcel.channel = channel_id(data.destination, data.product, data.carrier, data.service)
        parcel.registered_us = time
        if data.promised_days is not None:
            parcel.promised_days = math.ceil(data.promised_days)
        self._count("parcels")
        feeds, carrier = self._segment.feeds, _carrier_of(parcel.channel)
        if time > feeds.get(carrier, 0):
            feeds[carrier] = time
        cells = self._segment.cells.setdefault(parcel.channel, {})
        for key in constant_cells(parcel):
            cells[key] = cells.get(key, 0) + 1
        self._differ(parcel, NO_CELLS)
        self._schedule(parcel_id, parcel)
        if data.order_id is not None:
            self._refer(parcel_id, parcel, hash64("order|" + data.order_id))
        waiting, parcel.waiting = parcel.waiting, []
        for item in waiting:
            self._count("waiting", -1)
            late = _decode_again(item.raw)
            self._change(parcel_id, parcel, late, to_us(late.time), item.recorded_us)

    def _change_stone(self, parcel_id: str, parcel: Parcel, event: Event, time: int, recorded: int) -> None:
        """Event ids are forgotten by now: what changes nothing is a repeat."""
        before = self._trace(parcel)
        self._change(parcel_id, parcel, event, time, recorded)
        if before == self._trace(parcel):
            self._count(_EVENTS[event.__class__], -1)
            self._count("duplicates")

    def _trace(self, parcel: Parcel) -> tuple[object, ...]:
        """What an event can change of a stone."""
        closed = [key for key, complaint in parcel.complaints.items() if complaint.closed]
        return cells_of(parcel, self._first_scan_us), parcel.last_us, len(parcel.refs), closed

    def _change(self, parcel_id: str, parcel: Parcel, event: Event, time: int, recorded: int) -> None:
        """Apply an event to a registered parcel."""
        if isinstance(event, ParcelScanned):
            self._scan(parcel_id, parcel, event, time, recorded)
        elif isinstance(event, ComplaintOpened):
            key = hash64("complaint|" + event.data.complaint_id)
            known = parcel.complaints.get(key)
            if known is None or not known.opened_us:
                parcel.complaints[key] = Complaint(time, event.data.kind, closed=known is not None)
                cohort = parcel.registered_us // DAY_US
                self._add(parcel.channel, c.cell(c.COMPLAINT, cohort), 1)
                self._add(parcel.channel, c.cell(c.COMPLAINT_DAY, time // DAY_US), 1)
                self._refer(parcel_id, parcel, key)
        elif isinstance(event, ComplaintClosed):
            key = hash64("complaint|" + event.data.complaint_id)
            parcel.complaints.setdefault(key, Complaint(0, "")).closed = True
        elif isinstance(event, RefundRequested):
            self._refer(parcel_id, parcel, hash64("refund|" + event.data.refund_id))
        elif isinstance(event, ClaimSettled):
            claim = event.data
            said = (claim.outcome or "").lower()
            paid = claim.amount is not None and not said and float(claim.amount.amount) > 0
            if said in CLAIM_SAYS_LOST or paid:
                before = cells_of(parcel, self._first_scan_us)
                parcel.lost_claim_us = min(parcel.lost_claim_us or time, time)
                self._differ(parcel, before)
                self._schedule(parcel_id, parcel)

    def _scan(self, parcel_id: str, parcel: Parcel, event: ParcelScanned, time: int, recorded: int) -> None:
        data = event.data
        milestone = INDEX[data.milestone]
        if event.timeunknown:
            self._scan_untimed(parcel_id, parcel, milestone, time)
            return
        # Equal times are a default, not a report without delay; history loaded later says nothing of the feed.
        lag = (recorded - time) // HOUR_US
        if recorded > time and parcel.kept == FULL and not (event.history and lag > LAG_CAP_HOURS):
            lags, lag = self._segment.lags, min(lag, LAG_CAP_HOURS)
            lags[lag] = lags.get(lag, 0) + 1
        feeds, carrier = self._segment.feeds, _carrier_of(parcel.channel)
        if time > feeds.get(carrier, 0):
            feeds[carrier] = time
        times = parcel.times
        moves = [place for place in PLACES[milestone] if not times[place] or time < times[place]]
        wakes = parcel.presumed and time > parcel.last_us and time + self._silence_us >= recorded
        if time > parcel.last_us:
            parcel.last_us = time
            parcel.last_milestone = milestone
            if parcel.kept == FULL:
                parcel.last_place = data.place or data.country or ""
        if not moves and not wakes:
            return
        before = cells_of(parcel, self._first_scan_us)
        for place in moves:
            times[place] = time
        if wakes:
            parcel.presumed = False
        if wakes or milestone in OUTCOMES:  # an earlier outcome is due earlier, even where no cell tells
            self._schedule(parcel_id, parcel)
        self._differ(parcel, before)

    def _scan_untimed(self, parcel_id: str, parcel: Parcel, milestone: int, time: int) -> None:
        """An outcome whose time nobody knows: it counts, and ends the parcel's clocks as if they never ran."""
        if milestone not in OUTCOMES:
            return
        before = cells_of(parcel, self._first_scan_us)
        parcel.untimed = True
        for place in PLACES[milestone]:
            if place != FIRST and (not parcel.times[place] or time < parcel.times[place]):
                parcel.times[place] = time
        self._schedule(parcel_id, parcel)
        self._differ(parcel, before)

    def _differ(self, parcel: Parcel, before: tuple[int, ...]) -> None:
        """Contribute cells(now) − ``before``."""
        after = cells_of(parcel, self._first_scan_us)
        if after == before:
            return
        cells = self._segment.cells.setdefault(parcel.channel, {})
        for old, new in zip(before, after, strict=True):
            if old != new:
                if new:
                    cells[new] = cells.get(new, 0) + 1
                if old:
                    cells[old] = cells.get(old, 0) - 1

    # -- events that name no parcel ----------------------------------------------------------------------------

    def _apply_thing(self, event: Event, time: int, recorded: int, raw: bytes, position: Position) -> None:
        home = self._is_home(event)
        key, body = identity(event), body_hash(event)
        name = _thing_of(event)
        thing = self.things.get(name)
        if thing is not None and key in thing.seen:
            if home:
                self._repeat(event, thing.seen[key] == body, raw, position, recorded)
            return
        if thing is None:
            thing = Thing(seen={}, keep_until_us=0)
        thing.seen[key] = body
        thing.keep_until_us = recorded + self._thing_us
        heapq.heappush(self._due, (thing.keep_until_us, True, name))
        self.things[name] = thing
        if home:
            self._count(_EVENTS[type(event)])
            self._segment.first_us = min(self._segment.first_us, time)
            self._segment.last_us = max(self._segment.last_us, time)
        uid = f"{event.subject}|{key:016x}"
        ref = 0
        if isinstance(event, ComplaintOpened):
            if event.data.order_id is not None:
                ref = hash64("order|" + event.data.order_id)
            elif home and event.data.destination and event.data.product and event.data.carrier:
                channel = channel_id(event.data.destination, event.data.product, event.data.carrier)
                self._add(channel, c.cell(c.COMPLAINT, time // DAY_US), 1)
                self._add(channel, c.cell(c.COMPLAINT_DAY, time // DAY_US), 1)
        elif isinstance(event, ComplaintClosed):
            ref = hash64("complaint|" + event.data.complaint_id)
        elif isinstance(event, RefundCompleted):
            ref = hash64("refund|" + event.data.refund_id)
        elif isinstance(event, DecisionRecorded) and event.data.target in self.parcels:
            self._decide(event, recorded)
        elif isinstance(event, DecisionRecorded):
            said = event.data
            self._segment.decisions.append(
                Decision(
                    recorded,
                    said.target,
                    said.what,
                    said.by or "",
                    said.note or "",
                    self._keep(raw, recorded),
                    position,
                )
            )
        if ref:
            if home:
                self._segment.announced.append(
                    Announced(uid, type_of(event), time, recorded, self._keep(raw, recorded), position)
                )
            wait = Wait(ref, recorded + self._waiting_us, uid)
            thing.waits.append(wait)
            self._wait(name, wait)
            for parcel_id in self._refs.get(ref, ()):
                self._match(ref, uid, parcel_id)
            if ref in self._given:
                self._segment.matched.append(Matched(uid, 0, "", ""))
        if isinstance(event, ComplaintOpened):
            self._give(thing, hash64("complaint|" + event.data.complaint_id))
        elif isinstance(event, RefundRequested):
            self._give(thing, hash64("refund|" + event.data.refund_id))

    def _wait(self, name: str, wait: Wait) -> None:
        self._waiting_refs.setdefault(wait.ref, []).append(wait.uid)
        heapq.heappush(self._due, (wait.until_us, True, name))

    def _give(self, thing: Thing, ref: int) -> None:
        """A complaint or refund without a parcel is known from now on; those that wait for it have found it."""
        if ref not in thing.gives:
            thing.gives.append(ref)
            self._given[ref] = self._given.get(ref, 0) + 1
        for uid in self._waiting_refs.get(ref, ()):
            self._segment.matched.append(Matched(uid, 0, "", ""))

    def _refer(self, parcel_id: str, parcel: Parcel, ref: int) -> None:
        """``ref`` (an order, complaint or refund) leads to this parcel; whoever waits for it has found it."""
        if ref not in parcel.refs:
            parcel.refs.append(ref)
            self._refs.setdefault(ref, []).append(parcel_id)
        for uid in self._waiting_refs.get(ref, ()):
            self._match(ref, uid, parcel_id)

    def _match(self, ref: int, uid: str, parcel_id: str) -> None:
        parcel = self.parcels[parcel_id]
        self._segment.matched.append(Matched(uid, parcel.registered_us, parcel_id, parcel.channel))
        complaint = parcel.complaints.get(ref)
        if complaint is not None:
            complaint.closed = True
            self.parcels[parcel_id] = parcel

    def _decide(self, event: DecisionRecorded, recorded: int) -> None:
        parcel = self.parcels[event.data.target]
        if event.data.what in ("mute", "done"):
            parcel.handled_us = max(parcel.handled_us, recorded)
            self.parcels[event.data.target] = parcel

    # -- what time alone changes -------------------------------------------------------------------------------

    def _schedule(self, parcel_id: str, parcel: Parcel) -> None:
        due = next_due(parcel, self.params)
        if due is not None:
            heapq.heappush(self._due, (due, False, parcel_id))

    def _parcel_due(self, parcel_id: str, at_us: int) -> None:
        parcel = self.parcels.get(parcel_id)
        due = None if parcel is None else next_due(parcel, self.params)
        if parcel is None or due is None:
            return
        if due > at_us:
            heapq.heappush(self._due, (due, False, parcel_id))
            return
        if not parcel.channel:
            self._expire(parcel_id, parcel, at_us)
            return
        self.parcels[parcel_id] = parcel
        if outcome(parcel) is None:
            before = cells_of(parcel, self._first_scan_us)
            parcel.presumed = True
            self._differ(parcel, before)
            return
        if parcel.kept == FULL:
            parcel.kept = STONE
            parcel.seen = {}
            parcel.last_place = ""
        else:
            parcel.kept = FINGERPRINT
            for ref in parcel.refs:
                self._refs[ref].remove(parcel_id)
            parcel.complaints, parcel.refs = {}, []
        self._schedule(parcel_id, parcel)

    def _expire(self, parcel_id: str, parcel: Parcel, at_us: int) -> None:
        """Waiting events whose time is up become dead letters; an empty place is given back."""
        kept = []
        for item in parcel.waiting:
            if item.recorded_us + self._waiting_us > at_us:
                kept.append(item)
                continue
            event = _decode_again(item.raw)
            self._count("waiting", -1)
            self._count(_EVENTS[type(event)], -1)
            days = self.params.waiting_days
            detail = f"no registration of parcel {parcel_id[:80]!r} came within {days:g} days"
            self._refuse(Rejected("unknown_parcel", detail), event, item.raw, item.position, item.recorded_us)
        parcel.waiting = kept
        if kept:
            self.parcels[parcel_id] = parcel
            self._schedule(parcel_id, parcel)
        else:
            del self.parcels[parcel_id]

    def _thing_due(self, key: str, at_us: int) -> None:
        thing = self.things.get(key)
        if thing is None:
            return
        over = [wait for wait in thing.waits if wait.until_us <= at_us]
        if over:
            thing.waits = [wait for wait in thing.waits if wait.until_us > at_us]
            for wait in over:
                waiting = self._waiting_refs[wait.ref]
                waiting.remove(wait.uid)
                if not waiting:
                    del self._waiting_refs[wait.ref]
            self.things[key] = thing
        if thing.keep_until_us <= at_us:
            for ref in thing.gives:
                self._given[ref] -= 1
                if not self._given[ref]:
                    del self._given[ref]
            del self.things[key]

    # -- small things ------------------------------------------------------------------------------------------

    def _refuse(self, error: Rejected, event: Event, raw: bytes, position: Position, recorded: int) -> None:
        """Set an event aside, once: a repeat of a dead letter is a duplicate, whenever it was recorded."""
        key = f"dead|{error.reason}|{identity(event):016x}{body_hash(event):016x}"
        if key in self.things:
            self._count("duplicates")
            return
        self.things[key] = Thing(seen={}, keep_until_us=recorded + self._thing_us)
        heapq.heappush(self._due, (recorded + self._thing_us, True, key))
        self._count("dead|" + error.reason)
        self.dead_letters.append(DeadLetter(self._keep(raw, recorded), error.reason, error.detail, position, recorded))

    def _is_home(self, event: Event) -> bool:
        """Whether this partition counts the event: the only one that sees it, or the one of its subject."""
        return route(event) is not EVERYWHERE or self._home(event.subject)

    def _count(self, name: str, n: int = 1) -> None:
        counts = self._segment.counts
        counts[name] = counts.get(name, 0) + n

    def _add(self, channel: str, key: int, n: int) -> None:
        cells = self._segment.cells.setdefault(channel, {})
        cells[key] = cells.get(key, 0) + n


def _thing_of(event: Event) -> str:
    """The key of the subject. Decisions are kept apart: they go to one partition, and their target may be anything."""
    return "decision|" + event.data.target if isinstance(event, DecisionRecorded) else event.subject


@lru_cache(maxsize=4096)
def _carrier_of(channel: str) -> str:
    """The carrier whose feed tells of a channel: its carrier without the service."""
    return channel.rsplit("|", 1)[1].split("/", 1)[0]
