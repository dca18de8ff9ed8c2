"""The parcels of each channel as arrays, so that a tick can weigh all of them at once.

An index, not a state: it holds the same whole numbers as ``Channel.recent``, by week of registration and by duration,
and is made from them when a fold begins. Weeks begin on Thursdays (day number divisible by 7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core import cells as c
from monitor.core.baseline import Floats, Ints
from monitor.core.channel import Channel
from monitor.core.switch.carried import AGE_WEEKS

#: Upper ends of the bins of durations, in days; the last is open.
ENDS: Final = np.array([*range(1, 31), *range(32, 61, 2), *range(65, 126, 5), np.inf])
BINS: Final = len(ENDS)
#: Middle of each bin, on the scale of the logarithm of days.
LN_DAYS: Final = np.log(np.concatenate((ENDS[:-1] - np.diff(ENDS[:-1], prepend=0.0) / 2, [150.0])))
UNTIMED, RETURNED, LOST, COMPLAINTS = range(BINS, BINS + 4)
WEEKS: Final = 18  # the longest look back
_WEEK_ROOM: Final = 48
_DAY_ROOM: Final = 7 * _WEEK_ROOM
_ROWS: Final = 64
_KINDS: Final = {c.RETURNED: RETURNED, c.LOST: LOST, c.COMPLAINT: COMPLAINTS}
_LAST: Final = (c.COMPLAINT + 1) << 40


@dataclass(frozen=True, slots=True)
class Weighed:
    """Weighted sums by channel row: ``delivered`` ``[row, bin]``, ``open`` ``[row, bin]`` by age; the rest ``[row]``.

    ``registered``: ``[row, week of age]``; ``weeks``: how many weeks the weights are worth.
    """

    delivered: Floats
    open: Floats
    untimed: Floats
    returned: Floats
    lost: Floats
    complaints: Floats
    registered: Floats
    weeks: Floats

    def take(self, rows: Ints) -> Weighed:
        """Some rows of it."""
        return Weighed(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def less(self, part: Weighed) -> Weighed:
        """What is left without a part of it."""
        sums = {name: np.maximum(getattr(self, name) - getattr(part, name), 0.0) for name in self.__dataclass_fields__}
        left = sums["delivered"].sum(axis=1) + sums["open"].sum(axis=1)
        return Weighed(**{**sums, "weeks": np.where(left > 1e-9, self.weeks, 0.0)})


class Counts:
    """The index. ``rows``: channel → row of the arrays."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self.rows: dict[str, int] = {}
        self._first_week: int | None = None
        self._ended = np.zeros((_ROWS, _WEEK_ROOM, BINS + 4), dtype=np.int32)
        self._open = np.zeros((_ROWS, _DAY_ROOM), dtype=np.int32)
        self._registered = np.zeros((_ROWS, _DAY_ROOM), dtype=np.int32)
        for name in sorted(channels):
            self.add(name, {})
            for cohort, counters in channels[name].recent.items():
                self.add(name, {key | cohort << 20: n for key, n in counters.items()})

    def add(self, name: str, changes: Mapping[int, int]) -> None:
        """Apply signed changes of cells (of :mod:`monitor.core.cells`) to a channel."""
        row = self.rows.get(name)
        if row is None:
            row = self.rows[name] = len(self.rows)
            if row == len(self._ended):
                self._ended, self._open, self._registered = (
                    np.concatenate((one, np.zeros_like(one))) for one in (self._ended, self._open, self._registered)
                )
        for key, n in changes.items():
            if key >= _LAST:
                continue
            kind, cohort, b = key >> 40, key >> 20 & c.MASK, key & c.MASK
            day = self._place(cohort)
            if day < 0:
                continue
            if kind == c.REGISTERED:
                self._registered[row, day] += n
            elif kind == c.OPEN:
                self._open[row, day] += n
            elif kind == c.DELIVERED:
                place = UNTIMED if b == c.UNKNOWN else int(np.searchsorted(ENDS, b / 24, side="right"))
                self._ended[row, day // 7, place] += n
            elif kind in _KINDS:
                self._ended[row, day // 7, _KINDS[kind]] += n

    def _place(self, cohort: int) -> int:
        """The column of a day; negative for one that is long over. Makes room for a new one."""
        week = cohort // 7
        if self._first_week is None:
            self._first_week = week - WEEKS - 2
        beyond = week - self._first_week - _WEEK_ROOM + 1
        if beyond > 0:
            shift = min(max(beyond, _WEEK_ROOM - WEEKS - 8), _WEEK_ROOM)
            self._first_week = week - _WEEK_ROOM + 1 if beyond > shift else self._first_week + shift
            for array, width in ((self._ended, shift), (self._open, 7 * shift), (self._registered, 7 * shift)):
                array[:, :-width] = array[:, width:].copy()
                array[:, -width:] = 0
        return cohort - 7 * self._first_week

    def registered(self, names: Sequence[str], today: int, spans: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Parcels of some channels that were registered in the last days up to ``today`` (a UTC day), by span."""
        order = np.array([self.rows[name] for name in names], dtype=np.int64)
        first = 0 if self._first_week is None else 7 * self._first_week
        end = min(max(today + 1 - first, 0), _DAY_ROOM)
        sums = []
        for days in spans:
            start = min(max(today - min(days, 7 * WEEKS) + 1 - first, 0), end)
            sums.append(self._registered[order, start:end].sum(axis=1).tolist())
        return dict(zip(names, zip(*sums, strict=True), strict=True))

    def weigh(self, order: Ints, at_day: float, window_days: int, half_lives: Floats) -> Weighed:
        """Weighted sums of the rows in ``order`` as of ``at_day`` (days since 1970, reports being complete up to then).

        Parcels of whole weeks within the last ``window_days`` count, each half after ``half_lives`` days (one a row).
        """
        rows, today = len(order), int(at_day)
        first = 0 if self._first_week is None else self._first_week
        oldest = max(-(-(today - window_days + 1) // 7), today // 7 - WEEKS + 1)
        weeks = np.arange(oldest, today // 7 + 1)
        age = np.maximum(at_day - (7.0 * weeks + 3.5), 0.0)
        weight = 0.5 ** (age / half_lives[:, None])
        at = np.clip(weeks - first, 0, _WEEK_ROOM - 1)
        known = (weeks >= first) & (weeks < first + _WEEK_ROOM)
        ended = np.where(known[:, None], self._ended[order[:, None], at], 0)
        sums = np.einsum("rw,rwb->rb", weight, ended)
        days = np.arange(7 * oldest, today + 1)
        place = np.clip(days - 7 * first, 0, _DAY_ROOM - 1)
        seen = (days >= 7 * first) & (days < 7 * first + _DAY_ROOM)
        by_day = np.repeat(weight, 7, axis=1)[:, : len(days)]
        flying = np.where(seen, self._open[order[:, None], place], 0)
        registered = np.where(seen, self._registered[order[:, None], place], 0)
        ages = np.maximum(at_day - days - 0.5, 0.05)
        bins = np.searchsorted(ENDS, ages, side="right")
        open_ = np.zeros((rows, BINS))
        np.add.at(open_.T, bins, (by_day * flying).T)
        by_age = np.zeros((rows, AGE_WEEKS))
        np.add.at(by_age.T, np.minimum(ages // 7, AGE_WEEKS - 1).astype(int), (by_day * registered).T)
        per_week = np.zeros((rows, len(weeks)))
        np.add.at(per_week.T, np.arange(len(days)) // 7, (by_day * registered).T)
        squares = np.square(per_week).sum(axis=1)
        return Weighed(
            sums[:, :BINS],
            open_,
            sums[:, UNTIMED],
            sums[:, RETURNED],
            sums[:, LOST],
            sums[:, COMPLAINTS],
            by_age,
            np.where(squares > 0, np.square(per_week.sum(axis=1)) / np.maximum(squares, 1e-12), 0.0),
        )
