"""Money and bars of the carrier switch: what the operator says in the settings ``[switch]``.

Amounts are decimal; each is in ``currency``. What events say in another currency counts by the rate that held on
its day; an amount in a currency without a rate is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

#: Money in states is whole ten-thousandths of a unit of its currency.
UNITS: Final = 10_000
#: A larger amount for one parcel is no money anybody pays, and is not counted.
MOST: Final = 10**9
_CENT: Final = Decimal("0.0001")
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Rate:
    """From ``since`` (UTC date) on, one unit of ``currency`` is worth ``rate`` units of the currency of the terms."""

    currency: str
    since: date
    rate: Decimal


#: Rounded rates to US dollars of early 2026, so that a log in one of these currencies can be compared at all.
DEFAULT_RATES: Final = tuple(
    Rate(currency, date(2000, 1, 1), Decimal(rate))
    for currency, rate in (
        ("AUD", "0.67"),
        ("CAD", "0.72"),
        ("CNY", "0.14"),
        ("EUR", "1.17"),
        ("GBP", "1.34"),
        ("HKD", "0.128"),
        ("JPY", "0.0064"),
        ("RUB", "0.0125"),
        ("USD", "1"),
    )
)


def _bounds(low: float, high: float, text: str) -> dict[str, Any]:
    return {"low": low, "high": high, "text": text}


_CURRENCY: Final = "ISO 4217 code of the currency of all amounts of [switch]"
_VALUE: Final = "what a lost parcel costs where none on the lane states a declared value"
_CAUTION: Final = "how many standard deviations of the saving are added to the margin, for it is looked at every day"


@dataclass(frozen=True, slots=True)
class SwitchTerms:
    """What a parcel's failings cost, and when a switch is advised. Raises :class:`ValueError` naming term and bound."""

    currency: str = field(default="USD", metadata={"text": _CURRENCY})
    value: Decimal = field(default=Decimal("30.00"), metadata=_bounds(0, 10**6, _VALUE))
    late_per_day: Decimal = field(
        default=Decimal("0.50"), metadata=_bounds(0, 10**6, "what each day after the promised day costs")
    )
    complaint: Decimal = field(
        default=Decimal("8.00"), metadata=_bounds(0, 10**6, "what a complaint costs besides the refund")
    )
    margin: Decimal = field(
        default=Decimal("0.10"), metadata=_bounds(0, 10**6, "a carrier is not left for a smaller saving per parcel")
    )
    margin_ratio: float = field(
        default=0.05, metadata=_bounds(0, 1, "nor for a smaller share of what a parcel costs with it")
    )
    caution: float = field(default=0.2, metadata=_bounds(0, 10, _CAUTION))
    probability: float = field(
        default=0.85, metadata=_bounds(0.5, 1, "how probable it must be that the other carrier saves more than that")
    )
    back_probability: float = field(
        default=0.95, metadata=_bounds(0.5, 1, "the same for a carrier that was left less than 90 days ago")
    )
    min_parcels: int = field(
        default=20, metadata=_bounds(1, 100_000, "a carrier with fewer parcels whose end is known is not judged")
    )
    half_life_days: float = field(default=40.0, metadata=_bounds(1, 365, "days after which a parcel counts half"))
    max_share: float = field(
        default=0.7, metadata=_bounds(0.05, 1, "no advice gives one carrier a larger share of a lane")
    )
    max_step: float = field(
        default=0.5, metadata=_bounds(0.01, 1, "largest share of a lane that is moved by one advice")
    )
    papers: tuple[str, ...] = field(default=(), metadata={"text": "papers at hand, which rules may require"})
    rates: tuple[Rate, ...] = field(
        default=DEFAULT_RATES, metadata={"text": "what other currencies are worth, each from a day on"}
    )

    def __post_init__(self) -> None:
        for spec in fields(self):
            if "low" not in spec.metadata:
                continue
            value, low, high = getattr(self, spec.name), spec.metadata["low"], spec.metadata["high"]
            if isinstance(value, bool) or not isinstance(value, type(spec.default) | int):
                raise ValueError(f"switch.{spec.name} must be a number, it is {value!r}")
            if not low <= value <= high:
                raise ValueError(f"switch.{spec.name} is {value}; it must lie between {low} and {high}")
        if self.back_probability < self.probability:
            raise ValueError(
                f"back_probability ({self.back_probability}) must not be less than probability ({self.probability})"
            )
        if any(rate.rate <= 0 for rate in self.rates):
            raise ValueError("every rate must be greater than 0")

    def rate(self, currency: str, day: int) -> Decimal | None:
        """What one unit of ``currency`` was worth on a UTC day number; None where no rate is known.

        >>> SwitchTerms().rate("CNY", 20_000)
        Decimal('0.14')
        """
        if currency == self.currency:
            return Decimal(1)
        held = [(one.since, one.rate) for one in self.rates if one.currency == currency]
        past = [(since, rate) for since, rate in held if (since - _EPOCH).days <= day]
        return max(past)[1] if past else None

    def as_dict(self) -> dict[str, str]:
        """All terms as texts: equal texts, equal terms."""
        return {spec.name: repr(getattr(self, spec.name)) for spec in fields(self)}


def to_units(amount: str) -> int | None:
    """An amount as whole ten-thousandths; None for one that is negative or larger than ``MOST``.

    >>> to_units("12.30"), to_units("-1")
    (123000, None)
    """
    value = Decimal(amount)
    if not 0 <= value <= MOST:
        return None
    return int((value * UNITS).to_integral_value(ROUND_HALF_EVEN))


def money(value: Decimal) -> Decimal:
    """An amount rounded to ten-thousandths."""
    return value.quantize(_CENT, ROUND_HALF_EVEN)
