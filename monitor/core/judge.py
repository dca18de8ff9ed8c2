"""One UTC day judged for all channels at once: evidence first, from the baseline of the days before; then learning.

Rows are channels in sorted order and are worked on in blocks, which changes no figure: nothing but the sums of the
parents crosses rows, and those run over whole, sorted columns.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import chain
from statistics import median

import numpy as np

from monitor.core import cells as c
from monitor.core import evidence as ev
from monitor.core.baseline import KAPPA, Bands, Floats, Ints, cumulative, p95_days, shrink, whole
from monitor.core.calendar import is_special
from monitor.core.channel import (
    CUSUM,
    EXCESS,
    EXPECTED,
    KINDS,
    LN_M,
    SEEN,
    SINCE,
    SQUARES,
    TOO_LATE_FOR_EVIDENCE,
    WEEK_E,
    WEEK_O,
    WEEKS,
    Channel,
)
from monitor.core.params import Params
from monitor.core.parcel import feed_of
from monitor.core.vocabulary import STAGE_CLOCKS

BLOCK = 256
HALF_LIFE_DAYS = 180.0
WARM_UP_DAYS = 35  # a clock is judged after so many days of its channel
WEEKDAYS_FROM_DAY = 14  # weekdays are learnt once there is something to compare with
WARM_UP_EXITS = 10.0  # and so many exits learnt
WEEKDAY_KEEP = 0.98  # what a week leaves of a weekday's tallies
WEEKDAY_WEIGHT = 20.0  # expected exits behind a weekday factor of one
SPECIAL_MARGIN = 0.35  # slack inside known holiday windows
SPECIAL_CV2 = 0.03  # more tempering there
SPECIAL_LEAST = 3.0  # expected exits of a carrier that is compared with
LAST_MILE = 3
SILENT_RATIO = 0.35  # less than this of what a feed is expected to report is silence
SILENT_DAYS = 4  # after which a carrier is judged though its feed is silent
SPREAD_PRIOR = (0.02 * 400.0, 400.0)  # cv² of 0.02, worth four weeks of ten expected exits


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judged day gave a channel that is at risk: how strong, and which clock and alternative say most."""

    ln_m: float
    clock: int
    alternative: int
    observed: float
    expected: float
    since_day: int


def judge_day(
    day: int,
    names: Sequence[str],
    channels: Sequence[Channel],
    unlearnt: Set[str],
    relearnt: Set[str],
    params: Params,
    warm: Sequence[bool],
    silent: dict[str, int],
) -> dict[str, Judged]:
    """Judge ``day`` (UTC day number) for ``channels`` (named by ``names``, sorted); changes the ``warm`` ones
    in place.

    The day enters the baseline of a channel unless there is evidence against it (``learn_ln_m``) or it is in
    ``unlearnt`` (a young incident); always if it is in ``relearnt`` (an old one). Returns the verdicts of the channels
    that had something at risk. ``silent`` (carrier → days in a row on which its feed was silent) is brought up to date.
    """
    rows = np.flatnonzero(warm)
    if not rows.size:
        return {}
    bands = Bands(channels[0].risk.shape[1] - 1)
    carriers, lanes, countries = _groups(names)
    tally = np.stack([ch.tally for ch in channels])
    parents = _parent_hazards(tally, countries, lanes, bands)
    factor = _weekday_factor(channels, carriers, day % 7)
    cv2 = _cv2(channels)
    blocks = []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        hazards = shrink(tally[block, 0], tally[block, 1], parents[lanes[block]], KAPPA[2], bands)
        blocks.append(_Block(day, [int(i) for i in block], channels, cumulative(hazards), factor[block], params))
    _mark_special(day, names, carriers, blocks)
    _hold_silent_feeds(names, blocks, silent)
    verdicts: dict[str, Judged] = {}
    for some in blocks:
        some.weigh(cv2[some.rows])
        for i, verdict in zip(some.rows, some.verdicts(), strict=True):
            if verdict is not None:
                verdicts[names[i]] = verdict
        some.learn(
            [
                names[i] in relearnt or not (names[i] in unlearnt or channels[i].ln_m > params.learn_ln_m)
                for i in some.rows
            ]
        )
    return verdicts


