"""The figures that ``replay`` writes, held against those worked out by hand (see ``hand_logs.HAND_LOG``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hand_logs import CHANNEL, HAND_LOG, Out, complained, day, event, registered, replayed, scanned
from made_events import Json

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


def test_a_replay_writes_these_files_and_what_there_is_nothing_of_is_empty(by_hand: Out) -> None:
    files = by_hand.bytes()
    names = ["channels", "dead_letters", "incidents", "recommendations", "watchlist"]
    assert sorted(files) == sorted([*(f"{name}.jsonl" for name in names), "summary.json"])
    assert files["recommendations.jsonl"].count(b"\n") == 1  # one lane
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
    assert days_left["over"] == (4, -6)
