"""Complaints to expect in the next 14 days if nothing is done, with a 90% interval.

Two parts, summed over the channels:

* that nothing came: the parcels open now, by days past their promised day, each with its chance to stay undelivered and
  its buyer's chance to complain; the channel's own level is Gamma(shape, ·), so its count is negative binomial (Gelman
  et al., Bayesian Data Analysis, section 2.6). It is the chain-ladder view of claims that are incurred but not
  reported: what is to come by what is open and how old it is (Kaminsky, Prediction of IBNR claim counts by modelling
  the distribution of report lags, Insurance: Mathematics and Economics 6, 1987).
* all others: k complaints in the trailing 28 days and a Gamma(0.1, 0) prior, so their rate stays what it was.

How many parcels arrive meanwhile is the doubtful figure. Let e be what is expected, and u what comes if no parcel
arrives any more. The parcels of a channel with an incident will be slower than what has been seen of them yet: its mean
rises by ``SLOWER`` (u − e). Every channel has a standard deviation of ``DOUBT`` (u − e) more; those with an incident
share what is wrong, so their doubts are one and the same. Both constants go by severity and were set on simulated
worlds (docs/detection.md). The sum is taken as negative binomial with that mean and variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core import cells as c
from monitor.core.channel import Channel
from monitor.core.overdue import Usual, look_ahead

AHEAD_DAYS: Final = 14
TRAILING_DAYS: Final = 28
OTHERS_PRIOR: Final = 0.1
#: By the severity of the channel's open incident; empty where it has none.
SLOWER: Final = {"": 0.0, "ticket": 0.1, "page": 0.3}
DOUBT: Final = {"": 0.2, "ticket": 0.2, "page": 0.4}
TAIL: Final = 0.05


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected count and a 90% interval, which holds the expected count."""

    expected: float
    low: float
    high: float


def complaints_ahead(channels: Sequence[Channel], usual: Usual, today: int, severities: Sequence[str]) -> Forecast:
    """Forecast for some channels together, from the state at the begin of the UTC day ``today`` or later that day.

    ``usual``: what all channels of the fleet have shown. ``severities``: of the incident of each of the
    channels (``ticket``, ``page``), empty for none.
    """
    mean = variance = 0.0
    if channels:
        outlook = look_ahead(channels, usual, AHEAD_DAYS)
        doubt = (outlook.unmoved - outlook.expected).clip(0.0)
        late = outlook.expected + np.array([SLOWER[one] for one in severities]) * doubt
        doubt *= np.array([DOUBT[one] for one in severities])
        ill = np.array([one != "" for one in severities])
        mean += float(late.sum())
        variance += float((late + late**2 / outlook.shape + (doubt * ~ill) ** 2).sum())
        variance += float(doubt[ill].sum()) ** 2
    share = AHEAD_DAYS / TRAILING_DAYS
    for channel in channels:
        k = others_in(channel, today)
        mean += (k + OTHERS_PRIOR) * share
        variance += (k + OTHERS_PRIOR) * share * (1 + share)
    return predictive(mean, variance)


def others_in(channel: Channel, today: int) -> int:
    """Complaints opened on the ``TRAILING_DAYS`` UTC days before ``today``, but those that the open parcels explain."""
    every, late = c.COMPLAINT_DAY << 40, c.OVERDUE_COMPLAINT << 40
    days = (channel.recent.get(day, {}) for day in range(today - TRAILING_DAYS, today))
    return max(sum(counters.get(every, 0) - counters.get(late, 0) for counters in days), 0)


def predictive(mean: float, variance: float) -> Forecast:
    """Negative binomial with ``mean`` ≥ 0 and ``variance`` > ``mean`` (at its bound: Poisson), and its 90% interval.

    The ends are mid-P quantiles: half of the chance of a count is taken to lie below it, so that intervals of small
    counts do not hold much more than they say (Agresti and Gottard, Computational Statistics & Data Analysis 51, 2007).

    >>> predictive(14.25, 21.375)
    Forecast(expected=14.25, low=8.0, high=22.0)
    """
    if mean < 0 or not variance >= mean or math.isinf(variance):
        raise ValueError(f"needs 0 <= mean <= variance < infinity; got mean={mean}, variance={variance}")
    if mean < 1e-9:
        return Forecast(0.0, 0.0, 0.0)
    shape = mean * mean / max(variance - mean, 1e-6 * mean)
    log_p = -shape * math.log1p(mean / shape)
    log_more = math.log(mean / (shape + mean))
    below, low, n = 0.0, -1, 0
    while True:
        chance = math.exp(log_p)
        middle = below + chance / 2
        if low < 0 and middle >= TAIL:
            low = n
        if middle >= 1 - TAIL or n > 20 * mean + 1000:
            break
        below += chance
        log_p += log_more + math.log((shape + n) / (n + 1))
        n += 1
    high = max(n - 1, low, math.ceil(mean))
    return Forecast(round(mean, 6), float(min(low, math.floor(mean))), float(high))
