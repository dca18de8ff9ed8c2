"""What a carrier does to a parcel on a lane, with parcels in flight: loss, return, duration, complaints.

A share p of the parcels never arrives; the time of the others is log-normal. An open parcel of age a is lost with
the probability

    π(a) = p / (p + (1 − p) S(a))

and counts as π(a)·F(a) lost ones (F = 1 − S): a young one says nothing, an old one almost everything, and the ratio of
expected counts is p at every age. The durations are fitted by expectation–maximisation, where an open parcel enters
with the weight 1 − π(a) and the moments of a normal distribution cut off at ln a (cure model with censoring: Boag 1949;
Maller and Zhou, "Survival Analysis with Long-Term Survivors", 1996).

Each level (whole, country, country × carrier, carrier on the lane) has the one before as its prior, with the weight of
``KAPPA`` parcels. Loss and return have Beta posteriors, complaints a Gamma posterior, ln T a normal one whose
variance also allows for shocks that parcels of one week share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr

from monitor.core.baseline import Floats, Ints
from monitor.core.switch.counts import ENDS, LN_DAYS, Weighed

#: Weight of a prior in parcels: for rates, and for durations.
KAPPA_RATE: Final = 80.0
KAPPA_TIME: Final = 5.0
#: Standard deviation of the shocks of a week on ln T, and how much more than binomial the counts of losses vary.
WEEK_SHOCK: Final = 0.06
DISPERSION: Final = 1.5
#: What is believed before any parcel: median of 15 days, spread of ln T, shares lost, returned and complained about.
PRIOR_LN_DAYS: Final = math.log(15.0)
PRIOR_VARIANCE: Final = 0.16
PRIOR_LOST: Final = 0.02
PRIOR_RETURNED: Final = 0.02
PRIOR_COMPLAINED: Final = 0.02
#: Rounds of the fit of the whole, which begins far off, and of the levels below.
FIRST_ROUNDS: Final = 30
ROUNDS: Final = 10
_LN_AGE: Final = np.log(np.concatenate(([0.5], (ENDS[:-2] + ENDS[1:-1]) / 2, [130.0])))
_LN_SQRT_2PI: Final = math.log(2 * math.pi) / 2
_FAR: Final = 35.0  # standard deviations up to which Φ(−z) is more than zero


@dataclass(frozen=True, slots=True)
class Posterior:
    """Of some rows. ``lost`` and ``returned``: Beta ``[row, 2]``; ``complained``: Gamma (count, parcels) ``[row, 2]``;
    ``ln_days``: mean of ln T, ``variance`` of ln T, ``doubt``: variance of that mean, ``ln_sd_doubt``: variance of the
    logarithm of the standard deviation; ``known``: parcels whose end is known, weighted."""

    lost: Floats
    returned: Floats
    complained: Floats
    ln_days: Floats
    variance: Floats
    doubt: Floats
    ln_sd_doubt: Floats
    known: Floats

    def take(self, rows: Ints) -> Posterior:
        """Some rows of it."""
        return Posterior(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: Sequence[Posterior]) -> Posterior:
        """The rows of all of them."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def means(self) -> tuple[Floats, Floats, Floats]:
        """Mean shares lost, returned, complained about."""
        return _share(self.lost), _share(self.returned), self.complained[:, 0] / self.complained[:, 1]


def _share(beta: Floats) -> Floats:
    found: Floats = beta[:, 0] / beta.sum(axis=1)
    return found


def of_nothing() -> Posterior:
    """What is believed before any parcel, as one row."""
    return Posterior(
        np.array([[PRIOR_LOST, 1 - PRIOR_LOST]]) * KAPPA_RATE,
        np.array([[PRIOR_RETURNED, 1 - PRIOR_RETURNED]]) * KAPPA_RATE,
        np.array([[PRIOR_COMPLAINED, 1.0]]) * KAPPA_RATE,
        np.array([PRIOR_LN_DAYS]),
        np.array([PRIOR_VARIANCE]),
        np.array([PRIOR_VARIANCE / KAPPA_TIME]),
        np.array([0.1]),
        np.array([0.0]),
    )


