"""How much more the exits of a week vary than chance alone: the tempering of evidence rests on it.

Parcels of one flight share its fate and are not that many witnesses. With O exits in a week and E expected, O − E
varies by E (Poisson) and by cv²·E² (shocks that the parcels share); the moments Σ[(O − E)² − E] and ΣE² over the weeks
give cv², shrunk to that of all nodes of a kind: a node's own few weeks say little of it, be it ever so large.
Early weeks are believed less. A fault must not teach its own
tempering: a week counts a week later, if there is no evidence against the node then, and (O − E)² counts for at most
``MOST`` times its expectation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.core.baseline import Floats
from monitor.core.channel import JOINT
from monitor.core.vocabulary import UNDERWAY

#: Rows of a node's ``spread``: exits and expected of the running week, Σ[(O − E)² − E], Σ E², weeks; exits and expected
#: of the week before, which is not among the sums yet.
WEEK_O, WEEK_E, EXCESS, SQUARES, WEEKS, LAST_O, LAST_E = range(7)
SPREAD_PRIOR = (0.02 * 400.0, 400.0)  # cv² of 0.02, worth four weeks of ten expected exits
PRIOR_WEEKS = 16.0  # and cv² of all nodes is worth so many weeks of the node itself
MOST = 9.0
SPECIAL_CV2 = 0.06  # more of it inside known holiday windows
#: The evidence of a channel is tempered by so much of its dispersion, that of a group, whose channels share shocks, by
#: all of it. Measured: at as many false pages slow transit and losses are told earlier on large channels than with all
#: of it, and with none of it the false pages are those of the largest.
OWN_SHARE = 0.5


def cv2_of(spread: Floats) -> Floats:
    """Squared coefficient of variation of weekly exits beyond Poisson, shrunk to that of all: ``[node, clock]``.

    ``spread`` is ``[node, row, clock]``.
    """
    total = spread.sum(axis=0)
    pooled = (np.maximum(total[EXCESS], 0) + SPREAD_PRIOR[0]) / (total[SQUARES] + SPREAD_PRIOR[1])
    weeks = np.maximum(spread[:, WEEKS], 1)
    prior = SPREAD_PRIOR[1] + spread[:, SQUARES] * PRIOR_WEEKS / weeks
    own = (np.maximum(spread[:, EXCESS], 0) + prior * pooled) / (spread[:, SQUARES] + prior)
    out: Floats = own * (1 + 4 / weeks)
    return out


def tempering(cv2: Floats, expected_week: Floats) -> Floats:
    """φ = 1 + cv² · E₇: what shocks shared by the parcels of a week take from the weight of one parcel."""
    out: Floats = 1.0 + cv2 * expected_week
    return out


def tempering_of_all(cv2: Floats, expected_week: Floats) -> Floats:
    """φ of every clock, ``[node, clock]``. Shocks of one stage are not those of the next, so φ of the stages after
    departure together is the mean of theirs, weighted by their expected exits."""
    out = tempering(cv2, expected_week)
    stages = list(UNDERWAY)
    weight = expected_week[:, stages] + 1e-9
    out[:, JOINT] = (out[:, stages] * weight).sum(axis=-1) / weight.sum(axis=-1)
    return out


def end_of_week(
    spread: Floats, exits: Floats, expected: Floats, day: int, counts: NDArray[np.bool_], cv2: Floats
) -> None:
    """Add a day's exits and expected exits, ``[node, clock]``.

    A Sunday books the week before of the nodes it ``counts`` for; ``cv2`` is what is known of their dispersion so far.
    """
    spread[:, WEEK_O] += exits
    spread[:, WEEK_E] = np.round(spread[:, WEEK_E] + expected, 9)
    if (day + 3) % 7 == 6:
        o, e = spread[:, LAST_O], spread[:, LAST_E]
        gap = np.minimum((o - e) ** 2, MOST * (e + cv2 * e**2)) - e
        for row, more in ((EXCESS, gap), (SQUARES, e**2), (WEEKS, (e > 0).astype(np.float64))):
            spread[:, row] = np.round(spread[:, row] + np.where(counts[:, None], more, 0.0), 6)
        spread[:, LAST_O], spread[:, LAST_E] = spread[:, WEEK_O], spread[:, WEEK_E]
        spread[:, WEEK_O] = spread[:, WEEK_E] = 0.0


def trail_with(trail: Floats, expected: Floats) -> Floats:
    """The expected exits of the last 7 judged days, ``[node, clock, 7]``, with today's in the last place."""
    return np.concatenate((trail[..., 1:], expected[..., None]), axis=-1)
