"""Days judged by the fleet: who is at risk, who left, from when a channel is known to be slow, and until when."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from logs import DAILY, START_DAY, at, found_at, made, registered, replayed, scanned, text

from monitor.core.block import Block
from monitor.core.cells import EXIT, split
from monitor.core.params import Params
from monitor.replay.driver import World
from monitor.replay.outputs import picture

CHANNEL = "RU|tablet|post"


def _judged_next(world: World) -> tuple[int, dict[int, dict[int, int]], dict[int, dict[int, int]]]:
    """The next day to be judged; clock → age → parcels at risk; clock → age → exits. Takes the day from the state."""
    channel = world.channels[CHANNEL]
    ages = channel.risk.shape[1] - 1
    day = world.fleet.open_day
    rare = np.full((1, *channel.rare.shape[1:]), 0.1), np.zeros((1, *channel.rare.shape[1:]), dtype=bool)
    block = Block(day, [0], [channel], np.full((1, 5, ages), 0.1), np.ones((1, 5)), rare, world.params)

    def told(values: np.ndarray) -> dict[int, dict[int, int]]:
        out: dict[int, dict[int, int]] = {}
        for clock, age in np.argwhere(values[0]):
            out.setdefault(int(clock), {})[int(age)] = int(values[0, clock, age])
        return out

    return day - START_DAY, told(block.at_risk), told(block.exits)


def test_a_day_has_at_risk_who_entered_by_then_and_as_exits_who_left_on_it() -> None:
    lines = [
        registered("A", 0.5),
        registered("B", 1.2),
        registered("C", 3.1),
        scanned("A", "accepted", 1.5),
        scanned("B", "accepted", 3.9),
        scanned("C", "departed_origin", 3.95),
        scanned("A", "departed_origin", 3.5),
    ]
    # At the tick of day 4 the watermark (a day) has passed day 2, so day 3 is next.
    day, at_risk, exits = _judged_next(replayed(lines, until=4))
    assert day == 3
    assert at_risk == {0: {0: 1, 2: 1}, 1: {0: 1, 2: 1}, 2: {0: 2}, 4: {0: 1, 2: 1, 3: 1}}
    assert exits == {0: {0: 1, 2: 1}, 1: {2: 1}}


def test_what_becomes_known_after_its_day_was_judged_counts_on_the_first_open_day() -> None:
    lines = [registered("A", 0.5), scanned("A", "accepted", 2.5, recorded=8.4)]
    assert _judged_next(replayed(lines, until=8.25))[2] == {}
    day, at_risk, exits = _judged_next(replayed(lines, until=8.5))
    assert (day, at_risk[0], exits) == (7, {7: 1}, {0: {7: 1}})
    # It counts once: the next day knows nothing of it.
    assert _judged_next(replayed(lines, until=10))[2] == {}
    assert 0 not in _judged_next(replayed(lines, until=10))[1]


def test_what_becomes_known_more_than_thirty_days_late_is_no_exit_but_leaves_the_risk_set() -> None:
    lines = [registered("A", 0.5), scanned("A", "accepted", 2.5, recorded=45)]
    _, at_risk, exits = _judged_next(replayed(lines, until=45.5))
    assert 0 not in at_risk
    assert exits == {}


def test_held_returning_and_lost_parcels_leave_the_risk_set_without_an_exit() -> None:
    for milestone in ("customs_held", "returning", "security_returned", "lost", "returned"):
        lines = [registered("A", 0.5), scanned("A", "accepted", 1.5), scanned("A", milestone, 3.5)]
        # Who is held has arrived, so he has left the clock to departure as others do.
        departed = {1: {2: 1}} if milestone == "customs_held" else {}
        assert _judged_next(replayed(lines, until=4.5)) == (3, departed, departed)
        assert _judged_next(replayed(lines, until=5.5)) == (4, {}, {})


def test_parcels_beyond_the_last_age_are_kept_but_judged_no_more() -> None:
    params = Params(age_cap_days=30)
    world = replayed([registered("A", 0.5), registered("B", 20)], until=33, params=params)
    risk = world.channels[CHANNEL].risk
    assert risk[0, 31] == 1
    assert _judged_next(world)[1][0] == {12: 1}
    back = [registered("A", 0.5), registered("B", 20), scanned("A", "accepted", 32.5)]
    after = replayed(back, until=40, params=params).channels[CHANNEL].risk
    assert after[0].sum() == 1


def test_the_watermark_is_the_first_quartile_of_the_reporting_lag() -> None:
    lines = [registered("A", 0.0)]
    lines += [scanned("A", "other", i / 100, recorded=i / 100 + (0.1 if i % 5 == 0 else 2.6)) for i in range(1, 200)]
    assert replayed(lines[:50], until=8).fleet.lag_us == 24 * 3_600_000_000
    world = replayed(lines, until=8)
    assert world.fleet.lag_us == 63 * 3_600_000_000  # 2.6 days are 62.4 hours, rounded up
    assert world.fleet.open_day - START_DAY == 5


#: Parcels are presumed lost early, so that what outlives them is seen soon.
WATCHED = replace(DAILY, shadow_days=30, age_cap_days=40)
FIRST, SLOW = 60, 100


def _steady(
    until: int, slow_from: int | None = None, per_day: int = 12, carrier: str = "post", first: int = FIRST
) -> list[bytes]:
    """A channel of parcels accepted after a day, delivered after 8 to 12; from a day on half as fast."""
    lines = []
    for day in range(first, until):
        for i in range(per_day):
            parcel = f"{carrier}-{day}-{i}"
            lines.append(registered(parcel, day + 0.3, carrier=carrier))
            lines.append(scanned(parcel, "accepted", day + 1.3))
            takes = 8 + (i * 7 + day) % 5
            if slow_from is not None and day >= slow_from:
                takes *= 2
            if day + takes < until:
                lines.append(scanned(parcel, "delivered", day + takes + 0.4))
    return lines


def _incidents(lines: list[bytes], until: float | None, params: Params = WATCHED) -> list[dict[str, Any]]:
    return picture(replayed(lines, until, params)).incident_records()


def test_a_channel_that_turns_slow_is_a_ticket_in_shadow_and_a_page_after() -> None:
    lines = _steady(120, SLOW)
    assert _incidents(_steady(120), 120) == []
    [page] = _incidents(lines, 120)
    assert page["severity"] == "page"
    assert page["scope"] == {"kind": "channel", "country": "RU", "product": "tablet", "carrier": "post"}
    assert "2025-06-18" <= page["opened_at"][:10] <= page["known_by"][:10] <= "2025-07-02"
    [ticket] = _incidents(lines, 120, replace(WATCHED, shadow_days=200))
    assert ticket["severity"] == "ticket"
    assert ticket["known_by"] <= page["known_by"]
    assert ticket["incident_id"] == page["incident_id"]


def test_an_incident_keeps_its_id_and_its_known_by_as_the_log_grows() -> None:
    seen: dict[str, tuple[str, str]] = {}
    days = (110, 112, 114, 116, 120, 140)
    for records in found_at(
        days, lambda world: picture(world).incident_records(), _steady(140, SLOW, per_day=7), WATCHED
    ):
        for incident in records:
            known = seen.setdefault(incident["incident_id"], (incident["severity"], incident["known_by"]))
            if known[0] == incident["severity"]:
                assert known[1] == incident["known_by"]
            else:
                assert (known[0], incident["severity"]) == ("ticket", "page")
                assert incident["known_by"] > known[1]
                seen[incident["incident_id"]] = incident["severity"], incident["known_by"]
    assert len(seen) == 1


def test_missing_reports_neither_open_nor_resolve_an_incident() -> None:
    end = json.loads(registered("end", 125.0))["time"]
    last_word = made("rule.declared.v1", 220, {"rule_id": "x", "effect": "refuse"}, subject="x")

    def cut_off(lines: list[bytes]) -> list[bytes]:
        return [*(line for line in lines if json.loads(line)["time"] < end), last_word]

    [silence] = _incidents(cut_off(_steady(150)), None)
    assert (silence["severity"], silence["scope"]["kind"], silence["scope"]["carrier"]) == ("feed", "feed", "post")
    incident, _ = _incidents(cut_off(_steady(150, SLOW)), None)
    assert incident["severity"] == "page"
    assert incident["closed_at"] is None


def test_an_incident_is_closed_a_month_after_its_last_parcel_and_stays_in_the_file() -> None:
    lines = [*_steady(120, SLOW), *_steady(210, per_day=2, carrier="wolf", first=110)]
    [before], (after, silence) = found_at((120, 210), lambda world: picture(world).incident_records(), lines, WATCHED)
    assert (silence["mode"], silence["closed_at"] is None) == ("feed_silent", False)
    assert (before["severity"], before["closed_at"]) == ("page", None)
    assert text(at(120 + 40 + 30)) < after["closed_at"] < text(at(120 + 40 + 45))
    assert {**after, "closed_at": None, "revision": 0} == {**before, "revision": 0}


def test_a_broken_date_long_ago_does_not_end_the_shadow() -> None:
    broken = made("parcel.scanned.v1", -9_300, {"parcel_id": "P", "milestone": "other"})
    incidents = _incidents([broken, *_steady(120, SLOW)], 120, replace(WATCHED, shadow_days=90))
    assert {incident["severity"] for incident in incidents} == {"ticket"}


def test_booked_days_that_were_judged_are_gone() -> None:
    world = replayed(_steady(20, first=0), until=20)
    booked, day = world.channels[CHANNEL].booked, world.fleet.open_day
    assert min(booked) == day
    entered_before = [kind for kind, entry, _ in map(split, booked[day]) if entry < day]
    assert entered_before
    assert min(entered_before) >= EXIT
