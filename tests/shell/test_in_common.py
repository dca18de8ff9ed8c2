"""What the overdue parcels of an incident have in common, and what only looks like it."""

from __future__ import annotations

import json
from math import comb
from typing import Any

import pytest
from hand_logs import CHANNEL, day, incident, registered, scanned

from monitor.core.incidents import Incident
from monitor.core.params import Params
from monitor.read.in_common import IN_TIME, OVERDUE, USUAL, Due, Kind, Known, Value, due, in_common, shared
from monitor.replay.refold import Refold
from monitor.wire.times import parse_time

Json = dict[str, Any]
HUB: Value = ("place", "VKO")


class Made:
    """Parcels made by hand."""

    def __init__(self) -> None:
        self.values: dict[Due, frozenset[Value]] = {}
        self.days: dict[Value, tuple[int, int]] = {}

    def add(self, kind: Kind, n: int, *values: Value, channel: str = "A", since: int = 0) -> None:
        """``n`` parcels, registered one a day from day ``since`` on for ten days and over again."""
        for i in range(n):
            one = Due(f"P{len(self.values)}", (channel, 3), since + i % 10, kind, 0)
            self.values[one] = frozenset(values)
            for value in values:
                first, last = self.days.get(value, (one.registered_day,) * 2)
                self.days[value] = min(first, one.registered_day), max(last, one.registered_day)

    def told(self, spans: int = 4) -> list[tuple[str, str]]:
        """Causes and values."""
        return [(one.cause, one.value) for one in shared(list(self.values), Known(self.values, self.days), spans)]


def test_the_place_where_most_overdue_parcels_stand_is_told_with_its_shares_and_its_chance() -> None:
    made = Made()
    made.add(OVERDUE, 16, HUB)
    made.add(OVERDUE, 4, ("place", "LED"))
    made.add(USUAL, 5, HUB)
    made.add(USUAL, 35, ("place", "LED"))
    (found,) = shared(list(made.values), Known(made.values, made.days), 4)
    assert (found.cause, found.value, found.overdue) == ("place", "VKO", 16)
    assert (found.overdue_ratio, found.usual_ratio, found.in_time_ratio) == (0.8, 0.125, None)
    drawn = sum(comb(21, k) * comb(39, 20 - k) for k in range(16, 21)) / comb(60, 20)
    assert found.p == pytest.approx(2 * drawn)  # two places were looked at


def test_a_place_where_overdue_parcels_always_stand_is_not_told() -> None:
    made = Made()
    made.add(OVERDUE, 40, HUB)
    made.add(USUAL, 40, HUB)
    made.add(IN_TIME, 400)
    assert made.told() == []


def test_what_few_of_the_overdue_beyond_the_usual_have_is_not_told() -> None:
    made = Made()
    made.add(OVERDUE, 30, HUB)
    made.add(OVERDUE, 70, ("place", "LED"))
    made.add(USUAL, 2, HUB)
    made.add(USUAL, 98, ("place", "LED"))
    assert made.told(spans=4) == []
    assert made.told(spans=2) == [HUB]  # 100 overdue where 50 are usual: 29 of the 50 more


def test_what_is_slow_by_nature_is_not_told() -> None:
    made = Made()
    made.add(OVERDUE, 40, ("destination_region", "RU-SAK"))
    made.add(USUAL, 40, ("destination_region", "RU-SAK"))
    made.add(IN_TIME, 10, ("destination_region", "RU-SAK"))
    made.add(IN_TIME, 390, ("destination_region", "RU-MOW"))
    assert made.told() == []


def test_what_is_new_to_the_overdue_and_rare_in_time_is_told() -> None:
    made = Made()
    made.add(OVERDUE, 40, ("attributes", "battery"), ("attributes", "brand"))
    made.add(USUAL, 10, ("attributes", "battery"))
    made.add(USUAL, 30)
    made.add(IN_TIME, 80, ("attributes", "battery"))
    made.add(IN_TIME, 20, ("attributes", "battery"), ("attributes", "brand"))
    made.add(IN_TIME, 300)
    assert made.told() == [("attributes", "brand")]  # the larger lift


def test_what_distinguishes_channels_only_is_not_told() -> None:
    made = Made()
    made.add(OVERDUE, 50, ("attributes", "battery"), channel="A")
    made.add(USUAL, 10, ("attributes", "battery"), channel="A")
    made.add(IN_TIME, 100, ("attributes", "battery"), channel="A")
    made.add(OVERDUE, 2, channel="B")
    made.add(USUAL, 40, channel="B")
    made.add(IN_TIME, 400, channel="B")
    assert made.told() == []


