"""What an accepted switch brought: measured on the parcels registered afterwards, beside what was forecast.

From the first whole week after the answer on, the parcels of the carrier that was left and of the one that was taken
are compared by the same cost (:mod:`monitor.core.switch.cost`), each counting once and hardly drawn towards others
(``STRENGTH`` of the usual prior), so that the measurement owes nothing to the forecast. Where the old carrier has too
few parcels left, what it was believed to cost at the answer stands for it.

    moved = max(n_new − share_before · n_lane, 0)        saved = moved · (C_old − C_new)

State machine of an accepted switch:

    too_early ──parcels enough──▶ measured
    too_early ──``PATIENCE_DAYS`` over, and hardly any parcel moved──▶ not_followed
    any ──``recent_days`` over──▶ final: it changes no more; ──declined──▶ forgotten

It is as forecast where the measured saving lies within the forecast's 90% interval, both doubts together. Regret is
what a parcel of the new carrier cost more than one of the cheapest carrier that might be used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

from monitor.core.events import from_us
from monitor.core.switch.cost import Z90, Cost, exact
from monitor.core.switch.money import Money, interval

TOO_EARLY, MEASURED, NOT_FOLLOWED = "too_early", "measured", "not_followed"
STATES: Final = (TOO_EARLY, MEASURED, NOT_FOLLOWED)
PATIENCE_DAYS: Final = 21
LEAST_MOVED: Final = 0.03  # of the lane's parcels: below that nobody has followed the advice
STRENGTH: Final = 0.05
#: Switches that are kept of a lane.
KEPT: Final = 8
#: Advice is wrong too often where, of the last ``LAST`` measured switches, at least ``LEAST``, it is ``SURE`` that less
#: than ``OFTEN`` pay.
LAST, LEAST, OFTEN, SURE = 20, 5, 0.7, 0.9


class Accepted(Struct, array_like=True):
    """A switch that a person accepted. Times in µs; ratios of the lane's parcels; amounts in ``currency``."""

    advice_id: str
    from_carrier: str
    to_carrier: str
    at_us: int
    by: str
    currency: str
    share: float  # that was to be moved
    share_before: float  # of the new carrier
    forecast: Money  # saving of a parcel
    cost_before: Money  # of a parcel of the old carrier
    promised_days: float | None
    state: str = TOO_EARLY
    is_final: bool = False
    measured_us: int = 0
    parcels: int = 0  # of the new carrier
    moved: float = 0.0  # parcels
    same_days: bool = False  # the old carrier was measured on the same days
    saving: Money | None = None
    probability: float | None = None  # that it paid
    saved: Money | None = None
    as_forecast: bool | None = None
    regret: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """A carrier since the answer: parcels registered, and the cost of one; None while the end of too few is known."""

    parcels: int
    cost: Cost | None


def settle(one: Accepted, old: Arm, new: Arm, others: Iterable[Cost], lane_parcels: int, at_us: int) -> None:
    """Enter what was measured. ``others``: costs of carriers that may be used; ``lane_parcels`` were registered on the
    lane since."""
    one.measured_us = at_us
    one.parcels = new.parcels
    one.moved = round(max(new.parcels - one.share_before * lane_parcels, 0.0), 3)
    if one.moved < LEAST_MOVED * lane_parcels or lane_parcels == 0:
        one.state = NOT_FOLLOWED if at_us - one.at_us >= PATIENCE_DAYS * 86_400_000_000 else TOO_EARLY
        return
    if new.cost is None:
        one.state = TOO_EARLY
        return
    one.same_days = old.cost is not None
    before = _cost_of(one.cost_before) if old.cost is None else old.cost
    saving = before.less(new.cost)
    one.state = MEASURED
    one.saving = interval(saving)
    one.probability = round(saving.above(Decimal(0)), 6)
    one.saved = interval(saving.times(exact(one.moved)))
    doubt = math.hypot(saving.deviation, _deviation(one.forecast))
    one.as_forecast = abs(float(saving.mean - one.forecast.value)) <= Z90 * doubt
    cheapest = min([before.mean, new.cost.mean, *(cost.mean for cost in others)])
    one.regret = round(new.cost.mean - cheapest, 4)


def _deviation(amount: Money) -> float:
    return float(amount.high - amount.low) / (2 * Z90)


def _cost_of(amount: Money) -> Cost:
    return Cost(amount.value, exact(_deviation(amount) ** 2), Decimal(0))


