"""Today's practice, to compare with: an alarm when a channel has unusually many complaints in a week.

Weeks begin on Monday, 00:00 UTC, and a complaint counts in the week in which it was recorded. In a week a channel
has ``n`` earlier weeks to compare with: whole weeks, the last ``MOST_WEEKS`` at most, beginning with the fifth week
after that of the channel's first registration (before it, nobody can have complained). With n ≥ ``LEAST_WEEKS``

    alarm when  count > mean + k · sd  and  count ≥ ``LEAST_COUNT``

where mean and sd (n − 1 in its denominator) are those of the earlier weeks, weeks of alarm included, and k = 3. The
alarm is raised by the very complaint that lifts the count of the running week above the threshold: nobody who looks
at weekly counts can be earlier. Weeks of alarm that follow within ``GAP_WEEKS`` belong to one *wave*, and only its
first alarm counts as an alarm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.core.vocabulary import DAY_US

SIGMAS: Final = 3.0
START_WEEKS: Final = 5
LEAST_WEEKS: Final = 8
MOST_WEEKS: Final = 26
LEAST_COUNT: Final = 3
GAP_WEEKS: Final = 4
#: Bounds and end of the search for the calibrated threshold.
MOST_SIGMAS: Final = 64.0
STEP_SIGMAS: Final = 1 / 1024
WEEK_US: Final = 7 * DAY_US


def week_of(time_us: int) -> int:
    """Number of the week: 0 is that of Monday, 29 December 1969."""
    return (time_us // DAY_US + 3) // 7


def monday_us(week: int) -> int:
    """The moment at which a week begins."""
    return (week * 7 - 3) * DAY_US


@dataclass(frozen=True, slots=True)
class Week:
    """A week that can be judged: its complaints (sorted moments), and mean and sd of the ``n`` weeks before."""

    number: int
    times_us: tuple[int, ...]
    mean: float
    sd: float
    n: int

    def alarm_us(self, sigmas: float) -> int | None:
        """When the count passed ``mean + sigmas · sd``; None if it did not."""
        needed = max(math.floor(self.mean + sigmas * self.sd + 1e-9) + 1, LEAST_COUNT)
        return self.times_us[needed - 1] if len(self.times_us) >= needed else None


@dataclass(frozen=True, slots=True)
class Wave:
    """Weeks of alarm of a channel that belong together, an alarm each; ``peak_us`` is the Monday of the largest."""

    channel: str
    alarms_us: tuple[int, ...]
    start_us: int
    peak_us: int
    peak: int
    end_us: int

    @property
    def alarm_us(self) -> int:
        """Its first alarm."""
        return self.alarms_us[0]


def judged_weeks(times_us: Sequence[int], registered_us: int, end_us: int) -> list[Week]:
    """The weeks with complaints that can be judged, from those of a channel (sorted moments, up to ``end_us``)."""
    first = week_of(registered_us) + START_WEEKS
    by_week: dict[int, list[int]] = {}
    for time in times_us:
        by_week.setdefault(week_of(time), []).append(time)
    length = max(week_of(end_us) - first + 1, 0)
    sums, squares = [0], [0]
    for i in range(length):
        count = len(by_week.get(first + i, ()))
        sums.append(sums[-1] + count)
        squares.append(squares[-1] + count * count)
    weeks = []
    for number in sorted(by_week):
        at = number - first
        if not LEAST_WEEKS <= at < length:
            continue
        n = min(at, MOST_WEEKS)
        total, square = sums[at] - sums[at - n], squares[at] - squares[at - n]
        variance = (n * square - total * total) / (n * (n - 1))
        weeks.append(Week(number, tuple(by_week[number]), total / n, math.sqrt(variance), n))
    return weeks


def waves(channel: str, weeks: Sequence[Week], sigmas: float = SIGMAS) -> list[Wave]:
    """The waves of a channel at a threshold, in order of time."""
    runs: list[list[tuple[Week, int]]] = []
    for week in weeks:
        alarm = week.alarm_us(sigmas)
        if alarm is None:
            continue
        if runs and week.number - runs[-1][-1][0].number <= GAP_WEEKS:
            runs[-1].append((week, alarm))
        else:
            runs.append([(week, alarm)])
    out = []
    for run in runs:
        peak = max((week for week, _ in run), key=lambda week: (len(week.times_us), -week.number))
        out.append(
            Wave(
                channel,
                alarms_us=tuple(alarm for _, alarm in run),
                start_us=monday_us(run[0][0].number),
                peak_us=monday_us(peak.number),
                peak=len(peak.times_us),
                end_us=monday_us(run[-1][0].number + 1),
            )
        )
    return out


def calibrate(count: Callable[[float], int], wanted: int) -> float | None:
    """The least threshold, in standard deviations, with at most ``wanted`` alarms, by bisection.

    ``count(k)`` tells the alarms at k; it falls with k, but for waves that join at a low threshold. None where even
    ``MOST_SIGMAS`` gives more than wanted.
    """
    low, high = 0.0, MOST_SIGMAS
    if count(high) > wanted:
        return None
    if count(low) <= wanted:
        return low
    while high - low > STEP_SIGMAS:
        middle = (low + high) / 2
        if count(middle) <= wanted:
            high = middle
        else:
            low = middle
    return high
