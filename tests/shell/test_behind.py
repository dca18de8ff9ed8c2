"""Which events are behind an incident, by its kind; told from a log folded up to the moment it became known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hand_logs import RU, complained, day, event, incident, registered, scanned

from monitor.core.incidents import Incident, Note, record
from monitor.core.params import Params
from monitor.read.behind import EVENTS_SHOWN, behind, look_up
from monitor.read.explain import explain, proven
from monitor.read.proof import FIXED, differences
from monitor.read.rules import rule_of
from monitor.replay.refold import Refold
from monitor.wire.times import parse_time

PARAMS = Params()
Json = dict[str, Any]


def refolded(events: list[Json], until: float) -> Refold:
    """The events, of which the n-th stands at offset n of partition 2, folded up to a day."""
    lines = (((2, number, 0), json.dumps(one).encode()) for number, one in enumerate(events))
    return Refold(PARAMS, parse_time(day(until)), lines)


def looked_up(events: list[Json], until: float, one: Incident) -> tuple[list[str], list[tuple[str, int]], Json]:
    """Parcels, (parcel, offset) of their events, and the numbers."""
    refold = refolded(events, until)
    parcels, found, number = look_up(behind(refold.then, one), refold.lines())
    for told in found:
        assert told["position"] == {"topic": "events", "partition": 2, "offset": told["position"]["offset"], "index": 0}
    return parcels, [(told["parcel_id"], told["position"]["offset"]) for told in found], number


def test_those_that_stood_longest_in_the_stage_come_first_and_what_has_left_it_is_not_there() -> None:
    events = [
        *(registered(name, at) for name, at in (("late", 9), ("early", 2), ("gone", 1), ("held", 3), ("lost", 4))),
        scanned("gone", "departed_origin", 8),
        scanned("held", "customs_held", 8),
        scanned("lost", "lost", 8),
        registered("other", 1, destination="DE"),
        registered("old", -100, _history=True),
        scanned("early", "info_received", 5),
    ]
    parcels, found, number = looked_up(events, 12, incident("no_first_scan", 12, clock="registered>accepted"))
    assert parcels == ["old", "early", "late"]
    assert found == [("old", 9), ("early", 1), ("early", 10), ("late", 0)]
    assert number["what"] == "parcels that stood in registered>accepted"
    assert (number["parcels"], number["parcels_left_out"], number["events"]) == (3, 0, 4)
    parcels, _, _ = looked_up(events, 12, incident("transit_slow", 12, clock="registered>delivered"))
    assert parcels == ["old", "gone", "early", "late"]


def test_a_parcel_beyond_the_age_cap_is_no_longer_evidence() -> None:
    events = [registered("ancient", -140), registered("new", 1)]
    parcels, _, _ = looked_up(events, 12, incident("no_first_scan", 12, clock="registered>accepted"))
    assert parcels == ["new"]


def test_the_output_is_bounded_and_says_what_was_left_out() -> None:
    events = [registered(f"P{n:03}", 1 + n / 100) for n in range(70)]
    events += [scanned(f"P{n:03}", "other", 3 + k / 100) for n in range(50) for k in range(12)]
    parcels, found, number = looked_up(events, 12, incident("no_first_scan", 12, clock="registered>accepted"))
    assert parcels == [f"P{n:03}" for n in range(50)]
    assert (number["parcels"], number["parcels_left_out"]) == (70, 20)
    assert len(found) == EVENTS_SHOWN
    assert (number["events"], number["events_left_out"]) == (50 * 13, 50 * 13 - EVENTS_SHOWN)


def test_complaints_count_from_the_beginning_of_the_sums_also_those_that_name_an_order() -> None:
    events = [
        registered("A", 0, order_id="O-A"),
        registered("B", 0),
        registered("elsewhere", 0, destination="DE"),
        complained("early", 4, parcel_id="B"),
        complained("mine", 8, parcel_id="B"),
        complained("by-order", 9, order_id="O-A"),
        complained("other-kind", 9.5, parcel_id="B", kind="damaged"),
        complained("other-channel", 9.6, parcel_id="elsewhere"),
        complained("nobody", 9.7, **RU),
    ]
    parcels, found, number = looked_up(events, 12, incident("complaints", 12, since=6))
    assert found == [("A", 5), ("B", 4)]  # the newest first
    assert parcels == ["A", "B"]
    assert number["what"] == "complaints (not_received) since 2026-01-07"
    assert number["parcels_left_out"] == number["events_left_out"] == 0


def test_the_newest_complaints_are_shown_when_there_are_many() -> None:
    events = [registered(f"P{n}", 0) for n in range(60)]
    events += [complained(f"K{n}", 2 + n / 10, parcel_id=f"P{n}") for n in range(60)]
    parcels, _, number = looked_up(events, 12, incident("complaints", 12))
    assert parcels == [f"P{n}" for n in range(59, 9, -1)]
    assert (number["parcels"], number["parcels_left_out"], number["events_left_out"]) == (60, 10, 10)


@pytest.mark.parametrize(
    ("mode", "milestone", "others"),
    [
        ("customs_hold", "customs_held", ["accepted", "returned"]),
        ("security_return", "security_returned", ["accepted", "customs_held"]),
        ("returned", "returning", ["accepted", "customs_held"]),
    ],
)
def test_rare_scans_are_the_ones_that_stopped_the_parcel(mode: str, milestone: str, others: list[str]) -> None:
    events = [registered("hit", 0), scanned("hit", "accepted", 1), scanned("hit", milestone, 8)]
    events += [registered("before", 0), scanned("before", milestone, 3)]
    for number, other in enumerate(others):
        events += [registered(f"other{number}", 0), scanned(f"other{number}", other, 7)]
    events += [registered("home", 0), scanned("home", "delivered", 6), scanned("home", milestone, 9)]
    _, found, number_ = looked_up(events, 12, incident(mode, 12, since=5))
    assert found == [("hit", 2)]
    assert milestone in number_["what"]
    assert number_["what"].endswith("since 2026-01-06")


def test_misrouted_parcels_are_told_with_the_scan_in_the_wrong_country() -> None:
    events = [
        registered("lost", 0),
        scanned("lost", "origin_hub", 1, country="CN"),
        scanned("lost", "arrived_destination", 8, country="BR"),
        registered("right", 0),
        scanned("right", "arrived_destination", 8, country="RU"),
    ]
    _, found, _ = looked_up(events, 12, incident("misroute", 12))
    assert found == [("lost", 2)]


def test_what_was_set_aside_is_no_event_behind_anything() -> None:
    events = [registered("P", 1), registered("P", 2, destination="DE"), scanned("P", "other", 3)]
    _, found, _ = looked_up(events, 12, incident("no_first_scan", 12, clock="registered>accepted"))
    assert found == [("P", 0), ("P", 2)]


@pytest.mark.parametrize(
    ("scope", "mode"),
    [
        ("all|||", "sentinel"),
        ("customer||||C7", "complaints"),
        ("forwarder||||F1", "no_first_scan"),
        ("new|||", "strange"),
    ],
)
def test_kinds_without_figures_of_their_own_are_told_as_far_as_it_goes(scope: str, mode: str) -> None:
    refold = refolded([registered("P", 1, customer_id="C7"), complained("K", 5, parcel_id="P")], 12)
    one = incident(mode, 12, scope=scope)
    told = proven(refold.then, one, refold.tallies, refold.world.judged)
    assert told["figures"]["at_known_by"] == record(one)["evidence"]
    assert told["rule"].endswith(".")
    assert "{" not in told["rule"]
    parcels, events, number = look_up(behind(refold.then, one), refold.lines())
    assert (parcels, len(events)) == ((["P"], 1) if mode == "complaints" else ([], 0))
    assert number["parcels_left_out"] == number["events_left_out"] == 0
    refold.world.incidents["i1"] = one
    stored = explain(refold.then, "i1", [])
    assert stored is not None
    assert (stored["basis"], stored["verify"]) == ("stored", "channel-monitor explain i1")
    assert stored["rule"] == told["rule"]


def test_the_rule_names_the_parameters_in_force() -> None:
    params = Params(page_ln_m=13.5, close_days=9)
    text, parameters = rule_of(incident("transit_slow", 12), params)
    assert "pages at 13.5" in text
    assert (parameters["page_ln_m"], parameters["close_days"]) == (13.5, 9)


def test_only_what_is_fixed_counts_as_a_difference() -> None:
    one, other = incident("complaints", 12), incident("complaints", 12)
    other.notes = [Note(1, "ack", "Li", "")]
    other.closed_us, other.revision, other.absorbed_by, other.calm_days = 5, 9, "i2", 3
    assert differences(one, other) == []
    other.severity, other.scope = "ticket", "channel|DE|tablet|china-post"
    assert differences(one, other) == [
        {"figure": "scope.country", "stored": "RU", "refolded": "DE"},
        {"figure": "severity", "stored": "page", "refolded": "ticket"},
    ]
    assert differences(one, None) == [{"figure": "incident_id", "stored": "i1", "refolded": None}]
    assert set(FIXED) <= set(record(one))


def test_a_tick_of_the_log_is_no_event() -> None:
    tick = event("clock.ticked", "clock", 6, {"at": day(6)})
    _, found, _ = looked_up([registered("P", 1), tick], 12, incident("no_first_scan", 12, clock="registered>accepted"))
    assert found == [("P", 0)]
