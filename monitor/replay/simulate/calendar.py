"""Days that are not like others: weekdays and holidays of the simulated world, by date table and by rule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from monitor.replay.simulate.streams import FloatArray

#: First day of the Chinese year.
SPRING_FESTIVAL: Final[dict[int, date]] = {
    year: date(year, month, day)
    for year, month, day in (
        (2015, 2, 19), (2016, 2, 8), (2017, 1, 28), (2018, 2, 16), (2019, 2, 5), (2020, 1, 25), (2021, 2, 12),
        (2022, 2, 1), (2023, 1, 22), (2024, 2, 10), (2025, 1, 29), (2026, 2, 17), (2027, 2, 6), (2028, 1, 26),
        (2029, 2, 13), (2030, 2, 3), (2031, 1, 23), (2032, 2, 11), (2033, 1, 31), (2034, 2, 19), (2035, 2, 8),
    )
}  # fmt: skip
FIRST_YEAR: Final = min(SPRING_FESTIVAL)
LAST_YEAR: Final = max(SPRING_FESTIVAL)

#: Hand-overs by weekday, Monday first; mean 1.
HANDOVER_WEEK: Final = np.array([1.29, 1.14, 1.05, 1.02, 1.06, 0.90, 0.54])
#: Speed of acceptance by weekday; mean 1.
ACCEPTANCE_WEEK: Final = np.array([1.10, 1.10, 1.08, 1.08, 1.10, 0.92, 0.62])


@dataclass(frozen=True, slots=True)
class Phase:
    """Days ``first``..``last`` (inclusive, counted from the holiday's day 0) with their factors.

    ``orders`` multiplies hand-overs, ``origin`` the speed of acceptance and departure, ``delivery`` the speed in
    the destination.
    """

    first: int
    last: int
    orders: float = 1.0
    origin: float = 1.0
    delivery: float = 1.0


#: Name → phases. Day 0 is given by ``_day_zero``; the holiday itself begins at day 0.
HOLIDAYS: Final[dict[str, tuple[Phase, ...]]] = {
    "spring-festival": (
        Phase(-8, -4, orders=1.15, origin=0.85),
        Phase(-3, -1, orders=0.7, origin=0.6),
        Phase(0, 6, orders=0.2, origin=0.2),
        Phase(7, 12, orders=0.8, origin=0.7),
        Phase(13, 18, orders=1.3),
    ),
    "labour-day": (Phase(0, 4, orders=0.75, origin=0.65), Phase(5, 7, orders=1.2)),
    "golden-week": (
        Phase(-4, -1, orders=1.25),
        Phase(0, 6, orders=0.5, origin=0.45),
        Phase(7, 10, orders=1.4, origin=0.85),
    ),
    "double-11": (Phase(0, 2, orders=2.4, origin=0.9), Phase(3, 8, orders=1.8, origin=0.85)),
    "black-friday": (Phase(0, 5, orders=1.6, origin=0.95),),
    "christmas": (
        Phase(-14, -2, orders=1.1, delivery=0.9),
        Phase(-1, 2, orders=0.7, delivery=0.4),
        Phase(3, 8, orders=0.8, delivery=0.7),
    ),
}


@dataclass(frozen=True, slots=True)
class Holiday:
    """One holiday of the world: its name and the first and last day on which it changes anything."""

    name: str
    zero: date
    start: date
    end: date


def _day_zero(name: str, year: int) -> date:
    if name == "spring-festival":
        return SPRING_FESTIVAL[year]
    if name == "black-friday":  # the day after the fourth Thursday of November
        first = date(year, 11, 1)
        return first + timedelta(days=(3 - first.weekday()) % 7 + 22)
    month, day = {"labour-day": (5, 1), "golden-week": (10, 1), "double-11": (11, 11), "christmas": (12, 25)}[name]
    return date(year, month, day)


def holidays_between(first: date, last: date) -> list[Holiday]:
    """Holidays that change a day of ``first``..``last``, by start. Raises :class:`ValueError` outside the tables."""
    if first.year < FIRST_YEAR or last.year > LAST_YEAR:
        raise ValueError(
            f"the world runs from {first} to {last}; holidays are known from {FIRST_YEAR} to {LAST_YEAR} only"
        )
    found = []
    for name, phases in HOLIDAYS.items():
        for year in range(max(FIRST_YEAR, first.year - 1), min(LAST_YEAR, last.year + 1) + 1):
            zero = _day_zero(name, year)
            holiday = Holiday(
                name, zero, zero + timedelta(days=phases[0].first), zero + timedelta(days=phases[-1].last)
            )
            if holiday.start <= last and holiday.end >= first:
                found.append(holiday)
    return sorted(found, key=lambda holiday: (holiday.start, holiday.name))


@dataclass(frozen=True, slots=True)
class DayFactors:
    """Per day of the world: factors on hand-overs, on the speed at the origin and on the speed of delivery."""

    orders: FloatArray
    origin: FloatArray
    delivery: FloatArray


def day_factors(start: date, days: int, holidays: list[Holiday]) -> DayFactors:
    """The factors of all holidays together for ``days`` days from ``start``."""
    factors = DayFactors(np.ones(days), np.ones(days), np.ones(days))
    for holiday in holidays:
        zero = (holiday.zero - start).days
        for phase in HOLIDAYS[holiday.name]:
            span = slice(max(0, zero + phase.first), max(0, zero + phase.last + 1))
            factors.orders[span] *= phase.orders
            factors.origin[span] *= phase.origin
            factors.delivery[span] *= phase.delivery
    return factors


def by_weekday(profile: FloatArray, start: date, days: int) -> FloatArray:
    """``profile`` (seven values, Monday first) laid along ``days`` days from ``start``."""
    return np.asarray(profile[(start.weekday() + np.arange(days)) % 7], dtype=np.float64)
