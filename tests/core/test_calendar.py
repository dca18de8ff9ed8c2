"""Known slow days."""

from __future__ import annotations

from datetime import date

import pytest

from monitor.core.calendar import is_special, special_days

TO_DEPARTURE, LAST_MILE, END_TO_END = 1, 3, 4


def _day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


@pytest.mark.parametrize("day", ["2026-02-08", "2026-02-17", "2026-03-05", "2024-10-01", "2025-11-11", "2025-11-20"])
def test_spring_festival_golden_week_and_the_sales_slow_the_origin(day: str) -> None:
    assert is_special("BR", TO_DEPARTURE, _day(day))
    assert is_special("BR", END_TO_END, _day(day))


@pytest.mark.parametrize("day", ["2026-02-07", "2026-03-06", "2025-11-21", "2026-07-15"])
def test_days_beside_them_do_not(day: str) -> None:
    assert not is_special("BR", TO_DEPARTURE, _day(day))


def test_holidays_of_the_destination_slow_its_last_mile_only() -> None:
    russia_day = _day("2026-06-12")
    assert is_special("RU", LAST_MILE, russia_day)
    assert is_special("RU", END_TO_END, russia_day)
    assert not is_special("RU", TO_DEPARTURE, russia_day)
    assert not is_special("BR", LAST_MILE, russia_day)


def test_the_peak_around_christmas_belongs_to_every_destination_known_or_not() -> None:
    for day in ("2025-12-10", "2025-12-31", "2026-01-07"):
        assert is_special("XX", LAST_MILE, _day(day))
        assert not is_special("XX", TO_DEPARTURE, _day("2025-12-10"))
    assert not is_special("XX", LAST_MILE, _day("2025-12-09"))
    assert not is_special("XX", LAST_MILE, _day("2026-01-08"))
    assert special_days("XX", 2026) == frozenset()


def test_days_around_a_holiday_cross_the_end_of_the_year() -> None:
    assert _day("2025-12-31") in special_days("CN", 2025)  # New Year's Day is tomorrow
    assert all(date.fromordinal(719_163 + day).year == 2025 for day in special_days("CN", 2025))
