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
    to_us,
    type_of,
)
from monitor.core.identity import body_hash, hash64, identity, raw_hash
from monitor.core.ordering import EffectiveClock
from monitor.core.params import Params
from monitor.core.parcel import (
    FINGERPRINT,
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
from monitor.core.vocabulary import DAY_US, HOUR_US, YEAR_2000_US

_decode_again = msgspec.json.Decoder(Event).decode

_EVENTS: Final = {cls: "events|" + name for name, cls in EVENT_TYPES.items()}

#: Outcomes of a settled claim that say the parcel is lost.
CLAIM_SAYS_LOST = frozenset({"lost", "paid", "won", "granted", "accepted", "approved", "refunded", "settled"})


class Thing(Struct, array_like=True):
    """The subject of events about no parcel: ids seen, and what it waits for (``ref`` until ``wait_until_us``)."""

    seen: dict[int, int]
    keep_until_us: int
    ref: int = 0
    wait_until_us: int = 0
    uid: str = ""
    gives: int = 0  # hash of the complaint or refund id that is known through it


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
        self._thing_us = params.dispute_window_days * DAY_US + params.days_us("dedup_days")
        self._segment = Segment(tick=0)
        self._closed: list[Segment] = []
        self._due: list[tuple[int, str]] = []
        self._refs: dict[int, list[str]] = {}
        self._waiting_refs: dict[int, list[str]] = {}
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
            heapq.heappush(self._due, (thing.keep_until_us, "\0" + key))
            if thing.gives:
                self._given[thing.gives] = self._given.get(thing.gives, 0) + 1
            if thing.wait_until_us:
                self._waiting_refs.setdefault(thing.ref, []).append(key)
                heapq.heappush(self._due, (thing.wait_until_us, "\0" + key))

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
            when, key = heapq.heappop(due)
            tick = max(-(-when // self._tick_us), done + 1)
            if self._segment.tick != tick:
                self._open_segment(tick)
            if key.startswith("\0"):
                self._thing_due(key[1:], tick * self._tick_us)
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
                if parcel_id is not None or self._home(event.subject):
                    self._refuse(error, raw, position, recorded)
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

    def _repeat(self, event: Event, same: bool, raw: bytes, position: Position, recorded: int) -> None:
        if same:
            self._count("duplicates")
            return
        detail = f"id {event.id[:80]!r} of source {event.source[:80]!r} came before with another body; the first stands"
        self._refuse(Rejected("conflicting_duplicate", detail), raw, position, recorded)

    def _conflicts(self, parcel: Parcel, event: Event, raw: bytes, position: Position, recorded: int) -> bool:
        """Whether a second registration names another channel; if so it is set aside."""
        if not isinstance(event, ParcelRegistered):
            return False
        data = event.data
        channel = channel_id(data.destination, data.product, data.carrier, data.service)
        if channel == parcel.channel:
            return False
        detail = f"the parcel is registered on {parcel.channel}; this names {channel}; the first stands"
        self._refuse(Rejected("conflicting_registration", detail), raw, position, recorded)
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
        self._differ(parcel_id, parcel, NO_CELLS)
        if data.order_id is not None:
            self._refer(parcel_id, parcel, hash64("order|" + data.order_id))
        waiting, parcel.waiting = parcel.waiting, []
        for item in waiting:
            self._count("waiting", -1)
            late = _decode_again(item.raw)
            self._change(parcel_id, parcel, late, to_us(late.time), item.recorded_us)

    def _change_stone(self, parcel_id: str, parcel: Parcel, event: Event, time: int, recorded: int) -> None:
        """Event ids are forgotten by now: what changes nothing is a repeat."""
        before = cells_of(parcel, self._first_scan_us), parcel.last_us, len(parcel.refs)
        self._change(parcel_id, parcel, event, time, recorded)
        if before == (cells_of(parcel, self._first_scan_us), parcel.last_us, len(parcel.refs)):
            self._count(_EVENTS[event.__class__], -1)
            self._count("duplicates")

    def _change(self, parcel_id: str, parcel: Parcel, event: Event, time: int, recorded: int) -> None:
        """Apply an event to a registered parcel."""
        if isinstance(event, ParcelScanned):
            self._scan(parcel_id, parcel, event, time, recorded)
        elif isinstance(event, ComplaintOpened):
            key = hash64("complaint|" + event.data.complaint_id)
            if key not in parcel.complaints:
                parcel.complaints[key] = Complaint(time, event.data.kind)
                cohort = parcel.registered_us // DAY_US
                self._add(parcel.channel, c.cell(c.COMPLAINT, cohort), 1)
                self._add(parcel.channel, c.cell(c.COMPLAINT_DAY, time // DAY_US), 1)
                self._refer(parcel_id, parcel, key)
        elif isinstance(event, ComplaintClosed):
            known = parcel.complaints.get(hash64("complaint|" + event.data.complaint_id))
            if known is not None:
                known.closed = True
        elif isinstance(event, RefundRequested):
            self._refer(parcel_id, parcel, hash64("refund|" + event.data.refund_id))
        elif isinstance(event, ClaimSettled):
            claim = event.data
            said = (claim.outcome or "").lower()
            paid = claim.amount is not None and not said and float(claim.amount.amount) > 0
            if said in CLAIM_SAYS_LOST or paid:
                before = cells_of(parcel, self._first_scan_us)
                parcel.lost_claim_us = min(parcel.lost_claim_us or time, time)
                self._differ(parcel_id, parcel, before)

    def _scan(self, parcel_id: str, parcel: Parcel, event: ParcelScanned, time: int, recorded: int) -> None:
        data = event.data
        milestone = INDEX[data.milestone]
        if not event.history and parcel.kept == FULL:
            lag = min(max(recorded - time, 0) // HOUR_US, 168)
            lags = self._segment.lags
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
            self._schedule(parcel_id, parcel)
        self._differ(parcel_id, parcel, before)

    def _differ(self, parcel_id: str, parcel: Parcel, before: tuple[int, ...]) -> None:
        """Contribute cells(now) − ``before``; an outcome makes the parcel due for shrinking."""
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
        if after[0] != before[0]:
            self._schedule(parcel_id, parcel)

    # -- events that name no parcel ----------------------------------------------------------------------------

    def _apply_thing(self, event: Event, time: int, recorded: int, raw: bytes, position: Position) -> None:
        home = self._home(event.subject)
        key, body = identity(event), body_hash(event)
        if isinstance(event, DecisionRecorded) and event.data.target in self.parcels:
            self._decide(event, recorded)
        thing = self.things.get(event.subject)
        if thing is not None and key in thing.seen:
            if home:
                self._repeat(event, thing.seen[key] == body, raw, position, recorded)
            return
        if thing is None:
            thing = Thing(seen={}, keep_until_us=recorded + self._thing_us)
            heapq.heappush(self._due, (thing.keep_until_us, "\0" + event.subject))
        thing.seen[key] = body
        self.things[event.subject] = thing
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
        elif isinstance(event, DecisionRecorded) and home and event.data.target not in self.parcels:
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
            thing.ref, thing.uid = ref, uid
            thing.wait_until_us = recorded + self._waiting_us
            self._waiting_refs.setdefault(ref, []).append(event.subject)
            heapq.heappush(self._due, (thing.wait_until_us, "\0" + event.subject))
            for parcel_id in self._refs.get(ref, ()):
                self._match(thing, parcel_id)
            if ref in self._given:
                self._segment.matched.append(Matched(uid, 0, "", ""))
        if isinstance(event, ComplaintOpened):
            self._give(thing, hash64("complaint|" + event.data.complaint_id))
        elif isinstance(event, RefundRequested):
            self._give(thing, hash64("refund|" + event.data.refund_id))

    def _give(self, thing: Thing, ref: int) -> None:
        """A complaint or refund without a parcel is known from now on; those that wait for it have found it."""
        if not thing.gives:
            thing.gives = ref
            self._given[ref] = self._given.get(ref, 0) + 1
        for key in self._waiting_refs.get(ref, ()):
            self._segment.matched.append(Matched(self.things[key].uid, 0, "", ""))

    def _refer(self, parcel_id: str, parcel: Parcel, ref: int) -> None:
        """``ref`` (an order, complaint or refund) leads to this parcel; whoever waits for it has found it."""
        if ref not in parcel.refs:
            parcel.refs.append(ref)
            self._refs.setdefault(ref, []).append(parcel_id)
        for key in self._waiting_refs.get(ref, ()):
            self._match(self.things[key], parcel_id)

    def _match(self, thing: Thing, parcel_id: str) -> None:
        parcel = self.parcels[parcel_id]
        self._segment.matched.append(Matched(thing.uid, parcel.registered_us, parcel_id, parcel.channel))
        complaint = parcel.complaints.get(thing.ref)
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
            heapq.heappush(self._due, (due, parcel_id))

    def _parcel_due(self, parcel_id: str, at_us: int) -> None:
        parcel = self.parcels.get(parcel_id)
        due = None if parcel is None else next_due(parcel, self.params)
        if parcel is None or due is None:
            return
        if due > at_us:
            heapq.heappush(self._due, (due, parcel_id))
            return
        if not parcel.channel:
            self._expire(parcel_id, parcel, at_us)
            return
        self.parcels[parcel_id] = parcel
        if outcome(parcel) is None:
            before = cells_of(parcel, self._first_scan_us)
            parcel.presumed = True
            self._differ(parcel_id, parcel, before)
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
            self._refuse(Rejected("unknown_parcel", detail), item.raw, item.position, item.recorded_us)
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
        if thing.wait_until_us and thing.wait_until_us <= at_us:
            waiting = self._waiting_refs[thing.ref]
            waiting.remove(key)
            if not waiting:
                del self._waiting_refs[thing.ref]
            thing.ref = thing.wait_until_us = 0
            thing.uid = ""
            self.things[key] = thing
        if thing.keep_until_us <= at_us:
            if thing.gives:
                self._given[thing.gives] -= 1
                if not self._given[thing.gives]:
                    del self._given[thing.gives]
            del self.things[key]

    # -- small things ------------------------------------------------------------------------------------------

    def _refuse(self, error: Rejected, raw: bytes, position: Position, recorded: int) -> None:
        """Set a record aside, once: a repeat of a dead letter is a duplicate."""
        raw = self._keep(raw, recorded)
        key = f"dead|{error.reason}|{raw_hash(raw):016x}"
        if key in self.things:
            self._count("duplicates")
            return
        self.things[key] = Thing(seen={}, keep_until_us=recorded + self._thing_us)
        heapq.heappush(self._due, (recorded + self._thing_us, "\0" + key))
        self._count("dead|" + error.reason)
        self.dead_letters.append(DeadLetter(raw, error.reason, error.detail, position, recorded))

    def _count(self, name: str, n: int = 1) -> None:
        counts = self._segment.counts
        counts[name] = counts.get(name, 0) + n

    def _add(self, channel: str, key: int, n: int) -> None:
        cells = self._segment.cells.setdefault(channel, {})
        cells[key] = cells.get(key, 0) + n


@lru_cache(maxsize=4096)
def _carrier_of(channel: str) -> str:
    """The carrier whose feed tells of a channel: its carrier without the service."""
    return channel.rsplit("|", 1)[1].split("/", 1)[0]
