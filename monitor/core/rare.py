"""Rare-event clocks: what happens to few parcels of a channel that is well, judged on the frequent side.

Holds by customs, returns by security, other returns, second failed attempts to deliver (most of what comes back later),
scans in a wrong country, and complaints. Their hazards are small
and need no fine ages: by a few bands of age, the hazard of all channels together, corrected by the channel's parent
(what it shares with others that matters most for the event), band by band, and by a level of its own:

    h(b) = θ_channel · θ_parent(b) · h_all(b)        θ = (O + κ) / (E + κ)

with O events learnt and E those expected from the level above. At risk are the parcels of the stage clock that matches,
by age, plus the day's events (they have left it); for complaints all parcels registered, delivered or not. A band is
judged once ``ENOUGH`` events are learnt or expected of the parent there: what comes late on a slow lane is new to a
young log, not a fault.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.arrays import fixed, numbered
from monitor.core.baseline import Floats, Ints
from monitor.core.vocabulary import END_TO_END

#: Names of the clocks, in order; the first six are the kinds of cells from ``cells.EVENT`` on.
RARE: Final = ("customs_hold", "security_return", "returned", "complaints", "empty_box", "second_attempt", "misroute")
#: Modes of incidents, where they are not named as the clock is.
MODES: Final = {"second_attempt": "returned"}
EMPTY_BOX: Final = 4
COMPLAINTS: Final = [3, EMPTY_BOX]
MISROUTE: Final = 6
#: The clock whose parcels are at risk; None for all parcels registered.
AT_RISK: Final = (3, END_TO_END, END_TO_END, None, None, END_TO_END, END_TO_END)
#: What the level above a channel is: places in its id (country, product, carrier).
PARENT: Final = ((0,), (1,), (0, 2), (0, 2), (2,), (0, 2), (2,))
#: First ages of the bands, in days.
STARTS: Final = (0, 1, 2, 4, 8, 15, 22, 30, 45, 60, 75, 90, 105)
#: Alternatives: so many times as often.
TIMES: Final = (2.0, 3.0, 6.0, 12.0, 25.0, 50.0)
KAPPA: Final = (3.0, 2.0)  # parent, channel: in expected events
PRIOR: Final = (0.005, 50.0)  # events and parcel-days behind the hazard of all
LOWEST: Final = 1e-6
HIGHEST: Final = 0.98
#: Events learnt or expected of a parent in a band from which on it is judged.
ENOUGH: Final = 3.0
#: A country is one of transit when so many of a channel's parcels were seen there, and this share of those delivered.
TRANSIT_LEAST: Final = 5
TRANSIT_SHARE: Final = 0.02
#: In ``Channel.routes``: parcels delivered.
DELIVERED: Final = -1


def bands_of(ages: int) -> Ints:
    """First ages of the bands below ``ages``."""
    return np.array([start for start in STARTS if start < ages], dtype=np.int64)


def hazards(tally: Floats, parents: Ints) -> tuple[Floats, NDArray[np.bool_]]:
    """Hazards and whether they are known well enough, both ``[channel, clock, band]``.

    ``tally`` is ``[channel, events | at risk, clock, band]``; ``parents`` ``[clock, channel]`` numbers the parents.
    """
    o, r = tally[:, 0], tally[:, 1]
    total = tally.sum(axis=0)
    whole = np.clip((total[0] + PRIOR[0]) / (total[1] + PRIOR[1]), LOWEST, HIGHEST)
    expected = r * whole
    rates, known = np.empty_like(o), np.empty(o.shape, dtype=bool)
    for clock, parent in enumerate(parents):
        seen_of, due_of = _sums_by(parent, o[:, clock]), _sums_by(parent, expected[:, clock])
        above = _theta(seen_of, due_of, KAPPA[0])[parent]
        own = _theta(o[:, clock].sum(axis=-1), (expected[:, clock] * above).sum(axis=-1), KAPPA[1])
        rates[:, clock] = np.clip(whole[clock] * above * own[:, None], LOWEST, HIGHEST)
        known[:, clock] = np.maximum(seen_of, due_of)[parent] >= ENOUGH
    return rates, known


def _sums_by(parent: Ints, values: Floats) -> Floats:
    """Sums of ``values`` ``[channel, band]`` by the ``parent`` of each channel, in the order of the channels."""
    bands = values.shape[-1]
    place = parent[:, None] * bands + np.arange(bands)
    sums: Floats = np.bincount(place.ravel(), weights=values.ravel()).astype(np.float64, copy=False)
    return sums.reshape(-1, bands)


def _theta(seen: Floats, expected: Floats, kappa: float) -> Floats:
    out: Floats = (seen + kappa) / (expected + kappa)
    return out


@lru_cache(maxsize=4)
def parents_of(names: tuple[str, ...]) -> Ints:
    """Number of the parent of each channel, ``[clock, channel]``; kept for the next day, and cannot be written to."""
    by_level = {places: numbered(itemgetter(*places)(name.split("|")) for name in names) for places in {*PARENT}}
    return fixed(np.stack([by_level[places] for places in PARENT]))


def is_transit(routes: dict[int, int], country: int) -> bool:
    """Whether a channel's parcels pass through a country as a rule."""
    seen = routes.get(country, 0)
    return seen >= TRANSIT_LEAST and seen >= TRANSIT_SHARE * routes.get(DELIVERED, 0)
