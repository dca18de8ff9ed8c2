"""Complaints to expect if nothing is done: a Gamma–Poisson forecast from the trailing count.

With a Gamma(1/2, 0) prior (Jeffreys) and ``k`` complaints in ``seen_days``, the count in the next ``ahead_days`` is
negative binomial with shape k + 1/2 and success probability seen / (seen + ahead). Assumes that the rate stays
what it was; see Gelman et al., Bayesian Data Analysis, section 2.6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected count and a 90% interval (5% and 95% quantiles of the predictive distribution)."""

    expected: float
    low: float
    high: float


def complaints_ahead(k: int, seen_days: float, ahead_days: float = 14.0) -> Forecast:
    """Forecast of a count. ``k`` ≥ 0 in ``seen_days`` > 0.

    >>> complaints_ahead(28, 28).expected
    14.25
    """
    if k < 0 or seen_days <= 0 or ahead_days <= 0:
        raise ValueError(f"needs k >= 0 and days > 0; got k={k}, seen_days={seen_days}, ahead_days={ahead_days}")
    shape = k + 0.5
    stay = seen_days / (seen_days + ahead_days)
    expected = shape * ahead_days / seen_days
    log_p = shape * math.log(stay)
    log_more = math.log1p(-stay)
    total, low, n = 0.0, -1, 0
    while True:
        total += math.exp(log_p)
        if low < 0 and total >= 0.05:
            low = n
        if total >= 0.95 or n > 20 * expected + 1000:
            return Forecast(round(expected, 6), float(low), float(n))
        log_p += log_more + math.log((shape + n) / (n + 1))
        n += 1
