"""What accepted switches brought: measured on the parcels afterwards, beside the forecast."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from made_lanes import BAD, GOOD, Json, Made, event, parcels, world

from monitor.core.switch.money import Money
from monitor.core.switch.outcomes import Accepted, balance, balance_record, is_wrong_too_often, warning
from monitor.read.routing import routing_rows
from monitor.replay.driver import World
from monitor.replay.outputs import picture

ACCEPTED_DAY = 46.5
#: Of BAD's ten parcels a day GOOD takes seven from the day after the answer on.
MORE = replace(GOOD, per_day=15, first_day=47)
LESS = replace(BAD, per_day=3, first_day=47)
BEFORE = (replace(GOOD, last_day=47), replace(BAD, last_day=47))


def lane_after(answers: list[Json], *later: Made, days: int = 110) -> World:
    """A lane on which BAD is left for GOOD on day 47."""
    return world([*parcels(*BEFORE, *later, days=days), *answers], until=float(days))


def advice_id() -> str:
    """The id of what is advised when the answer is given."""
    (record,) = picture(world(parcels(*BEFORE, days=46), until=46.0)).advice_records()
    assert record["decision"] == "switch"
    return str(record["recommendation_id"])


def answer(what: str, day: float = ACCEPTED_DAY, **more: Any) -> Json:
    """A person's answer to it."""
    target = advice_id()
    return event("decision.recorded", target, day, {"target": target, "what": what, **more})


def outcomes(found: World) -> list[Json]:
    """What is shown of the accepted switches."""
    return picture(found).outcome_records()


def test_a_switch_that_is_followed_is_measured_against_its_forecast() -> None:
    found = lane_after([answer("accept", by="Li")], MORE, LESS)
    (one,) = outcomes(found)
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
    added_up = balance_record(picture(found).balance())
    assert (added_up["accepted"], added_up["measured"], added_up["paid"], added_up["as_forecast"]) == (1, 1, 1, 1)
    (record,) = picture(found).advice_records()
    assert record["outcome"] == one


def test_where_the_old_carrier_has_no_parcels_left_what_was_known_before_stands_for_it() -> None:
    (one,) = outcomes(lane_after([answer("accept")], replace(GOOD, per_day=18, first_day=47)))
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
    (one,) = outcomes(lane_after([answer("accept")], replace(GOOD, first_day=47), replace(BAD, first_day=47)))
    assert one["state"] == "not_followed"
    assert one["saving_per_parcel"] is None


def test_it_is_too_early_in_the_first_weeks() -> None:
    (one,) = outcomes(lane_after([answer("accept")], MORE, LESS, days=54))
    assert one["state"] == "too_early"


def test_what_is_declined_afterwards_is_not_measured_and_what_was_never_accepted_neither() -> None:
    declined = [answer("accept"), answer("decline", 52.5, note="no contract")]
    assert outcomes(lane_after(declined, MORE, LESS)) == []
    assert outcomes(lane_after([answer("decline")], MORE, LESS)) == []


def test_a_person_may_take_another_carrier_or_share() -> None:
    (own,) = outcomes(lane_after([answer("accept", share=0.1)], MORE, LESS))
    assert (own["to_carrier"], own["share_to_move"], own["state"]) == ("bravo", 0.1, "measured")
    (record,) = picture(lane_after([answer("accept", carrier="bravo", share=0.3)], days=47)).advice_records()
    assert record["override"] == {"carrier": "bravo", "share": 0.3}
    rows = {row["carrier"]: row["share"] for row in routing_rows([record])}
    assert rows["bravo"] == pytest.approx(8 / 18 + 0.3, abs=1e-3)
    assert rows["alpha"] == pytest.approx(10 / 18 - 0.3, abs=1e-3)


def test_the_carrier_in_use_is_no_switch_and_an_unknown_one_has_no_forecast() -> None:
    assert outcomes(lane_after([answer("accept", carrier="alpha")], MORE, LESS)) == []
    (one,) = outcomes(lane_after([answer("accept", carrier="charlie")], MORE, LESS))
    assert one["state"] == "not_followed"
    assert one["forecast_per_parcel"]["value"] == 0


def test_a_second_accept_changes_nothing() -> None:
    once = outcomes(lane_after([answer("accept")], MORE, LESS, days=90))
    twice = outcomes(lane_after([answer("accept"), answer("accept", 50.5)], MORE, LESS, days=90))
    assert once == twice


def test_it_is_final_when_the_recent_days_are_over() -> None:
    at_140 = outcomes(lane_after([answer("accept")], MORE, LESS, days=140))
    at_150 = outcomes(lane_after([answer("accept")], MORE, LESS, days=150))
    assert at_140 == at_150
    assert at_140[0]["final"]


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
    found = world(parcels(GOOD, BAD), until=60.0)
    (record,) = picture(found).advice_records()
    assert record["decision"] == "switch"
    doubtful = {**record, "warning": "Of 9 accepted switches …"}
    plain, held, taken = (
        {row["carrier"]: row["share"] for row in routing_rows([one])}
        for one in (record, doubtful, {**doubtful, "answer": "accept"})
    )
    assert plain == taken
    assert held["bravo"] == pytest.approx(8 / 18, abs=1e-3) != plain["bravo"]
