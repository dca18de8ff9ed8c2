"""The parcel fold: events of one partition in, signed integers for the fleet out.

Rules it keeps, beside those of its ledger:

1. What a parcel contributes is cells(after) − cells(before).
2. First means first in the log. The same (source, id) of a subject is the same event; a repeat changes nothing.
3. An event waits for the registration of its parcel; when its time is up it is a dead letter.
4. What time alone changes (presumed loss, waiting events that expire, parcels that shrink) happens at ticks.

State lives in the mappings given at construction (plain dicts in a replay, Faust tables live); the indexes beside
them are derived from it. The fold reads no clock and draws no random number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping
from typing import Final

import msgspec

from monitor.core import cells as c
from monitor.core.bounds import check_times
from monitor.core.contribution import Contribution, DeadLetter, Position
from monitor.core.events import (
    ClaimSettled,
    ClockTicked,
    ComplaintClosed,
    ComplaintOpened,
    Event,
    ParcelRegistered,
    ParcelScanned,
    RefundRequested,
    Rejected,
    channel_id,
    to_us,
)
from monitor.core.facets import counted
from monitor.core.identity import body_hash, hash64, identity
from monitor.core.ledger import Header, Ledger, Thing
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
    add_difference,
    cells_of,
    constant_cells,
    feed_of,
    handed_over,
    next_due,
    outcome,
    part_of,
    see_rare,
)
from monitor.core.switch.carried import carried, complained
from monitor.core.things import EVENTS, Things, thing_of
from monitor.core.vocabulary import DAY_US, HOUR_US, ORIGIN, YEAR_2000_US

_decode_again = msgspec.json.Decoder(Event).decode

#: Milestones that are an outcome, by their place.
OUTCOMES: Final = frozenset(INDEX[name] for name in ("delivered", "returned", "lost"))
#: Longer reporting lags count as this many hours.
LAG_CAP_HOURS: Final = 168
#: Outcomes of a settled claim that say the parcel is lost.
CLAIM_SAYS_LOST = frozenset({"lost", "paid", "won", "granted", "accepted", "approved", "refunded", "settled"})


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
        self._ledger = Ledger(params, things, header, home, keep, self._on_due)
        self._waiting_us = params.days_us("waiting_days")
        self._things = Things(self._ledger, parcels, things, self._waiting_us)
        self._lateness_us = params.days_us("lateness_days")
        self._first_scan_us = params.first_scan_days * DAY_US
        self._silence_us = params.age_cap_days * DAY_US
        for pid in sorted(parcels):
            self._schedule(pid, parcels[pid])
        self._things.rebuild()

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """What was set aside since the list was last cleared."""
        return self._ledger.dead_letters

    def tick(self, at_us: int) -> None:
        """The clock ticked at ``at_us`` (a grid point): every tick up to it is done; repeats change nothing."""
        self._ledger.tick(at_us)

    def take(self, generation: str, partition: int, offset: int) -> Contribution:
        """Everything since the last call, as the contribution of one source record."""
        return self._ledger.take(generation, partition, offset)

    # -- events ----------------------------------------------------------------------------------------------

    def apply(self, event: Event, stated_us: int, raw: bytes, position: Position) -> None:
        """Fold one event. ``stated_us``: its recorded time as stated or defaulted; ``raw``: the bytes to keep of it."""
        kind = event.__class__
        ledger = self._ledger
        if kind is ClockTicked:
            ledger.tick(to_us(event.data.at))  # type: ignore[union-attr]
            return
        recorded = ledger.stamp(stated_us)
        time = to_us(event.time)
        parcel_id: str | None = getattr(event.data, "parcel_id", None)
        said = max(recorded, stated_us)  # a recorded time that no clock can have moves none, and is too late
        late = said - time > self._lateness_us
        if late or not YEAR_2000_US <= time <= recorded + DAY_US:
            try:
                check_times(time, said if late else recorded, self._lateness_us, event.history)
            except Rejected as error:
                if ledger.is_home(event):
                    if self._is_repeat(event, parcel_id):
                        ledger.count("duplicates")
                    else:
                        ledger.refuse(error, event, raw, position, recorded)
                return
        if parcel_id is None:
            self._things.apply(event, time, recorded, raw, position)
            return
        parcel = self.parcels.get(parcel_id)
        if parcel is None:
            parcel = Parcel()
        elif parcel.kept == FINGERPRINT:
            self._ledger.count("duplicates")
            return
        key, body = identity(event), body_hash(event)
        known = parcel.seen.get(key)
        if known is not None:
            ledger.repeat(event, known == body, raw, position, recorded)
            return
        self.parcels[parcel_id] = parcel  # a table notes the change
        if parcel.kept == FULL:
            parcel.seen[key] = body
        if parcel.channel and kind is ParcelRegistered and self._conflicts(parcel, event, raw, position, recorded):
            return
        ledger.count(EVENTS[kind])
        ledger.saw(time)
        if parcel.kept == STONE:
            self._change_stone(parcel_id, parcel, event, time, recorded)
        elif parcel.channel:
            self._change(parcel_id, parcel, event, time, recorded)
        elif isinstance(event, ParcelRegistered):
            self._register(parcel_id, parcel, event, time)
        else:
            parcel.waiting.append(Waiting(recorded, self._ledger.keep(raw, recorded), position))
            self._ledger.count("waiting")
            if len(parcel.waiting) == 1:
                self._schedule(parcel_id, parcel)

    def _is_repeat(self, event: Event, parcel_id: str | None) -> bool:
        """Whether an event that comes too late is one that came in time before: a file that is ingested again.

        What is left of a parcel long over knows no events, so all are repeats. What an event states cannot decide it:
        an export writes the effective recorded time.
        """
        known: Parcel | Thing | None
        if parcel_id is None:
            known = self.things.get(thing_of(event))
        else:
            known = self.parcels.get(parcel_id)
            if known is not None and known.kept == FINGERPRINT:
                return True
        return known is not None and known.seen.get(identity(event)) == body_hash(event)

    def _conflicts(self, parcel: Parcel, event: Event, raw: bytes, position: Position, recorded: int) -> bool:
        """Whether a second registration names another channel; if so it is set aside."""
        if not isinstance(event, ParcelRegistered):
            return False
        data = event.data
        channel = channel_id(data.destination, data.product, data.carrier, data.service)
        if channel == parcel.channel:
            return False
        detail = f"the parcel is registered on {parcel.channel}; this names {channel}; the first stands"
        self._ledger.refuse(Rejected("conflicting_registration", detail), event, raw, position, recorded)
        return True

    def _register(self, parcel_id: str, parcel: Parcel, event: ParcelRegistered, time: int) -> None:
        data = event.data
        parcel.channel = channel_id(data.destination, data.product, data.carrier, data.service)
        parcel.registered_us = time
        parcel.origin = data.origin or ORIGIN
        parcel.customer, parcel.forwarder = data.customer_id or "", data.forwarder or ""
        parcel.batch = data.batch_id or ""
        if data.promised_days is not None:
            parcel.promised_days = math.ceil(data.promised_days)
        self._ledger.count("parcels")
        feeds, carrier = self._ledger.segment.feeds, feed_of(parcel.channel)
        if time > feeds.get(carrier, 0):
            feeds[carrier] = time
        cells = self._ledger.segment.cells.setdefault(parcel.channel, {})
        for key in constant_cells(parcel):
            cells[key] = cells.get(key, 0) + 1
        self._ledger.carry(parcel.channel, carried(data), time // DAY_US)
        for scope, cell in handed_over(parcel):
            self._ledger.add(scope, cell, 1)
        self._differ(parcel, NO_CELLS)
        self._schedule(parcel_id, parcel)
        if data.order_id is not None:
            self._things.refer(parcel_id, parcel, hash64("order|" + data.order_id))
        waiting, parcel.waiting = parcel.waiting, []
        for item in waiting:
            self._ledger.count("waiting", -1)
            late = _decode_again(item.raw)
            self._change(parcel_id, parcel, late, to_us(late.time), item.recorded_us)

    def _change_stone(self, parcel_id: str, parcel: Parcel, event: Event, time: int, recorded: int) -> None:
        """Event ids are forgotten by now: what changes nothing is a repeat."""
        before = self._trace(parcel)
        self._change(parcel_id, parcel, event, time, recorded)
        if before == self._trace(parcel):
            self._ledger.count(EVENTS[event.__class__], -1)
            self._ledger.count("duplicates")

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
                day = time // DAY_US
                for cell in c.complaint_cells(event.data.kind, cohort, day, parcel.promised_days):
                    self._ledger.add(parcel.channel, cell, 1)
                self._ledger.carry(parcel.channel, [(complained(cohort, day), 0)], cohort)
                customer = event.data.customer_id or parcel.customer
                for scope, cell in counted(parcel.channel, event.data.kind, customer, parcel.forwarder, day, cohort):
                    self._ledger.add(scope, cell, 1)
                self._things.refer(parcel_id, parcel, key)
        elif isinstance(event, ComplaintClosed):
            key = hash64("complaint|" + event.data.complaint_id)
            parcel.complaints.setdefault(key, Complaint(0, "")).closed = True
        elif isinstance(event, RefundRequested):
            self._things.refer(parcel_id, parcel, hash64("refund|" + event.data.refund_id))
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
        segment = self._ledger.segment
        if parcel.kept == FULL and not (event.history and lag > LAG_CAP_HOURS):
            part = part_of(parcel.channel)
            scans = segment.scans.get(part)
            if scans is None:
                scans = segment.scans[part] = [0, 0]
            scans[0] += 1
            if recorded > time:
                lag = lag if lag < LAG_CAP_HOURS else LAG_CAP_HOURS
                segment.lags[lag] = segment.lags.get(lag, 0) + 1
                scans[1] += lag
        if parcel.kept == FULL:
            for key, n in see_rare(parcel, milestone, data.country, time):
                self._ledger.add(parcel.channel, key, n)
        feeds, carrier = segment.feeds, feed_of(parcel.channel)
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
        if after != before:
            add_difference(self._ledger.segment.cells, parcel, before, after)

    # -- what time alone changes -------------------------------------------------------------------------------

    def _schedule(self, parcel_id: str, parcel: Parcel) -> None:
        due = next_due(parcel, self.params)
        if due is not None:
            self._ledger.due(due, False, parcel_id)

    def _on_due(self, is_thing: bool, key: str, at_us: int) -> None:
        if is_thing:
            self._things.on_due(key, at_us)
        else:
            self._parcel_due(key, at_us)

    def _parcel_due(self, parcel_id: str, at_us: int) -> None:
        parcel = self.parcels.get(parcel_id)
        due = None if parcel is None else next_due(parcel, self.params)
        if parcel is None or due is None:
            return
        if due > at_us:
            self._ledger.due(due, False, parcel_id)
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
            parcel.last_place = parcel.batch = ""
            parcel.abroad, parcel.attempts = {}, []
        else:
            parcel.kept = FINGERPRINT
            self._things.forget(parcel_id, parcel)
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
            parcel.seen.pop(identity(event), None)  # it may come again
            self._ledger.count("waiting", -1)
            self._ledger.count(EVENTS[type(event)], -1)
            detail = f"no registration of parcel {parcel_id[:80]!r} came within {self.params.waiting_days:g} days"
            self._ledger.refuse(Rejected("unknown_parcel", detail), event, item.raw, item.position, item.recorded_us)
        parcel.waiting = kept
        if kept:
            self.parcels[parcel_id] = parcel
            self._schedule(parcel_id, parcel)
        else:
            del self.parcels[parcel_id]
