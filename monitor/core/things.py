"""Events that name no parcel, and how a partition finds the parcels they are about.

Complaints and refunds may name only an order, closings and completions only a complaint or a refund. Every partition
sees them and looks into its own index; the home partition announces them, each partition that knows a parcel says so
(a match), and the fleet counts the least match once.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

from monitor.core import cells as c
from monitor.core.contribution import Announced, Decision, Matched, Position
from monitor.core.declared import declaration
from monitor.core.events import (
    EVENT_TYPES,
    CalendarDeclared,
    CarrierOffered,
    ComplaintClosed,
    ComplaintOpened,
    ComplaintOpenedData,
    DecisionRecorded,
    Event,
    RefundCompleted,
    RefundRequested,
    RuleDeclared,
    channel_id,
    type_of,
)
from monitor.core.facets import counted
from monitor.core.identity import body_hash, hash64, identity
from monitor.core.ledger import Ledger, Thing, Wait
from monitor.core.parcel import FINGERPRINT, Parcel
from monitor.core.switch.book import offer_of, rule_of
from monitor.core.vocabulary import DAY_US

#: Event class → the name of its count.
EVENTS: Final = {cls: "events|" + name for name, cls in EVENT_TYPES.items()}


class Things:
    """The subjects of events about no parcel, and the index of orders, complaints and refunds of a partition."""

    def __init__(
        self,
        ledger: Ledger,
        parcels: MutableMapping[str, Parcel],
        things: MutableMapping[str, Thing],
        waiting_us: int,
    ) -> None:
        self._ledger = ledger
        self._parcels = parcels
        self._things = things
        self._waiting_us = waiting_us
        self._refs: dict[int, list[str]] = {}
        self._waiting_refs: dict[int, list[str]] = {}  # hash → uids of the events that wait for it
        self._given: dict[int, int] = {}

    def rebuild(self) -> None:
        """Derive the indexes from the state; exact, so a restart leaves no trace."""
        for pid in sorted(self._parcels):
            parcel = self._parcels[pid]
            if parcel.kept != FINGERPRINT:
                for ref in parcel.refs:
                    self._refs.setdefault(ref, []).append(pid)
        for key in sorted(self._things):
            thing = self._things[key]
            self._ledger.due(thing.keep_until_us, True, key)
            for ref in thing.gives:
                self._given[ref] = self._given.get(ref, 0) + 1
            for wait in thing.waits:
                self._wait(key, wait)

    def apply(self, event: Event, time: int, recorded: int, raw: bytes, position: Position) -> None:
        """Fold one event that names no parcel."""
        ledger = self._ledger
        home = ledger.is_home(event)
        key, body = identity(event), body_hash(event)
        name = thing_of(event)
        thing = self._things.get(name)
        if thing is not None and key in thing.seen:
            if home:
                ledger.repeat(event, thing.seen[key] == body, raw, position, recorded)
            return
        if thing is None:
            thing = Thing(seen={}, keep_until_us=0)
        thing.seen[key] = body
        thing.keep_until_us = recorded + ledger.thing_us
        ledger.due(thing.keep_until_us, True, name)
        self._things[name] = thing
        if home:
            ledger.count(EVENTS[type(event)])
            ledger.saw(time)
        uid = f"{event.subject}|{key:016x}"
        ref = 0
        kind, customer = "", ""
        if isinstance(event, ComplaintOpened):
            kind, customer = event.data.kind, event.data.customer_id or ""
            if event.data.order_id is not None:
                ref = hash64("order|" + event.data.order_id)
            elif home:
                self._count(event.data, time // DAY_US)
        elif isinstance(event, ComplaintClosed):
            ref = hash64("complaint|" + event.data.complaint_id)
        elif isinstance(event, RefundCompleted):
            ref = hash64("refund|" + event.data.refund_id)
        elif isinstance(event, CalendarDeclared):
            ledger.segment.declared.append(declaration(event.data, time, recorded, uid))
        elif isinstance(event, CarrierOffered):
            ledger.segment.offers.append(offer_of(event.data, event.subject, time, recorded, uid))
        elif isinstance(event, RuleDeclared):
            ledger.segment.rules.append(rule_of(event.data, event.subject, time, recorded, uid))
        elif isinstance(event, DecisionRecorded) and event.data.target in self._parcels:
            self._decide(event, recorded)
        elif isinstance(event, DecisionRecorded):
            said = event.data
            ledger.segment.decisions.append(
                Decision(
                    recorded,
                    said.target,
                    said.what,
                    said.by or "",
                    said.note or "",
                    ledger.keep(raw, recorded),
                    position,
                    said.carrier or "",
                    -1.0 if said.share is None else said.share,
                )
            )
        if ref:
            if home:
                ledger.segment.announced.append(
                    Announced(uid, type_of(event), time, recorded, ledger.keep(raw, recorded), position, kind, customer)
                )
            wait = Wait(ref, recorded + self._waiting_us, uid)
            thing.waits.append(wait)
            self._wait(name, wait)
            for parcel_id in self._refs.get(ref, ()):
                self._match(ref, uid, parcel_id)
            if ref in self._given:
                ledger.segment.matched.append(Matched(uid, 0, "", ""))
        if isinstance(event, ComplaintOpened):
            self._give(thing, hash64("complaint|" + event.data.complaint_id))
        elif isinstance(event, RefundRequested):
            self._give(thing, hash64("refund|" + event.data.refund_id))

    def _count(self, said: ComplaintOpenedData, day: int) -> None:
        """A complaint that names neither parcel nor order counts where it says, if it does, and in the totals."""
        channel = ""
        if said.destination and said.product and said.carrier:
            channel = channel_id(said.destination, said.product, said.carrier)
            self._ledger.add(channel, c.cell(c.COMPLAINT, day), 1)
            self._ledger.add(channel, c.cell(c.COMPLAINT_DAY, day), 1)
        for scope, cell in counted(channel, said.kind, said.customer_id or "", "", day, day):
            if cell >> 40 < c.EVENT:  # of a parcel's age nothing is known
                self._ledger.add(scope, cell, 1)

    def _wait(self, name: str, wait: Wait) -> None:
        self._waiting_refs.setdefault(wait.ref, []).append(wait.uid)
        self._ledger.due(wait.until_us, True, name)

    def _give(self, thing: Thing, ref: int) -> None:
        """A complaint or refund without a parcel is known from now on; those that wait for it have found it."""
        if ref not in thing.gives:
            thing.gives.append(ref)
            self._given[ref] = self._given.get(ref, 0) + 1
        for uid in self._waiting_refs.get(ref, ()):
            self._ledger.segment.matched.append(Matched(uid, 0, "", ""))

    def refer(self, parcel_id: str, parcel: Parcel, ref: int) -> None:
        """``ref`` (an order, complaint or refund) leads to this parcel; whoever waits for it has found it."""
        if ref not in parcel.refs:
            parcel.refs.append(ref)
            self._refs.setdefault(ref, []).append(parcel_id)
        for uid in self._waiting_refs.get(ref, ()):
            self._match(ref, uid, parcel_id)

    def _match(self, ref: int, uid: str, parcel_id: str) -> None:
        parcel = self._parcels[parcel_id]
        match = Matched(
            uid,
            parcel.registered_us,
            parcel_id,
            parcel.channel,
            parcel.customer,
            parcel.forwarder,
            -1 if parcel.promised_days is None else parcel.promised_days,
        )
        self._ledger.segment.matched.append(match)
        complaint = parcel.complaints.get(ref)
        if complaint is not None:
            complaint.closed = True
            self._parcels[parcel_id] = parcel

    def _decide(self, event: DecisionRecorded, recorded: int) -> None:
        parcel = self._parcels[event.data.target]
        if event.data.what in ("mute", "done"):
            parcel.handled_us = max(parcel.handled_us, recorded)
            self._parcels[event.data.target] = parcel

    def forget(self, parcel_id: str, parcel: Parcel) -> None:
        """The parcel can no longer be found by its order, complaints and refunds."""
        for ref in parcel.refs:
            self._refs[ref].remove(parcel_id)

    def on_due(self, key: str, at_us: int) -> None:
        """Waits that are over and things that need not be remembered any longer are forgotten."""
        thing = self._things.get(key)
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
            self._things[key] = thing
        if thing.keep_until_us <= at_us:
            for ref in thing.gives:
                self._given[ref] -= 1
                if not self._given[ref]:
                    del self._given[ref]
            del self._things[key]


def thing_of(event: Event) -> str:
    """The key of the subject. Decisions are kept apart: they go to one partition, and their target may be anything."""
    return "decision|" + event.data.target if isinstance(event, DecisionRecorded) else event.subject
