"""Lanes with several carriers of known quality, as events: what the advice about switching is tried on.

Shares no code with the statistics it tries: durations are sums of a Gamma, a log-normal and a Gamma part with shocks
that a week's parcels share, reports come late, and complaints depend on what happened to the parcel. The true cost of a
carrier is the mean over many parcels drawn in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

START = datetime(2026, 1, 5, tzinfo=UTC)
VALUE, LATE_PER_DAY, COMPLAINT = 40.0, 0.5, 8.0
WEEK_SHOCK = 0.05


@dataclass(frozen=True)
class Carrier:
    """``days``: median of the days to delivery, about; ``spread`` of their logarithm."""

    name: str
    share: float
    days: float
    spread: float
    lost: float
    returned: float
    postage: float

    def durations(self, rng: np.random.Generator, n: int, shock: float = 0.0) -> np.ndarray:
        """Days from hand-over to delivery of ``n`` parcels."""
        middle = self.days * 0.7 * np.exp(rng.normal(shock, self.spread / 0.8, n))
        return rng.gamma(2.0, self.days * 0.05, n) + middle + rng.gamma(2.0, self.days * 0.1, n)


@dataclass(frozen=True)
class World:
    """A lane. ``excluded``: carriers that may not be used; ``events``: offers and rules."""

    seed: int
    carriers: list[Carrier]
    promise: int
    per_day: float
    costs: dict[str, float]
    excluded: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def present(self) -> str:
        """The carrier of most parcels."""
        return max(self.carriers, key=lambda one: one.share).name

    @property
    def best(self) -> str:
        """The cheapest carrier that may be used."""
        return min((one for one in self.costs if one not in self.excluded), key=lambda one: self.costs[one])


def true_cost(carrier: Carrier, promise: int, seed: int = 0) -> float:
    """What a parcel costs in the mean: postage, twice if it comes back, goods lost, days late, complaints."""
    rng = np.random.default_rng([seed, 99])
    n = 40_000
    days = carrier.durations(rng, n)
    late = np.clip(days - promise, 0.0, None)
    arrives = 1 - carrier.lost - carrier.returned
    complains = 0.6 * carrier.lost + arrives * float(np.mean(_complains(days, promise)))
    return (
        carrier.postage * (1 + carrier.returned)
        + carrier.lost * VALUE
        + arrives * LATE_PER_DAY * float(late.mean())
        + complains * COMPLAINT
    )


def _complains(days: np.ndarray, promise: int) -> np.ndarray:
    return 0.005 + np.where(days > 1.2 * promise, 0.08, 0.0)


def planted(seed: int, per_day: float | None = None, gap: float = 0.2) -> World:
    """A world of 20 to 60 parcels a day whose best carrier costs at least ``gap`` less than any other; one that is
    better still is excluded."""
    rng = np.random.default_rng([seed, 1])
    per_day = float(rng.uniform(20, 60)) if per_day is None else per_day
    while True:
        n = int(rng.integers(3, 5))
        days = rng.uniform(10, 30)
        promise = int(days * 1.25)
        carriers = [
            Carrier(
                name,
                0.5 if i == 0 else 0.5 / (n - 1),
                days * rng.uniform(0.75, 1.35),
                rng.uniform(0.2, 0.4),
                rng.uniform(0.003, 0.05),
                rng.uniform(0.0, 0.03),
                round(float(rng.uniform(4.0, 8.0)), 2),
            )
            for i, name in enumerate(("alpha", "bravo", "charlie", "delta")[:n])
        ]
        costs = {one.name: true_cost(one, promise) for one in carriers}
        ranked = sorted(costs.values())
        if min(costs, key=lambda one: costs[one]) != "alpha" and ranked[0] < (1 - gap) * ranked[1]:
            break
    lure = replace(carriers[0], name="echo", share=0.1, lost=0.001, returned=0.0, days=days * 0.6, postage=3.5)
    world = World(seed, [*carriers, lure], promise, per_day, {**costs, "echo": true_cost(lure, promise)}, ("echo",))
    kind = int(rng.integers(0, 3))
    if kind == 0:
        rule = {"rule_id": "R1", "effect": "refuse", "destination": "RU", "carrier": "echo", "product": "tablet"}
        return replace(world, events=[_event("rule.declared.v1", "R1", 0.0, rule)])
    if kind == 1:
        offer = {"carrier": "echo", "destination": "RU", "postage": _usd(3.5), "refuses": ["battery"]}
        return replace(world, attributes=("battery",), events=[_event("carrier.offered.v1", "O1", 0.0, offer)])
    offer = {"carrier": "echo", "destination": "RU", "postage": _usd(3.5), "valid_to": _time(1.0)}
    return replace(world, events=[_event("carrier.offered.v1", "O1", 0.0, offer)])


def equal(seed: int, per_day: float = 20.0) -> World:
    """A world whose carriers are all alike."""
    rng = np.random.default_rng([seed, 2])
    days = rng.uniform(10, 30)
    one = Carrier(
        "alpha",
        0.5,
        days,
        rng.uniform(0.2, 0.4),
        rng.uniform(0.003, 0.05),
        rng.uniform(0.0, 0.03),
        round(float(rng.uniform(4.0, 8.0)), 2),
    )
    carriers = [one, replace(one, name="bravo", share=0.3), replace(one, name="charlie", share=0.2)]
    promise = int(days * rng.uniform(1.0, 1.4))
    return World(seed, carriers, promise, per_day, dict.fromkeys((c.name for c in carriers), true_cost(one, promise)))


def _usd(amount: float) -> dict[str, str]:
    return {"amount": f"{amount:.2f}", "currency": "USD"}


def _time(day: float) -> str:
    return (START + timedelta(seconds=round(day * 86_400))).isoformat()


def _event(kind: str, subject: str, at: float, data: dict[str, Any], known: float = 0.0) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{kind}/{subject}/{data.get('milestone', '')}",
        "source": "world",
        "type": kind,
        "subject": subject,
        "time": _time(at),
        "recordedtime": _time(at + known),
        "data": data,
    }


def events(world: World, days: int) -> list[bytes]:
    """The events of the first ``days`` days, as lines."""
    told = [*world.events, *_parcels(world, days)]
    end = _time(days)
    return [json.dumps(one).encode() for one in told if one.get("recordedtime", "") <= end]


def _parcels(world: World, days: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng([world.seed, 3])
    shares = np.array([one.share for one in world.carriers])
    shocks = rng.normal(0.0, WEEK_SHOCK, (days // 7 + 1, len(world.carriers)))
    number = 0
    for day in range(days):
        for which in rng.choice(len(shares), rng.poisson(world.per_day), p=shares / shares.sum()):
            number += 1
            yield from _parcel(world, world.carriers[which], f"P{number}", day, float(shocks[day // 7, which]), rng)


def _parcel(
    world: World, carrier: Carrier, id_: str, day: int, shock: float, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    at = day + rng.uniform(0.3, 0.8)
    data = {
        "parcel_id": id_,
        "destination": "RU",
        "product": "tablet",
        "carrier": carrier.name,
        "promised_days": world.promise,
        "postage": _usd(carrier.postage),
        "declared_value": _usd(VALUE),
    }
    if world.attributes and rng.random() < 0.05:
        data["attributes"] = list(world.attributes)
    yield _event("parcel.registered.v1", id_, at, data)
    total = float(carrier.durations(rng, 1, shock)[0])
    fate = rng.random()
    left = at + 0.15 * total
    yield _scan(id_, "departed_origin", left, rng)
    if fate < carrier.lost:
        if rng.random() < 0.6:
            yield _complaint(id_, at + world.promise * rng.uniform(1.2, 2.2))
        return
    if fate < carrier.lost + carrier.returned:
        yield _scan(id_, "returned", at + total * 1.8, rng)
        return
    yield _scan(id_, "arrived_destination", at + 0.75 * total, rng)
    yield _scan(id_, "delivered", at + total, rng)
    if rng.random() < float(_complains(np.array([total]), world.promise)[0]):
        yield _complaint(id_, at + min(total, 1.2 * world.promise) + rng.uniform(0, 5))


def _scan(id_: str, milestone: str, at: float, rng: np.random.Generator) -> dict[str, Any]:
    return _event("parcel.scanned.v1", id_, at, {"parcel_id": id_, "milestone": milestone}, rng.uniform(0.05, 1.5))


def _complaint(id_: str, at: float) -> dict[str, Any]:
    data = {"complaint_id": f"C{id_}", "parcel_id": id_, "kind": "not_received"}
    return _event("complaint.opened.v1", id_, at, data, 0.05)
