"""What ``replay`` writes, held against figures worked out by hand.

The first log (days from 2026-01-01, judged as of day 40), one channel, promise of 20 days where one is given:

======  ====  ========  =================================================  =========================
parcel  reg.  promise   what became of it                                  days it was watched
======  ====  ========  =================================================  =========================
A       0     20        accepted 1, arrived 8, delivered 10: on time       10, delivered
B       0     20        accepted 2, arrived 20, delivered 25: late         25, delivered
C       0     20        held 12, delivered 20: on time on the last day     20, delivered
D       5     20        accepted 10, after exactly 5 days; returned 30     25, censored
E       10    20        no scan at all: on its way, past its promise       30, censored
F       20    20        accepted 22, lost 35; its promise ends on day 40   15, censored
G       36    20        accepted 37; too young for a first-scan verdict    4, censored
H       1     none      a claim settled on day 33 says lost                32, censored
I       2     20        accepted 3, arrived 15, delivered 24: late         22, delivered
======  ====  ========  =================================================  =========================

Kaplan–Meier: 9 at risk; G leaves at 4; at 10 one of 8 is delivered, S = 0.875; F leaves at 15; at 20 one of 6,
S = 0.7292; at 22 one of 5, S = 0.5833; at 25 one of 4, S = 0.4375. So the median is 25 days, and the curve comes
neither to 80% nor to 95%. Greenwood's interval on the scale log(-log S) has its lower curve at 0.387 from day 10 and
at 0.1802 from day 22.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner
from hand_logs import CHANNEL, RU, Out, complained, day, event, registered, replayed, scanned
from made_events import Json, write_lines

from monitor.cli.replay import replay

ROOT = Path(__file__).resolve().parents[2]
PROMISE = {"promised_days": 20}
HAND_LOG: list[Json] = [
    registered("A", 0, order_id="O-A", **PROMISE),
    scanned("A", "accepted", 1),
    scanned("A", "arrived_destination", 8),
    scanned("A", "delivered", 10),
    registered("B", 0, **PROMISE),
    scanned("B", "accepted", 2),
    scanned("B", "arrived_destination", 20),
    scanned("B", "delivered", 25),
    registered("C", 0, **PROMISE),
    scanned("C", "customs_held", 12),
    scanned("C", "delivered", 20),
    registered("D", 5, **PROMISE),
    scanned("D", "accepted", 10),
    scanned("D", "returned", 30),
    registered("E", 10, **PROMISE),
    registered("F", 20, **PROMISE),
    scanned("F", "accepted", 22),
    scanned("F", "lost", 35),
    registered("G", 36, **PROMISE),
    scanned("G", "accepted", 37),
    registered("H", 1),
    event("claim.settled", "H", 33, {"claim_id": "CL1", "parcel_id": "H", "outcome": "lost"}),
    registered("I", 2, **PROMISE),
    scanned("I", "accepted", 3),
    scanned("I", "arrived_destination", 15),
    scanned("I", "delivered", 24),
    complained("K1", 26, parcel_id="B"),
    complained("K2", 12, order_id="O-A"),
    complained("K3", 30, **RU),
]
SUMMARY_KEYS = [
    "events",
    "duplicates",
    "dead_letters",
    "waiting",
    "parcels",
    "channels",
    "incidents",
    "first_time",
    "last_time",
    "as_of",
    "state_sha256",
]
NOTHING = {"value": None, "low": None, "high": None}


def close(value: float) -> Any:
    return pytest.approx(value, abs=2e-6)


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Out:
    return replayed(tmp_path_factory.mktemp("hand"), HAND_LOG, until=40)


# Figures


def test_the_counts_of_a_channel(by_hand: Out) -> None:
    told = by_hand.channel()
    counts = {
        name: told[name] for name in ("registered", "in_flight", "delivered", "lost", "returned", "presumed_lost")
    }
    assert counts == {
        "registered": 9,
        "in_flight": 2,
        "delivered": 4,
        "lost": 2,
        "returned": 1,
        "presumed_lost": 0,
    }
    assert told["as_of"] == day(40)
    assert told["status"] == "insufficient_data"
    assert told["ln_m"] is None


def test_transit_days_count_parcels_in_flight_and_are_null_where_the_curve_does_not_get_there(by_hand: Out) -> None:
    assert by_hand.channel()["transit_days"] == {
        "p50": {"value": 25.0, "low": 10.0, "high": None},
        "p80": {"value": None, "low": 22.0, "high": None},
        "p95": NOTHING,
    }


def test_every_ratio_of_a_channel(by_hand: Out) -> None:
    told = by_hand.channel()
    # on time: A, C of A, B, C, I (delivered) and D, E (past their promise); F's promise ends today
    assert told["on_time_ratio"] == {"value": close(2 / 6), "low": close(0.096770), "high": close(0.700007), "n": 6}
    # first scan: A, B, D, F, I of all but G, which is 4 days old
    assert told["first_scan_ratio"] == {"value": close(5 / 8), "low": close(0.305742), "high": close(0.863157), "n": 8}
    # lost: F, H of those with an outcome (A, B, C, I, D, F, H)
    assert told["loss_ratio"] == {"value": close(2 / 7), "low": close(0.082219), "high": close(0.641066), "n": 7}
    # held: C of those that arrived or were held (A, B, C, I)
    assert told["hold_ratio"] == {"value": 0.25, "low": close(0.045587), "high": close(0.699358), "n": 4}


def test_complaints_about_parcels_orders_and_channels_count_once_each(by_hand: Out) -> None:
    told = by_hand.channel()["complaints_per_1000"]
    assert (told["value"], told["n"]) == (close(3000 / 9), 9)
    # exact Poisson (Garwood) interval of 3: 0.6187 to 8.7673
    assert told["low"] == pytest.approx(1000 * 0.6187 / 9, rel=0.03)
    assert told["high"] == pytest.approx(1000 * 8.7673 / 9, rel=0.03)


def test_recent_is_the_same_here_since_everything_is_recent(by_hand: Out) -> None:
    told = by_hand.channel()
    own = {"channel", "status", "ln_m", "as_of", "recent"}
    assert told["recent"] == {name: value for name, value in told.items() if name not in own}


def test_the_summary_has_exactly_the_keys_of_the_contract(by_hand: Out) -> None:
    told = by_hand.summary
    assert list(told) == SUMMARY_KEYS
    del told["state_sha256"]
    assert told == {
        "events": len(HAND_LOG),
        "duplicates": 0,
        "dead_letters": 0,
        "waiting": 0,
        "parcels": 9,
        "channels": 1,
        "incidents": 0,
        "first_time": day(0),
        "last_time": day(37),
        "as_of": day(40),
    }
    assert by_hand.result.exit_code == 0


def test_a_replay_writes_these_files_and_those_of_unbuilt_parts_are_empty(by_hand: Out) -> None:
    files = by_hand.bytes()
    names = ["channels", "dead_letters", "incidents", "recommendations", "watchlist"]
    assert sorted(files) == sorted([*(f"{name}.jsonl" for name in names), "summary.json"])
    assert files["recommendations.jsonl"] == b""
    assert files["dead_letters.jsonl"] == b""


def test_transit_quantiles_without_censoring_are_those_of_the_parcels(tmp_path: Path) -> None:
    # 20 parcels, the k-th delivered after k days: S after k days is 1 - k/20
    log = [event for k in range(1, 21) for event in (registered(f"P{k}", 0), scanned(f"P{k}", "delivered", k))]
    told = replayed(tmp_path, log, until=21).channel()["transit_days"]
    assert [told[p]["value"] for p in ("p50", "p80", "p95")] == [10.0, 16.0, 19.0]
    assert told["p50"]["low"] < 10.0 < told["p50"]["high"]
    assert told["p95"]["low"] < 19.0


def test_transit_is_never_cut_at_the_age_cap(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "accepted", 50), scanned("P", "other", 140), scanned("P", "delivered", 200)]
    assert replayed(tmp_path, log).channel()["transit_days"]["p50"]["value"] == 200.0


def test_recent_forgets_what_was_registered_longer_ago_and_life_does_not(tmp_path: Path) -> None:
    log = [
        registered("OLD", 0),
        scanned("OLD", "lost", 30),
        registered("NEW", 50),
        scanned("NEW", "accepted", 51),
        scanned("NEW", "delivered", 60),
        complained("K1", 61, parcel_id="OLD"),
    ]
    told = replayed(tmp_path, log, until=100).channel()
    assert (told["registered"], told["recent"]["registered"]) == (2, 1)
    assert (told["loss_ratio"]["value"], told["loss_ratio"]["n"]) == (0.5, 2)
    assert (told["recent"]["loss_ratio"]["value"], told["recent"]["loss_ratio"]["n"]) == (0.0, 1)
    assert (told["complaints_per_1000"]["value"], told["recent"]["complaints_per_1000"]["value"]) == (500.0, 0.0)
    assert told["recent"]["transit_days"]["p50"]["value"] == 10.0
    assert told["transit_days"]["p50"]["value"] == 10.0


def test_a_channel_without_parcels_in_the_window_has_nulls_at_n_0_only(tmp_path: Path) -> None:
    told = replayed(tmp_path, [registered("P", 0), scanned("P", "delivered", 5)], until=200).channel()
    for name, value in told["recent"].items():
        if name.endswith("_ratio") or name == "complaints_per_1000":
            assert value == NOTHING | {"n": 0}
            if name != "on_time_ratio":
                assert told[name]["n"] == 1
                assert None not in told[name].values()
    assert told["recent"]["transit_days"] == {"p50": NOTHING, "p80": NOTHING, "p95": NOTHING}


def test_silence_beyond_the_age_cap_is_presumed_loss_and_a_later_scan_undoes_it(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "accepted", 1)]
    before = replayed(tmp_path, log, until=121).channel()  # silent for exactly 120 days
    after = replayed(tmp_path, log, until=121.25).channel()
    back = replayed(tmp_path, [*log, scanned("P", "origin_hub", 130)], until=131).channel()
    shown = [(told["presumed_lost"], told["in_flight"], told["lost"]) for told in (before, after, back)]
    assert shown == [(0, 1, 0), (1, 1, 0), (0, 1, 0)]
    assert [told["loss_ratio"]["n"] for told in (before, after, back)] == [0, 1, 0]
    assert after["loss_ratio"]["value"] == 1.0


def test_delivered_goes_before_returned_and_returned_before_lost(tmp_path: Path) -> None:
    log = [
        *(registered(parcel, 0) for parcel in "PQR"),
        scanned("P", "lost", 5),
        scanned("P", "returned", 6),
        scanned("P", "delivered", 7),
        scanned("Q", "lost", 5),
        scanned("Q", "returned", 6),
        scanned("R", "lost", 5),
    ]
    told = replayed(tmp_path, log).channel()
    assert [told[name] for name in ("delivered", "returned", "lost", "in_flight")] == [1, 1, 1, 0]


def test_info_received_is_no_first_scan(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "info_received", 1), scanned("P", "accepted", 7)]
    told = replayed(tmp_path, log, until=8).channel()["first_scan_ratio"]
    assert (told["value"], told["n"]) == (0.0, 1)


def test_two_scans_of_one_milestone_are_no_error_and_the_earliest_counts(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "delivered", 9), scanned("P", "delivered", 4, _recordedtime=day(10))]
    out = replayed(tmp_path, log)
    assert (out.summary["events"], out.summary["dead_letters"]) == (3, 0)
    assert out.channel()["transit_days"]["p50"]["value"] == 4.0


def test_a_service_is_part_of_the_channel(tmp_path: Path) -> None:
    out = replayed(tmp_path, [registered("P", 0, service="registered"), registered("Q", 0, destination="XX")])
    assert [told["channel"] for told in out.lines("channels")] == [
        "RU|tablet|china-post/registered",
        "XX|tablet|china-post",
    ]


# Watchlist

WATCHED: list[Json] = [
    *(registered(f"seen{i}", 0) for i in range(3)),
    registered("no-scan", 2),
    registered("accepted", 0),
    scanned("accepted", "accepted", 1),
    registered("departed", 0),
    scanned("departed", "departed_origin", 4),
    registered("arrived", 0),
    scanned("arrived", "arrived_destination", 5),
    registered("held", 0),
    scanned("held", "customs_held", 6),
    registered("returning", 0),
    scanned("returning", "returning", 7),
    registered("complained", 0),
    complained("K1", 20, parcel_id="complained"),
    registered("settled", 1),
    complained("K2", 20, parcel_id="settled"),
    event("complaint.closed", "K2", 21, {"complaint_id": "K2"}),
    registered("delivered", 0),
    scanned("delivered", "delivered", 9),
    registered("handled", 0),
    event("decision.recorded", "handled", 40, {"target": "handled", "what": "done"}),
    registered("soon", -30),
    registered("urgent", -60),
    registered("over", -80),
    registered("talking", 0),
    scanned("talking", "other", 44),
]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Out:
    """As of day 46: silence cap 30 days (so every P95 is at most 31 days), dispute window 120 days."""
    directory = tmp_path_factory.mktemp("watch")
    settings = directory / "settings.toml"
    settings.write_text("[detection]\nage_cap_days = 30\ndispute_window_days = 120\n")
    return replayed(directory, WATCHED, "--config", str(settings), until=46)


def test_the_watchlist_names_who_is_silent_for_too_long_and_what_to_do(watched: Out) -> None:
    rows = {row["parcel_id"]: row for row in watched.lines("watchlist")}
    assert set(rows) == {
        *(f"seen{i}" for i in range(3)),
        *("no-scan", "accepted", "departed", "arrived", "held", "returning", "complained", "settled"),
        *("soon", "urgent", "over"),
    }
    assert {name: row["reason"] for name, row in rows.items() if name in HAND_REASONS} == HAND_REASONS
    assert rows["no-scan"] == {
        "parcel_id": "no-scan",
        "channel": CHANNEL,
        "reason": "no_first_scan",
        "since": day(2),
        "due_at": day(33),
        "days_left_in_dispute_window": 76,
        "priority": 3,
        "next_action": "refund_or_reship",
        "incident_id": None,
    }


HAND_REASONS = {
    "no-scan": "no_first_scan",
    "accepted": "stuck_before_departure",
    "departed": "stuck_in_transit",
    "arrived": "stuck_at_destination",
    "held": "customs_held",
    "returning": "returning",
}


def test_the_watchlist_goes_by_priority_then_days_left_then_parcel(watched: Out) -> None:
    rows = watched.lines("watchlist")
    order = [(row["priority"], row["days_left_in_dispute_window"], row["parcel_id"]) for row in rows]
    assert order == sorted(order)
    days_left = {row["parcel_id"]: (row["priority"], row["days_left_in_dispute_window"]) for row in rows}
    assert days_left["urgent"] == (1, 14)
    assert days_left["complained"] == (1, 74)
    assert days_left["soon"] == (2, 44)
    assert days_left["settled"] == (3, 75)
    assert days_left["over"][0] == 4


# Bad input is named, counted and never lost


def accounted(out: Out, lines: int) -> Json:
    """The summary, once every line of the input is an event, a duplicate or a dead letter."""
    told = out.summary
    assert told["events"] + told["duplicates"] + told["dead_letters"] == lines
    assert told["dead_letters"] == len(out.lines("dead_letters"))
    assert out.result.exit_code == (1 if told["dead_letters"] else 0)
    return told


def test_a_repeat_changes_nothing_and_another_body_under_the_same_id_is_set_aside(tmp_path: Path) -> None:
    scan = scanned("P", "accepted", 1, _id="7")
    other = scanned("P", "delivered", 1, _id="7")
    out = replayed(tmp_path, [registered("P", 0), scan, other, scan, other, scanned("Q", "accepted", 1, _id="7")])
    assert out.letters() == [("conflicting_duplicate", 3)]
    told = accounted(out, 6)
    assert (told["events"], told["duplicates"], told["waiting"]) == (
        3,
        2,
        1,
    )  # Q's scan is another event: identity is per subject
    assert out.channel()["delivered"] == 0


def test_the_first_by_recorded_time_stands_whatever_the_order_of_lines(tmp_path: Path) -> None:
    late = scanned("P", "delivered", 1, _id="7", _recordedtime=day(3))
    early = scanned("P", "accepted", 1, _id="7", _recordedtime=day(2))
    out = replayed(tmp_path, [late, early, registered("P", 0)])
    assert out.letters() == [("conflicting_duplicate", 1)]
    assert out.channel()["delivered"] == 0


def test_a_second_registration_on_another_channel_is_set_aside(tmp_path: Path) -> None:
    log = [
        registered("P", 0),
        registered("P", 1, carrier="yunexpress"),
        registered("P", 2, batch_id="B1"),
        registered("P", 3, service="registered"),
    ]
    out = replayed(tmp_path, log)
    assert out.letters() == [("conflicting_registration", 2), ("conflicting_registration", 4)]
    assert [told["channel"] for told in out.lines("channels")] == [CHANNEL]
    assert accounted(out, 4)["parcels"] == 1
    letter = next(one for one in out.lines("dead_letters") if one["position"]["line"] == 2)
    assert json.loads(letter["raw"]) == log[1]
    assert CHANNEL in letter["detail"]
    assert letter["recordedtime"] == day(1)


def test_events_wait_for_their_parcel_and_then_count(tmp_path: Path) -> None:
    log = [scanned("P", "accepted", 1), complained("K1", 3, parcel_id="P"), registered("P", 0, _recordedtime=day(20))]
    early = replayed(tmp_path, log, until=19)
    assert (accounted(early, 2)["waiting"], early.lines("channels")) == (2, [])
    out = replayed(tmp_path, log, until=20)
    assert accounted(out, 3)["waiting"] == 0
    told = out.channel()
    assert (told["first_scan_ratio"]["value"], told["complaints_per_1000"]["value"]) == (1.0, 1000.0)


def test_what_waits_longer_than_30_days_is_a_dead_letter_at_the_next_tick(tmp_path: Path) -> None:
    log = [scanned("P", "accepted", 1), registered("Q", 0)]
    assert accounted(replayed(tmp_path, log, until=30.75), 2)["waiting"] == 1
    out = replayed(tmp_path, log, until=31)
    assert out.letters() == [("unknown_parcel", 1)]
    told = accounted(out, 2)
    assert (told["waiting"], told["events"]) == (0, 1)
    assert "30 days" in out.lines("dead_letters")[0]["detail"]


@pytest.mark.parametrize(
    "stray",
    [
        complained("K1", 1, order_id="nobody"),
        event("complaint.closed", "K9", 1, {"complaint_id": "K9"}),
        event("refund.completed", "R9", 1, {"refund_id": "R9"}),
        event("refund.requested", "P", 1, {"refund_id": "R1", "stage": "in_transit", "parcel_id": "P"}),
        event("claim.filed", "P", 1, {"claim_id": "L1", "parcel_id": "P"}),
        event("claim.settled", "P", 1, {"claim_id": "L1", "parcel_id": "P", "outcome": "paid"}),
        complained("K1", 1, parcel_id="P"),
    ],
    ids=lambda stray: f"{stray['type']}-{'-'.join(sorted(stray['data']))}",
)
def test_an_event_about_nothing_known_waits_30_days(tmp_path: Path, stray: Json) -> None:
    log = [stray, registered("Q", 0)]
    early = replayed(tmp_path, log, until=30)
    assert (accounted(early, 2)["waiting"], early.result.exit_code) == (1, 0)
    late = replayed(tmp_path, log, until=31)
    assert late.letters() == [("unknown_parcel", 1)]
    assert accounted(late, 2)["waiting"] == 0
    assert late.lines("dead_letters")[0]["recordedtime"] == day(1)


def test_closings_without_a_parcel_find_it_by_complaint_and_refund(tmp_path: Path) -> None:
    log = [
        registered("P", 0),
        complained("K1", 1, parcel_id="P"),
        event("complaint.closed", "K1", 2, {"complaint_id": "K1", "outcome": "refunded"}),
        event("refund.requested", "P", 3, {"refund_id": "R1", "stage": "in_transit", "parcel_id": "P"}),
        event("refund.completed", "R1", 4, {"refund_id": "R1", "by": "merchant"}),
    ]
    out = replayed(tmp_path, log, until=60)
    assert (accounted(out, 5)["waiting"], out.summary["dead_letters"]) == (0, 0)


def test_an_order_only_complaint_counts_for_the_parcel_that_is_registered_later(tmp_path: Path) -> None:
    log = [complained("K1", 1, order_id="O1"), registered("P", 0, order_id="O1", _recordedtime=day(10))]
    assert accounted(replayed(tmp_path, log, until=9), 1)["waiting"] == 1
    out = replayed(tmp_path, log, until=60)
    assert accounted(out, 2)["waiting"] == 0
    assert out.channel()["complaints_per_1000"]["value"] == 1000.0


def test_a_complaint_without_parcel_order_and_channel_is_only_counted(tmp_path: Path) -> None:
    out = replayed(tmp_path, [registered("P", 0), complained("K1", 1, destination="RU")], until=60)
    told = accounted(out, 2)
    assert (told["events"], told["waiting"], told["dead_letters"]) == (2, 0, 0)
    assert out.channel()["complaints_per_1000"]["value"] == 0.0


def test_a_complaint_is_counted_once_however_often_it_is_told(tmp_path: Path) -> None:
    log = [registered("P", 0), complained("K1", 1, parcel_id="P"), complained("K1", 2, parcel_id="P", _id="again")]
    assert replayed(tmp_path, log, until=3).channel()["complaints_per_1000"]["value"] == 1000.0


@pytest.mark.parametrize(("outcome", "lost"), [("lost", 1), ("rejected", 0), ("denied", 0), ("withdrawn", 0)])
def test_a_settled_claim_says_whether_a_parcel_is_lost(tmp_path: Path, outcome: str, lost: int) -> None:
    claim = event("claim.settled", "P", 20, {"claim_id": "C", "parcel_id": "P", "outcome": outcome})
    told = replayed(tmp_path, [registered("P", 0), claim]).channel()
    assert (told["lost"], told["in_flight"]) == (lost, 1 - lost)


@pytest.mark.parametrize(
    ("scan", "reason"),
    [
        (scanned("P", "accepted", 1, _recordedtime=day(61)), None),
        (scanned("P", "accepted", 1, _recordedtime=day(61.001)), "too_late"),
        (scanned("P", "accepted", 2, _recordedtime=day(1)), None),
        (scanned("P", "accepted", 2.001, _recordedtime=day(1)), "time_in_future"),
        (scanned("P", "accepted", "1999-12-31T23:59:59Z"), "time_before_2000"),
        (scanned("P", "accepted", "1969-07-20T20:17:40Z"), "time_before_2000"),
        (scanned("P", "accepted", "9999-01-01T00:00:00Z"), "time_in_future"),
        (scanned("P", "accepted", 1, _recordedtime="1969-07-20T20:17:40Z"), "time_in_future"),
        (scanned("P", "accepted", 1, _recordedtime="9999-12-31T23:59:59Z"), "too_late"),
        (scanned("P", "accepted", "2026-01-01T23:00:00-05:00"), None),
        (scanned("P", "accepted", "2026-01-02T04:00:00"), "invalid_event"),
        (scanned("P", "accepted", "02.01.2026"), "invalid_event"),
    ],
)
def test_the_rules_of_time(tmp_path: Path, scan: Json, reason: str | None) -> None:
    started = time.monotonic()
    out = replayed(tmp_path, [registered("P", 0), scan, scanned("P", "other", 62)])
    assert out.letters() == ([] if reason is None else [(reason, 2)])
    assert accounted(out, 3)["last_time"] == day(62)
    assert out.summary["as_of"] == day(62)
    assert time.monotonic() - started < 5


def test_an_offset_is_an_instant(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "delivered", "2026-01-11T08:00:00+08:00")]
    assert replayed(tmp_path, log).channel()["transit_days"]["p50"]["value"] == 10.0


def test_dead_letters_are_sorted_by_their_text_and_tell_where_and_why(tmp_path: Path) -> None:
    lines: list[Json | str | bytes] = ["zzz", registered("P", 0), b"\xff\xfe\xfd", "[]", "zzz", '{"a": 1}', "é"]
    out = replayed(tmp_path, lines)
    letters = out.lines("dead_letters")
    assert [letter["raw"] for letter in letters] == ["[]", "\\xff\\xfe\\xfd", "zzz", '{"a": 1}', "é"]
    assert [letter["position"]["line"] for letter in letters] == [4, 3, 1, 6, 7]
    assert {letter["position"]["file"] for letter in letters} == {str(tmp_path / "log.jsonl")}
    assert [letter["reason"] for letter in letters] == [
        "not_an_event",
        "not_text",
        "malformed_json",
        "not_an_event",
        "malformed_json",
    ]
    for letter in letters:
        assert letter["detail"][-1] != " "
        assert " " in letter["detail"]  # a sentence
        assert letter["recordedtime"] == day(0)
    assert accounted(out, 7)["duplicates"] == 1


# Order, packing, repeats


def packed(directory: Path, log: list[Json], seed: int) -> list[Path]:
    """The log in four files, shuffled: plain, gzip, zstandard, plain with CRLF and byte order mark."""
    chance = random.Random(seed)
    lines = [json.dumps(event, ensure_ascii=False).encode() for event in log]
    chance.shuffle(lines)
    parts = [b"".join(line + b"\n" for line in lines[i::4]) for i in range(4)]
    files = [directory / f"{seed}{name}" for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst", "d.jsonl")]
    crlf = b"\xef\xbb\xbf" + parts[3].replace(b"\n", b"\r\n")
    for path, content in zip(
        files, (parts[0], gzip.compress(parts[1]), zstandard.compress(parts[2]), crlf), strict=True
    ):
        path.write_bytes(content)
    chance.shuffle(files)
    return files


def test_shuffled_split_and_packed_files_give_the_same_bytes(tmp_path: Path, by_hand: Out) -> None:
    for seed in range(3):
        out = replayed(tmp_path, files=packed(tmp_path, HAND_LOG, seed), until=40)
        assert out.bytes() == by_hand.bytes()


def test_the_order_of_input_shows_in_positions_of_dead_letters_only(tmp_path: Path) -> None:
    log = [
        *HAND_LOG,
        scanned("A", "other", 1, _id=HAND_LOG[1]["id"]),
        registered("B", 3, carrier="yunexpress"),
        scanned("nobody", "accepted", 1),
        scanned("A", "other", 1, _recordedtime=day(90)),
    ]
    first = replayed(tmp_path, log, until=100)
    assert first.summary["dead_letters"] == 4
    second = replayed(tmp_path, files=packed(tmp_path, log, 7), until=100)
    assert {k: v for k, v in first.bytes().items() if k != "dead_letters.jsonl"} == {
        k: v for k, v in second.bytes().items() if k != "dead_letters.jsonl"
    }
    assert [
        {**letter, "position": None, "raw": json.loads(letter["raw"])} for letter in first.lines("dead_letters")
    ] == [{**letter, "position": None, "raw": json.loads(letter["raw"])} for letter in second.lines("dead_letters")]


def test_repeats_change_only_the_count_of_duplicates(tmp_path: Path) -> None:
    log: list[Any] = [*HAND_LOG, "rubbish", scanned("nobody", "accepted", 1), registered("B", 3, carrier="yunexpress")]
    once = replayed(tmp_path, log, until=100)
    path = tmp_path / "log.jsonl"
    thrice = replayed(tmp_path, files=[path, path, path], until=100)
    assert thrice.summary == once.summary | {"duplicates": 2 * len(log)}
    for name in ("channels", "incidents", "watchlist", "recommendations", "dead_letters"):
        assert thrice.lines(name) == once.lines(name)


def test_hash_seeds_and_processes_give_the_same_bytes(tmp_path: Path, by_hand: Out) -> None:
    log = write_lines(tmp_path / "log.jsonl", HAND_LOG)
    for seed in ("0", "4711"):
        out = tmp_path / seed
        command = [sys.executable, "-m", "monitor", "replay", str(log), "--out", str(out), "--until", day(40)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert {path.name: path.read_bytes() for path in sorted(out.iterdir())} == by_hand.bytes()
        assert "\r" not in done.stderr  # no progress, since it is no terminal
        assert "events/s" in done.stderr
        assert done.stderr.count("\n") == 1


def test_standard_input_is_read_as_a_file(tmp_path: Path, by_hand: Out) -> None:
    content = b"".join(json.dumps(event).encode() + b"\n" for event in HAND_LOG)
    for number, sent in enumerate([content, gzip.compress(content)]):
        out = tmp_path / str(number)
        command = [sys.executable, "-m", "monitor", "replay", "-", "--out", str(out), "--until", day(40)]
        subprocess.run(command, input=sent, cwd=ROOT, capture_output=True, check=True)
        assert {path.name: path.read_bytes() for path in sorted(out.iterdir())} == by_hand.bytes()


# The end of the log


def test_until_takes_what_was_recorded_up_to_and_including_it(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "accepted", 1), scanned("P", "delivered", 2, _recordedtime=day(5))]
    at = replayed(tmp_path, log, until=5)
    before = replayed(tmp_path, log, until="2026-01-05T23:59:59.999999Z")
    assert (at.summary["events"], at.channel()["delivered"], at.summary["as_of"]) == (3, 1, day(5))
    assert (before.summary["events"], before.channel()["delivered"]) == (2, 0)
    assert before.summary["as_of"] == before.channel()["as_of"] == "2026-01-05T23:59:59.999999Z"


def test_until_may_lie_far_behind_the_last_event_and_carry_any_offset(tmp_path: Path) -> None:
    out = replayed(tmp_path, [registered("P", 0)], until="2026-06-01T02:00:00+02:00")
    assert (out.summary["as_of"], out.channel()["presumed_lost"]) == ("2026-06-01T00:00:00Z", 1)


def test_ticks_fall_on_the_grid_alone(tmp_path: Path) -> None:
    log = [registered("P", 0)]  # presumed lost after day 120, at the next grid point: 06:00
    off_grid = replayed(tmp_path, log, until="2026-05-01T05:59:59Z").channel()
    on_grid = replayed(tmp_path, log, until="2026-05-01T06:00:00Z").channel()
    assert (off_grid["presumed_lost"], on_grid["presumed_lost"]) == (0, 1)


def test_the_tick_at_the_end_comes_after_the_events_recorded_at_that_very_time(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "accepted", 120.25)]
    assert replayed(tmp_path, log, until=120.25).channel()["presumed_lost"] == 0


def test_as_of_is_the_last_recorded_time_without_until(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "accepted", 1, _recordedtime=day(3.1)), scanned("P", "other", 2)]
    out = replayed(tmp_path, log)
    assert (out.summary["as_of"], out.summary["last_time"]) == (day(3.1), day(2))
    assert out.channel()["as_of"] == day(3.1)


def test_an_empty_file_gives_empty_lists_and_a_summary_of_nothing(tmp_path: Path) -> None:
    for content in (b"", b"\n\n  \r\n"):
        out = replayed(tmp_path, files=[write_lines(tmp_path / "empty.jsonl", [content])])
        assert out.result.exit_code == 0
        assert accounted(out, 0)["as_of"] is None
        assert [name for name, content in out.bytes().items() if content] == ["summary.json"]


# The verb itself


def test_json_prints_the_summary_and_nothing_else_on_stdout(tmp_path: Path) -> None:
    out = replayed(tmp_path, HAND_LOG, "--json")
    assert json.loads(out.result.stdout) == out.summary
    assert "events/s" in out.result.stderr


def test_results_are_replaced_not_mixed(tmp_path: Path) -> None:
    bad = write_lines(tmp_path / "bad.jsonl", ["rubbish"])
    first = replayed(tmp_path, files=[bad])
    again = replayed(tmp_path, HAND_LOG, "--out", str(first.directory), until=40)
    assert again.result.exit_code == 0
    assert first.lines("dead_letters") == []
    assert first.summary["parcels"] == 9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["log.jsonl", "--out", "o", "--until", "yesterday"], "yesterday"),
        (["log.jsonl", "--out", "o", "--until", "2026-03-01T00:00:00"], "offset"),
        (["nowhere.jsonl", "--out", "o"], "there is no such file"),
        ([".", "--out", "o"], "is a directory"),
        (["log.jsonl"], "--out"),
        (["--out", "o"], "FILE"),
        (["log.jsonl", "--out", "log.jsonl"], "log.jsonl"),
        (["log.jsonl", "--out", "log.jsonl/x"], "log.jsonl"),
        (["log.jsonl", "--out", "o", "--config", "nowhere.toml"], "nowhere.toml"),
        (["log.jsonl", "--out", "o", "--frobnicate"], "--frobnicate"),
    ],
)
def test_wrong_use_is_exit_status_2_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "log.jsonl", HAND_LOG)
    result = CliRunner().invoke(replay, arguments)
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert said in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "o").exists()
