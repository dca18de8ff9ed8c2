"""Parcels by days past their promised day: how many are open, how many of them arrive, how many buyers complain.

A buyer complains that nothing came when a parcel has grown old against what was promised to him. So the fleet keeps, of
every channel and by *lateness* (UTC days since the promised day; negative before it), rows of ``Channel.overdue``:

* OPEN: parcels not delivered at the last midnight (presumed lost, lost and returned ones included)
* WAITED, STAYED: parcel-days seen so far, and those among them after which the parcel was still not delivered
* COMPLAINED: complaints that nothing came (``not_received``), at the lateness at which they were opened

and in ``Channel.pace`` sums with a shorter memory, each beside what the above makes one expect: complaints, arrivals.
All is learnt at midnight from counters, so no event costs more for it. A channel's chance to stay one more day is
shrunk to that of all channels, the chance of a complaint is that of all of them, times a level of the channel:

    θ = (complaints + κ) / (expected + κ)        stay(a) = ((STAYED + w · stay_all) / (WAITED + w)) ^ ρ
    ρ = (arrivals + κ′) / (expected + κ′)

This is Gamma–Poisson shrinkage (Clayton and Kaldor, Biometrics 43, 1987, 671); ρ scales the hazard of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final

import numpy as np

from monitor.core import cells as c
from monitor.core.arrays import stacked, unstack
from monitor.core.baseline import Floats
from monitor.core.channel import Channel
from monitor.core.lateness import COMPLAINED, FIRST, OPEN, PLACES, ROWS, STAYED, WAITED

#: First latenesses of the bands in which the chance of a complaint is learnt.
STARTS: Final = (FIRST, -14, -7, 0, 2, 4, 6, 8, 10, 12, 14, 17, 20, 23, 26, 30, 35, 40, 50)
PRIOR_COMPLAINT: Final = (0.02, 20.0)  # complaints and parcel-days behind the chance of all, by band
PRIOR_STAY: Final = (4.85, 5.0)  # stayed, waited: behind the chance of all, by lateness
STAY_WEIGHT: Final = 20.0  # parcel-days of all behind a channel's chance to stay
LEVEL_WEIGHT: Final = 10.0  # expected complaints behind a channel's level
PACE_WEIGHT: Final = 5.0  # expected arrivals behind a channel's pace
PACE_BOUNDS: Final = (0.02, 3.0)
#: Half-lives of what is learnt, of the level and of the pace, in days.
KEEP: Final = 0.5 ** (1 / 180)
KEEP_LEVEL: Final = 0.5 ** (1 / 45)
KEEP_PACE: Final = 0.5 ** (1 / 7)
#: Arrivals within these latenesses tell the pace.
PACE_PLACES: Final = slice(-21 - FIRST, 30 - FIRST)

_STARTS: Final = np.array(STARTS) - FIRST
_BAND_OF: Final = np.searchsorted(_STARTS, np.arange(PLACES), side="right") - 1


@dataclass(frozen=True, slots=True)
class Usual:
    """What all channels together have shown, by lateness: chance a day of a complaint, and of staying undelivered."""

    complaint: Floats
    stay: Floats


@dataclass(frozen=True, slots=True)
class Outlook:
    """Complaints that nothing came in the days ahead, one figure a channel."""

    expected: Floats
    unmoved: Floats
    """if no parcel arrived any more"""
    shape: Floats
    """of the Gamma distribution of the channel's level: κ and the complaints it has shown"""


def usual_of(channels: Sequence[Channel]) -> Usual:
    """What some channels, in a fixed order, have shown together."""
    total = np.zeros((ROWS, PLACES))
    for channel in channels:
        total += channel.overdue
    complaints, days = (np.add.reduceat(total[row], _STARTS) for row in (COMPLAINED, WAITED))
    stayed, waited = PRIOR_STAY
    return Usual(
        ((complaints + PRIOR_COMPLAINT[0]) / (days + PRIOR_COMPLAINT[1]))[_BAND_OF],
        (total[STAYED] + stayed) / (total[WAITED] + waited),
    )