def update(prior: Posterior, seen: Weighed, exposed: Floats, rounds: int = ROUNDS, strength: float = 1.0) -> Posterior:
    """The posterior of each row, given a prior for each; ``exposed``: parcels by what share of their complaints would
    have come by now; ``strength``: of the usual weight of a prior."""
    rate, time = KAPPA_RATE * strength, KAPPA_TIME * strength
    p0, r0, q0 = prior.means()
    mu0, var0 = prior.ln_days, prior.variance
    mu, var, p = mu0, var0, p0 / 4  # from "late, not lost": the other way round a fit may stay where it began
    lost_open = np.zeros_like(p0)
    timed = seen.delivered.sum(axis=1)
    first, second = ((seen.delivered * power).sum(axis=1) for power in (LN_DAYS, np.square(LN_DAYS)))
    some = np.flatnonzero(seen.open.any(axis=0))  # bins with open parcels
    open_, ln_age = seen.open[:, some], _LN_AGE[some]
    weight, info = np.zeros_like(open_), np.zeros_like(open_)
    known = timed + seen.untimed + seen.returned + seen.lost
    first, second = first + time * mu0, second + time * (var0 + mu0 * mu0)
    for _ in range(rounds):
        sd = np.sqrt(var)[:, None]
        z = np.minimum((ln_age - mu[:, None]) / sd, _FAR)
        there = ndtr(-z)
        pi = p[:, None] / (p[:, None] + (1 - p[:, None]) * there)
        weight = open_ * (1 - pi)
        beyond = np.exp(-0.5 * z * z - _LN_SQRT_2PI) / there  # the mean beyond z: φ(z) / (1 − Φ(z))
        info = beyond * (beyond - z)
        mean = mu[:, None] + sd * beyond
        square = mean * mean + sd * sd * np.maximum(1 - info, 0.0)
        n = timed + weight.sum(axis=1) + time
        mu = (first + (weight * mean).sum(axis=1)) / n
        total = second + (weight * square).sum(axis=1)
        var = np.minimum(np.maximum(total / n - mu * mu, 0.01), 1.0)
        lost_open = (open_ * pi * (1 - there)).sum(axis=1)
        p = (rate * p0 + seen.lost + lost_open) / (rate + known + lost_open)
    ended = known + lost_open
    told = timed + (weight * np.clip(info, 0.0, 1.0)).sum(axis=1)
    doubt = var / (time + told) + np.where(seen.weeks > 0, WEEK_SHOCK**2 / np.maximum(seen.weeks, 1.0), 0.0)
    return Posterior(
        _beta(p0, seen.lost + lost_open, ended, rate),
        _beta(r0, seen.returned, ended, rate),
        np.stack((rate * q0 + seen.complaints / DISPERSION, rate + exposed / DISPERSION), axis=1),
        mu,
        var,
        doubt,
        0.5 / (time + told),
        ended,
    )


def _beta(mean: Floats, count: Floats, n: Floats, rate: float) -> Floats:
    hits = rate * mean + count / DISPERSION
    misses = rate * (1 - mean) + np.maximum(n - count, 0.0) / DISPERSION
    return np.stack((hits, misses), axis=1)


def pooled(seen: Weighed, place: Ints, size: int) -> Weighed:
    """The sums of rows that belong together: ``place[row]`` is the pool of a row, below ``size``."""

    def add(values: Floats) -> Floats:
        out = np.zeros((size, *values.shape[1:]))
        np.add.at(out, place, values)
        return out

    weeks = np.zeros(size)
    np.maximum.at(weeks, place, seen.weeks)
    sums = {name: add(getattr(seen, name)) for name in seen.__dataclass_fields__ if name != "weeks"}
    return Weighed(**sums, weeks=weeks)


def complaint_share(ages: Sequence[float], total: Floats) -> Floats:
    """The share of a parcel's complaints that come up to an age, ``[week of age]``.

    ``ages``: weighted complaints by week of age; ``total``: parcels likewise, of all channels. It is the cumulative
    hazard of complaining, complaints over parcels that reached the age.
    """
    reached = np.cumsum(total[::-1])[::-1]
    hazard = np.where(reached > 0, np.asarray(ages) / np.maximum(reached, 1e-9), 0.0)
    so_far = np.cumsum(hazard) - hazard / 2
    whole = float(hazard.sum())
    share: Floats = so_far / whole if whole > 0 else np.minimum((np.arange(len(ages)) + 0.5) / 6, 1.0)
    return share


def lateness(posterior: Posterior, promise: Floats) -> tuple[Floats, Floats, Floats]:
    """Days late E[(T − promise)⁺] of a parcel that arrives: mean, variance and third central moment of the posterior,
    by row.

    Of a log-normal T it is e^(μ + σ²/2) Φ((μ + σ² − ln P) / σ) − P Φ((μ − ln P) / σ) (the price of a call option
    without interest: Black 1976); the doubt about μ and ln σ is summed over a fixed grid.
    """
    z, w = _GRID
    mu = posterior.ln_days[:, None, None] + np.sqrt(posterior.doubt)[:, None, None] * z[:, None]
    sd = np.sqrt(posterior.variance)[:, None, None] * np.exp(np.sqrt(posterior.ln_sd_doubt)[:, None, None] * z)
    ln_p = np.log(np.maximum(promise, 0.25))[:, None, None]
    whole = np.exp(np.minimum(mu + sd * sd / 2, _MOST_LN_DAYS))
    late = whole * ndtr((mu + sd * sd - ln_p) / sd) - np.exp(ln_p) * ndtr((mu - ln_p) / sd)
    late = np.clip(late, 0.0, MOST_LATE)
    weight = w[:, None] * w
    mean = (late * weight).sum(axis=(1, 2))
    away = late - mean[:, None, None]
    return mean, (away**2 * weight).sum(axis=(1, 2)), (away**3 * weight).sum(axis=(1, 2))


#: No parcel counts as later than this: it is lost to the customer.
MOST_LATE: Final = 60.0
_MOST_LN_DAYS: Final = 100.0  # more than that is MOST_LATE, too, and may be no number


def _grid() -> tuple[Floats, Floats]:
    """Nodes and weights of a standard normal variable (Gauss–Hermite)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    return nodes, weights / weights.sum()


_GRID: Final = _grid()
