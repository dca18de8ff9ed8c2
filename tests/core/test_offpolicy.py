"""What following the advice would have saved on a past: hand-calculated lanes, and where the log cannot tell."""

from __future__ import annotations

from decimal import Decimal

import pytest
from made_lanes import BAD, GOOD, Json, parcels, world

from monitor.core.switch.money import Money
from monitor.core.switch.terms import SwitchTerms
from monitor.core.vocabulary import DAY_US
from monitor.replay.driver import Observers
from monitor.replay.offpolicy.estimate import Estimate, estimate, horizon_of
from monitor.replay.offpolicy.notes import Move, Notes, Seen
from monitor.replay.offpolicy.told import told

TERMS = SwitchTerms(value=Decimal(40), late_per_day=Decimal(1), complaint=Decimal(8))
FORECAST = Money(Decimal(3), Decimal(2), Decimal(4))
DAY0 = 700  # a Thursday, on which weeks begin


def noted(
    old_per_day: int,
    new_per_day: int,
    old_days: float = 14.0,
    new_days: float = 10.0,
    days: int = 28,
    new_value: int | None = None,
) -> Notes:
    """Parcels of two carriers promised in 10 days, none lost; half of the lane is to be moved from day 7 on."""
    notes = Notes(TERMS)
    for day in range(days):
        for carrier, n, lasts in (("old", old_per_day, old_days), ("new", new_per_day, new_days)):
            for i in range(n):
                registered = (DAY0 + day) * DAY_US + i
                value = None if new_value is None else Decimal(new_value if carrier == "new" else 20 + i % 3)
                one = Seen("RU|tablet", carrier, registered, Decimal(5), value, 10.0, frozenset())
                one.delivered_us = registered + round((lasts + i % 2 - 0.5) * DAY_US)
                notes.parcels[f"{carrier}{day}-{i}"] = one
    notes.moves["RU|tablet"] = {
        DAY0 + day: Move(DAY0 + day, "one", "old", "new", 0.5, FORECAST) for day in range(7, days)
    }
    return notes


def found(notes: Notes, end_day: int = DAY0 + 60) -> Estimate:
    """The estimate at the end of a day."""
    return estimate(notes, TERMS, end_day * DAY_US)


def test_the_saving_is_that_of_the_moved_parcels() -> None:
    # old: half of the parcels 3.5 and half 4.5 days late = 4.0; new: half on time, half 0.5 late = 0.25
    (lane,) = found(noted(10, 6)).lanes
    assert lane.days == 21
    assert lane.moved == 21 * 8  # half of 16 a day
    assert lane.saved == pytest.approx(21 * 8 * 3.75)
    saved = told(found(noted(10, 6)))
    assert saved.verdict == "saves"
    assert saved.saved.low < 21 * 8 * 3.75 < saved.saved.high
    assert (saved.judged, saved.paid, saved.as_forecast) == (1, 1, 1)


def test_no_more_is_moved_than_the_carrier_has() -> None:
    (lane,) = found(noted(3, 13)).lanes
    assert lane.moved == 21 * 3


def test_following_wrong_advice_costs() -> None:
    assert told(found(noted(10, 6, old_days=10.0, new_days=14.0))).verdict == "costs"


def test_where_the_other_carrier_has_hardly_any_parcels_the_log_cannot_tell() -> None:
    notes = noted(10, 6)
    notes.parcels = {
        name: one for name, one in notes.parcels.items() if one.carrier == "old" or name in ("new0-0", "new9-0")
    }
    answer = told(found(notes))
    assert answer.verdict == "cannot_tell"
    assert answer.parcels_moved == 0
    assert answer.parcels_untold > 0
    assert answer.lanes[0].saved is None


def test_a_week_without_parcels_is_told_from_those_around_it() -> None:
    notes = noted(10, 6)
    notes.parcels = {
        name: one for name, one in notes.parcels.items() if one.carrier == "old" or one.day // 7 != (DAY0 + 14) // 7
    }
    (lane,) = found(notes).lanes
    assert lane.untold == 0
    assert lane.saved / lane.moved == pytest.approx(3.75)


def test_parcels_too_young_to_tell_are_left_out() -> None:
    whole, cut = found(noted(10, 6)).lanes[0], found(noted(10, 6), DAY0 + 34).lanes[0]
    assert whole.left_out == 0
    assert cut.horizon_days == 20
    assert cut.left_out == 14 * 16
    assert cut.days == 7


def test_a_silent_parcel_costs_its_goods() -> None:
    notes = noted(10, 6)
    for one in notes.parcels.values():
        if one.carrier == "old":
            one.delivered_us = 0
    (lane,) = found(notes).lanes
    assert lane.saved / lane.moved == pytest.approx(40 - 0.25)


def test_what_the_carriers_were_given_that_differs_is_told() -> None:
    (lane,) = found(noted(10, 6, new_value=300)).lanes
    assert lane.imbalances == ["declared value: 20.9 with old, 300 with new"]
    assert not found(noted(10, 6)).lanes[0].imbalances


def test_a_price_that_only_one_carrier_tells_is_no_price() -> None:
    notes = noted(10, 6)
    for one in notes.parcels.values():
        one.postage = one.postage if one.carrier == "old" else None
    answer = told(found(notes))
    assert answer.lanes[0].why_not == "what new charges is not known"
    assert answer.verdict == "cannot_tell"
    notes.asked["RU|tablet", "new"] = Decimal(4)  # its offer says it
    assert found(notes).lanes[0].saved == pytest.approx(21 * 8 * 4.75)


def test_the_horizon_lies_within_bounds() -> None:
    assert horizon_of([]) == 90
    assert horizon_of(noted(2, 2, old_days=40).parcels.values()) == 41


def replayed_with_notes(events: list[Json]) -> tuple[Notes, Estimate]:
    """The notes of a replay, and the estimate."""
    notes, again = Notes(TERMS), Notes(TERMS)
    state = world(events, TERMS, observer=Observers(notes, again))
    assert notes.parcels == again.parcels
    return notes, estimate(notes, TERMS, state.as_of_us or 0)


def test_a_replay_notes_what_was_advised_and_the_order_of_lines_changes_nothing() -> None:
    events = parcels(GOOD, BAD, days=60)
    notes, one = replayed_with_notes(events)
    assert told(one).verdict == "saves"
    assert {move.to_carrier for move in notes.moves["RU|tablet"].values()} == {"bravo"}
    assert told(replayed_with_notes(events[::-1])[1]) == told(one)


def test_without_advice_there_is_nothing_to_tell() -> None:
    _, nothing = replayed_with_notes(parcels(GOOD, days=30))
    assert told(nothing).verdict == "none_advised"
    assert world(parcels(GOOD, days=30)).lanes
