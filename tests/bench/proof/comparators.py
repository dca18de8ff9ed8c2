"""What one would do without the monitor: three alarms, from the events alone, with code that the monitor does not use.

- ``complaints``: a week with more complaints than mean + k·sd of the weeks before (``monitor.replay.backtest``);
- ``mean delay``: an EWMA chart (Roberts 1959, λ = 0.1) of the delivery times of the parcels delivered on a day, each
  day's mean standardized by mean and sd of the deliveries of a moving window of 90 days that ended two weeks ago;
- ``survival``: a risk-adjusted survival CUSUM of the time from registration to delivery (Sego, Reynolds and Woodall,
  *Statistics in Medicine* 28 (2009) 1386): the log-likelihood ratio of an accelerated failure time model with durations
  ``STRETCH`` times as long against the channel's own, log-logistic, right-censored, added up day by day as parcels
  grow older (Steiner and Jones, *Statistics in Medicine* 29 (2010) 444) rather than when their follow-up ends.

Every statistic is two arrays by day, so that thresholds can be set afterwards to any rate of false alarms. An alarm
sets its chart back and silences it for ``MUTE_DAYS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.core.vocabulary import DAY_US
from monitor.replay.backtest.complaints import Week, judged_weeks, waves
from proof.worlds import Folded, Raw

Floats = NDArray[np.float64]

LAMBDA = 0.1
STRETCH = 1.5
MUTE_DAYS = 28
WINDOW_DAYS = 90
#: The window of the mean delay ended so many days ago; a parcel's time is learnt so many days after registration.
PAST_DAYS, FOLLOW_DAYS = 14, 45
LEAST = 20
MOST_AGE = 120
#: The follow-up of a parcel ends at so many times the age by which 95% have come.
CENSOR = 1.5


@dataclass(frozen=True)
class Series:
    """What a channel's chart adds on each day from ``first_day`` (since 1970) on; ``keep`` of what it held stays."""

    first_day: int
    steps: Floats
    keep: float
    floor: float

    def alarms(self, threshold: float, from_day: int) -> list[int]:
        """Days at whose end an alarm is raised, from ``from_day`` on."""
        value, muted, out = 0.0, -1, []
        for i, step in enumerate(self.steps.tolist()):
            value = max(self.keep * value + step, self.floor)
            if value > threshold:
                value = 0.0
                day = self.first_day + i
                if day >= from_day and day > muted:
                    out.append(day)
                    muted = day + MUTE_DAYS
        return out


@dataclass(frozen=True)
class Rivals:
    """The charts of some channels of a world."""

    weeks: dict[str, list[Week]]
    delay: dict[str, Series]
    survival: dict[str, Series]
    from_day: int

    def alarms(self, name: str, threshold: float, channels: Iterable[str] | None = None) -> list[int]:
        """Moments (µs) of the alarms of one kind, sorted; with ``channels`` of those only."""
        if name == "complaints":
            found = [
                wave.alarm_us
                for channel, weeks in self.weeks.items()
                if channels is None or channel in channels
                for wave in waves(channel, weeks, threshold)
                if wave.alarm_us >= self.from_day * DAY_US
            ]
        else:
            charts: Mapping[str, Series] = self.delay if name == "mean delay" else self.survival
            found = [
                (day + 1) * DAY_US
                for channel, chart in charts.items()
                if channels is None or channel in channels
                for day in chart.alarms(threshold, self.from_day)
            ]
        return sorted(found)


#: Name → the largest threshold that is tried.
NAMES = {"complaints": 64.0, "mean delay": 100.0, "survival": 500.0}


