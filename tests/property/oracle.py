"""The contract's figures by the slow and obvious way: from a list of events, one parcel and one question at a time.

Shares nothing with the folds but the words of the vocabulary. It remembers every id for ever, so it is compared with
folds that do too (``dedup_days`` large); everything else is as the contract says it. Times are µs since 1970 UTC.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

HOUR = 3_600_000_000
DAY = 24 * HOUR
AT_DESTINATION = {
    "arrived_destination",
    "customs_held",
    "customs_released",
    "delivery_office",
    "out_for_delivery",
    "available_for_pickup",
    "attempt_failed",
}
BEFORE_DEPARTURE = {"accepted", "origin_hub", "export_customs"}
LEGS = ("no_first_scan", "stuck_before_departure", "stuck_in_transit", "stuck_at_destination")
Figures = dict[str, Any]


def us(text: str) -> int:
    """An RFC 3339 time."""
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@dataclass
class Event:
    """A line that was read."""

    kind: str
    source: str
    id: str
    subject: str
    time: int
    recorded: int
    history: bool
    data: dict[str, Any]

    @property
    def said(self) -> str:
        """What must be the same for a repeat."""
        return json.dumps([self.kind, self.subject, self.time, self.data], sort_keys=True)


@dataclass
class Shipment:
    """What is known of a parcel, with the moment at which it became known: ``scans`` are (known, time, milestone)."""

    channel: str = ""
    registered: int = 0
    known: int = 0
    promised: float | None = None
    order: str | None = None
    scans: list[tuple[int, int, str]] = field(default_factory=list)
    abroad: dict[str, int] = field(default_factory=dict)  # country → earliest scan there
    complained: list[tuple[str, int]] = field(default_factory=list)  # kind, when opened
    claims: list[tuple[int, int]] = field(default_factory=list)
    opened: dict[str, int] = field(default_factory=dict)  # complaint → known
    closed: set[str] = field(default_factory=set)
    handled: int = 0
    ids: dict[tuple[str, str], str] = field(default_factory=dict)
    waiting: list[Event] = field(default_factory=list)

    def first(self, *milestones: str) -> int | None:
        """Earliest time of any of the milestones."""
        return min((time for _, time, what in self.scans if what in milestones), default=None)

    def outcome(self) -> tuple[str, int] | None:
        """Delivered, else returned, else lost."""
        for name in ("delivered", "returned"):
            time = self.first(name)
            if time is not None:
                return name, time
        lost = [time for _, time, what in self.scans if what == "lost"] + [time for _, time in self.claims]
        return ("lost", min(lost)) if lost else None

    def news(self, until: int | None = None) -> int:
        """Time of the latest scan known by ``until``, or of registration."""
        times = [time for known, time, _ in self.scans if until is None or known <= until]
        return max([self.registered, *times])


class Oracle:
    """Everything the monitor must know at ``as_of`` of some lines, given in the order of a log."""

    def __init__(self, lines: Iterable[bytes], params: Any, as_of: int) -> None:
        self.params, self.as_of = params, as_of
        self.grid = params.tick_hours * HOUR
        self.wait = round(params.waiting_days * DAY)
        self.shipments: dict[str, Shipment] = {}
        self.things: dict[str, dict[tuple[str, str], str]] = {}
        self.order_complaints: list[Event] = []
        self.bare_closings: list[Event] = []
        self.lane_complaints: dict[str, list[int]] = {}
        for line in lines:
            self._take(_read(line))
        for shipment in self.shipments.values():
            self._expire(shipment, self._tick_before(as_of) + 1)
        self.waiting = sum(len(shipment.waiting) for shipment in self.shipments.values())

    def _tick_before(self, moment: int) -> int:
        return moment // self.grid * self.grid

    def _tick_after(self, moment: int) -> int:
        return -(-moment // self.grid) * self.grid

    # -- what is taken ------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        late = event.recorded - event.time > round(self.params.lateness_days * DAY) and not event.history
        if late or event.time - event.recorded > DAY or event.time < us("2000-01-01T00:00:00Z"):
            return
        parcel = event.data.get("parcel_id")
        if parcel is not None:
            self._take_of_parcel(parcel, event)
            return
        subject = event.subject
        if event.kind == "decision.recorded.v1":
            subject = "decision of " + subject
        ids = self.things.setdefault(subject, {})
        if (event.source, event.id) in ids:
            return
        ids[event.source, event.id] = event.said
        data = event.data
        if event.kind == "complaint.opened.v1" and "order_id" in data:
            self.order_complaints.append(event)
        elif event.kind == "complaint.opened.v1" and "carrier" in data:
            channel = f"{data['destination']}|{data['product']}|{data['carrier']}"
            self.lane_complaints.setdefault(channel, []).append(event.time)
        elif event.kind == "complaint.closed.v1":
            self.bare_closings.append(event)
        elif event.kind == "decision.recorded.v1" and data["what"] in ("mute", "done"):
            shipment = self.shipments.get(data["target"])
            if shipment is not None:
                self._expire(shipment, event.recorded)
                if shipment.channel or shipment.waiting:
                    shipment.handled = event.recorded

    def _take_of_parcel(self, parcel: str, event: Event) -> None:
        shipment = self.shipments.setdefault(parcel, Shipment())
        self._expire(shipment, event.recorded)
        if (event.source, event.id) in shipment.ids:
            return
        shipment.ids[event.source, event.id] = event.said
        if event.kind != "parcel.registered.v1":
            if shipment.channel:
                self._apply(shipment, event, event.recorded)
            else:
                shipment.waiting.append(event)
            return
        if shipment.channel:
            return
        data = event.data
        service = f"/{data['service']}" if "service" in data else ""
        shipment.channel = f"{data['destination']}|{data['product']}|{data['carrier']}{service}"
        shipment.registered, shipment.known = event.time, event.recorded
        shipment.promised, shipment.order = data.get("promised_days"), data.get("order_id")
        for waited in shipment.waiting:
            self._apply(shipment, waited, event.recorded)
        shipment.waiting = []

    def _expire(self, shipment: Shipment, now: int) -> None:
        """What has waited too long at a tick before ``now`` is gone; with the last of it goes all memory."""
        kept = [event for event in shipment.waiting if self._tick_after(event.recorded + self.wait) >= now]
        if shipment.waiting and not kept:
            shipment.ids, shipment.handled = {}, 0
        shipment.waiting = kept

    def _apply(self, shipment: Shipment, event: Event, known: int) -> None:
        data = event.data
        if event.kind == "parcel.scanned.v1":
            shipment.scans.append((known, event.time, data["milestone"]))
            country = data.get("country", "CN")
            if country not in ("CN", shipment.channel[:2]):
                shipment.abroad[country] = min(event.time, shipment.abroad.get(country, event.time))
        elif event.kind == "complaint.opened.v1":
            if data["complaint_id"] not in shipment.opened:
                shipment.complained.append((data["kind"], event.time))
            shipment.opened.setdefault(data["complaint_id"], known)
        elif event.kind == "complaint.closed.v1":
            shipment.closed.add(data["complaint_id"])
        elif event.kind == "claim.settled.v1":
            paid = "outcome" not in data and float(data.get("amount", {"amount": "0"})["amount"]) > 0
            if data.get("outcome") == "paid" or paid:
                shipment.claims.append((known, event.time))

    # -- what it means ------------------------------------------------------------------------------------

    def _presumed(self, shipment: Shipment) -> bool:
        """Silent beyond the cap at the last tick, and no scan since that says otherwise."""
        cap, tick = self.params.age_cap_days * DAY, self._tick_before(self.as_of)
        if shipment.outcome() is not None or shipment.known > tick or tick - shipment.news(tick) <= cap:
            return False
        since = [(known, time) for known, time, _ in shipment.scans if known > tick]
        return not any(time > shipment.news(tick) and time + cap >= known for known, time in since)

    def _complaints(self) -> dict[str, list[int]]:
        """Channel → the days of the cohorts to which complaints are counted."""
        out: dict[str, list[int]] = {}
        for shipment in self.shipments.values():
            out.setdefault(shipment.channel, []).extend([shipment.registered // DAY] * len(shipment.opened))
        for channel, times in self.lane_complaints.items():
            out.setdefault(channel, []).extend(time // DAY for time in times)
        for event in self.order_complaints:
            found = [
                (self._tick_after(max(event.recorded, one.known)), one.registered, parcel, one.channel)
                for parcel, one in self.shipments.items()
                if one.channel and one.order == event.data["order_id"]
                if one.known <= self._tick_after(event.recorded + self.wait)
            ]
            if found:
                _, registered, _, channel = min(found)
                out[channel].append(registered // DAY)
        return out

    def channels(self) -> dict[str, tuple[Figures, Figures]]:
        """Channel → its figures over the whole log, and over the last days."""
        complaints = self._complaints()
        shipments: dict[str, list[Shipment]] = {}
        for shipment in self.shipments.values():
            shipments.setdefault(shipment.channel, []).append(shipment)
        window = self.as_of // DAY - self.params.recent_days
        out = {}
        for channel in sorted({*complaints, *shipments} - {""}):
            some, days = shipments.get(channel, []), complaints.get(channel, [])
            recent = [one for one in some if one.registered // DAY > window]
            out[channel] = (
                self._figures(some, len(days)),
                self._figures(recent, sum(day > window for day in days)),
            )
        return out

    def _figures(self, some: Sequence[Shipment], complaints: int) -> Figures:
        today = self.as_of // DAY
        ends = [one.outcome() for one in some]
        delivered, returned, lost = (
            sum(end is not None and end[0] == name for end in ends) for name in ("delivered", "returned", "lost")
        )
        presumed = sum(map(self._presumed, some))
        promised = [(one, one.registered // DAY + math.ceil(one.promised)) for one in some if one.promised is not None]
        arrivals = [(one.first("delivered"), due) for one, due in promised]
        on_time = sum(time is not None and time // DAY <= due for time, due in arrivals)
        judged = sum(time is not None or due < today for time, due in arrivals)
        hours = self.params.first_scan_days * 24
        grown = [one for one in some if self.as_of // HOUR - one.registered // HOUR >= hours]
        scanned = sum(
            any(
                what != "info_received" and time <= one.registered + self.params.first_scan_days * DAY
                for _, time, what in one.scans
            )
            for one in grown
        )
        arrived = sum(one.first(*AT_DESTINATION, "delivered") is not None for one in some)
        held = sum(one.first("customs_held") is not None for one in some)
        return {
            "registered": len(some),
            "in_flight": len(some) - delivered - returned - lost,
            "delivered": delivered,
            "returned": returned,
            "lost": lost,
            "presumed_lost": presumed,
            "on_time_ratio": (on_time, judged),
            "first_scan_ratio": (scanned, len(grown)),
            "loss_ratio": (lost + presumed, delivered + returned + lost + presumed),
            "hold_ratio": (held, arrived),
            "complaints_per_1000": (complaints, len(some)),
            "transit": [self._transit(one) for one in some],
        }

    def _transit(self, one: Shipment) -> tuple[float, bool]:
        """Hours on the way, and whether they ended with delivery."""
        end = one.outcome()
        stopped = self.as_of if end is None else end[1]
        return max(stopped - one.registered, 0) / HOUR, end is not None and end[0] == "delivered"

    def clocks(self) -> list[tuple[str, int, int, int | None]]:
        """Of every parcel and stage clock it entered: channel, clock, day of entry, day of leaving if it left."""
        out = []
        for one in self.shipments.values():
            if not one.channel:
                continue
            never = 1 << 62
            steps = (BEFORE_DEPARTURE, {"departed_origin"}, AT_DESTINATION, {"delivered"})
            reached = [one.registered, *((one.first(*names) or never) for names in steps)]
            stops = [one.first(name) for name in ("customs_held", "returning", "returned", "lost", "security_returned")]
            stop = min([never, *(time for time in stops if time), *(time for _, time in one.claims)])
            for clock, (entry, later) in enumerate(
                [*((reached[i], reached[i + 1 :]) for i in range(4)), (reached[0], reached[4:])]
            ):
                end = min(later)
                if clock in (1, 2, 3) and (entry == never or entry > end or entry >= stop):
                    continue
                left = min(end, stop)
                day = entry // DAY
                out.append((one.channel, clock, day, None if left == never else max(day, left // DAY)))
        return out

    def rare_events(self) -> list[tuple[str, str, int, int]]:
        """Channel, what, day its clock started, day it happened (not before), of all rare events of parcels."""
        out = []
        for one in self.shipments.values():
            if not one.channel:
                continue
            registered, never = one.registered // DAY, 1 << 62
            delivered = one.first("delivered") or never
            stops = {name: one.first(name) or never for name in ("customs_held", "security_returned", "lost")}
            stops["returned"] = min(one.first("returning") or never, one.first("returned") or never)
            stops["lost"] = min([stops["lost"], *(time for _, time in one.claims)])
            first = min(stops.values())
            order = ("customs_held", "security_returned", "lost", "returned")
            what = next(name for name in order if stops[name] == first)
            if first < delivered and what != "lost":
                start = registered if what != "customs_held" else (one.first(*AT_DESTINATION) or first) // DAY
                out.append((one.channel, what, start, max(first // DAY, start)))
            out += [(one.channel, where, registered, max(at // DAY, registered)) for where, at in one.abroad.items()]
            out += [(one.channel, kind, registered, max(at // DAY, registered)) for kind, at in one.complained]
        return out

    def watched(self, p95: dict[str, Sequence[int]]) -> dict[str, tuple[str, int]]:
        """Parcel → leg and priority (no incidents) of those that belong on the watchlist."""
        out = {}
        for parcel, one in self.shipments.items():
            if not one.channel or one.outcome() is not None or not p95.get(one.channel):
                continue
            leg = 0
            for rank, names in ((1, BEFORE_DEPARTURE), (2, {"departed_origin"}), (3, AT_DESTINATION)):
                if one.first(*names) is not None:
                    leg = rank
            since = one.news()
            if one.handled > since or self.as_of <= since + p95[one.channel][leg] * DAY:
                continue
            left = (one.registered + self.params.dispute_window_days * DAY - self.as_of) / DAY
            complained = any(not self._is_closed(one, complaint) for complaint in one.opened)
            urgent = 1 if complained or left < 15 else 2 if left < 46 else 3
            out[parcel] = (LEGS[leg], 4 if left < 0 else urgent)
        return out

    def _is_closed(self, one: Shipment, complaint: str) -> bool:
        known = one.opened[complaint]
        return complaint in one.closed or any(
            known <= self._tick_after(closing.recorded + self.wait)
            for closing in self.bare_closings
            if closing.data["complaint_id"] == complaint
        )


def _read(line: bytes) -> Event:
    it = json.loads(line)
    time = us(it["time"])
    recorded = us(it.get("recordedtime", it["time"]))
    history = it.get("history", False)
    return Event(it["type"], it["source"], it["id"], it["subject"], time, recorded, history, it["data"])


def kaplan_meier_quantile(transit: Sequence[tuple[float, bool]], p: float) -> float | None:
    """First time by which a share ``p`` was delivered, by the textbook: S = Π (1 − d/n); those that stop leave n."""
    left, times = 1.0, sorted({time for time, ended in transit if ended})
    for at in times:
        deaths = sum(ended and time == at for time, ended in transit)
        at_risk = sum(time >= at for time, _ in transit)
        left *= 1 - deaths / at_risk
        if left <= 1 - p + 1e-9:
            return at
    return None
