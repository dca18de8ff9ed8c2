"""What accepted switches brought: measured on the parcels afterwards, beside the forecast."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from made_lanes import BAD, GOOD, Json, Made, event, found_at, parcels, world

from monitor.core.switch.money import Money
from monitor.core.switch.outcomes import Accepted, balance, balance_record, is_wrong_too_often, warning
from monitor.read.routing import routing_rows
from monitor.replay.driver import World
from monitor.replay.outputs import picture

ACCEPTED_DAY = 32.5
#: Of BAD's ten parcels a day GOOD takes seven from the day after the answer on.
MORE = replace(GOOD, per_day=15, first_day=33)
LESS = replace(BAD, per_day=3, first_day=33)
BEFORE = (replace(GOOD, last_day=33), replace(BAD, last_day=33))
MEASURED = 70  # by then parcels enough have arrived


def lane_after(answers: list[Json], *later: Made, days: int = MEASURED) -> World:
    """A lane on which BAD is left for GOOD on day 33."""
    return world([*parcels(*BEFORE, *later, days=days), *answers], until=float(days))


@cache
def advised() -> Json:
    """What is advised when the answer is given."""
    (record,) = picture(world(parcels(*BEFORE, days=32), until=32.0)).advice_records()
    assert record["decision"] == "switch"
    return record


def answer(what: str, day: float = ACCEPTED_DAY, **more: Any) -> Json:
    """A person's answer to it."""
    target = str(advised()["recommendation_id"])
    return event("decision.recorded", target, day, {"target": target, "what": what, **more})


def outcomes(found: World) -> list[Json]:
    """What is shown of the accepted switches."""
    return picture(found).outcome_records()


@cache
def followed() -> list[tuple[list[Json], Json, Json]]:
    """Of a switch that is followed: outcomes, their balance and the advice, soon after the answer, when enough has
    arrived, when the recent days are over and a day later."""

    def look(found: World) -> tuple[list[Json], Json, Json]:
        shown = picture(found)
        return shown.outcome_records(), balance_record(shown.balance()), shown.advice_records()[0]

    events = [*parcels(*BEFORE, MORE, LESS, days=75), answer("accept", by="Li")]
    return found_at((40, MEASURED, 74, 75), look, events, recent_days=40)


def test_a_switch_that_is_followed_is_measured_against_its_forecast() -> None:
    (one,), added_up, record = followed()[1]
    assert one["state"] == "measured"
    assert (one["from_carrier"], one["to_carrier"], one["accepted_by"]) == ("alpha", "bravo", "Li")
    assert one["against"] == "same_days"
    assert one["as_forecast"]
    assert one["probability_paid"] > 0.99
    # 20 days against 12 by a promise of 16, 1 of 12 lost against 1 of 200 of goods worth 40: about 5.6 a parcel
    assert one["saving_per_parcel"]["low"] < 5.6 < one["saving_per_parcel"]["high"]
    assert one["regret_per_parcel"] == 0
    # 15 of 18 instead of 8 of 18 parcels a day, in the whole weeks since
    weeks = one["parcels"] / (7 * 15)
    assert one["parcels_moved"] == pytest.approx(7 * weeks * (15 - 8), rel=0.02)
    assert one["saved"]["value"] == pytest.approx(one["parcels_moved"] * one["saving_per_parcel"]["value"], rel=1e-3)
    assert (added_up["accepted"], added_up["measured"], added_up["paid"], added_up["as_forecast"]) == (1, 1, 1, 1)
    assert record["outcome"] == one


def test_where_the_old_carrier_has_no_parcels_left_what_was_known_before_stands_for_it() -> None:
    (one,) = outcomes(lane_after([answer("accept")], replace(GOOD, per_day=18, first_day=33), days=55))
    assert one["against"] == "before"
    assert one["saving_per_parcel"]["value"] > 3


def test_a_switch_to_a_carrier_that_got_worse_did_not_pay() -> None:
    worse = replace(MORE, days=30, lost_one_in=6)
    found = lane_after([answer("accept")], worse, LESS)
    (one,) = outcomes(found)
    assert one["state"] == "measured"
    assert one["saving_per_parcel"]["high"] < 0
    assert not one["as_forecast"]
    assert one["regret_per_parcel"] == pytest.approx(-one["saving_per_parcel"]["value"], abs=1e-3)
    assert picture(found).balance().paid == 0


