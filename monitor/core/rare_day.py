"""The rare events of a judged day of some channels: how many came, of how many that might have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.core import cells as c
from monitor.core import evidence as ev
from monitor.core.arrays import stacked, unstack
from monitor.core.baseline import Floats, Ints
from monitor.core.channel import TOO_LATE_FOR_EVIDENCE, Channel
from monitor.core.rare import AT_RISK, COMPLAINTS, DELIVERED, MISROUTE, RARE, TIMES, bands_of, is_transit

ROUTES_AFTER_DAYS = 14  # judged days of a channel after which its countries of transit are known
WARM_UP_DAYS = 35


class RareDay:
    """Events and parcels at risk, ``[channel, clock, band]``; ``hazards`` and whether they are ``known`` likewise."""

    def __init__(
        self,
        day: int,
        channels: Sequence[Channel],
        rows: Ints,
        cells: Ints,
        counts: Ints,
        at_risk: Floats,
        cohorts: Ints,
        hazards: Floats,
        known: NDArray[np.bool_],
        margin: float,
        hushed: bool,
    ) -> None:
        """``cells`` (and their ``counts``) of the channels ``rows``; ``at_risk`` of the stage clocks ``[channel, clock,
        age]``; ``cohorts`` are the parcels registered ``[channel, age]``; ``known`` says which hazards are.
        ``hushed``: complaints say nothing on this day."""
        self._channels = channels
        starts = bands_of(at_risk.shape[-1])
        band_of = np.searchsorted(starts, np.arange(at_risk.shape[-1]), side="right") - 1
        self.events: Floats = np.zeros((len(channels), len(RARE), len(starts)))
        self._abroad: list[tuple[int, int, int]] = []
        settled = [channel.judged_days >= ROUTES_AFTER_DAYS for channel in channels]
        for row, cell, n in zip(rows.tolist(), cells.tolist(), counts.tolist(), strict=True):
            kind, entry, last = c.split(cell)
            if day - last > TOO_LATE_FOR_EVIDENCE:
                continue
            clock = kind - c.EVENT
            if kind >= c.ABROAD:
                country, clock = kind - c.ABROAD, MISROUTE
                self._abroad.append((row, country, n))
                if not settled[row] or is_transit(channels[row].routes, country):
                    continue
            age = min(max(day - entry, 0), len(band_of) - 1)
            self.events[row, clock, band_of[age]] += n
        self.events = np.maximum(self.events, 0.0)
        waiting = {
            clock: np.add.reduceat(cohorts if clock is None else at_risk[:, clock], starts, axis=-1)
            for clock in {*AT_RISK}
        }
        self.at_risk: Floats = np.stack([waiting[clock] for clock in AT_RISK], axis=1) + self.events
        if hushed:
            self.events[:, COMPLAINTS] = self.at_risk[:, COMPLAINTS] = 0.0
        self._increments, self._known = -np.log1p(-hazards), known
        self._scale = 1 + 2 * margin
        self.expected: Floats = (self.at_risk * hazards * known).sum(axis=-1)
        self.seen: Floats = (self.events * known).sum(axis=-1)
        days = np.array([channel.judged_days for channel in channels])
        self.judged = ((self.at_risk * known).sum(axis=-1) > 0) & (days[:, None] >= WARM_UP_DAYS)

    def ratios(self) -> Floats:
        """Untempered ℓ, ``[channel, clock, alternative]``."""
        scale = np.full(self.expected.shape, self._scale)
        at_risk, events = self.at_risk * self._known, self.events * self._known
        return ev.log_likelihood_ratios(at_risk, events, self._increments, scale, TIMES, (), ()).ell

    def learn(self, rows: Ints, keep: float, delivered: Ints) -> None:
        """Add the day to the tallies and routes of some channels; ``delivered`` parcels of each today."""
        if not rows.size:
            return
        learning = set(rows.tolist())
        some = [self._channels[row] for row in rows.tolist()]
        today = np.stack((self.events[rows], self.at_risk[rows]), axis=1)
        today[[channel.judged_days <= ROUTES_AFTER_DAYS for channel in some], :, MISROUTE] = 0.0
        learnt = np.round(stacked([channel.rare for channel in some]) * keep + today, 9)
        unstack(learnt, [channel.rare for channel in some])
        for channel, arrived in zip(some, delivered[rows].tolist(), strict=True):
            if arrived:
                channel.routes[DELIVERED] = channel.routes.get(DELIVERED, 0) + arrived
        for row, country, n in self._abroad:
            if row in learning:
                routes = self._channels[row].routes
                routes[country] = routes.get(country, 0) + n
