"""The order of events: effective recorded time, the grid of ticks, the key of sorting."""

from __future__ import annotations

from monitor.core.ordering import AFTER_ALL, EffectiveClock, grid_point, normal_sequence, sort_key, ticks_between

HOUR = 3_600_000_000
SIX_HOURS = 6 * HOUR


def test_an_event_that_states_an_earlier_time_than_the_one_before_it_counts_as_recorded_with_that_one() -> None:
    clock = EffectiveClock()
    assert [clock.stamp(us) for us in (100, 90, 120, 119)] == [100, 100, 120, 120]


def test_what_follows_a_tick_is_recorded_after_it() -> None:
    clock = EffectiveClock()
    assert clock.stamp(SIX_HOURS) == SIX_HOURS  # an event at the instant of the tick belongs to it
    assert clock.tick(SIX_HOURS)
    assert clock.stamp(5) == SIX_HOURS + 1


def test_a_tick_that_has_been_overtaken_changes_nothing() -> None:
    clock = EffectiveClock()
    clock.stamp(SIX_HOURS + 7)
    assert not clock.tick(SIX_HOURS)
    assert clock.floor_us == SIX_HOURS + 7
    assert clock.tick(2 * SIX_HOURS)
    assert not clock.tick(2 * SIX_HOURS)


def test_a_clock_knows_whether_anything_was_recorded() -> None:
    clock = EffectiveClock()
    assert clock.untouched
    clock.stamp(0)
    assert not clock.untouched


def test_an_event_counts_at_the_first_grid_point_that_is_not_before_it() -> None:
    assert [grid_point(us, SIX_HOURS) for us in (0, 1, SIX_HOURS, SIX_HOURS + 1)] == [
        0,
        SIX_HOURS,
        SIX_HOURS,
        2 * SIX_HOURS,
    ]


def test_ticks_fall_between_the_events_they_part() -> None:
    # Recorded at the tick itself: the tick comes after it. The next event at a tick: that tick is not due yet.
    assert list(ticks_between(SIX_HOURS, 3 * SIX_HOURS, SIX_HOURS)) == [SIX_HOURS, 2 * SIX_HOURS]
    assert list(ticks_between(SIX_HOURS + 1, 2 * SIX_HOURS, SIX_HOURS)) == []


def test_sequences_sort_as_numbers_and_their_absence_first() -> None:
    values = [None, 0, "3", 20, "100", "0007"]
    assert sorted(values, key=normal_sequence) == [None, 0, "3", "0007", 20, "100"]
    assert all(normal_sequence(value) < AFTER_ALL for value in values)


def test_recorded_time_comes_before_sequence_and_sequence_before_names() -> None:
    keys = [sort_key(2, None, "a", "a"), sort_key(1, 9, "a", "a"), sort_key(1, 10, "a", "a"), sort_key(1, 9, "b", "0")]
    assert sorted(keys) == [keys[1], keys[3], keys[2], keys[0]]