class _Block:
    """A day of some channels; ``increments`` (ΔH₀) are ``[channel, clock, age]``."""

    def __init__(
        self,
        day: int,
        rows: list[int],
        channels: Sequence[Channel],
        increments: Floats,
        factor: Floats,
        params: Params,
    ) -> None:
        self.day, self.rows, self.params = day, rows, params
        self.channels = [channels[i] for i in rows]
        self.ages = increments.shape[-1]
        self.exits, self.at_risk = self._take()
        self.increments, self.factor = increments, factor
        self.margin: Floats = np.full(factor.shape, params.margin)
        self.special = np.zeros(factor.shape, dtype=bool)
        self.expected: Floats = (self.at_risk * -np.expm1(-increments * factor[..., None])).sum(axis=-1)
        days = np.array([ch.judged_days for ch in self.channels])
        learnt = np.stack([ch.tally[0].sum(axis=-1) for ch in self.channels])
        at_risk = self.at_risk.sum(axis=-1) > 0
        self.judged = at_risk & (days[:, None] >= WARM_UP_DAYS) & (learnt >= WARM_UP_EXITS)

    def _take(self) -> tuple[Floats, Floats]:
        """Book the day's entries, exits and censorings; the exits and the parcels that were at risk."""
        booked = [channel.booked.pop(self.day, {}) for channel in self.channels]
        cells = np.fromiter(chain.from_iterable(booked), dtype=np.int64)
        counts = np.fromiter(chain.from_iterable(day.values() for day in booked), dtype=np.int64)
        rows = np.repeat(np.arange(len(booked)), [len(day) for day in booked])
        kind, entry, last = cells >> 40, cells >> 20 & c.MASK, cells & c.MASK
        age = np.clip(self.day - entry, 0, self.ages)
        enters = kind < c.EXIT
        leaves = ~enters & (kind < c.CENSOR) & (self.day - last <= TOO_LATE_FOR_EVIDENCE)
        clock = np.where(enters, kind - c.ENTER, (kind - c.EXIT) % (c.CENSOR - c.EXIT))
        risk = np.stack([ch.risk for ch in self.channels])
        exits, censored = np.zeros_like(risk), np.zeros_like(risk)
        for into, which in ((risk, enters), (exits, leaves), (censored, ~enters & ~leaves)):
            np.add.at(into, (rows[which], clock[which], age[which]), counts[which])
        left = risk - exits - censored
        aged = np.zeros_like(left)
        aged[..., 1:] = left[..., :-1]
        aged[..., -1] += left[..., -1]
        for channel, row in zip(self.channels, aged, strict=True):
            channel.risk = row
        return exits[..., :-1].astype(np.float64), np.maximum(risk - censored, 0)[..., :-1].astype(np.float64)

    def weigh(self, cv2: Floats) -> None:
        """Update ln M and the CUSUMs that say since when."""
        raw = ev.log_likelihood_ratios(self.at_risk, self.exits, self.increments, (1 - self.margin) * self.factor)
        week = np.stack([ch.trail.sum(axis=-1) for ch in self.channels])
        ell = np.where(
            self.judged[..., None], raw / ev.tempering(cv2 + SPECIAL_CV2 * self.special, week)[..., None], 0.0
        )
        state = np.stack([ch.evidence for ch in self.channels])
        judged = self.judged[..., None]
        state[:, LN_M] = np.where(judged, ev.update(state[:, LN_M], ell), state[:, LN_M])
        fresh = judged & (state[:, CUSUM] <= 0)
        state[:, SINCE] = np.where(fresh, self.day, state[:, SINCE])
        for row, today in ((SEEN, self.exits.sum(axis=-1)), (EXPECTED, self.expected)):
            so_far = np.where(fresh, 0.0, state[:, row])
            state[:, row] = np.where(judged, np.round(so_far + today[..., None], 9), state[:, row])
        state[:, CUSUM] = np.where(judged, np.round(np.maximum(state[:, CUSUM] + ell, 0.0), 9), state[:, CUSUM])
        ln_m = ev.mixture(state[:, LN_M])
        for channel, row, total in zip(self.channels, state, ln_m, strict=True):
            channel.evidence = row
            channel.ln_m = float(total)
        self._advance()

    def _advance(self) -> None:
        """What is kept of the day whatever the verdict: dispersion, trailing week, P95, days judged."""
        channels = self.channels
        p95 = p95_days(self.increments[:, :STAGE_CLOCKS]).tolist()
        expected = np.round(self.expected, 9)
        trail = np.concatenate((np.stack([ch.trail for ch in channels])[..., 1:], expected[..., None]), axis=-1)
        spread = np.stack([ch.spread for ch in channels])
        spread[:, WEEK_O] += self.exits.sum(axis=-1)
        spread[:, WEEK_E] = np.round(spread[:, WEEK_E] + expected, 9)
        if (self.day + 3) % 7 == 6:  # a Sunday ends the week
            seasoned = np.array([ch.judged_days >= WARM_UP_DAYS for ch in channels])
            gap = (spread[:, WEEK_O] - spread[:, WEEK_E]) ** 2 - spread[:, WEEK_E]
            for row, more in ((EXCESS, gap), (SQUARES, spread[:, WEEK_E] ** 2), (WEEKS, np.ones_like(gap))):
                spread[:, row] = np.round(spread[:, row] + np.where(seasoned[:, None], more, 0.0), 6)
            spread[:, WEEK_O] = spread[:, WEEK_E] = 0.0
        for channel, days, week, moments in zip(channels, p95, trail, spread, strict=True):
            channel.p95 = days
            channel.trail = week
            channel.spread = moments
            channel.judged_days += 1

    def learn(self, allowed: Sequence[bool]) -> None:
        """Add the day to the baseline of the channels that may learn from it."""
        rows = np.flatnonzero(allowed)
        if not rows.size:
            return
        some = [self.channels[int(i)] for i in rows]
        weekday = self.day % 7
        plain = (self.at_risk[rows] * -np.expm1(-self.increments[rows])).sum(axis=-1)
        keep = 0.5 ** (1.0 / HALF_LIFE_DAYS)
        tally = np.stack([ch.tally for ch in some]) * keep
        plain_days = ~self.special[rows]  # slow holidays are not what a channel is like
        tally[:, 0] += self.exits[rows] * plain_days[..., None]
        tally[:, 1] += self.at_risk[rows] * plain_days[..., None]
        tally = np.round(tally, 9)
        by_weekday = np.stack([ch.weekday for ch in some])
        seasoned = np.array([ch.judged_days > WEEKDAYS_FROM_DAY for ch in some])[:, None] & plain_days
        for row, today in ((0, self.exits[rows].sum(axis=-1)), (1, plain)):
            old = by_weekday[:, row, :, weekday]
            by_weekday[:, row, :, weekday] = np.where(seasoned, np.round(old * WEEKDAY_KEEP + today, 9), old)
        for channel, learnt, factors in zip(some, tally, by_weekday, strict=True):
            channel.tally = learnt
            channel.weekday = factors

    def verdicts(self) -> list[Judged | None]:
        """For each channel with something judged: ln M, and the clock and alternative that say most."""
        out: list[Judged | None] = []
        for i, channel in enumerate(self.channels):
            if not self.judged[i].any():
                out.append(None)
                continue
            clock, alternative = divmod(int(np.argmax(channel.evidence[LN_M])), len(ev.ALTERNATIVES))
            at = channel.evidence[:, clock, alternative]
            out.append(Judged(channel.ln_m, clock, alternative, float(at[SEEN]), float(at[EXPECTED]), int(at[SINCE])))
        return out


