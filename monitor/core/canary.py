"""A new channel is followed from its first parcel, against what its parents expect, until its own baseline takes over.

A channel is new while it is younger than the warm-up (``WARM_UP_DAYS``) or has had fewer than ``canary_parcels``
parcels, if it began after the first weeks of the log. Its parents are learnt from established channels alone, so a
channel that is bad from the beginning teaches no expectation of its own: its country × carrier, else its country, else
the whole. A channel may by nature take longer than its parent. How much longer, k, is estimated for each clock: the 95%
quantile, over the established channels, of their usual duration (:mod:`monitor.core.drift`) by the mean of the others
with the same parent. The null hypothesis is that every duration is k times that of the parent, and the hazards
``MARGIN`` smaller still:

    x = (1 − MARGIN) · g · [H₀((a+1)/k) − H₀(a/k)]        ℓⱼ, Mⱼ as in :mod:`monitor.core.evidence`, ρⱼ = 0.35, 0.08

The channel's M is the mean over stage clocks and alternatives. At ``ticket_ln_m`` it opens a ticket, never a page. Days
of holiday windows and of silent feeds are not weighed.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Final

import numpy as np

from monitor.core import cells as c
from monitor.core import evidence as ev
from monitor.core.arrays import stacked
from monitor.core.baseline import Floats, cumulative
from monitor.core.block import WARM_UP_DAYS, WARM_UP_EXITS, Block
from monitor.core.channel import KINDS, Channel, no_canary
from monitor.core.drift import spoken_for, usual_days
from monitor.core.incidents import CANARY, Incident, StockOf, note_severity, open_incident, pass_day
from monitor.core.judge import BLOCK, StageHazards
from monitor.core.params import Params
from monitor.core.scope import channel_scope
from monitor.core.spread import cv2_of, tempering
from monitor.core.verdict import Judged, say_all

FACTORS: Final = (0.35, 0.08)
MARGIN: Final = 0.2
LEAST_STRETCH: Final = 1.3
MOST_STRETCH: Final = 4.0  # also where too few channels tell of the spread: then only a standstill shows
LEAST_CHANNELS: Final = 10
QUANTILE: Final = 0.95


class Canary:
    """The new channels. ``put`` keeps a changed incident and says if it is news."""

    def __init__(
        self,
        params: Params,
        channels: MutableMapping[str, Channel],
        incidents: MutableMapping[str, Incident],
        put: Callable[[Incident, bool], None],
    ) -> None:
        self._params = params
        self._channels = channels
        self._incidents = incidents
        self._put = put
        self._verdicts: dict[str, Judged] = {}  # of the day that is being judged
        self._open = {
            one.members[0]: id_ for id_, one in incidents.items() if one.judged_by == CANARY and not one.closed_us
        }

    def is_new(self, channel: Channel, log_days: int) -> bool:
        """Whether a channel is followed against its parents in a log of this age."""
        if log_days < self._params.shadow_days or channel.judged_days + WARM_UP_DAYS >= log_days:
            return False
        parcels = channel.life.get(c.REGISTERED << 40, 0)
        return channel.judged_days < WARM_UP_DAYS or parcels < self._params.canary_parcels

    def weigh(
        self, day: int, log_days: int, names: Sequence[str], channels: Sequence[Channel], blocks: Sequence[Block]
    ) -> None:
        """Weigh ``day`` for the new ones among the ``channels`` (named by ``names``, sorted), in place."""
        self._verdicts = {}
        new: list[tuple[int, Block, int]] = []
        for block in blocks:
            for i, row in enumerate(block.rows):
                if self.is_new(channels[row], log_days):
                    new.append((row, block, i))
                elif channels[row].canary.size:
                    channels[row].canary = no_canary()
        if not new:
            return
        rows = [row for row, _, _ in new]
        parents, stretches = _expected(names, channels, rows)
        usual = cumulative(parents)
        increments = np.empty_like(usual)
        for k in np.unique(stretches).tolist():  # a few: one a clock and level
            increments[stretches == k] = ev.stretched(ev.cumulated(usual[stretches == k]), k)
        at_risk = stacked([block.at_risk[i] for _, block, i in new])
        exits = stacked([block.exits[i] for _, block, i in new])
        scale = (1 - MARGIN) * stacked([block.factor[i] for _, block, i in new])
        judged = (at_risk.sum(axis=-1) > 0) & ~stacked([block.special[i] for _, block, i in new])
        raw = ev.log_likelihood_ratios(at_risk, exits, increments, scale, FACTORS, (), ()).ell
        expected = (at_risk * -np.expm1(-increments * scale[..., None])).sum(axis=-1).round(9)
        cv2 = cv2_of(stacked([one.spread for one in channels]))[rows][:, :KINDS]
        week = stacked([channels[row].trail[:KINDS].sum(axis=-1) for row in rows])
        state = stacked([channels[row].canary if channels[row].canary.size else _nothing() for row in rows])
        ell = raw / tempering(cv2, week)[..., None]
        ev.accumulate(state, judged, ell, exits.sum(axis=-1), expected, day)
        verdicts = say_all(state, ev.mixture(state[:, ev.LN_M]).tolist())
        for row, evidence, verdict, told in zip(rows, state, verdicts, judged.any(axis=1).tolist(), strict=True):
            channels[row].canary = evidence
            if told:
                self._verdicts[names[row]] = verdict

    def after_day(self, day: int, at_us: int, stock: StockOf) -> None:
        """Open and close the tickets of new channels, after all other incidents of the day."""
        names = sorted({*self._verdicts, *self._open})
        instead = spoken_for(self._incidents) if names else {}
        for name in names:
            verdict = self._verdicts.get(name)
            if name in self._open:
                self._pass(name, verdict, day, at_us, instead.get(name, ""))
            elif verdict is not None and verdict.ln_m >= self._params.ticket_ln_m and name not in instead:
                self._raise(name, verdict, day, at_us, stock)

    def _raise(self, name: str, verdict: Judged, day: int, at_us: int, stock: StockOf) -> None:
        stalled = ev.STALLED if FACTORS[verdict.alternative] == ev.FACTORS[ev.STALLED] else 0
        told = Judged(verdict.ln_m, verdict.clock, stalled, verdict.observed, verdict.expected, verdict.since_day)
        incident = open_incident(channel_scope(name), [name], told, day, at_us)
        incident.judged_by = CANARY
        note_severity(incident, "ticket", told, at_us, stock([name], "ticket"))
        self._open[name] = incident.incident_id
        self._put(incident, True)

    def _pass(self, name: str, verdict: Judged | None, day: int, at_us: int, instead: str) -> None:
        """A day of an open ticket: closed when calm, when something else speaks, or when the channel is new no more."""
        incident, channel = self._incidents[self._open[name]], self._channels[name]
        before = incident.revision
        if instead or not channel.canary.size:
            incident.closed_us, incident.absorbed_by = at_us, instead
            incident.revision += 1
        elif verdict is not None or not channel.risk[:, :-1].any():
            calm = None if verdict is None else verdict.ln_m < self._params.close_ln_m
            pass_day(incident, calm, day, at_us, self._params)
        if incident.closed_us:
            del self._open[name]
        self._put(incident, incident.revision != before)


def _nothing() -> Floats:
    """Evidence before the first day, ``[row, clock, alternative]``."""
    out = np.zeros((ev.ROWS, KINDS, len(FACTORS)))
    out[ev.LN_M] = -np.inf
    return out


def _expected(names: Sequence[str], channels: Sequence[Channel], rows: Sequence[int]) -> tuple[Floats, Floats]:
    """Of the new channels in ``rows``: the hazards of their parents ``[row, clock, age]``, which know none of them, and
    how many times as long channels of such a parent take, ``[row, clock]``."""
    left_out = set(rows)
    nothing = np.zeros_like(channels[0].tally)
    tallies = [nothing if row in left_out else one.tally for row, one in enumerate(channels)]
    hazards_of = StageHazards(names, tallies)
    learnt = stacked([one[0] for one in tallies]).sum(axis=-1).min(axis=-1) >= WARM_UP_EXITS
    known = [row for row in np.flatnonzero(learnt).tolist() if channels[row].judged_days >= WARM_UP_DAYS]
    levels = [[_parent(names[row], level) for row in known] for level in range(3)]
    spreads = []
    if known:
        parts = [np.array(known[start : start + BLOCK]) for start in range(0, len(known), BLOCK)]
        usual = np.concatenate([usual_days(hazards_of(part)) for part in parts]) + 0.5
        spreads = [_stretch(usual, parents) for parents in levels]
    out = []
    for row in rows:
        level = next((level for level in range(3) if _parent(names[row], level) in levels[level]), None)
        out.append(np.full(KINDS, MOST_STRETCH) if level is None else spreads[level])
    return hazards_of(np.array(rows)), np.stack(out)


def _parent(name: str, level: int) -> str:
    """The parent of a channel: country × carrier, country, the whole."""
    country, _, carrier = name.split("|")
    return (f"{country}|{carrier}", country, "")[level]


def _stretch(usual: Floats, parents: Sequence[str]) -> Floats:
    """How many times as long as the others of its parent a channel takes, ``[clock]``.

    ``usual`` durations are ``[channel, clock]``, ``parents`` those of the same channels.
    """
    by_parent: dict[str, list[int]] = {}
    for row, parent in enumerate(parents):
        by_parent.setdefault(parent, []).append(row)
    several = [np.array(rows) for _, rows in sorted(by_parent.items()) if len(rows) > 1]
    ratios = [
        usual[rows] * (len(rows) - 1) / (usual[rows].sum(axis=0) - usual[rows])  # by the mean of the others
        for rows in several
    ]
    if sum(map(len, several)) < LEAST_CHANNELS:
        return np.full(KINDS, MOST_STRETCH)
    out: Floats = np.clip(np.quantile(np.concatenate(ratios), QUANTILE, axis=0), LEAST_STRETCH, MOST_STRETCH)
    return out
