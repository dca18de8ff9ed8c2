"""What is noted while a replay folds: how each parcel fared, and what was advised on each day.

Parcels are read from the events themselves, not from the state of the folds, so that the estimate shares no statistics
with what it tries.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from monitor.core.events import (
    ClaimSettled,
    ComplaintOpened,
    Event,
    ParcelRegistered,
    ParcelScanned,
    channel_id,
    to_us,
)
from monitor.core.parcel_fold import CLAIM_SAYS_LOST
from monitor.core.switch.advice import SWITCH
from monitor.core.switch.money import Money
from monitor.core.switch.terms import SwitchTerms
from monitor.core.vocabulary import DAY_US
from monitor.replay.driver import World

_ENDS = {"delivered": 0, "returned": 1, "returning": 1, "lost": 2}


@dataclass(slots=True)
class Seen:
    """A parcel: UTC day of registration, amounts in the terms' currency (None: not stated), what became of it."""

    lane: str
    carrier: str
    registered_us: int
    postage: Decimal | None
    value: Decimal | None
    promised_days: float | None
    attributes: frozenset[str]
    delivered_us: int = 0
    returned_us: int = 0
    lost_us: int = 0
    complaints: int = 0

    @property
    def day(self) -> int:
        """UTC day number of registration."""
        return self.registered_us // DAY_US


@dataclass(frozen=True, slots=True)
class Move:
    """An advice to move ``share`` of the lane's parcels, which held on ``day``."""

    day: int
    advice_id: str
    from_carrier: str
    to_carrier: str
    share: float
    forecast: Money


class Notes:
    """The notes; an :class:`~monitor.replay.driver.Observer`."""

    def __init__(self, terms: SwitchTerms) -> None:
        self.parcels: dict[str, Seen] = {}
        self.moves: dict[str, dict[int, Move]] = {}  # lane → day on which it was known → move
        self.asked: dict[tuple[str, str], Decimal] = {}  # (lane, carrier) → postage that its offer asked last
        self._terms = terms
        self._by_order: dict[str, str] = {}
        self._complaints: set[tuple[str, str]] = set()

    def saw(self, event: Event, recorded_us: int, refused: bool) -> None:
        """Note what an event says of a parcel; first means first in the log."""
        if refused:
            return
        if isinstance(event, ParcelRegistered):
            self._register(event)
        elif isinstance(event, ParcelScanned):
            parcel = self.parcels.get(event.data.parcel_id)
            end = _ENDS.get(event.data.milestone)
            if parcel is not None and end is not None and not event.timeunknown:
                name = ("delivered_us", "returned_us", "lost_us")[end]
                time = to_us(event.time)
                setattr(parcel, name, min(getattr(parcel, name) or time, time))
        elif isinstance(event, ClaimSettled):
            parcel = self.parcels.get(event.data.parcel_id)
            if parcel is not None and (event.data.outcome or "").lower() in CLAIM_SAYS_LOST:
                parcel.lost_us = parcel.lost_us or to_us(event.time)
        elif isinstance(event, ComplaintOpened):
            data = event.data
            id_ = data.parcel_id or self._by_order.get(data.order_id or "")
            if id_ in self.parcels and (data.complaint_id, id_) not in self._complaints:
                self._complaints.add((data.complaint_id, id_))
                self.parcels[id_].complaints += 1

    def _register(self, event: ParcelRegistered) -> None:
        data = event.data
        if data.parcel_id in self.parcels:
            return
        channel = channel_id(data.destination, data.product, data.carrier, data.service)
        lane, carrier = channel.rsplit("|", 1)
        time = to_us(event.time)
        amounts = [None if one is None else (one.currency, one.amount) for one in (data.postage, data.declared_value)]
        postage, value = (None if one is None else self._worth(*one, time // DAY_US) for one in amounts)
        self.parcels[data.parcel_id] = Seen(
            lane, carrier, time, postage, value, data.promised_days, frozenset(data.attributes or ())
        )
        if data.order_id is not None:
            self._by_order.setdefault(data.order_id, data.parcel_id)

    def _worth(self, currency: str, amount: str, day: int) -> Decimal | None:
        rate = self._terms.rate(currency, day)
        return None if rate is None else rate * Decimal(amount)

    def closed(self, tick_us: int, world: World) -> None:
        """Note what is advised at midnight."""
        if tick_us % DAY_US:
            return
        day = tick_us // DAY_US
        for name, lane in world.lanes.items():
            advice = lane.advice
            if advice is None:
                continue
            for one in advice.carriers:
                if one.postage is not None:
                    self.asked[name, one.carrier] = one.postage
            if advice.decision == SWITCH and advice.saving is not None and advice.share > 0:
                self.moves.setdefault(name, {})[day] = Move(
                    day, advice.advice_id, advice.from_carrier, advice.to_carrier, advice.share, advice.saving
                )