@pytest.mark.parametrize("others", [False, True], ids=["all-of-its-days-wait", "others-of-its-days-are-in-time"])
def test_a_batch_is_told_only_against_other_parcels_of_its_days(others: bool) -> None:
    made = Made()
    made.add(OVERDUE, 30, ("batch_id", "F-1"), since=100)
    made.add(OVERDUE, 5, ("batch_id", "F-2"), since=100)
    made.add(USUAL, 40, ("batch_id", "F-0"), since=50)
    made.add(IN_TIME, 400, ("batch_id", "F-0"), since=50)
    made.add(IN_TIME, 60 if others else 0, ("batch_id", "F-2"), since=100)
    assert made.told() == ([("batch_id", "F-1")] if others else [])


def test_a_hub_in_use_since_last_week_is_not_blamed_for_last_week() -> None:
    made = Made()
    made.add(OVERDUE, 40, HUB, since=100)
    made.add(USUAL, 40, ("place", "LED"), since=50)
    made.add(IN_TIME, 60, since=50)
    assert made.told() == []
    made.days[HUB] = 50, 110  # others came by it all the time
    assert made.told() == [HUB]


# From the log

TROUBLE = 70
A_DAY = 9


def _log() -> list[Json]:
    """Parcels by three depots, every eighth is late. From the trouble on one of them lets nothing out."""
    events = []
    for n in range(A_DAY * 80):
        at, depot = n // A_DAY + 0.2, ("North", "South", "East")[n % 3]
        stuck = depot == "North" and at + 1 > TROUBLE
        name = f"P{n:03}"
        who = "C-secret" if stuck else f"C-{n}"
        events.append(
            registered(
                name,
                at,
                customer_id=who,
                forwarder="F",
                batch_id=f"F-{n // A_DAY}",
                attributes=["brand"] if n % 2 else None,
            )
        )
        events.append(scanned(name, "accepted", at + 1, place=depot, country="CN"))
        events.append(scanned(name, "origin_hub", at + 1.1, place=depot))
        if not stuck:
            slow = n % 16 in (2, 5)
            events.append(scanned(name, "departed_origin", at + (9 if slow else 2), place="Airport"))
    return events


def _told(
    events: list[Json], mode: str = "stage_stalled", scope: str = f"channel|{CHANNEL}"
) -> tuple[Refold, Incident]:
    one = incident(mode, 80, since=TROUBLE, clock="accepted>departed_origin", scope=scope)
    lines = (((0, number, 0), json.dumps(event).encode()) for number, event in enumerate(events))
    return Refold(Params(), parse_time(day(80)), lines), one


def test_the_depot_that_lets_nothing_out_is_told_from_the_log_and_no_customer_is_named() -> None:
    refold, incident = _told(_log())
    told = in_common(refold.then, incident, refold.tallies, refold.lines())
    assert told is not None
    found = {one["cause"]: one for one in told["found"]}
    assert set(found) == {"place", "customer_id"}
    assert (found["place"]["value"], found["customer_id"]["value"]) == ("North", None)
    assert "C-secret" not in json.dumps(told)
    kinds = {one.parcel: one.kind for one in due(refold.then, incident, refold.tallies)}
    stuck = {name for name, kind in kinds.items() if kind == OVERDUE}
    assert {f"P{n:03}" for n in range(A_DAY * TROUBLE, A_DAY * (TROUBLE + 4), 3)} <= stuck
    assert found["place"]["overdue"] == sum(
        int(name[1:]) % 3 == 0 and int(name[1:]) >= A_DAY * (TROUBLE - 1) for name in stuck
    )


def test_it_is_the_same_whatever_the_order_of_the_log() -> None:
    events = _log()
    answers = []
    for some in (events, events[::-1]):
        refold, incident = _told(some)
        answers.append(in_common(refold.then, incident, refold.tallies, refold.lines()))
    assert answers[0] == answers[1]


def test_of_a_silent_feed_nothing_is_told() -> None:
    refold, incident = _told([registered("A", 79)], mode="feed_silent", scope="feed||||china-post")
    assert in_common(refold.then, incident, refold.tallies, refold.lines()) is None
