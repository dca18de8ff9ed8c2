"""A judged day of some channels at once: who was at risk, who left, what that says, and what is learnt from it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from monitor.core import cells as c
from monitor.core import evidence as ev
from monitor.core.arrays import stacked, unstack
from monitor.core.baseline import Floats, Ints, p95_days
from monitor.core.channel import JOINT, LN_PRIOR, TOO_LATE_FOR_EVIDENCE, Channel
from monitor.core.evidence import CUSUM, LATELY
from monitor.core.facets import AGES, DAYS_KEPT
from monitor.core.groups import Day
from monitor.core.params import Params
from monitor.core.rare import RARE, TIMES
from monitor.core.rare_day import RareDay
from monitor.core.spread import OWN_SHARE, SPECIAL_CV2, end_of_week, tempering_of_all, trail_with
from monitor.core.stakes import ln_weight
from monitor.core.unseen import without_unseen
from monitor.core.verdict import Judged, say_all
from monitor.core.vocabulary import CLOCKS, END_TO_END, STAGE_CLOCKS
from monitor.core.vocabulary import UNDERWAY as UNDERWAY_CLOCKS

HALF_LIFE_DAYS = 180.0
WARM_UP_DAYS = 35  # a clock is judged after so many days of its channel
WEEKDAYS_FROM_DAY = 14  # weekdays are learnt once there is something to compare with
WARM_UP_EXITS = 10.0  # and so many exits learnt
WEEKDAY_KEEP = 0.98  # what a week leaves of a weekday's tallies
#: The margin is larger by DOUBT / √(exits learnt + DOUBT_EXITS): half the standard error of a baseline.
DOUBT, DOUBT_EXITS = 0.5, 5.0
UNDERWAY = list(UNDERWAY_CLOCKS)
NOT_RECEIVED = len(CLOCKS) + RARE.index("complaints")
LOST_TIMES = TIMES.index(3.0)  # so many times as many complaints go with a loss


class Block:
    """A day of some channels; ``increments`` (ΔH₀) are ``[channel, clock, age]``."""

    def __init__(
        self,
        day: int,
        rows: list[int],
        channels: Sequence[Channel],
        increments: Floats,
        factor: Floats,
        rare: tuple[Floats, NDArray[np.bool_]],
        params: Params,
        hushed: bool = False,
        seasoned: bool = True,
    ) -> None:
        """``factor`` on the hazards ``[channel, clock]``; ``rare``: hazards of the rare events, and which are known.
        ``seasoned``: how often the buyers of old parcels complain is known."""
        self.day, self.rows, self.params, self.seasoned = day, rows, params, seasoned
        self.channels = [channels[i] for i in rows]
        self.ages = increments.shape[-1]
        self.exits, self.at_risk, cohorts = self._take()
        self.handed: Floats = cohorts[:, :DAYS_KEPT].sum(axis=-1).astype(np.float64)
        self.increments, self.factor = increments, factor
        self.margin: Floats = np.full(factor.shape, params.margin)
        self.special = np.zeros(factor.shape, dtype=bool)
        self.held = np.zeros(len(rows), dtype=bool)
        self._lay_ghosts()
        for channel, there, left in zip(self.channels, self.at_risk, self.exits, strict=True):
            without_unseen(channel, there, left)
        self.expected: Floats = (self.at_risk * -np.expm1(-increments * factor[..., None])).sum(axis=-1)
        days = np.array([ch.judged_days for ch in self.channels])
        self._learnt = learnt = stacked([ch.tally[0] for ch in self.channels]).sum(axis=-1)
        at_risk = self.at_risk.sum(axis=-1) > 0
        self.judged = at_risk & (days[:, None] >= WARM_UP_DAYS) & (learnt >= WARM_UP_EXITS)
        rates, known = rare
        events_of, events, counts = self._rare_cells
        self.rare = RareDay(
            day,
            self.channels,
            events_of,
            events,
            counts,
            self.at_risk,
            cohorts,
            rates,
            known,
            params.margin,
            hushed,
        )
        self.before: Floats = np.zeros(0)  # CUSUMs before the day, [channel, clock, alternative]
        self.raw: Floats = np.zeros(0)  # untempered ℓ of the day, likewise

    def _take(self) -> tuple[Floats, Floats, Ints]:
        """Book the day's entries, exits and censorings; the exits, the parcels that were at risk, and those registered,
        ``[channel, age]``."""
        booked = [channel.booked.pop(self.day, {}) for channel in self.channels]
        cells = np.fromiter(chain.from_iterable(booked), dtype=np.int64)
        counts = np.fromiter(chain.from_iterable(day.values() for day in booked), dtype=np.int64)
        rows = np.repeat(np.arange(len(booked)), [len(day) for day in booked])
        plain = cells >> 40 < c.EVENT
        self._rare_cells = rows[~plain], cells[~plain], counts[~plain]
        cells, counts, rows = cells[plain], counts[plain], rows[plain]
        kind, entry, last = cells >> 40, cells >> 20 & c.MASK, cells & c.MASK
        age = np.clip(self.day - entry, 0, self.ages)
        enters = kind < c.EXIT
        leaves = ~enters & (kind < c.CENSOR) & (self.day - last <= TOO_LATE_FOR_EVIDENCE)
        clock = np.where(enters, kind - c.ENTER, (kind - c.EXIT) % (c.CENSOR - c.EXIT))
        risk = stacked([ch.risk for ch in self.channels])
        moved = np.zeros((3, *risk.shape), dtype=np.int64)
        place = np.ravel_multi_index((np.where(enters, 0, np.where(leaves, 1, 2)), rows, clock, age), moved.shape)
        np.add.at(moved.reshape(-1), place, counts)
        entered, exits, censored = moved
        risk += entered
        left = risk - exits - censored
        aged = np.zeros_like(left)
        aged[..., 1:] = left[..., :-1]
        aged[..., -1] += left[..., -1]
        unstack(aged, [ch.risk for ch in self.channels])
        cohorts = stacked([ch.cohorts for ch in self.channels])
        new = enters & (clock == 0) & (age < self.ages)
        np.add.at(cohorts, (rows[new], age[new]), counts[new])
        older = np.zeros_like(cohorts)
        older[:, 1:] = cohorts[:, :-1]
        unstack(older, [ch.cohorts for ch in self.channels])
        at_risk = np.maximum(risk - censored, 0)
        return exits[..., :-1].astype(np.float64), at_risk[..., :-1].astype(np.float64), cohorts

    def _lay_ghosts(self) -> None:
        """Leave out those that are taken to have left while their feed was silent, and their exits when they show.

        With G ghosts among R parcels at risk, (R − G)·h are expected to leave; what leaves beyond that are ghosts.
        """
        self.ghosts: dict[int, Floats] = {}
        for i, channel in enumerate(self.channels):
            if channel.ghosts.size:
                ghosts = np.minimum(channel.ghosts, self.at_risk[i])
                expected = (self.at_risk[i] - ghosts) * self._chance(i)
                shown = np.minimum(ghosts, np.maximum(self.exits[i] - expected, 0.0))
                self.exits[i] -= shown
                self.ghosts[i] = ghosts - shown
                self.at_risk[i] = np.maximum(self.at_risk[i] - ghosts, self.exits[i])

    def _chance(self, i: int) -> Floats:
        """The chance of leaving today, ``[clock, age]``."""
        out: Floats = -np.expm1(-self.increments[i] * self.factor[i][:, None])
        return out

    def hold(self, held: Sequence[bool]) -> None:
        """Do not judge, or learn from, what was not reported.

        The exits that were to be expected and are not seen become *ghosts*: parcels that may have left unseen.
        """
        self.held = np.array(held)
        self.judged[self.held] = False
        self.special[self.held] = True
        for i, channel in enumerate(self.channels):
            if i not in self.ghosts and not held[i]:
                continue
            ghosts = self.ghosts.get(i, np.zeros_like(self.at_risk[i]))
            if held[i]:
                ghosts = ghosts + np.maximum(self.at_risk[i] * self._chance(i) - self.exits[i], 0.0)
            channel.ghosts = np.zeros_like(ghosts)
            channel.ghosts[:, 1:] = np.round(ghosts[:, :-1], 6)
            if channel.ghosts.sum() < 0.5:
                channel.ghosts = np.zeros((0, 0))

    def weigh(self, cv2: Floats) -> None:
        """Update ln M and the CUSUMs that say since when."""
        scale = (1 - self.margin) * self.factor
        rare = self.rare
        rare.judged[self.held] = False
        total = ev.cumulated(self.increments)
        slow, stayed, common = ev.log_likelihood_ratios(self.at_risk, self.exits, self.increments, scale, total=total)
        for told in (slow, stayed):
            told[..., ev.SHAPED] = np.where(self.special[..., None], 0.0, told[..., ev.SHAPED])
        raw, exits = np.concatenate((slow, rare.ratios()), axis=1), self.exits.sum(axis=-1)
        judged = np.concatenate((self.judged, rare.judged), axis=1)
        under = self.judged[:, UNDERWAY]
        self.raw = np.concatenate((raw, self._joint(raw, judged)), axis=1)
        self.all_judged = np.concatenate((judged, under.any(axis=1, keepdims=True)), axis=1)
        special = (self.special[:, UNDERWAY] & under).any(axis=1, keepdims=True)
        self.all_special = np.concatenate((self.special, np.zeros_like(rare.judged), special), axis=1)
        joint = [(of[:, UNDERWAY] * under).sum(axis=1, keepdims=True) for of in (exits, self.expected)]
        self.all_exits: Floats = np.concatenate((exits, rare.seen, joint[0]), axis=1)
        self.all_expected: Floats = np.concatenate((self.expected, rare.expected, joint[1]), axis=1).round(9)
        trail = stacked([ch.trail for ch in self.channels])
        ell = self.raw - self._doubt(stayed, judged)
        ell /= self._tempering(OWN_SHARE * cv2 + SPECIAL_CV2 * self.all_special, trail.sum(axis=-1), common)
        state = stacked([ch.evidence for ch in self.channels])
        self.before = state[:, CUSUM].copy()
        ev.accumulate(state, self.all_judged, ell, self.all_exits, self.all_expected, self.day)
        ln_m = ev.mixture(state[:, ev.LN_M], LN_PRIOR)
        weights = ln_weight(self.handed, self.params.stake_power)
        self._verdicts = say_all(state, ln_m.tolist(), ln_weight=weights.tolist())
        self.lately = state[:, LATELY].copy()
        unstack(state, [ch.evidence for ch in self.channels])
        for channel, verdict in zip(self.channels, self._verdicts, strict=True):
            channel.ln_m = verdict.ln_m
        self._advance(cv2, trail, p95_days(total[:, :STAGE_CLOCKS, 1:]).tolist())

    def _joint(self, raw: Floats, judged: NDArray[np.bool_]) -> Floats:
        """Untempered ℓ of the stages after departure together, ``[channel, 1, alternative]``: the sum of theirs.

        That parcels are lost is also what their buyers say, once it is known how often they do.
        """
        told = np.where(judged[..., None], raw, 0.0)
        joint: Floats = told[:, UNDERWAY].sum(axis=1, keepdims=True)
        if self.seasoned:
            joint[..., ev.LOST] += told[:, [NOT_RECEIVED], LOST_TIMES]
        return joint

    def _doubt(self, stayed: Floats, judged: NDArray[np.bool_]) -> Floats:
        """What a channel's own ℓ is less for how well its baseline is known: of what those say that stayed a share, the
        more the fewer exits were learnt. In a group such errors even out."""
        share = DOUBT / np.sqrt(self._learnt + DOUBT_EXITS) / (1 - self.params.margin)
        out = np.zeros_like(self.raw)
        out[:, : len(CLOCKS)] = share[..., None] * stayed
        out[:, JOINT] = np.where(judged[:, UNDERWAY, None], out[:, UNDERWAY], 0.0).sum(axis=1)
        return out

    @staticmethod
    def _tempering(cv2: Floats, week: Floats, common: Floats) -> Floats:
        """φ, ``[channel, clock, alternative]``; of a loss so much less as it has of a shock of all ages."""
        phi = np.repeat(tempering_of_all(cv2, week)[..., None], len(ev.ALTERNATIVES), axis=-1)
        cv2 = cv2.copy()
        cv2[:, : len(CLOCKS)] *= common
        phi[..., ev.LOST] = tempering_of_all(cv2, week)
        return phi

    def _advance(self, cv2: Floats, trail: Floats, p95: list[list[int]]) -> None:
        """What is kept of the day whatever the verdict: dispersion, ``trail``ing week, P95, days judged."""
        channels = self.channels
        expected = self.all_expected
        trail = trail_with(trail, expected)
        spread = stacked([ch.spread for ch in channels])
        counts = [ch.judged_days >= WARM_UP_DAYS and ch.ln_m <= self.params.learn_ln_m for ch in channels]
        told = ~self.held[:, None]
        end_of_week(spread, self.all_exits * told, expected * told, self.day, np.array(counts), cv2)
        unstack(trail, [ch.trail for ch in channels])
        unstack(spread, [ch.spread for ch in channels])
        for channel, days in zip(channels, p95, strict=True):
            channel.p95 = days
            channel.judged_days += 1

    def learn(self, allowed: Sequence[bool]) -> None:
        """Add the day to the baseline of the channels that may learn from it."""
        rows = np.flatnonzero(allowed)
        if not rows.size:
            return
        some = [self.channels[int(i)] for i in rows]
        weekday = self.day % 7
        keep = 0.5 ** (1.0 / HALF_LIFE_DAYS)
        told = rows[~self.held[rows]]
        self.rare.learn(told, keep, self.exits[:, END_TO_END].sum(axis=-1).astype(np.int64))
        exits, at_risk, increments = self.exits, self.at_risk, self.increments
        if rows.size < len(self.rows):  # as a rule all learn, and nothing needs be copied
            exits, at_risk, increments = exits[rows], at_risk[rows], increments[rows]
        plain = (at_risk * -np.expm1(-increments)).sum(axis=-1)
        plain_days = ~self.special[rows]  # slow holidays are not what a channel is like
        tally = stacked([ch.tally for ch in some])
        tally *= keep
        tally[:, 0] += exits * plain_days[..., None]
        tally[:, 1] += at_risk * plain_days[..., None]
        tally.round(9, out=tally)
        by_weekday = stacked([ch.weekday for ch in some])
        seasoned = np.array([ch.judged_days > WEEKDAYS_FROM_DAY for ch in some])[:, None] & plain_days
        for row, today in ((0, exits.sum(axis=-1)), (1, plain)):
            old = by_weekday[:, row, :, weekday]
            by_weekday[:, row, :, weekday] = np.where(seasoned, np.round(old * WEEKDAY_KEEP + today, 9), old)
        unstack(tally, [ch.tally for ch in some])
        unstack(by_weekday, [ch.weekday for ch in some])

    def tell(self, found: Day) -> None:
        """Lay the day's figures into ``found``."""
        found.judged[self.rows] = self.all_judged
        found.special[self.rows] = self.all_special
        found.exits[self.rows] = self.all_exits
        found.expected[self.rows] = self.all_expected
        found.raw[self.rows] = self.raw
        found.before[self.rows] = self.before
        found.lately[self.rows] = self.lately
        scale = (1 - self.margin[:, 0]) * self.factor[:, 0]
        found.first[self.rows] = (self.increments[:, 0] * scale[:, None])[:, :AGES]
        found.handed[self.rows] = self.handed

    def verdicts(self) -> list[Judged | None]:
        """For each channel with something judged: ln M, and the clock and alternative that say most."""
        judged = np.flatnonzero(self.all_judged.any(axis=1))
        out: list[Judged | None] = [None] * len(self._verdicts)
        for i in judged.tolist():
            out[i] = self._verdicts[i]
        return out
