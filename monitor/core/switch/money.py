"""An amount of money with its 90% interval, as it is kept and shown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Struct

from monitor.core.switch.cost import Z90, Cost
from monitor.core.switch.terms import money


class Money(Struct, array_like=True, frozen=True):
    """An amount and its 90% interval, in a currency that is said elsewhere."""

    value: Decimal
    low: Decimal
    high: Decimal

    def record(self, currency: str) -> dict[str, Any]:
        """The amount as the contract writes it."""
        return {"value": float(self.value), "low": float(self.low), "high": float(self.high), "currency": currency}


def interval(cost: Cost) -> Money:
    """An amount with its 90% interval."""
    return Money(money(cost.mean), money(cost.quantile(-Z90)), money(cost.quantile(Z90)))
