"""The contract's rules of what counts, what waits, and what is set aside with which reason."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hand_logs import CHANNEL, accounted, complained, day, event, registered, replayed, scanned
from made_events import Json

# Bad input is named, counted and never lost


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
