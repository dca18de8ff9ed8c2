"""What becomes of single events, told by the user's side of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from logs import DAILY, START_DAY, closed, found_at, made, opened, registered, replayed, scanned, us

from monitor.core.params import Params
from monitor.core.parcel import FINGERPRINT, FULL, STONE
from monitor.replay.driver import World
from monitor.replay.outputs import picture, summary


def _channel(world: World, name: str = "RU|tablet|post") -> dict[str, Any]:
    return {record["channel"]: record for record in picture(world).channel_records()}[name]


def _reasons(world: World) -> list[str]:
    return sorted(letter.reason for letter in world.dead_letters)


def test_a_complaint_by_order_finds_its_parcel_also_when_it_was_closed_before_the_parcel_came() -> None:
    lines = [opened("C", 1, order_id="O"), closed("C", 2), registered("P", 3, order_id="O")]
    world = replayed(lines, until=40)
    assert _channel(world)["complaints_per_1000"]["value"] == 1000
    assert _reasons(world) == []


def test_one_subject_may_wait_for_several_things_and_be_waited_for_by_several() -> None:
    subject = {"subject": "case 7"}
    lines = [
        made("complaint.opened.v1", 1, {"complaint_id": "C", "kind": "other", "order_id": "O"}, **subject),
        made("refund.completed.v1", 1.5, {"refund_id": "R"}, **subject),
        made("refund.requested.v1", 2, {"refund_id": "R", "stage": "in_transit", "order_id": "O"}, **subject),
        made("complaint.closed.v1", 3, {"complaint_id": "C"}, **subject),
        registered("P", 4, order_id="O"),
        registered("much later", 300, order_id="O"),
    ]
    world = replayed(lines, params=DAILY)
    assert _reasons(world) == []
    assert summary(world)["events"] == len(lines)
    assert _channel(world)["complaints_per_1000"] | {"low": 0, "high": 0} == {
        "value": 500,
        "low": 0,
        "high": 0,
        "n": 2,
    }


def test_nothing_is_left_waiting_when_a_subject_is_forgotten_while_another_event_of_it_waits() -> None:
    params = Params(dispute_window_days=1, dedup_days=1, waiting_days=30)
    lines = [
        made("complaint.opened.v1", 0, {"complaint_id": "C", "kind": "other", "order_id": "O"}, subject="S"),
        registered("P", 20, order_id="O"),
    ]
    world = replayed(lines, params=params)
    assert _channel(world)["complaints_per_1000"]["value"] == 1000


def test_an_order_of_several_parcels_is_complained_about_once_on_the_first_of_them() -> None:
    lines = [
        registered("Q", 1, order_id="O", carrier="wolf"),
        registered("P", 2, order_id="O"),
        opened("C", 3, order_id="O"),
    ]
    world = replayed(lines)
    assert _channel(world, "RU|tablet|wolf")["complaints_per_1000"]["value"] == 1000
    assert _channel(world)["complaints_per_1000"]["value"] == 0


def test_a_complaint_about_nothing_known_counts_where_it_says_or_nowhere() -> None:
    somewhere = opened("C", 1, destination="RU", product="tablet", carrier="post")
    world = replayed([registered("P", 0), somewhere, opened("D", 1)])
    assert _channel(world)["complaints_per_1000"]["value"] == 1000
    assert summary(world)["events"] == 3


@pytest.mark.parametrize("parcel", [None, "P"])
def test_a_complaint_that_was_closed_before_it_was_opened_is_closed(parcel: str | None) -> None:
    lines = [registered("P", 0), closed("C", 1, parcel_id=parcel), opened("C", 2, parcel_id="P")]
    [complaint] = replayed(lines).parcels["P"].complaints.values()
    assert complaint.closed
    assert complaint.opened_us == us(2)
    assert _channel(replayed(lines))["complaints_per_1000"]["value"] == 1000


def test_what_waits_for_its_parcel_is_used_or_becomes_a_dead_letter_at_the_tick_after_thirty_days() -> None:
    scan = scanned("P", "delivered", 1)
    assert summary(replayed([scan], until=30.9))["waiting"] == 1
    gone = replayed([scan], until=31)
    assert (summary(gone)["waiting"], summary(gone)["events"], _reasons(gone)) == (0, 0, ["unknown_parcel"])
    assert gone.parcels == {}
    in_time = replayed([scan, registered("P", 0, recorded=31)], until=40)
    assert _channel(in_time)["delivered"] == 1
    assert summary(in_time)["waiting"] == 0


def test_a_repeat_of_a_dead_letter_is_a_duplicate() -> None:
    late = scanned("P", "delivered", 0, recorded=61)
    world = replayed([late, late, registered("P", 0)])
    assert (_reasons(world), summary(world)["duplicates"]) == (["too_late"], 1)
    assert _channel(world)["delivered"] == 0


def test_the_first_registration_stands() -> None:
    lines = [registered("P", 1), registered("P", 0, recorded=2, carrier="wolf"), registered("P", 0.5, recorded=3)]
    world = replayed(lines)
    assert _reasons(world) == ["conflicting_registration"]
    assert world.parcels["P"].registered_us == us(1)
    assert (summary(world)["parcels"], summary(world)["events"]) == (1, 2)


def test_the_same_identity_with_another_body_is_a_conflict_and_recorded_again_it_is_a_repeat() -> None:
    lines = [
        registered("P", 0),
        scanned("P", "accepted", 1, id="x"),
        scanned("P", "delivered", 1, recorded=2, id="x"),
        scanned("P", "accepted", 1, recorded=2, id="x"),
        scanned("P", "delivered", 1, id="x", source="other"),
    ]
    world = replayed(lines)
    assert (_reasons(world), summary(world)["duplicates"]) == (["conflicting_duplicate"], 1)
    assert _channel(world)["delivered"] == 1


def test_a_decision_about_a_parcel_is_taken_once_and_a_repeat_recorded_later_changes_nothing() -> None:
    act = {"target": "P", "what": "done"}
    first = made("decision.recorded.v1", 5, act, id="d")
    again = made("decision.recorded.v1", 5, act, recorded=9, id="d")
    world = replayed([registered("P", 0), first, again])
    assert world.parcels["P"].handled_us == us(5)
    assert summary(world)["duplicates"] == 1


def test_a_decision_about_nobody_is_a_dead_letter() -> None:
    world = replayed([made("decision.recorded.v1", 5, {"target": "nobody", "what": "ack"})])
    assert _reasons(world) == ["unknown_parcel"]
    assert summary(world)["events"] == 0


CAPPED = Params(age_cap_days=30)


def test_silence_beyond_the_cap_is_presumed_loss_until_a_later_scan() -> None:
    lines = [registered("P", 0), scanned("P", "departed_origin", 10)]
    before, silent = found_at((40, 40.25), _channel, lines, CAPPED)
    assert before["presumed_lost"] == 0
    assert (silent["presumed_lost"], silent["in_flight"], silent["lost"]) == (1, 1, 0)
    assert silent["loss_ratio"]["n"] == 1
    woken, again = found_at((60, 81), _channel, [*lines, scanned("P", "other", 50)], CAPPED)
    assert (woken["presumed_lost"], again["presumed_lost"]) == (0, 1)
    delivered = _channel(replayed([*lines, scanned("P", "delivered", 45, recorded=60)], 61, CAPPED))
    assert (delivered["presumed_lost"], delivered["delivered"]) == (0, 1)


def test_a_late_report_of_an_old_scan_does_not_end_the_presumption() -> None:
    lines = [registered("P", 0), scanned("P", "accepted", 40, recorded=69), scanned("P", "other", 20, recorded=45)]
    old, new = found_at((55, 69.25), _channel, lines, CAPPED)
    assert (old["presumed_lost"], new["presumed_lost"]) == (1, 0)


def test_the_outcome_is_delivered_else_returned_else_lost() -> None:
    lines = [registered("P", 0), scanned("P", "lost", 1), scanned("P", "returned", 3), scanned("P", "delivered", 9)]
    for known, name in ((2, "lost"), (3, "returned"), (4, "delivered")):
        record = _channel(replayed(lines[:known]))
        assert (record[name], record["in_flight"]) == (1, 0)


def test_a_settled_claim_that_was_paid_says_the_parcel_is_lost() -> None:
    for data, lost in (({"outcome": "Paid"}, 1), ({"outcome": "rejected"}, 0), ({}, 0)):
        claim = made("claim.settled.v1", 9, {"claim_id": "L", "parcel_id": "P"} | data)
        assert _channel(replayed([registered("P", 0), claim]))["lost"] == lost


def test_parcels_shrink_to_a_stone_and_a_fingerprint_and_repeats_change_nothing() -> None:
    params = Params(dedup_days=10, dispute_window_days=30)
    lines = [registered("P", 0), scanned("P", "delivered", 5)]
    sizes = found_at((14, 15, 39, 40), lambda world: world.parcels["P"].kept, lines, params)
    assert sizes == [FULL, STONE, STONE, FINGERPRINT]
    again = scanned("P", "delivered", 5, recorded=20)
    stone = replayed([*lines, again], params=params)
    assert (summary(stone)["events"], summary(stone)["duplicates"]) == (2, 1)
    late = scanned("P", "accepted", 15, recorded=60)
    whole = replayed([*lines, again, late], params=params)
    assert summary(whole)["duplicates"] == 2
    assert _channel(whole)["delivered"] == 1


def test_a_complaint_about_a_stone_counts_once() -> None:
    params = Params(dedup_days=10)
    lines = [registered("P", 0), scanned("P", "delivered", 5), opened("C", 40, parcel_id="P")]
    world = replayed([*lines, opened("C", 41, parcel_id="P"), closed("C", 42, parcel_id="P")], params=params)
    assert _channel(world)["complaints_per_1000"]["value"] == 1000
    assert world.parcels["P"].kept == STONE
    assert summary(world)["events"] == 4


@pytest.mark.parametrize("day", [-730_000, 50_000, 2_800_000])
def test_an_impossible_time_is_a_dead_letter_and_moves_no_clock(day: float) -> None:
    lines = [registered("P", 0), scanned("P", "accepted", 3)]
    ours = _channel(replayed([*lines, scanned("P", "delivered", day)]))
    assert ours == _channel(replayed(lines))
    assert _reasons(replayed([*lines, scanned("P", "delivered", day)])) in (["time_before_2000"], ["time_in_future"])
    wrong = made("clock.ticked.v1", 3, {"at": "2500-01-01T00:00:00Z"}, subject="clock")
    assert ours == _channel(replayed([*lines, wrong]))
    assert ours == _channel(replayed([*lines, scanned("P", "other", 3, recorded=50_000)]))


def test_odd_parcel_ids_are_as_good_as_others() -> None:
    for parcel in ("\0P", "dead|x", "P|Q", "decision|P"):
        lines = [registered(parcel, 0), scanned("unknown" + parcel, "other", 0), scanned("\0" + parcel, "other", 0)]
        world = replayed(lines, 35, CAPPED)
        assert _channel(world)["presumed_lost"] == 1
        assert _reasons(world) == ["unknown_parcel"] * 2


def test_complaints_do_not_depend_on_what_else_the_log_holds() -> None:
    lines = [registered("P", 0, order_id="O"), opened("C", 1, order_id="O"), opened("D", 1, parcel_id="P")]
    record = _channel(replayed(lines))
    assert record["complaints_per_1000"]["value"] == 2000
    assert record == _channel(replayed([*lines, registered("other", 0, carrier="wolf")]))


def test_recent_figures_are_those_of_the_last_days_of_registration() -> None:
    params = replace(Params(), recent_days=10)
    lines = [registered("old", 0), registered("new", 1), scanned("old", "delivered", 5), scanned("new", "delivered", 6)]
    record = _channel(replayed(lines, until=10.5, params=params))
    assert (record["registered"], record["recent"]["registered"]) == (2, 1)
    assert (record["delivered"], record["recent"]["delivered"]) == (2, 1)
    assert START_DAY * 24 < 1 << 20
