"""What is advised about a lane, as other programs read it."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, FormatChecker
from made_lanes import BAD, GOOD, START, Made, advice, event, found_at, offered, parcels, ruled, time, world

from monitor.cli.replay import replay
from monitor.core.events import to_us
from monitor.core.switch.advice import ended, record
from monitor.core.switch.terms import SwitchTerms
from monitor.read.routing import routing_csv, routing_rows
from monitor.replay.driver import World
from monitor.replay.outputs import picture

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "recommendation.schema.json"
LANE = parcels(BAD, GOOD)
USUAL = {
    "lane",
    "from_carrier",
    "to_carrier",
    "decision",
    "probability_better",
    "saving_per_parcel",
    "share_to_move",
    "excluded",
    "reasons",
    "as_of",
}


def valid(record: dict[str, Any]) -> dict[str, Any]:
    """The record, which is of the schema."""
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(record)
    assert set(record) >= USUAL
    return record


def test_a_carrier_that_loses_less_and_is_faster_is_advised() -> None:
    told = valid(advice(LANE))
    assert told["lane"] == {"country": "RU", "product": "tablet"}
    assert (told["decision"], told["from_carrier"], told["to_carrier"]) == ("switch", "alpha", "bravo")
    assert told["probability_better"] > 0.85
    saving = told["saving_per_parcel"]
    # 1/12 − 1/200 of 40 dollars lost less, and some days late
    assert 2.0 < saving["low"] < saving["value"] < saving["high"] < 6.0
    assert saving["currency"] == "USD"
    assert told["excluded"] == {}
    assert told["share_to_move"] == pytest.approx(0.7 - 8 / 18, abs=0.02)  # up to 70% of the lane
    assert told["as_of"] == "2026-03-01T00:00:00Z"  # the last midnight that was closed


def test_of_equal_carriers_none_is_advised() -> None:
    told = valid(advice(parcels(GOOD, replace(GOOD, name="alpha"))))
    assert (told["decision"], told["share_to_move"]) == ("stay", 0.0)
    assert told["to_carrier"] is not None
    assert told["probability_better"] < 0.5


def test_too_few_parcels_is_said_aloud() -> None:
    for few in (parcels(BAD, replace(GOOD, per_day=1), days=18), parcels(replace(BAD, per_day=1), GOOD, days=16)):
        told = valid(advice(few))
        assert told["decision"] == "insufficient_data"
        assert (told["to_carrier"], told["probability_better"], told["saving_per_parcel"]) == (None, None, None)
        assert any("needed" in reason for reason in told["reasons"])


def test_a_carrier_at_the_edge_of_enough_parcels_is_not_taken_up_and_dropped_by_turns() -> None:
    terms = SwitchTerms(min_parcels=36)
    some, fewer = (replace(GOOD, per_day=1, last_day=last) for last in (1_000, 125))
    for carrier, until, wanted in (
        (some, 130, ["insufficient_data", "switch"]),  # of one a day the end of 35 to 36 parcels is known
        (fewer, 160, ["insufficient_data", "switch", "insufficient_data"]),
    ):
        days = range(100, until)
        found = found_at(days, _decision, parcels(BAD, carrier, days=until), terms=terms)
        assert [one for one, _ in itertools.groupby(found)] == wanted


def _decision(state: World) -> str:
    (record,) = picture(state).advice_records()
    return str(record["decision"])


def test_a_lane_of_one_carrier_has_no_alternative() -> None:
    told = valid(advice(parcels(BAD)))
    assert (told["decision"], told["to_carrier"], told["share_to_move"]) == ("no_alternative", None, 0.0)


def test_a_lane_without_parcels_for_forty_days_has_no_record_and_says_so_last() -> None:
    found = world(LANE, until=60 + 39)
    (lane,) = found.lanes.values()
    assert lane.advice is not None
    last = ended("RU|tablet", lane.advice, to_us(START))
    told = valid(record("RU|tablet", last))
    assert (told["decision"], told["to_carrier"], told["share_to_move"]) == ("insufficient_data", None, 0.0)
    assert told["recommendation_id"] != lane.advice.advice_id
    again = record("RU|tablet", ended("RU|tablet", last, to_us(START) + 1))
    assert (again["recommendation_id"], again["since"]) == (told["recommendation_id"], told["since"])
    assert again["revision"] == told["revision"] + 1
    assert picture(world(LANE, until=60 + 42)).advice_records() == []


def test_an_offer_not_tried_yet_is_no_data() -> None:
    told = valid(advice([*parcels(BAD), offered("charlie", postage={"amount": "1.00", "currency": "USD"})]))
    assert told["decision"] == "insufficient_data"
    assert [one["status"] for one in told["carriers"]] == ["present", "few_parcels"]
    assert told["reasons"] == ["Not tried lately: charlie."]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (ruled("R7", carrier="bravo", destination="RU", reason="banned"), "rule R7"),
        (offered("bravo", refuses=["battery"]), "battery"),
        (offered("bravo", valid_to=time(30)), "ended on 2026-01-31"),
        (ruled("R8", effect="require", papers=["CE"], carrier="bravo"), "requires CE"),
    ],
)
def test_what_a_rule_or_an_offer_excludes_is_never_advised(said: dict[str, Any], why: str) -> None:
    with_battery = parcels(replace(BAD, attributes=("battery",)), GOOD)
    told = valid(advice([*with_battery, said]))
    assert told["decision"] == "no_alternative"
    assert why in told["excluded"]["bravo"]
    third = parcels(replace(GOOD, name="charlie", days=14))
    told = valid(advice([*with_battery, *third, said]))
    assert (told["decision"], told["to_carrier"], list(told["excluded"])) == ("switch", "charlie", ["bravo"])


def test_a_rule_that_is_over_excludes_nobody() -> None:
    rule = ruled("R7", carrier="bravo")
    withdrawn = ruled("R7", 50.0, carrier="bravo", valid_to=time(51))
    assert advice([*LANE, rule])["decision"] == "no_alternative"
    assert advice([*LANE, rule, withdrawn])["decision"] == "switch"


def test_a_carrier_in_use_that_is_excluded_is_left() -> None:
    told = valid(advice([*LANE, ruled("R7", carrier="alpha", destination="RU")]))
    assert told["decision"] == "switch"
    assert "alpha" in told["excluded"]


def test_an_open_incident_takes_an_alternative_away_at_the_same_tick() -> None:
    complaint = {"complaint_id": "C1", "parcel_id": "tablet-bravo-0-9", "kind": "counterfeit"}
    with_incident = [*LANE, event("complaint.opened", "C1", 58.1, complaint)]
    before, after = (advice(with_incident, until=day, tick_hours=6) for day in (58.0, 58.25))
    assert (before["decision"], after["decision"]) == ("switch", "no_alternative")
    assert after["as_of"] == "2026-02-28T06:00:00Z"
    assert after["excluded"] == {}
    assert any("incident" in reason for reason in after["reasons"])


def test_capacity_bounds_what_is_moved() -> None:
    def lane(capacity: float) -> dict[str, Any]:
        return valid(advice([*LANE, offered("bravo", capacity_per_day=capacity)]))

    assert lane(9.8)["share_to_move"] == pytest.approx(1.8 / 18, abs=0.011)
    full = lane(8.0)
    assert (full["decision"], full["share_to_move"]) == ("no_alternative", 0.0)
    assert any("no room" in reason for reason in full["reasons"])


def test_capacity_is_shared_by_the_lanes_of_an_offer() -> None:
    both = [*LANE, *parcels(BAD, GOOD, product="phone"), offered("bravo", capacity_per_day=18.5)]
    records = picture(world(both)).advice_records()
    moved = sum(record["share_to_move"] * 18 for record in records)
    assert 0 < moved <= 2.6  # 18.5 a day less 16 that it has


def test_postage_is_that_of_the_offer_and_other_currencies_count_by_their_rate() -> None:
    dear = advice([*LANE, offered("bravo", postage={"amount": "100.00", "currency": "CNY"})])
    assert next(one for one in dear["carriers"] if one["carrier"] == "bravo")["postage"] == 14.0
    assert dear["decision"] == "stay"
    unknown = advice([*LANE, offered("bravo", postage={"amount": "1.00", "currency": "XTS"})])
    assert unknown["decision"] == "insufficient_data"
    assert any("not known in USD" in reason for reason in unknown["reasons"])


def test_what_a_lost_parcel_costs_decides() -> None:
    no_value = [one for one in LANE if one["data"].pop("declared_value", None) or True]
    cheap = SwitchTerms(value=Decimal(0), late_per_day=Decimal(0), complaint=Decimal(0))
    assert advice(no_value, cheap)["decision"] == "stay"
    assert advice(no_value, replace(cheap, value=Decimal(40)))["decision"] == "switch"


def test_an_answer_stands_in_the_record_and_an_unknown_id_is_a_dead_letter() -> None:
    lane = parcels(BAD, GOOD)
    id_ = advice(lane, until=58.0)["recommendation_id"]
    decided = {"target": id_, "what": "accept", "by": "Li"}
    told = valid(advice([*lane, event("decision.recorded", id_, 58.1, decided)]))
    assert (told["recommendation_id"], told["answer"], told["answered_by"]) == (id_, "accept", "Li")
    nobody = {"target": "nobody", "what": "decline"}
    (letter,) = world([*lane, event("decision.recorded", "nobody", 58.1, nobody)]).dead_letters
    assert letter.reason == "unknown_parcel"


def test_who_followed_the_advice_is_not_sent_back() -> None:
    moved = [
        *parcels(replace(BAD, last_day=45), replace(GOOD, last_day=45), days=110),
        *parcels(replace(GOOD, per_day=16, first_day=45), replace(BAD, per_day=2, first_day=45), days=110),
    ]
    first, last = advice(moved, until=45.0), advice(moved)
    assert (first["decision"], first["to_carrier"]) == ("switch", "bravo")
    assert last["from_carrier"] == "bravo"
    assert last["decision"] != "switch"


def test_the_export_names_shares_refusals_and_ends() -> None:
    lane = [*LANE, offered("bravo", refuses=["liquid"], valid_to=time(62))]
    rows = routing_rows(picture(world(lane)).advice_records())
    assert [(row["carrier"], row["attribute"], row["allowed"]) for row in rows] == [
        ("alpha", "", True),
        ("bravo", "", True),
        ("bravo", "liquid", False),
    ]
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert rows[1]["valid_to"] == "2026-03-04T00:00:00Z"
    assert routing_csv(rows).splitlines()[3].startswith("RU,tablet,liquid,bravo,0,0.0,2026-03-01T00:00:00Z,")


def test_the_file_is_the_same_whatever_the_order_of_the_lines(tmp_path: Path) -> None:
    third = Made("charlie", 4, 15, 60, "4.20")
    log = [*parcels(BAD, GOOD, third, days=40), offered("bravo", capacity_per_day=11.0), ruled("R1", carrier="charlie")]
    written = []
    for name, lines in (("one", log), ("two", [*reversed(log), *log[:50]])):
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        CliRunner().invoke(replay, [str(file), "--out", str(tmp_path / name)], catch_exceptions=False)
        written.append((tmp_path / name / "recommendations.jsonl").read_bytes())
    assert written[0] == written[1]
    valid(json.loads(written[0]))


def test_capacity_goes_to_the_lane_that_saves_most() -> None:
    worse = replace(BAD, lost_one_in=6)
    both = [*LANE, *parcels(worse, GOOD, product="phone"), offered("bravo", capacity_per_day=17.0)]
    moved = {one["lane"]["product"]: one["share_to_move"] for one in picture(world(both)).advice_records()}
    assert moved["phone"] > 0
    assert moved["tablet"] == 0
