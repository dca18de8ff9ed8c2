"""Days on which slowness is expected: public holidays and the days around them.

Public holidays come from the ``holidays`` package, which computes them by rule and table; nothing is read from
outside. A holiday of three days or more (Golden Week, Spring Festival) slows an origin before and after; a short one
leaves a backlog of some days. The parcel networks' peak around Christmas belongs to every destination.
"""

from __future__ import annotations

from collections.abc import Set
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

import holidays

from monitor.core.vocabulary import END_TO_END, ORIGIN

LONG_DAYS: Final = 3
LONG_AROUND: Final = (8, 10)  # days before and after a long holiday
SHORT_AROUND: Final = (1, 3)
UNDERWAY_DAYS: Final = 21  # so long parcels that waited out a holiday of the origin are on their way
#: Sales of the origin (11 November) and the networks' peak, as (month, day) of the first and last day.
SALES: Final = (((11, 11), (11, 20)),)
PEAK: Final = (((12, 10), (12, 31)), ((1, 1), (1, 7)))
_EPOCH: Final = date(1970, 1, 1)


@lru_cache(maxsize=4096)
def special_days(country: str, year: int) -> frozenset[int]:
    """UTC day numbers of ``year`` that lie in or around a public holiday of ``country``; empty where none is known."""
    try:
        known = sorted(holidays.country_holidays(country, years=(year - 1, year, year + 1)))
    except NotImplementedError:
        return frozenset()
    out: set[date] = set()
    for first, last, count in _runs(known):
        before, after = LONG_AROUND if count >= LONG_DAYS else SHORT_AROUND
        out.update(first + timedelta(days=i) for i in range(-before, (last - first).days + after + 1))
    return frozenset((day - _EPOCH).days for day in out if day.year == year)


def _runs(days: list[date]) -> list[tuple[date, date, int]]:
    """Holidays that touch each other, weekends between them bridged: first day, last day, holidays in it."""
    runs: list[tuple[date, date, int]] = []
    for day in days:
        if runs and _touch(runs[-1][1], day):
            runs[-1] = (runs[-1][0], day, runs[-1][2] + 1)
        else:
            runs.append((day, day, 1))
    return runs


def _touch(earlier: date, later: date) -> bool:
    between = (earlier + timedelta(days=i) for i in range(1, (later - earlier).days))
    return all(day.weekday() >= 5 for day in between)


def is_special(country: str, clock: int, day: int, working: Set[str] = frozenset()) -> bool:
    """Whether ``clock`` of a channel to ``country`` is known to run slow about UTC day ``day``.

    Clocks before departure follow the origin, the last mile the destination, end to end both.
    ``working``: countries that are declared to work on this day, "" for all.
    """
    when = _EPOCH + timedelta(days=day)
    home = clock != 3 and working.isdisjoint(("", ORIGIN))
    origin = home and (day in special_days(ORIGIN, when.year) or _between(when, SALES))
    if home and clock == END_TO_END and not origin:
        before = when - timedelta(days=UNDERWAY_DAYS)
        origin = day - UNDERWAY_DAYS in special_days(ORIGIN, before.year)
    here = clock in (3, END_TO_END) and working.isdisjoint(("", country))
    destination = here and (day in special_days(country, when.year) or _between(when, PEAK))
    return origin or destination


def _between(when: date, spans: tuple[tuple[tuple[int, int], tuple[int, int]], ...]) -> bool:
    return any(first <= (when.month, when.day) <= last for first, last in spans)
