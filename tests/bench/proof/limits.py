"""How early anybody could know: what the parcels of one channel tell of a fault, were all hazards known exactly.

A parcel that entered a stage ``a`` days ago has told, in the mean, the sum over its days of the Kullback–Leibler
divergence between leaving with hazard h₁ and with h₀, weighed by its chance to be there still:

    K(a) = Σ_{u<a} S₁(u) · kl(h₁(u), h₀(u)),   kl(p, q) = p ln(p/q) + (1 − p) ln((1 − p)/(1 − q))

With v parcels a day the expected log-likelihood ratio t days after the start is v·Σ_{s<t} K(t − s), summed over the
stages, each shifted by the days it takes to get there. A test whose mean time between false alarms is A days cannot, to
first order, detect before this reaches ln A (Lorden, *Annals of Mathematical Statistics* 42 (1971) 1897; Tartakovsky,
Nikiforov and Basseville, *Sequential Analysis*, 2014, chapter 8). Calendar, shocks that parcels share and unseen scans
are left out: they only make it later.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from monitor.replay.simulate.channels import Channel
from monitor.replay.simulate.effects import STAGES, Rate, Slow, Stall
from monitor.replay.simulate.scenarios import Plant

Floats = NDArray[np.float64]

LN_A = 12.0
MOST_DAYS = 200
#: The simulator's shares of lost parcels that vanish after acceptance, departure and arrival.
LOST_AFTER = (0.2, 0.4, 0.4)
AGES = 150
_cdf = np.vectorize(NormalDist().cdf)


def stage_survival(mean_days: float, sigma: float, stretch: float = 1.0) -> Floats:
    """Share still in a stage of log-normal duration at ages 0, 1, … ``AGES``."""
    at = np.maximum(np.arange(AGES + 1.0), 1e-9)
    middle = math.log(mean_days * stretch) - sigma**2 / 2
    out: Floats = 1.0 - _cdf((np.log(at) - middle) / sigma)
    return out


def divergence(p: Floats, q: Floats) -> Floats:
    """kl(p, q) of two chances of leaving on a day, elementwise."""
    p, q = (np.clip(x, 1e-12, 1 - 1e-12) for x in (p, q))
    out: Floats = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return out


def hazard(survival: Floats) -> Floats:
    """The chance of leaving on each day."""
    out: Floats = 1 - survival[1:] / np.maximum(survival[:-1], 1e-12)
    return out


def days_to_know(channel: Channel, plant: Plant, ln_a: float = LN_A) -> float | None:
    """Days until the expected log-likelihood ratio reaches ``ln_a``; None for what is not a matter of stages."""
    stages = [_stage(channel, plant, stage) for stage in range(4)]
    if all(stage is None for stage in stages):
        return None
    total = np.zeros(MOST_DAYS)
    for stage, told in enumerate(stages):
        if told is None:
            continue
        entry = sum(channel.stages[:stage]) if _only_new(plant) else 0.0
        for day in range(MOST_DAYS):
            total[day] += channel.volume * told(day - entry)
    reached = np.flatnonzero(np.cumsum(total) >= ln_a)
    return float(reached[0] + 1) if len(reached) else math.inf


def _only_new(plant: Plant) -> bool:
    """Whether the fault meets parcels at a point of their way, so that a later stage shows it later."""
    return any(isinstance(effect, Rate) for effect in plant.effects)


def _stage(channel: Channel, plant: Plant, stage: int) -> Callable[[float], float] | None:
    """What one parcel a day tells in a stage on the day ``t`` after the fault came to it; None if nothing."""
    mean, sigma = channel.stages[stage], channel.sigmas[stage]
    usual = stage_survival(mean, sigma)
    for effect in plant.effects:
        if isinstance(effect, Slow) and STAGES[stage] in effect.stages:

            def slow(t: float, effect: Slow = effect) -> float:
                factor = effect.factor + effect.growth_per_day * max(t, 0.0)
                if t < 0 or factor <= 1:
                    return 0.0
                h0 = hazard(usual)
                h1 = hazard(stage_survival(mean, sigma, factor))
                there = usual[:-1] if effect.growth_per_day else stage_survival(mean, sigma, factor)[:-1]
                return float((there * divergence(h1, h0)).sum())

            return slow
        if isinstance(effect, Stall) and effect.stage == STAGES[stage]:
            h0 = hazard(usual)

            def stalled(t: float, h0: Floats = h0) -> float:
                # Nobody leaves: those at risk are who was there, grown older, and who came since.
                there = np.concatenate((np.ones(int(t)), usual))[:AGES] if t >= 0 else np.zeros(AGES)
                return float((there * divergence(np.zeros_like(h0), h0)).sum())

            return stalled
        if isinstance(effect, Rate) and effect.what == "loss" and stage > 0:
            share = LOST_AFTER[stage - 1]
            before, after = channel.chances["loss"] * share, effect.probability * share
            s0, s1 = (p + (1 - p) * usual for p in (before, after))
            told = s1[:-1] * divergence(hazard(s1), hazard(s0))

            def lost(t: float, told: Floats = told) -> float:
                return float(told[: int(t) + 1].sum()) if t >= 0 else 0.0

            return lost
    return None
