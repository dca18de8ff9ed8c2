"""The complaint alarm that backtest compares with, against weeks worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.core.vocabulary import DAY_US, HOUR_US
from monitor.replay.backtest.complaints import (
    START_WEEKS,
    Wave,
    Week,
    calibrate,
    judged_weeks,
    monday_us,
    waves,
    week_of,
)

FIRST = week_of(int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * 1_000_000)  # a Monday


def times(*counts: int) -> list[int]:
    """So many complaints in the weeks from the sixth week of a channel first registered in week FIRST, one an hour."""
    return [
        monday_us(FIRST + START_WEEKS + week) + hour * HOUR_US for week, n in enumerate(counts) for hour in range(n)
    ]


def judged(*counts: int) -> list[Week]:
    end = monday_us(FIRST + START_WEEKS + len(counts)) - 1
    return judged_weeks(times(*counts), monday_us(FIRST) + 3 * DAY_US, end)


def test_weeks_begin_on_monday_at_midnight_utc() -> None:
    monday = int(datetime(2026, 3, 9, tzinfo=UTC).timestamp()) * 1_000_000
    assert monday_us(week_of(monday)) == monday
    assert week_of(monday - 1) == week_of(monday) - 1
    assert week_of(monday + 7 * DAY_US - 1) == week_of(monday)


def test_the_example_of_the_documents() -> None:
    (week,) = [week for week in judged(0, 1, 0, 2, 1, 0, 1, 1, 4) if week.n >= 8]
    assert (week.mean, round(week.sd, 4), week.n) == (0.75, 0.7071, 8)
    third = monday_us(FIRST + START_WEEKS + 8) + 2 * HOUR_US
    assert week.alarm_us(3.0) == third  # 0.75 + 3 × 0.7071 = 2.87
    assert week.alarm_us(5.0) is None  # 0.75 + 5 × 0.7071 = 4.29


def test_seven_earlier_weeks_are_too_few() -> None:
    assert judged(0, 0, 0, 0, 0, 0, 0, 9) == []
    assert [week.n for week in judged(0, 0, 0, 0, 0, 0, 0, 0, 9)] == [8]


def test_no_more_than_26_earlier_weeks_count() -> None:
    (week,) = [week for week in judged(50, 50, *[1] * 26, 2) if week.number == FIRST + START_WEEKS + 28]
    assert (week.n, week.mean, week.sd) == (26, 1.0, 0.0)


def test_a_channel_that_never_had_a_complaint_needs_three() -> None:
    assert waves("a", judged(*[0] * 8, 2)) == []
    (wave,) = waves("a", judged(*[0] * 8, 3))
    assert wave.alarm_us == monday_us(FIRST + START_WEEKS + 8) + 2 * HOUR_US


def test_a_count_equal_to_the_threshold_is_no_alarm() -> None:
    assert waves("a", judged(*[4] * 8, 4)) == []
    assert len(waves("a", judged(*[4] * 8, 5))) == 1


def test_alarms_within_four_weeks_are_one_wave_and_a_fifth_week_begins_another() -> None:
    week = [Week(n, tuple(range(n, n + 5 + n % 2)), 0.0, 0.0, 8) for n in (10, 14, 19)]
    first, second = waves("a", week)
    assert first == Wave("a", (10 + 2, 14 + 2), monday_us(10), monday_us(10), 5, monday_us(15))
    assert (second.start_us, second.end_us, second.peak) == (monday_us(19), monday_us(20), 6)


def test_the_peak_is_the_largest_week_and_the_first_of_equals() -> None:
    (wave,) = waves("a", [Week(n, tuple(range(size)), 0.0, 0.0, 8) for n, size in ((1, 4), (2, 7), (3, 7))])
    assert (wave.peak_us, wave.peak) == (monday_us(2), 7)


@pytest.mark.parametrize(("wanted", "threshold"), [(0, 5.0), (1, 3.0), (2, 1.0), (3, 0.0), (9, 0.0)])
def test_calibration_finds_the_least_threshold_with_no_more_alarms_than_wanted(wanted: int, threshold: float) -> None:
    scores = (1.0, 3.0, 5.0)
    found = calibrate(lambda k: sum(score > k for score in scores), wanted)
    assert found == pytest.approx(threshold, abs=0.001)


def test_calibration_says_so_where_no_threshold_is_enough() -> None:
    assert calibrate(lambda _: 2, 1) is None