def _mark_special(day: int, names: Sequence[str], carriers: Ints, blocks: Sequence[_Block]) -> None:
    """In known windows, expect what the other carriers show on the same day, and allow more slack.

    For the clocks of the origin other carriers are compared anywhere, for the last mile in the same country. Without
    two other carriers of some volume there is nothing to compare with, and the clock is not judged on that day.
    """
    special: list[tuple[_Block, int, int, int, str]] = []
    seen: dict[tuple[int, str], dict[int, list[float]]] = {}
    known: dict[str, tuple[int, ...]] = {}
    for block in blocks:
        exits = block.exits.sum(axis=-1).tolist()
        expected = block.expected.tolist()
        for i, row in enumerate(block.rows):
            country = names[row].split("|", 1)[0]
            clocks = known.get(country)
            if clocks is None:
                clocks = known[country] = tuple(k for k in range(KINDS) if is_special(country, k, day))
            carrier = int(carriers[row])
            for clock in clocks:
                where = country if clock == LAST_MILE else ""
                special.append((block, i, clock, carrier, where))
                sums = seen.setdefault((clock, where), {}).setdefault(carrier, [0.0, 0.0])
                sums[0] += exits[i][clock]
                sums[1] += expected[i][clock]
    ratios: dict[tuple[int, str, int], float | None] = {}
    for block, i, clock, carrier, where in special:
        key = clock, where, carrier
        if key not in ratios:
            others = [o / e for other, (o, e) in seen[clock, where].items() if other != carrier and e >= SPECIAL_LEAST]
            ratios[key] = min(max(median(others), 0.02), 1.5) if len(others) >= 2 else None
        ratio = ratios[key]
        block.special[i, clock] = True
        block.margin[i, clock] = SPECIAL_MARGIN
        if ratio is None:
            block.judged[i, clock] = False
        else:
            block.factor[i, clock] *= ratio
            block.expected[i, clock] *= ratio