def pass_midnight(channels: Sequence[Channel], today: int) -> list[bool]:
    """Learn the day that ends as the UTC day ``today`` begins; in place. Which channels have changed."""
    if not channels:
        return []
    open_now = _open_by_lateness(channels, today)
    missed = np.array([bool(channel.missed) for channel in channels], dtype=bool)
    open_before = stacked([channel.overdue[OPEN] for channel in channels])
    busy: list[bool] = (missed | open_now.any(axis=1) | open_before.any(axis=1)).tolist()
    rows = np.flatnonzero(busy)
    if not rows.size:
        return busy
    usual = usual_of(channels)
    some = [channels[int(i)] for i in rows]
    now = open_now[rows]
    state = stacked([channel.overdue for channel in some])
    pace = stacked([channel.pace for channel in some])
    before = state[:, OPEN]
    complaints = np.zeros_like(before)
    for row, channel in enumerate(some):
        for place, n in channel.missed.items():
            complaints[row, place] = n
        channel.missed = {}
    stayed = np.zeros_like(before)
    stayed[:, :-1] = np.minimum(now[:, 1:], before[:, :-1])
    leave = 1 - _stay(state, usual)
    leave[:, -1] = before[:, -1] = 0  # what becomes of the last place is not seen
    today_seen = np.stack(
        (
            complaints.sum(axis=-1),
            (before * usual.complaint).sum(axis=-1),
            (before - stayed)[:, PACE_PLACES].sum(axis=-1),
            (before * leave)[:, PACE_PLACES].sum(axis=-1),
        ),
        axis=1,
    )
    pace = np.round(pace * (KEEP_LEVEL, KEEP_LEVEL, KEEP_PACE, KEEP_PACE) + today_seen, 9)
    for row, learnt in ((WAITED, before), (STAYED, stayed), (COMPLAINED, complaints)):
        state[:, row] = np.round(state[:, row] * KEEP + learnt, 9)
    state[:, OPEN] = now
    unstack(state, [channel.overdue for channel in some])
    unstack(pace, [channel.pace for channel in some])
    return busy


def look_ahead(channels: Sequence[Channel], usual: Usual, days: int) -> Outlook:
    """The complaints to expect about the parcels that are open now; the share that still arrives is as of late."""
    state = stacked([channel.overdue for channel in channels])
    pace = stacked([channel.pace for channel in channels])
    slowness = np.clip((pace[:, 2] + PACE_WEIGHT) / (pace[:, 3] + PACE_WEIGHT), *PACE_BOUNDS)
    stay = _stay(state, usual) ** slowness[:, None]
    moving, unmoved = state[:, OPEN], state[:, OPEN]
    expected, most = np.zeros(len(channels)), np.zeros(len(channels))
    for _ in range(days):
        expected += (moving * usual.complaint).sum(axis=-1)
        most += (unmoved * usual.complaint).sum(axis=-1)
        moving, unmoved = _older(moving * stay), _older(unmoved)
    shape = pace[:, 0] + LEVEL_WEIGHT
    level = shape / (pace[:, 1] + LEVEL_WEIGHT)
    return Outlook(level * expected, level * most, shape)


def _open_by_lateness(channels: Sequence[Channel], today: int) -> Floats:
    """Parcels promised and not delivered, ``[channel, lateness]``."""
    keys = [c.PROMISED_OPEN << 40 | today - FIRST - place for place in range(PLACES)]
    open_now = chain.from_iterable(map(channel.life.get, keys, repeat(0)) for channel in channels)
    return np.fromiter(open_now, dtype=np.float64, count=len(channels) * PLACES).reshape(-1, PLACES)


def _stay(state: Floats, usual: Usual) -> Floats:
    out: Floats = (state[:, STAYED] + STAY_WEIGHT * usual.stay) / (state[:, WAITED] + STAY_WEIGHT)
    return out


def _older(parcels: Floats) -> Floats:
    out = np.zeros_like(parcels)
    out[:, 1:] = parcels[:, :-1]
    return out