@dataclass(frozen=True, slots=True)
class Balance:
    """The accepted switches of all lanes together. ``saved`` by currency; ``regret`` is a mean per parcel."""

    accepted: int
    measured: int
    paid: int
    not_followed: int
    as_forecast: int
    saved: dict[str, Money]
    regret: dict[str, Decimal]
    is_warned: bool


def balance(taken: Iterable[Accepted]) -> Balance:
    """Add up what switches brought. Savings are independent, so their variances add up."""
    every = sorted(taken, key=lambda one: (one.at_us, one.advice_id))
    told = [one for one in every if one.state == MEASURED and one.saving is not None and one.saved is not None]
    paid = [one for one in told if one.saving is not None and one.saving.value > 0]
    saved: dict[str, Money] = {}
    regret: dict[str, Decimal] = {}
    for currency in sorted({one.currency for one in told}):
        mine = [one for one in told if one.currency == currency]
        sums = [one.saved for one in mine if one.saved is not None]
        variance = sum(_deviation(one) ** 2 for one in sums)
        saved[currency] = interval(Cost(sum((one.value for one in sums), Decimal(0)), exact(variance), Decimal(0)))
        regrets = [one.regret for one in mine if one.regret is not None]
        regret[currency] = round(sum(regrets, Decimal(0)) / len(regrets), 4)
    return Balance(
        len(every),
        len(told),
        len(paid),
        sum(one.state == NOT_FOLLOWED for one in every),
        sum(bool(one.as_forecast) for one in told),
        saved,
        regret,
        is_wrong_too_often([one.saving.value > 0 for one in told if one.saving is not None][-LAST:]),
    )


def is_wrong_too_often(paid: Sequence[bool]) -> bool:
    """Whether it is sure enough that too few switches pay, given which of the last ones did.

    The share that pays has a Beta(1 + k, 1 + n − k) posterior; P(share ≤ q) is the chance of more than k successes in
    n + 1 trials of chance q.

    >>> is_wrong_too_often([False] * 5), is_wrong_too_often([True, False, True, True, True])
    (True, False)
    """
    n, k = len(paid), sum(paid)
    if n < LEAST:
        return False
    below = sum(math.comb(n + 1, i) * OFTEN**i * (1 - OFTEN) ** (n + 1 - i) for i in range(k + 1, n + 2))
    return below > SURE


def warning(found: Balance) -> str:
    """What is said before any advice to switch while advice is wrong too often; else nothing."""
    if not found.is_warned:
        return ""
    return (
        f"Of {found.measured} accepted switches that could be measured, only {found.paid} paid: look at the figures "
        "before following this."
    )


def outcome_record(lane: str, one: Accepted) -> dict[str, Any]:
    """An accepted switch as it is shown. ``lane``: country, a bar, product."""
    country, product = lane.split("|")
    return {
        "recommendation_id": one.advice_id,
        "lane": {"country": country, "product": product},
        "from_carrier": one.from_carrier,
        "to_carrier": one.to_carrier,
        "accepted_at": from_us(one.at_us),
        "accepted_by": one.by or None,
        "share_to_move": one.share,
        "state": one.state,
        "final": one.is_final,
        "as_of": from_us(one.measured_us) if one.measured_us else None,
        "parcels": one.parcels,
        "parcels_moved": one.moved,
        "against": None if one.saving is None else "same_days" if one.same_days else "before",
        "forecast_per_parcel": _record(one.forecast, one.currency),
        "saving_per_parcel": _record(one.saving, one.currency),
        "probability_paid": one.probability,
        "saved": _record(one.saved, one.currency),
        "as_forecast": one.as_forecast,
        "regret_per_parcel": None if one.regret is None else float(one.regret),
    }


def balance_record(found: Balance) -> dict[str, Any]:
    """The sum of all accepted switches as it is shown."""
    return {
        "accepted": found.accepted,
        "measured": found.measured,
        "paid": found.paid,
        "not_followed": found.not_followed,
        "as_forecast": found.as_forecast,
        "saved": [_record(amount, currency) for currency, amount in found.saved.items()],
        "regret_per_parcel": {currency: float(amount) for currency, amount in found.regret.items()},
        "warning": warning(found) or None,
    }


def _record(amount: Money | None, currency: str) -> dict[str, Any] | None:
    return None if amount is None else amount.record(currency)