def _hold_silent_feeds(names: Sequence[str], blocks: Sequence[_Block], silent: dict[str, int]) -> None:
    """Do not judge, or learn from, what was not reported: a silent feed is not a silent channel.

    A carrier's feed is silent when all its stages that expect something show less than ``SILENT_RATIO`` of it; one
    stage alone may be a fault of the carrier. After ``SILENT_DAYS`` its channels are judged all the same, unless
    nothing arrives at all: no parcel enters or leaves any stage, or the feeds of all carriers are silent.
    """
    seen: dict[str, Floats] = {}
    arrived = 0.0
    for block in blocks:
        arrived += float(block.exits.sum() + block.at_risk[..., 0].sum())
        sums = np.stack((block.exits.sum(axis=-1), block.expected), axis=-1)[:, :STAGE_CLOCKS]
        for i, row in enumerate(block.rows):
            carrier = feed_of(names[row])
            seen[carrier] = seen.get(carrier, 0.0) + sums[i]
    quiet = {carrier for carrier, sums in seen.items() if _is_silent(sums)}
    nothing_arrives = arrived == 0 or _is_silent(np.sum(list(seen.values()), axis=0))
    for carrier in sorted(seen):
        if carrier in quiet:
            silent[carrier] = silent.get(carrier, 0) + 1
        else:
            silent.pop(carrier, None)
    for block in blocks:
        for i, row in enumerate(block.rows):
            carrier = feed_of(names[row])
            if nothing_arrives or (carrier in quiet and silent[carrier] <= SILENT_DAYS):
                block.judged[i] = False
                block.special[i] = True


def _is_silent(sums: Floats) -> bool:
    """Whether two stages or more expected something, ``[stage, exits | expected]``, and none of them showed it."""
    told = sums[sums[:, 1] >= SPECIAL_LEAST]
    return len(told) >= 2 and bool((told[:, 0] < SILENT_RATIO * told[:, 1]).all())


def _groups(names: Sequence[str]) -> tuple[Ints, Ints, Ints]:
    """Index of each channel's carrier, of its country × carrier, and of the country of each country × carrier."""
    carrier_of: dict[str, int] = {}
    lane_of: dict[tuple[str, str], int] = {}
    country_of: dict[str, int] = {}
    carriers, lanes = [], []
    for name in names:
        country, _, carrier = name.split("|")
        carriers.append(carrier_of.setdefault(carrier, len(carrier_of)))
        lanes.append(lane_of.setdefault((country, carrier), len(lane_of)))
        country_of.setdefault(country, len(country_of))
    countries = [country_of[country] for country, _ in lane_of]
    return np.array(carriers), np.array(lanes), np.array(countries)


def _sum_by(values: Floats, index: Ints, groups: int) -> Floats:
    """Sums of rows by group, each in the order of the rows; every group has a row."""
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(groups))
    out: Floats = np.add.reduceat(values[order], starts, axis=0)
    return out


def _parent_hazards(tally: Floats, countries: Ints, lanes: Ints, bands: Bands) -> Floats:
    """Hazards of every country × carrier, ``[lane, clock, age]``, down from the whole and the country."""
    by_lane = _sum_by(tally, lanes, len(countries))
    by_country = _sum_by(by_lane, countries, int(countries.max()) + 1)
    total = by_country.sum(axis=0)
    top = whole(total[0], total[1], bands)
    country = shrink(by_country[:, 0], by_country[:, 1], np.broadcast_to(top, by_country[:, 0].shape), KAPPA[0], bands)
    return shrink(by_lane[:, 0], by_lane[:, 1], country[countries], KAPPA[1], bands)


def _weekday_factor(channels: Sequence[Channel], carriers: Ints, weekday: int) -> Floats:
    """Observed over expected exits of this weekday, by carrier and clock, shrunk to one: ``[channel, clock]``."""
    seen = np.stack([ch.weekday[:, :, weekday] for ch in channels])
    by_carrier = _sum_by(seen, carriers, int(carriers.max()) + 1)
    factor = (by_carrier[:, 0] + WEEKDAY_WEIGHT) / (by_carrier[:, 1] + WEEKDAY_WEIGHT)
    out: Floats = np.clip(factor, 0.05, 5.0)[carriers]
    return out


def _cv2(channels: Sequence[Channel]) -> Floats:
    """Squared coefficient of variation of weekly exits beyond Poisson, shrunk to that of all: ``[channel, clock]``."""
    spread = np.stack([ch.spread for ch in channels])
    total = spread.sum(axis=0)
    pooled = (np.maximum(total[EXCESS], 0) + SPREAD_PRIOR[0]) / (total[SQUARES] + SPREAD_PRIOR[1])
    own = (np.maximum(spread[:, EXCESS], 0) + SPREAD_PRIOR[1] * pooled) / (spread[:, SQUARES] + SPREAD_PRIOR[1])
    out: Floats = own * (1 + 4 / np.maximum(spread[:, WEEKS], 1))
    return out
