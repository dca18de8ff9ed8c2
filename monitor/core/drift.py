"""Slow drift: has a baseline moved away from what it was a year ago? It learns daily, so it follows what is slow.

What is watched is the *usual duration* of the end-to-end clock, the mean of the fastest 90% of its deliveries. With the
hazards h of the baseline and S(a) = Π_{b ≤ a} (1 − h(b)), the share that is not delivered at age a:

    D = Σₐ max(S(a) − TRIM, 0) / (1 − TRIM)                           TRIM = 0.1, ages up to the age cap

A mean restricted to some ages would hardly move on a slow lane and follow lost parcels; this one grows by 15% when
every duration does, and the slowest tenth says nothing. Its variance is Greenwood's (Irwin 1949, for restricted means),
for the R(b) parcel-days that the baseline has learnt, times the channel's tempering φ (:mod:`monitor.core.evidence`):

    Var D = φ Σ_b [Σ_{a ≥ b, S(a) > TRIM} S(a) / (1 − TRIM)]² · h(b) / [(1 − h(b)) R(b)]

R is a sum of weights that fade, which makes the variance too large rather than too small.

Once a week D is compared with the *anchor*: of the marks set every ``MARK_DAYS`` days (from the end of the shadow on,
where the standard error is at most ``KNOWN`` of D) the latest that is a year old, or the first. Above ``drift_ratio`` a
ticket is opened, if the difference is ``SURE`` standard errors of both; it closes below ``CALM`` of the ratio, also
because the anchor has moved on, and when an incident of the channel, or of a cause that covers it, takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core.baseline import Floats, cumulative
from monitor.core.block import WARM_UP_DAYS
from monitor.core.bursts import is_told
from monitor.core.channel import Channel, Mark
from monitor.core.incidents import DRIFT, Incident, StockOf, note_severity, open_about
from monitor.core.judge import StageHazards
from monitor.core.params import Params
from monitor.core.scope import channel_scope
from monitor.core.spread import cv2_of, tempering
from monitor.core.verdict import Judged
from monitor.core.vocabulary import CLOCKS, END_TO_END

TRIM: Final = 0.1
MARK_DAYS: Final = 91
YEAR_DAYS: Final = 365
KNOWN: Final = 0.05
SURE: Final = 3.0
CALM: Final = 2 / 3
WEEKDAY: Final = 0  # UTC day number modulo 7: a Thursday


@dataclass(frozen=True, slots=True)
class Duration:
    """The usual duration of a channel in days, and its variance."""

    days: float
    variance: float


def usual_duration(hazards: Floats, at_risk: Floats) -> tuple[Floats, Floats]:
    """D and Var D without φ, each ``[row]``, from the hazards and the parcel-days learnt, ``[row, age]``.

    >>> days, _ = usual_duration(np.array([[0.0, 0.0, 0.95]]), np.ones((1, 3)))
    >>> float(days[0])  # all but one in twenty are delivered at age 2
    2.0
    """
    left = _left(hazards)
    counted = np.where(left > TRIM, left, 0.0)
    after = np.cumsum(counted[..., ::-1], axis=-1)[..., ::-1] / (1 - TRIM)
    variance = (after**2 * hazards / ((1 - hazards) * np.maximum(at_risk, 1.0))).sum(axis=-1)
    return _fastest(left), variance


def usual_days(hazards: Floats) -> Floats:
    """D alone, ``[…]``, from hazards ``[…, age]``."""
    return _fastest(_left(hazards))


def _left(hazards: Floats) -> Floats:
    """S, the share that is not delivered at each age."""
    out: Floats = np.exp(-np.cumsum(cumulative(hazards), axis=-1))
    return out


def _fastest(left: Floats) -> Floats:
    out: Floats = np.maximum(left - TRIM, 0.0).sum(axis=-1) / (1 - TRIM)
    return out


def durations(channels: Mapping[str, Channel]) -> dict[str, Duration]:
    """The usual duration of every channel, by the baselines as they are; in the order of the names."""
    names = sorted(channels)
    if not names:
        return {}
    some = [channels[name] for name in names]
    tallies = [one.tally[:, [END_TO_END]] for one in some]
    hazards = StageHazards(names, tallies)(np.arange(len(names)))[:, 0]
    days, variance = usual_duration(hazards, np.stack([tally[1, 0] for tally in tallies]))
    cv2 = cv2_of(np.stack([one.spread for one in some]))[:, END_TO_END]
    phi = tempering(cv2, np.stack([one.trail[END_TO_END].sum() for one in some]))
    rounded = zip(np.round(days, 6).tolist(), np.round(variance * phi, 6).tolist(), strict=True)
    return {name: Duration(*pair) for name, pair in zip(names, rounded, strict=True)}


def anchor_of(marks: Sequence[Mark], day: int) -> Mark | None:
    """What a channel is compared with on ``day``: its latest mark of a year ago, or its first."""
    old = [mark for mark in marks if mark.day <= day - YEAR_DAYS]
    return old[-1] if old else marks[0] if marks else None


def score(now: Duration, anchor: Mark) -> tuple[float, float]:
    """How much slower than its anchor a channel is, as a ratio less one, and in standard errors of both."""
    gap = now.days - anchor.days
    return gap / max(anchor.days, 1.0), gap / math.sqrt(max(now.variance + anchor.variance, 1e-9))


class Drift:
    """The tickets of channels whose baseline has moved. ``put`` keeps a changed incident and says if it is news."""

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
        self._open = {
            one.members[0]: id_ for id_, one in incidents.items() if one.judged_by == DRIFT and not one.closed_us
        }

    def after_days(self, days: range, first_day: int | None, at_us: int, stock: StockOf) -> None:
        """The ``days`` were judged at the tick ``at_us``: compare, if the day of the week is among them.

        ``first_day``: that of the log.
        """
        checked = [day for day in days if day % 7 == WEEKDAY]
        if not checked or first_day is None or checked[-1] - first_day < self._params.shadow_days:
            return
        day = checked[-1]
        instead = spoken_for(self._incidents)
        for name, now in durations(self._channels).items():
            channel = self._channels[name]
            if _is_due(channel, now, day):
                anchor = anchor_of(channel.marks, day)
                kept = [mark for mark in channel.marks if anchor is None or mark.day >= anchor.day]
                channel.marks = [*kept, Mark(day, now.days, now.variance)]
                self._channels[name] = channel
            anchor = anchor_of(channel.marks, day)
            if anchor is None:
                continue
            ratio, sure = score(now, anchor)
            if name in self._open:
                self._pass(name, ratio, channel, day, at_us, instead.get(name, ""))
            elif ratio > self._params.drift_ratio and sure >= SURE and name not in instead and _is_used(channel):
                self._raise(name, now, anchor, sure, day, at_us, stock)

    def _raise(self, name: str, now: Duration, anchor: Mark, sure: float, day: int, at_us: int, stock: StockOf) -> None:
        """Open a ticket; ``ln_m`` is the logarithm of the likelihood ratio of the difference, sure² / 2."""
        incident = open_about(channel_scope(name), "transit_slow", [name], anchor.day, at_us)
        incident.clock, incident.judged_by, incident.last_judged_day = CLOCKS[END_TO_END], DRIFT, day
        verdict = Judged(sure**2 / 2, END_TO_END, 0, now.days, anchor.days, anchor.day)
        note_severity(incident, "ticket", verdict, at_us, stock([name], "ticket"))
        self._open[name] = incident.incident_id
        self._put(incident, True)

    def _pass(self, name: str, ratio: float, channel: Channel, day: int, at_us: int, instead: str) -> None:
        """A week of an open ticket."""
        incident = self._incidents[self._open[name]]
        incident.last_judged_day = day
        over = ratio < CALM * self._params.drift_ratio or not _is_used(channel) or bool(instead)
        if over:
            incident.closed_us = at_us
            incident.absorbed_by = instead
            incident.revision += 1
            del self._open[name]
        self._put(incident, over)


def spoken_for(incidents: Mapping[str, Incident]) -> dict[str, str]:
    """Channel → id of the open incident, of its own or a wider cause, that speaks for its slowness already."""
    out: dict[str, str] = {}
    for id_ in sorted(incidents):
        one = incidents[id_]
        if not (one.closed_us or one.judged_by or one.severity == "feed" or is_told(one)):
            out.update(dict.fromkeys(one.covers, id_))
    return out


def _is_due(channel: Channel, now: Duration, day: int) -> bool:
    """Whether a mark is to be set: the last one is old enough, and the duration is known well enough."""
    if channel.judged_days < WARM_UP_DAYS or (channel.marks and channel.marks[-1].day > day - MARK_DAYS):
        return False
    return math.sqrt(now.variance) <= KNOWN * now.days


def _is_used(channel: Channel) -> bool:
    """Whether parcels are under way."""
    return bool(channel.risk[END_TO_END, :-1].any())
