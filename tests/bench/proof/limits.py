"""How early anybody could know: what the parcels of one channel tell of a fault, were all hazards known exactly.

On each day a stage tells, in the mean, the sum over all ages of the parcels that are there times the Kullback–Leibler
divergence between leaving with the true hazard h₁ and with the usual one h₀:

    I(t) = v · Σ_a S(a, t) · kl(h₁(a, t), h₀(a)),   kl(p, q) = p ln(p/q) + (1 − p) ln((1 − p)/(1 − q))

with v parcels a day and S the share still there. What moves at 1/k of its pace since day 0 has done the work (a − t)
+ t/k at age a > t, and its hazard is that of the usual stage after that work; parcels that vanish are a share that
never leaves; what is sent to a wrong country leaves its way for good when it is scanned there. Summed over stages and
days this is the expected log-likelihood ratio t days after the start. A test whose mean time between false alarms is
A days cannot, to first order, detect before it reaches ln A (Lorden, *Annals of Mathematical Statistics* 42 (1971)
1897; Tartakovsky, Nikiforov and Basseville, *Sequential Analysis*, 2014, chapter 8). Calendar, shocks that parcels
share, reporting lag and unseen scans are left out: they only make it later.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from monitor.core.facets import DAYS_KEPT
from monitor.core.incidents import page_level
from monitor.core.params import Params
from monitor.core.stakes import ln_weight
from monitor.replay.simulate.channels import Channel
from monitor.replay.simulate.effects import STAGES, Rate, Slow, Stall
from monitor.replay.simulate.scenarios import Plant

Floats = NDArray[np.float64]

MOST_DAYS = 200
#: The simulator's shares of lost parcels that vanish after acceptance, departure and arrival.
LOST_AFTER = (0.2, 0.4, 0.4)
#: And so much of its way to the right country a parcel takes until it is scanned in a wrong one.
ASTRAY_AFTER = 0.7
AGES = 150
_cdf = np.vectorize(NormalDist().cdf)


def staying(channel: Channel, stage: int, work: Floats) -> Floats:
    """Share still in a stage of log-normal duration after so many days' work."""
    sigma = channel.sigmas[stage]
    middle = math.log(channel.stages[stage]) - sigma**2 / 2
    out: Floats = 1.0 - _cdf((np.log(np.maximum(work, 1e-9)) - middle) / sigma)
    return out


def divergence(p: Floats, q: Floats) -> Floats:
    """kl(p, q) of two chances of leaving on a day, elementwise."""
    p, q = (np.clip(x, 1e-12, 1 - 1e-12) for x in (p, q))
    out: Floats = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return out


def level_of(channel: Channel) -> float:
    """ln A by default: what pages a channel that carries so much."""
    params = Params()
    return page_level(float(ln_weight(np.array(channel.volume * DAYS_KEPT), params.stake_power)), params)


def days_to_know(channel: Channel, plant: Plant, ln_a: float | None = None) -> float | None:
    """Days until the expected log-likelihood ratio reaches ``ln_a``, by default what pages the channel; None for what
    does not show in the stages."""
    told = [one for stage in range(4) if (one := _stage(channel, plant, stage)) is not None]
    if not told:
        return None
    reached = np.flatnonzero(np.cumsum(channel.volume * sum(told)) >= (level_of(channel) if ln_a is None else ln_a))
    return float(reached[0] + 1) if len(reached) else math.inf


def _stage(channel: Channel, plant: Plant, stage: int) -> Floats | None:
    """What one parcel a day tells in a stage on each day since the start; None where nothing is planted."""
    for effect in plant.effects:
        if isinstance(effect, Slow) and STAGES[stage] in effect.stages:
            return _slow(channel, stage, 1 / (effect.factor + effect.growth_per_day * np.arange(MOST_DAYS)))
        if isinstance(effect, Stall) and STAGES[stage] == effect.stage:
            return _slow(channel, stage, np.full(MOST_DAYS, effect.moving_ratio))
        if isinstance(effect, Rate) and effect.what == "loss" and stage > 0:
            share = LOST_AFTER[stage - 1]
            usual = staying(channel, stage, np.arange(AGES + 1.0))
            return lost(usual, channel.chances["loss"] * share, effect.probability * share)
        if isinstance(effect, Rate) and effect.what == "misroute" and stage == 2:
            usual = staying(channel, stage, np.arange(AGES + 1.0) / ASTRAY_AFTER)
            return astray(usual, channel.chances["misroute"], effect.probability)
    return None


def _slow(channel: Channel, stage: int, speed: Floats) -> Floats:
    """A stage that goes at ``speed`` (by day) of its usual pace."""
    done = np.concatenate((np.arange(-AGES, 1.0), np.cumsum(speed)))  # work since day -AGES, by day
    age = np.arange(AGES)
    usual = staying(channel, stage, np.arange(AGES + 1.0))
    h0 = 1 - usual[1:] / np.maximum(usual[:-1], 1e-12)
    out = np.zeros(MOST_DAYS)
    for day in range(MOST_DAYS):
        work = done[AGES + day] - done[AGES + day - age]
        there, later = staying(channel, stage, work), staying(channel, stage, work + speed[day])
        out[day] = (there * divergence(1 - later / np.maximum(there, 1e-12), h0)).sum()
    return out


def lost(usual: Floats, before: float, after: float) -> Floats:
    """What one parcel a day tells of a chance to vanish that went from ``before`` to ``after``, by day since then.

    ``usual``: share of those that do not vanish still in the stage at ages 0, 1, … In the end each parcel told
    kl(after, before).
    """
    return _told(*(p + (1 - p) * usual for p in (before, after)))


def astray(usual: Floats, before: float, after: float) -> Floats:
    """What one parcel a day tells of a chance to go astray that went from ``before`` to ``after``, by day since then.

    ``usual``: share of those that go astray not scanned abroad yet at ages 0, 1, …
    """
    return _told(*(1 - p * (1 - usual) for p in (before, after)))


def _told(s0: Floats, s1: Floats) -> Floats:
    """Likewise of any two shares still there at ages 0, 1, …, before and after."""
    told = s1[:-1] * divergence(1 - s1[1:] / s1[:-1], 1 - s0[1:] / s0[:-1])
    out: Floats = np.concatenate((np.cumsum(told), np.full(MOST_DAYS, told.sum())))[:MOST_DAYS]
    return out
