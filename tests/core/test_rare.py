"""Rare events: what counts as one, against what it is judged, and that more of them are found."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from logs import DAILY, START_DAY, at, opened, registered, replayed, scanned, text

from monitor.core import cells as c
from monitor.core import evidence as ev
from monitor.core.channel import JOINT
from monitor.core.incidents import mode_of
from monitor.core.rare import DELIVERED, RARE, TIMES, hazards, is_transit, parents_of
from monitor.core.verdict import Judged
from monitor.core.vocabulary import CLOCKS
from monitor.replay.driver import World
from monitor.replay.outputs import picture


def _booked(world: World) -> dict[tuple[int, int, int], int]:
    """The rare events that are booked for days to come: (kind, from, on) in days after the start → how many."""
    out: dict[tuple[int, int, int], int] = {}
    for day in world.channels["RU|tablet|post"].booked.values():
        for cell, n in day.items():
            kind, a, b = c.split(cell)
            if kind >= c.EVENT and n:
                out[kind, a - START_DAY, b - START_DAY] = n
    return out


def test_each_rare_event_counts_from_where_its_clock_starts() -> None:
    lines = [registered(parcel, 0.5) for parcel in "ABCDEF"]
    lines += [
        scanned("A", "arrived_destination", 0.6),
        scanned("A", "customs_held", 0.9),
        scanned("B", "customs_held", 0.8),
        scanned("C", "security_returned", 0.7),
        scanned("D", "returning", 0.8),
        scanned("D", "returned", 0.9),
        scanned("E", "delivered", 0.7),
        scanned("E", "returning", 0.8),  # after delivery: not the end of its way
        opened("c1", 0.9, parcel_id="E"),
        opened("c2", 0.9, parcel_id="E", kind="empty_box"),
        opened("c3", 0.9, parcel_id="E", kind="quality"),
    ]
    assert _booked(replayed(lines, until=1)) == {
        (c.HELD_DAY, 0, 0): 2,
        (c.SECURITY_DAY, 0, 0): 1,
        (c.RETURN_DAY, 0, 0): 1,
        (c.NOT_RECEIVED_DAY, 0, 0): 1,
        (c.EMPTY_BOX_DAY, 0, 0): 1,
    }


def test_a_scan_abroad_counts_once_at_its_earliest_time_in_any_order() -> None:
    def scan(country: str, day: float) -> bytes:
        line = scanned("A", "other", day, recorded=2.9)
        return line.replace(b'"milestone"', b'"country": "%s", "milestone"' % country.encode())

    lines = [registered("A", 0.5), scan("CN", 0.6), scan("RU", 2.8), scan("MY", 2.7), scan("MY", 1.7), scan("DE", 2.1)]
    expected = {(c.ABROAD + c.country_number("MY"), 0, 1): 1, (c.ABROAD + c.country_number("DE"), 0, 2): 1}
    assert _booked(replayed(lines, until=2.95)) == expected
    assert _booked(replayed(lines[::-1], until=2.95)) == expected


def test_a_parcel_may_start_elsewhere() -> None:
    lines = [registered("A", 0.5, origin="DE"), scanned("A", "other", 0.6).replace(b'"mile', b'"country": "DE", "mile')]
    assert _booked(replayed(lines, until=1)) == {}


def test_evidence_is_on_the_side_of_more_events() -> None:
    # 3 events where 100 parcels were at risk with a hazard of 0.01, slack 1.14.
    at_risk, events = np.full((1, 1, 1), 100.0), np.full((1, 1, 1), 3.0)
    found = ev.log_likelihood_ratios(
        at_risk, events, np.full((1, 1, 1), 0.01), np.full((1, 1), 1.14), TIMES, (), ()
    ).ell
    x = 0.0114
    for i, times in enumerate(TIMES):
        expected = 3 * math.log((1 - math.exp(-times * x)) / (1 - math.exp(-x))) + 97 * (1 - times) * x
        assert found[0, 0, i] == pytest.approx(expected)
    assert found[0, 0, 0] > 0
    none = ev.log_likelihood_ratios(at_risk, 0 * events, np.full((1, 1, 1), 0.01), np.ones((1, 1)), TIMES, (), ()).ell
    assert (none < 0).all()


def test_hazards_are_those_of_all_corrected_by_parent_and_channel() -> None:
    names = ["RU|a|x", "RU|b|x", "DE|a|x"]
    tally = np.zeros((3, 2, len(RARE), 1))
    tally[:, 1] = 1000.0
    tally[:, 0, 0, 0] = (40, 20, 0)  # customs: the parent is the country
    found, known = hazards(tally, parents_of(tuple(names)))
    whole = (60 + 0.005) / (3000 + 50)
    russia = (60 + 3) / (2000 * whole + 3)
    assert found[0, 0, 0] == pytest.approx(whole * russia * (40 + 2) / (1000 * whole * russia + 2))
    assert known[:, 0, 0].tolist() == [True, True, True]
    assert not known[:, 1].any()  # nothing was ever returned by security


def test_a_country_that_many_parcels_pass_is_no_wrong_one() -> None:
    assert is_transit({7: 5, DELIVERED: 250}, 7)
    assert not is_transit({7: 4, DELIVERED: 20}, 7)
    assert not is_transit({7: 5, DELIVERED: 251}, 7)
    assert not is_transit({}, 7)


def test_the_mode_of_a_rare_event_is_its_name() -> None:
    named = {name: mode_of(Judged(10.0, len(CLOCKS) + i, 0, 10.0, 3.0, 20_000)) for i, name in enumerate(RARE)}
    assert named.pop("second_attempt") == "returned"
    assert all(name == mode for name, mode in named.items())


def _lines(days: range, bad_from: int, milestone: str) -> list[bytes]:
    """Twelve parcels a day; one in forty meets with ``milestone`` after two days, from a day on five in twelve."""
    lines = []
    for day in days:
        for i in range(12):
            parcel = f"{day}-{i}"
            lines.append(registered(parcel, day + 0.3))
            hit = i < 5 if day >= bad_from else (day * 12 + i) % 40 == 0
            country = b'"country": "MY", "milestone"' if milestone == "other" else b'"milestone"'
            if milestone == "customs_held":
                lines.append(scanned(parcel, "arrived_destination", day + 2.1))
            if hit:
                lines.append(scanned(parcel, milestone, day + 2.3).replace(b'"milestone"', country))
            lines.append(scanned(parcel, "accepted", day + 1.3))
            if not hit or milestone == "other":
                lines.append(scanned(parcel, "delivered", day + 9 + i % 3))
    return lines


DAYS, BAD = range(65, 115), 105
OLD = replace(DAILY, shadow_days=30, late_shadow_days=0)


@pytest.mark.parametrize(
    ("milestone", "mode"),
    [("security_returned", "security_return"), ("returning", "returned"), ("customs_held", "customs_hold")],
)
def test_a_channel_on_which_it_becomes_frequent_is_paged_and_not_before(milestone: str, mode: str) -> None:
    [page] = picture(replayed(_lines(DAYS, BAD, milestone), DAYS.stop, OLD)).incident_records()
    assert (page["severity"], page["mode"], page["clock"]) == ("page", mode, None)
    assert text(at(BAD)) <= page["opened_at"] <= page["known_by"]


def test_returns_are_a_ticket_while_the_log_is_young() -> None:
    young = replace(OLD, late_shadow_days=200)
    [ticket] = picture(replayed(_lines(DAYS, BAD, "returning"), DAYS.stop, young)).incident_records()
    assert (ticket["severity"], ticket["mode"]) == ("ticket", "returned")


def test_complaints_are_evidence_of_a_loss_once_it_is_known_how_often_buyers_complain() -> None:
    lines = [scanned(f"{day}-{i}", "departed_origin", day + 2.3) for day in range(44) for i in range(12)]
    lines += _lines(range(44), 44, "other")
    lines += [opened(f"c{day}", day + 5.3, parcel_id=f"{day}-0") for day in range(5, 39) if day % 4 == 0 or day >= 31]
    found = {}
    for late in (37, 40, 3650):
        world = replayed(lines, until=44, params=replace(DAILY, shadow_days=0, late_shadow_days=late))
        found[late] = world.channels["RU|tablet|post"].evidence[ev.LN_M, JOINT, ev.LOST]
    assert found[37] > found[40] > found[3650]
