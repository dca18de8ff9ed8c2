"""Evidence that a stage clock has become slow: an e-detector over parcels at risk.

For a judged day with R parcels at risk and J exits at each age, baseline increments of the cumulative hazard ΔH₀,
a calendar factor g and slack m:

    x = (1 − m) · g · ΔH₀(a)                                        what the baseline expects at least
    ℓ = φ⁻¹ Σ_a { J · ln[(1 − e^(−y)) / (1 − e^(−x))] + (R − J)(x − y) }
    M ← (M + 1) · e^ℓ

where y is the hazard under an alternative: ρ·x (slower by a factor at every age), or accelerated failure time
(every duration k times as long), y = (1 − m) g [H₀((a+1)/k) − H₀(a/k)], at most ``MOST`` x, or loss of a share p, with
H₁ = −ln(p + (1 − p) e^(−H₀)) in place of H₀ (a cured fraction: Oliveira et al. 2016). Each M is a
Shiryaev–Roberts e-detector: if the baseline is right, the mean time to M ≥ A is at least A judged days, and so it is
for the mean over clocks and alternatives (Shin, Ramdas and Rinaldo, "E-detectors", 2024). φ ≥ 1 tempers for shocks
shared by parcels.
A day on which nothing is at risk says nothing and leaves M as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.core.baseline import Floats, Ints

#: Names of the alternatives, in order.
ALTERNATIVES: Final = ("x0.7", "x0.35", "x0.08", "aft1.35", "aft1.8", "lost0.05")
FACTORS: Final = (0.7, 0.35, 0.08)
STRETCHES: Final = (1.35, 1.8)
LOSSES: Final = (0.05,)
#: So many times the baseline's hazard at most: of the late ages it is not known well enough for more.
MOST: Final = 4.0
#: The alternatives that mean that a stage stands still, or that parcels never leave it, rather than being slow.
STALLED: Final = 2
LOST: Final = 5
#: Alternatives that go by the shape of the hazard over the ages: they say nothing on days on which parcels aged while
#: all stood still.
SHAPED: Final = [3, 4, 5]
#: Rows of a node's evidence: ln M; CUSUM and its sums since it last stood at zero (exits, expected); the day after
#: that; the ℓ of the last days, of which a day keeps ``KEEP``, no less than ``LEAST``.
LN_M, CUSUM, SEEN, EXPECTED, SINCE, LATELY = range(6)
ROWS: Final = 6
KEEP: Final = 0.9
#: So the good days of many channels do not hide for a week that they have become slow together.
LEAST: Final = -1.0


def cumulated(increments: Floats) -> Floats:
    """The cumulative hazard H₀ at the beginning of each age and at the end of the last, ``[…, age + 1]``."""
    out = np.zeros((*increments.shape[:-1], increments.shape[-1] + 1))
    np.cumsum(increments, axis=-1, out=out[..., 1:])
    return out


def stretched(total: Floats, k: float) -> Floats:
    """Increments of the cumulative hazard when every duration is ``k`` times as long, H₀((a+1)/k) − H₀(a/k), from H₀
    as :func:`cumulated` has it."""
    last = total.shape[-1] - 1
    where = np.arange(last + 1) / k
    low = np.floor(where).astype(np.int64)
    at = total.take(low, axis=-1)
    at += (total.take(np.minimum(low + 1, last), axis=-1) - at) * (where - low)
    out: Floats = at[..., 1:] - at[..., :-1]
    return out


class Ratios(NamedTuple):
    """What a day says. ``ell``: untempered ℓ, ``[node, clock, alternative]``; ``stayed``: what of it those say that did
    not leave, Σ (R − J)(x − y), likewise; ``common``: how much of the variance that a shock of all ages has is in the ℓ
    of a loss, ``[node, clock]`` (see :func:`log_likelihood_ratios`)."""

    ell: Floats
    stayed: Floats
    common: Floats


def log_likelihood_ratios(
    at_risk: Floats,
    exits: Floats,
    increments: Floats,
    scale: Floats,
    factors: Sequence[float] = FACTORS,
    stretches: Sequence[float] = STRETCHES,
    losses: Sequence[float] = LOSSES,
    total: Floats | None = None,
) -> Ratios:
    """What one day says for each alternative: ``factors`` on the hazard, ``stretches`` of every duration, shares that
    are lost.

    ``at_risk``, ``exits`` and ``increments`` (ΔH₀) are ``[node, clock, age]``; ``scale`` is (1 − m)·g, ``[node,
    clock]``; ``total`` is H₀ where it is known already (:func:`cumulated`). Counts below zero (corrections) count as
    zero.

    With E exits expected at an age and w the logarithm that one of them adds to ℓ, what is common to all ages moves ℓ
    by the variance cv²·(Σ w E)², where chance alone gives Σ w² E. For a factor that is cv²·Σ E times as much; a loss
    shows at late ages only, and ``common`` = (Σ w E)² / (Σ w² E · Σ E) is how much less.
    """
    ages, nodes = increments.shape[-1], increments.shape[:2]
    cells = np.flatnonzero((at_risk > 0) | (exits > 0))  # all others say nothing
    row = cells // ages
    begin = cells + row  # a bound more than ages in every row
    j = np.maximum(exits.ravel()[cells], 0.0)
    stay = np.maximum(at_risk.ravel()[cells] - j, 0.0)
    factor = scale.ravel()[row]
    x = increments.ravel()[cells] * factor
    total = cumulated(increments) if total is None else total
    left = np.flatnonzero(j > 0)
    count, row_left, x_left = j[left], row[left], x[left]
    log_base = np.log(-np.expm1(-x_left))
    out = np.empty((*nodes, len(factors) + len(stretches) + len(losses)))
    stayed, common = np.empty_like(out), np.ones(nodes)

    def sums(values: Floats, of: Ints) -> Floats:
        found: Floats = np.bincount(of, weights=values, minlength=scale.size).astype(np.float64, copy=False)
        return found.reshape(nodes)

    def gain(y: Floats) -> Floats:
        return sums(count * (np.log(-np.expm1(-y)) - log_base), row_left)

    base = sums(stay * x, row)
    for i, rho in enumerate(factors):
        stayed[..., i] = (1 - rho) * base
        out[..., i] = gain(rho * x_left) + stayed[..., i]
    for i, k in enumerate(stretches, start=len(factors)):
        y = np.clip(stretched(total, k).ravel()[cells] * factor, 1e-12, MOST * x)
        stayed[..., i] = base - sums(stay * y, row)
        out[..., i] = gain(y[left]) + stayed[..., i]
    for i, p in enumerate(losses, start=len(factors) + len(stretches)):
        share = [p + (1 - p) * np.exp(-total.ravel()[place]) for place in (begin, begin + 1)]
        y = np.clip(np.log(share[0] / share[1]) * factor, 1e-12, x)
        stayed[..., i] = base - sums(stay * y, row)
        out[..., i] = gain(y[left]) + stayed[..., i]
        chance = -np.expm1(-x)
        w = np.log(-np.expm1(-y) / chance)
        due = (j + stay) * chance
        moved, own = sums(w * due, row), sums(w * w * due, row) * sums(due, row)
        common = np.divide(moved**2, own, out=common, where=own > 0)
    return Ratios(out, stayed, common)


def accumulate(state: Floats, judged: NDArray[np.bool_], ell: Floats, seen: Floats, expected: Floats, day: int) -> None:
    """Add a day's ℓ to ``state`` ``[node, row, clock, alternative]`` where ``judged`` ``[node, clock]``.

    Beside ln M runs a CUSUM of the same ℓ; ``seen`` and ``expected`` exits ``[node, clock]`` are summed since the day
    on which it left zero.
    """
    now = judged[..., None]
    state[:, LN_M] = np.where(now, update(state[:, LN_M], ell), state[:, LN_M])
    fresh = now & (state[:, CUSUM] <= 0)
    state[:, SINCE] = np.where(fresh, day, state[:, SINCE])
    for row, today in ((SEEN, seen), (EXPECTED, expected)):
        so_far = np.where(fresh, 0.0, state[:, row])
        state[:, row] = np.where(now, np.round(so_far + today[..., None], 9), state[:, row])
    state[:, LATELY] = np.where(now, np.round(np.maximum(KEEP * state[:, LATELY] + ell, LEAST), 9), state[:, LATELY])
    state[:, CUSUM] = np.where(now, np.round(np.maximum(state[:, CUSUM] + ell, 0.0), 9), state[:, CUSUM])


def update(ln_m: Floats, ell: Floats) -> Floats:
    """ln M after a day: ln[(M + 1) e^ℓ]. ``-inf`` is M = 0. Rounded, as every stored float is.

    >>> float(np.exp(update(np.array(-np.inf), np.array(0.0))))
    1.0
    """
    out: Floats = np.round(np.logaddexp(ln_m, 0.0) + ell, 9)
    return out


def mixture(ln_m: Floats, ln_prior: Floats | None = None) -> Floats:
    """ln of the mean of M over clocks and alternatives (the last two axes), weighted by a prior that sums to one; by
    default all weigh the same. Of e-detectors that is one again, whatever the weights."""
    if ln_prior is None:
        ln_prior = np.full(ln_m.shape[-2:], -np.log(ln_m.shape[-1] * ln_m.shape[-2]))
    flat = (ln_m + ln_prior).reshape(*ln_m.shape[:-2], -1)
    top = np.max(flat, axis=-1)
    safe = np.where(np.isfinite(top), top, 0.0)
    total = np.exp(flat - safe[..., None]).sum(axis=-1)
    with np.errstate(divide="ignore"):
        out: Floats = np.round(safe + np.log(total), 9)
    return out