def test_a_switch_that_nobody_follows_is_said_to_be_not_followed() -> None:
    (one,) = outcomes(lane_after([answer("accept")], replace(GOOD, first_day=33), replace(BAD, first_day=33), days=55))
    assert one["state"] == "not_followed"
    assert one["saving_per_parcel"] is None


def test_it_is_too_early_in_the_first_weeks_and_final_when_the_recent_days_are_over() -> None:
    early, later, final, after = (shown for shown, _, _ in followed())
    assert [one["state"] for (one,) in (early, later)] == ["too_early", "measured"]
    assert later != final == after
    assert [one["final"] for (one,) in (later, final)] == [False, True]


def test_what_is_declined_is_not_measured_also_when_it_was_accepted_before() -> None:
    answers = [answer("decline", note="no contract"), answer("accept", 33.5), answer("decline", 34.5)]
    declined, accepted, withdrawn = found_at((33, 34, 35), outcomes, [*parcels(*BEFORE, days=35), *answers])
    assert [len(one) for one in (declined, accepted, withdrawn)] == [0, 1, 0]


def test_a_person_may_take_another_carrier_or_share() -> None:
    found = lane_after([answer("accept", carrier="bravo", share=0.3)], days=33)
    (own,) = outcomes(found)
    assert (own["to_carrier"], own["share_to_move"]) == ("bravo", 0.3)
    (record,) = picture(found).advice_records()
    assert record["override"] == {"carrier": "bravo", "share": 0.3}
    rows = {row["carrier"]: row["share"] for row in routing_rows([record])}
    assert rows["bravo"] == pytest.approx(8 / 18 + 0.3, abs=1e-3)
    assert rows["alpha"] == pytest.approx(10 / 18 - 0.3, abs=1e-3)


def test_the_carrier_in_use_is_no_switch_and_an_unknown_one_has_no_forecast() -> None:
    answers = [answer("accept", carrier="alpha"), answer("accept", 33.5, carrier="charlie")]
    none, (one,) = found_at((33, 34), outcomes, [*parcels(*BEFORE, days=34), *answers])
    assert none == []
    assert (one["to_carrier"], one["forecast_per_parcel"]["value"]) == ("charlie", 0)


def test_a_second_accept_changes_nothing() -> None:
    events = [*parcels(*BEFORE, days=35), answer("accept", by="Li"), answer("accept", 33.5, by="Wu")]
    once, twice = found_at((33, 34), outcomes, events)
    assert [one["accepted_by"] for one in once] == ["Li"]
    assert [{**one, "as_of": None} for one in twice] == [{**one, "as_of": None} for one in once]


def test_it_is_final_also_on_a_lane_that_has_ended() -> None:
    found = world([*parcels(*BEFORE, MORE, LESS, days=80), answer("accept")], until=140.0)
    (one,) = outcomes(found)
    assert (one["state"], one["final"]) == ("measured", True)
    assert picture(found).advice_records() == []


def made(paid: bool, number: int) -> Accepted:
    """A measured switch."""
    amount = Money(Decimal(1 if paid else -1), Decimal(0), Decimal(2))
    return Accepted(
        f"{number}", "a", "b", number, "", "USD", 0.5, 0.1, amount, amount, None, "measured",
        saving=amount, saved=amount, as_forecast=True, regret=Decimal(0),
    )  # fmt: skip


def test_advice_that_is_wrong_too_often_says_so_until_it_is_right_again() -> None:
    wrong = [made(number % 4 == 0, number) for number in range(12)]
    assert "only 3 paid" in warning(balance(wrong))
    assert not warning(balance([*wrong, *(made(True, 100 + number) for number in range(18))]))
    assert not is_wrong_too_often([False] * 4)


def test_while_it_is_wrong_too_often_a_switch_needs_more_and_the_export_moves_only_what_is_accepted() -> None:
    record = advised()
    doubtful = {**record, "warning": "Of 9 accepted switches …"}
    plain, held, taken = (
        {row["carrier"]: row["share"] for row in routing_rows([one])}
        for one in (record, doubtful, {**doubtful, "answer": "accept"})
    )
    assert plain == taken
    assert held["bravo"] == pytest.approx(8 / 18, abs=1e-3) != plain["bravo"]
