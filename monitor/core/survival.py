"""Kaplan–Meier from integer histograms, parcels in flight counted.

The field averages delivered parcels and so hears of a slow channel last: a parcel still on its way says at least
as much. Here it is at risk until now (right-censored), and so are lost and returned parcels until their end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.core.intervals import Z95


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of time and its 95% interval, in the unit of the curve; None where the curve does not get there."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """A survival curve at the times of exits: S(t), and its pointwise 95% interval (log(−log) scale).

    Kaplan and Meier 1958; variance by Greenwood; interval by Kalbfleisch and Prentice, on the scale log(−log S), so
    that it stays in [0, 1].
    """

    time: NDArray[np.float64]
    survival: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def quantile(self, p: float) -> Quantile:
        """First time at which a share ``p`` has left; interval by inverting the pointwise one (Brookmeyer–Crowley).

        The ends are the first times at which the interval's lower and upper curve are at or below 1 − p.
        """
        at = 1.0 - p + 1e-12

        def first(curve: NDArray[np.float64]) -> float | None:
            hits = np.flatnonzero(curve <= at)
            return float(self.time[hits[0]]) if hits.size else None

        return Quantile(first(self.survival), first(self.low), first(self.high))


def kaplan_meier(exits: Mapping[int, int], censored: Mapping[int, int]) -> Curve:
    """Curve of exits and censorings counted by whole time; at a tie, exits come before censorings.

    Counts below one are left out (a histogram of signed changes may hold zeros).

    >>> curve = kaplan_meier({2: 1, 4: 1}, {3: 1, 5: 1})
    >>> [round(float(s), 3) for s in curve.survival]
    [0.75, 0.375]
    """
    times = sorted({t for t, n in exits.items() if n > 0} | {t for t, n in censored.items() if n > 0})
    if not times:
        empty = np.empty(0)
        return Curve(empty, empty, empty, empty)
    d = np.array([max(exits.get(t, 0), 0) for t in times], dtype=np.float64)
    q = np.array([max(censored.get(t, 0), 0) for t in times], dtype=np.float64)
    gone = np.concatenate(([0.0], np.cumsum(d + q)[:-1]))
    at_risk = d.sum() + q.sum() - gone
    survival = np.cumprod(1.0 - d / at_risk)
    left = at_risk - d
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(np.where(left > 0, d / (at_risk * left), 0.0))
        log_s = np.log(survival)
        half = Z95 * np.sqrt(greenwood) / np.abs(log_s)
        low = np.where(survival < 1, np.exp(log_s * np.exp(half)), 1.0)
        high = np.where(survival < 1, np.exp(log_s * np.exp(-half)), 1.0)
    # At S = 0 the variance is not defined: nothing is known beyond the previous step.
    end = survival <= 0
    if end.any():
        previous = np.concatenate(([1.0], high[:-1]))
        low = np.where(end, 0.0, low)
        high = np.where(end, np.where(previous < 1, previous, 1.0), high)
    keep = d > 0
    return Curve(np.array(times, dtype=np.float64)[keep], survival[keep], low[keep], high[keep])