def rivals(folded: Folded, channels: Iterable[str], shadow_days: int) -> Rivals:
    """The charts of ``channels``."""
    end = (folded.world.as_of_us or 0) // DAY_US
    out = Rivals({}, {}, {}, folded.first_us // DAY_US + shadow_days)
    for name in sorted(channels):
        if name not in folded.used:
            continue
        times = folded.complaints.get(name, [])
        out.weeks[name] = judged_weeks(times, folded.used[name][0], folded.world.as_of_us or 0)
        parcels = _Parcels(folded.raw[name])
        out.delay[name] = mean_delay(parcels, end)
        out.survival[name] = survival(parcels, end)
    return out


class _Parcels:
    """The parcels of a channel in days since 1970."""

    def __init__(self, raw: Raw) -> None:
        def days(data: bytes) -> Floats:
            values = np.frombuffer(data, dtype=np.int64) / DAY_US
            return np.where(values > 0, values, np.inf)

        self.registered, self.delivered = days(raw.registered), days(raw.delivered)
        self.known, self.stopped = days(raw.delivered_known), days(raw.stopped_known)
        self.first = int(self.registered.min()) if len(self.registered) else 0


def mean_delay(parcels: _Parcels, end: int) -> Series:
    """The EWMA's steps: λ times the standardized mean of the day; a day without deliveries adds nothing."""
    came = np.flatnonzero(np.isfinite(parcels.known))
    day = parcels.known[came].astype(np.int64)
    took = parcels.delivered[came] - parcels.registered[came]
    days = np.arange(parcels.first, end + 1)
    count, total, square = (
        np.bincount(day - parcels.first, weights=weights, minlength=len(days))[: len(days)]
        for weights in (np.ones_like(took), took, took**2)
    )
    sums = np.concatenate((np.zeros((3, 1)), np.cumsum((count, total, square), axis=1)), axis=1)
    high = np.maximum(np.arange(len(days)) - PAST_DAYS, 0)
    low = np.maximum(high - WINDOW_DAYS, 0)
    n, s, q = sums[:, high] - sums[:, low]
    with np.errstate(all="ignore"):
        mean = s / n
        sd = np.sqrt(np.maximum(q / n - mean**2, 1e-6))
        z = (total / count - mean) / sd * np.sqrt(count)
    usable = (count > 0) & (n >= LEAST)
    return Series(parcels.first, np.where(usable, LAMBDA * np.nan_to_num(z), 0.0), 1 - LAMBDA, -1e9)


def survival(parcels: _Parcels, end: int) -> Series:
    """The CUSUM's steps: each day's log-likelihood ratio over all parcels that are followed."""
    days = np.arange(parcels.first, end + 1)
    start = parcels.registered.astype(np.int64) - parcels.first
    exit_age = np.minimum(parcels.known, parcels.stopped)
    took = np.where(np.isfinite(exit_age), exit_age, 1e9)
    age = np.clip(np.floor(took) - np.floor(parcels.registered), 0, MOST_AGE + 1).astype(np.int64)
    came = (parcels.known <= parcels.stopped) & np.isfinite(parcels.known)
    exits, leaves = (np.zeros((len(days), MOST_AGE + 2)) for _ in range(2))
    np.add.at(exits, (start[came], age[came]), 1)
    np.add.at(leaves, (start, age), 1)
    registered = leaves.sum(axis=1, keepdims=True)
    risk = registered - np.concatenate((np.zeros((len(days), 1)), np.cumsum(leaves, axis=1)[:, :-1]), axis=1)
    by_day_exits, by_day_risk = (_by_day(table[:, :MOST_AGE]) for table in (exits, risk))
    steps = np.zeros(len(days))
    duration = np.where(came, parcels.known - parcels.registered, np.nan)
    model: tuple[Floats, Floats] | None = None
    for i in range(len(days)):
        if not i % 7:
            today = parcels.first + i
            mine = (
                (parcels.registered > today - FOLLOW_DAYS - WINDOW_DAYS)
                & (parcels.registered <= today - FOLLOW_DAYS)
                & (parcels.known < today)
                & came
            )
            model = _model(duration[mine]) or model
        if model is None:
            continue
        usual, slow = model
        ages = len(usual)
        j, r = by_day_exits[i, :ages], by_day_risk[i, :ages]
        steps[i] = (j * np.log(slow / usual) - r * (slow - usual)).sum()
    return Series(parcels.first, steps, 1.0, 0.0)


def _by_day(by_entry: Floats) -> Floats:
    """``[entry day, age]`` to ``[day, age]``."""
    out = np.zeros_like(by_entry)
    for age in range(min(by_entry.shape)):
        out[age:, age] = by_entry[: len(by_entry) - age, age]
    return out


def _model(durations: Floats) -> tuple[Floats, Floats] | None:
    """Hazards of a day, usual and stretched, up to the end of the follow-up; None with too few parcels.

    Log-logistic, H(t) = ln(1 + (t/λ)^α), with λ and α from mean and sd of the log durations (sd = π/(√3·α)).
    """
    if len(durations) < LEAST:
        return None
    logs = np.log(np.maximum(durations, 0.5))
    scale, shape = np.exp(logs.mean()), np.pi / (np.sqrt(3) * max(float(logs.std()), 0.05))
    ages = min(int(CENSOR * np.quantile(durations, 0.95)) + 1, MOST_AGE)
    at = np.arange(ages + 1.0)
    usual, slow = (np.diff(np.log1p((at / (k * scale)) ** shape)) for k in (1.0, STRETCH))
    return np.maximum(usual, 1e-9), np.maximum(slow, 1e-9)


def calibrated(count: Callable[[float], int], wanted: float, most: float) -> float:
    """The least threshold with at most ``wanted`` alarms, to a thousandth of ``most``."""
    low, high = 0.0, most
    while high - low > most / 4096:
        middle = (low + high) / 2
        if count(middle) <= wanted:
            high = middle
        else:
            low = middle
    return high


def thresholds(quiet: Sequence[Rivals], wanted: float) -> dict[str, float]:
    """The threshold of each kind with at most ``wanted`` alarms in the quiet worlds together."""
    return {
        name: calibrated(lambda k, name=name: sum(len(one.alarms(name, k)) for one in quiet), wanted, most)  # type: ignore[misc]
        for name, most in NAMES.items()
    }
