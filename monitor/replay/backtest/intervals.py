"""Figures with their 95% intervals: medians by order statistics, shares after Wilson, rates after Byar."""

from __future__ import annotations

import math
from collections.abc import Sequence

from monitor.core.intervals import poisson, wilson
from monitor.wire.backtest import Bounds, Spread


def median_ranks(n: int) -> tuple[int, int] | None:
    """Ranks (from 1) of the order statistics between which the median lies with at least 95%; None below n = 6.

    The largest r with P(X < r) ≤ 0.025 for X binomial with n and 1/2, and n + 1 − r; no assumption is made about the
    distribution (David and Nagaraja, *Order Statistics*, section 7.1).

    >>> median_ranks(6), median_ranks(10), median_ranks(5)
    ((1, 6), (2, 9), None)
    """
    below, r = 0, 0
    while 40 * (below + math.comb(n, r)) <= 2**n:
        below += math.comb(n, r)
        r += 1
    return (r, n + 1 - r) if r else None


def quantile(ordered: Sequence[float], p: float) -> float:
    """The quantile ``p`` of sorted values, linear between them (type 7 of Hyndman and Fan)."""
    at = p * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def spread(values: Sequence[float]) -> tuple[float | None, Spread]:
    """The median of some days and what belongs beside it."""
    n = len(values)
    if not n:
        return None, Spread(q25=None, q75=None, low=None, high=None, n=0)
    ordered = sorted(values)
    ranks = median_ranks(n)
    low, high = (None, None) if ranks is None else (ordered[ranks[0] - 1], ordered[ranks[1] - 1])
    q25, middle, q75 = (round(quantile(ordered, p), 2) for p in (0.25, 0.5, 0.75))
    return middle, Spread(q25=q25, q75=q75, low=low, high=high, n=n)


def share(k: int, n: int) -> tuple[float | None, Bounds]:
    """``k`` of ``n`` and its interval; null at n = 0."""
    if not n:
        return None, Bounds(low=None, high=None, n=0)
    low, high = wilson(k, n)
    return round(k / n, 6), Bounds(low=round(low, 6), high=round(high, 6), n=n)


def rate(k: int, weeks: float, scale: float) -> tuple[float | None, Bounds]:
    """``k`` events in ``weeks`` channel-weeks, times ``scale``, and its interval; null without weeks."""
    weeks = round(weeks, 2)
    if not weeks:
        return None, Bounds(low=None, high=None, n=0)
    low, high = poisson(k)
    return round(k / weeks * scale, 6), Bounds(
        low=round(low / weeks * scale, 6), high=round(high / weeks * scale, 6), n=weeks
    )
