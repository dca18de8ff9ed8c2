"""Cost of a parcel with a carrier, and how probable it is that one is cheaper than another.

    C = postage · (1 + p_returned) + p_lost · value + p_arrives · c_late · E[(T − promise)⁺] + p_complaint · c_complaint

A parcel that comes back is sent once more. The first three cumulants of the posterior of C are the sums of those of its
parts, which are Beta, Gamma or known; what the difference of two carriers exceeds follows from the three by a
Pearson type III distribution, whose quantiles are those of Wilson and Hilferty (PNAS 17, 1931, 684): within 0.015 of
the probability where the posteriors are as skewed as those of a few dozen parcels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from monitor.core.baseline import Floats

_MOST_SKEW: Final = 1.5
Z90: Final = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class Cost:
    """Cumulants of the posterior of an amount of money."""

    mean: Decimal
    variance: Decimal
    third: Decimal

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.mean + other.mean, self.variance + other.variance, self.third + other.third)

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        return math.sqrt(self.variance)

    def less(self, other: Cost) -> Cost:
        """This amount less another that is independent of it."""
        return Cost(self.mean - other.mean, self.variance + other.variance, self.third - other.third)

    def times(self, amount: Decimal) -> Cost:
        """So many times as much."""
        return Cost(self.mean * amount, self.variance * amount**2, self.third * amount**3)

    def above(self, bound: Decimal) -> float:
        """Probability that the amount is greater than ``bound``."""
        sd = self.deviation
        if sd <= 0:
            return float(self.mean > bound)
        skew = _skew(self)
        x = float(bound - self.mean) / sd
        if abs(skew) < 1e-4:
            return _upper(x)
        base = skew * x / 2 + 1
        if base <= 0:  # beyond the end of the distribution
            return 1.0 if skew > 0 else 0.0
        return _upper(6 / skew * (base ** (1 / 3) - 1) + skew / 6)

    def quantile(self, z: float) -> Decimal:
        """The quantile that a standard normal variable has at ``z``."""
        sd, skew = self.deviation, _skew(self)
        k = z if abs(skew) < 1e-4 else 2 / skew * ((1 + skew * z / 6 - skew**2 / 36) ** 3 - 1)
        return self.mean + exact(sd * k)


NOTHING: Final = Cost(Decimal(0), Decimal(0), Decimal(0))


def _skew(cost: Cost) -> float:
    sd = cost.deviation
    return 0.0 if sd <= 0 else max(min(float(cost.third) / sd**3, _MOST_SKEW), -_MOST_SKEW)


def _upper(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


def exact(value: float) -> Decimal:
    """A number as a decimal of twelve significant digits."""
    return Decimal(f"{value:.12g}")


def of_beta(beta: Floats) -> Cost:
    """Cumulants of a Beta(a, b) share."""
    a, b = float(beta[0]), float(beta[1])
    n = a + b
    variance = a * b / (n * n * (n + 1))
    third = 2 * (b - a) * a * b / (n**3 * (n + 1) * (n + 2))
    return Cost(exact(a / n), exact(variance), exact(third))


def of_gamma(gamma: Floats) -> Cost:
    """Cumulants of a rate with a Gamma(count, parcels) posterior."""
    count, n = float(gamma[0]), float(gamma[1])
    return Cost(exact(count / n), exact(count / n**2), exact(2 * count / n**3))
