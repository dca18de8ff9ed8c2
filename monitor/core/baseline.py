"""What to expect: hazards of the stage clocks per channel, shrunk to country × carrier, country and the whole.

A hazard is the chance that a parcel that entered a clock ``age`` days ago (difference of UTC days) and is still in
it leaves it today. Each level corrects its parent by a factor per *band* of ages:

    h(a) = θ_b · h_parent(a),   θ_b = (O_b + κ_b) / (E_b + κ_b),   E_b = Σ_{a in b} R(a) · h_parent(a)

with O exits and R parcels at risk learnt so far. The weight κ is given in expected events, but never counts for
more than ``MAX_WEIGHT`` parcel-days, so that a channel unlike its parent can say so. This is the Gamma–Poisson
shrinkage of epidemiology (Clayton and Kaldor, Biometrics 43, 1987, 671), one level after the other.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: First ages of the bands: days at first, then steps of about 15%.
BAND_STARTS: Final[tuple[int, ...]] = (
    *range(11),
    11, 13, 15, 18, 21, 25, 29, 34, 40, 47, 55, 65, 77, 91, 106, 124, 144, 168, 196, 228, 266, 310,
)  # fmt: skip
PRIOR_HAZARD: Final = 0.02
PRIOR_WEIGHT: Final = 5.0  # parcel-days behind the prior of the whole
KAPPA: Final = (6.0, 5.0, 4.0)  # country, country × carrier, channel: in expected events
MAX_WEIGHT: Final = 50.0
HIGHEST: Final = 0.98
LOWEST: Final = 1e-4


class Bands:
    """The bands of the ages 0 … ``ages − 1``."""

    def __init__(self, ages: int) -> None:
        starts = [s for s in BAND_STARTS if s < ages]
        self.starts: Ints = np.array(starts, dtype=np.int64)
        widths = np.diff([*starts, ages])
        self.of_age: Ints = np.repeat(np.arange(len(starts)), widths)
        self.widths: Floats = widths.astype(np.float64)

    def sum(self, values: Floats) -> Floats:
        """Sums over bands along the last axis."""
        return np.add.reduceat(values, self.starts, axis=-1)

    def spread(self, values: Floats) -> Floats:
        """Back to ages along the last axis."""
        return np.take(values, self.of_age, axis=-1)


def whole(exits: Floats, at_risk: Floats, bands: Bands) -> Floats:
    """Hazards of the whole, ``[clock, age]``, from its exits and parcels at risk of the same shape."""
    o, r = bands.sum(exits), bands.sum(at_risk)
    return bands.spread(np.clip((o + PRIOR_WEIGHT * PRIOR_HAZARD) / (r + PRIOR_WEIGHT), LOWEST, HIGHEST))


def shrink(exits: Floats, at_risk: Floats, parent: Floats, kappa: float, bands: Bands) -> Floats:
    """Hazards ``[…, clock, age]`` of a level from its own tallies and its parents' hazards (same shape)."""
    expected = bands.sum(at_risk * parent)
    typical = bands.sum(parent) / bands.widths
    weight = np.minimum(kappa, MAX_WEIGHT * typical)
    theta = (bands.sum(exits) + weight) / (expected + weight)
    out: Floats = np.clip(bands.spread(theta) * parent, LOWEST, HIGHEST)
    return out


def cumulative(hazards: Floats) -> Floats:
    """Increments of the cumulative hazard, −ln(1 − h)."""
    out: Floats = -np.log1p(-hazards)
    return out


def p95_days(total: Floats) -> Ints:
    """Days by which 95% have left a clock; one more than the last age where the curve does not get there.

    ``total`` is the cumulative hazard at the end of each age, ``[…, age]``; the result counts whole days: an age of 0
    means the same UTC day, so 1.
    """
    return _first_day(total, 0.05)


def days_until(increments: Floats, left: float) -> Ints:
    """The same, from increments, for the day by which a share ``left`` of the parcels (above 0, below 1) is still
    there."""
    return _first_day(np.cumsum(increments, axis=-1), left)


def _first_day(total: Floats, left: float) -> Ints:
    reached = total >= -np.log(left)
    first = np.argmax(reached, axis=-1)
    out: Ints = np.where(reached.any(axis=-1), first, total.shape[-1] - 1).astype(np.int64) + 1
    return out
