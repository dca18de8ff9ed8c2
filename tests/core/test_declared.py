"""The operator's calendar: what is declared is expected, from when it is known, and until it is withdrawn."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

import pytest
from logs import DAILY, START_DAY, made, registered, replayed, scanned

from monitor.core.calendar import UNDERWAY_DAYS, is_special
from monitor.core.declared import KEPT_DAYS, Declaration, declare, forget
from monitor.core.declared_windows import STRUCK, DeclaredWindows
from monitor.core.events import day_text
from monitor.replay.driver import World

FIRST, DAYS = 60, 125
EARLY = 108  # by then what is not declared has paged
BAD = (100, 112)  # days on which something stands still
CARRIERS = ("post", "wolf")
SOON = replace(DAILY, shadow_days=0)


def _declared(kind: str, known: float, days: tuple[int, int] | None = BAD, id_: str = "D", **more: Any) -> bytes:
    data: dict[str, Any] = {"calendar_id": id_, "kind": kind, **more}
    if days is not None:
        data |= {"first_day": day_text(START_DAY + days[0]), "last_day": day_text(START_DAY + days[1])}
    return made("calendar.declared.v1", known, data, subject=id_)


def _after(moment: float) -> float:
    """When what was to happen on a bad day happens."""
    return BAD[1] + 1 + moment % 1 if BAD[0] <= moment < BAD[1] + 1 else moment


def _world(stalls: str) -> list[bytes]:
    """Four parcels a day with two carriers; what ``post`` does next waits for the bad days to be over."""
    lines = []
    for day in range(FIRST, DAYS):
        for carrier in CARRIERS:
            for i in range(4):
                id_, at = f"{carrier}-{day}-{i}", day + i / 5
                behind = 0.0
                lines.append(registered(id_, at, carrier, forwarder="swift" if carrier == "post" else "other"))
                for milestone, after in (
                    ("accepted", 1 + i % 2),
                    ("departed_origin", 4),
                    ("arrived_destination", 8),
                    ("delivered", 11 + i % 3),
                ):
                    moment = at + after + behind
                    if carrier == "post" and milestone == stalls:
                        behind = _after(moment) - moment
                        moment += behind
                    lines.append(scanned(id_, milestone, moment))
    return lines


STRIKE, CUT_OFF = "delivered", "accepted"


@cache
def _lines(stalls: str) -> tuple[bytes, ...]:
    return tuple(_world(stalls))


def _told(stalls: str, *declared: bytes, until: float = DAYS) -> World:
    return replayed([*_lines(stalls), *declared], until, SOON)


def _about_post(world: World) -> list[tuple[str, str]]:
    return [(one.mode, one.severity) for one in world.incidents.values() if one.members == ["RU|tablet|post"]]


@cache
def _undeclared(stalls: str) -> list[tuple[str, str]]:
    return _about_post(_told(stalls, until=EARLY))


def _day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def test_a_declared_strike_is_no_fault_of_the_carrier_and_an_undeclared_one_pages() -> None:
    assert "page" in {severity for _, severity in _undeclared(STRIKE)}
    assert _about_post(_told(STRIKE, _declared("strike", 99.5, carrier="post"))) == []


def test_a_declared_cut_off_of_a_forwarder_is_no_missing_scan() -> None:
    assert ("no_first_scan", "page") in _undeclared(CUT_OFF)
    assert _about_post(_told(CUT_OFF, _declared("cut_off", 99.5, forwarder="swift"))) == []
    assert _about_post(_told(CUT_OFF, _declared("cut_off", 99.5, forwarder="other"), until=EARLY)) == _undeclared(
        CUT_OFF
    )


def test_what_is_declared_too_late_or_withdrawn_in_time_excuses_nothing() -> None:
    assert _about_post(_told(STRIKE, _declared("strike", EARLY - 1, carrier="post"), until=EARLY)) == _undeclared(
        STRIKE
    )
    withdrawn = _declared("strike", 90, carrier="post"), _declared("withdrawn", 95, days=None)
    assert _about_post(_told(STRIKE, *withdrawn, until=EARLY)) == _undeclared(STRIKE)


def test_a_strike_resolves_no_incident() -> None:
    """The incident opens, and only then the strike is declared, for longer than it takes an incident to close."""
    world = _told(STRIKE, _declared("strike", 108, days=(104, 145), carrier="post"), until=145)
    (incident,) = [one for one in world.incidents.values() if one.members == ["RU|tablet|post"]]
    assert incident.closed_us == 0


def test_days_of_a_declared_window_are_not_learnt_and_the_rest_is_the_same() -> None:
    told = _declared("strike", 65, days=(70, 76), carrier="post")
    plain, with_it = _told(STRIKE, until=78).channels, _told(STRIKE, told, until=78).channels
    name, other = "RU|tablet|post", "RU|tablet|wolf"
    assert with_it[name].tally[1].sum() < plain[name].tally[1].sum()
    assert (with_it[other].tally == plain[other].tally).all()


def _one(kind: str, id_: str = "D", time: int = 1, recorded: int = 1, uid: str = "u", **more: Any) -> Declaration:
    whom = {"country": "", "carrier": "", "forwarder": ""} | more
    return Declaration(time, recorded, uid, id_, kind, 10, 20, **whom)


def test_the_latest_declaration_stands_in_whatever_order_they_come() -> None:
    first, second, third = _one("strike", time=1), _one("surge", time=2), _one("withdrawn", time=2, recorded=2)
    for order in ((first, second, third), (third, second, first), (second, third, first)):
        calendar: dict[str, Declaration] = {}
        for one in (*order, first):
            declare(calendar, one)
        assert calendar == {"D": third}
        assert DeclaredWindows(15, calendar).of("RU|tablet|post") == {}


def test_declarations_are_forgotten_long_after_their_last_day() -> None:
    calendar = {"D": _one("strike")}
    forget(calendar, 20 + KEPT_DAYS)
    assert "D" in calendar
    forget(calendar, 21 + KEPT_DAYS)
    assert not calendar


@pytest.mark.parametrize(
    ("declared", "clocks"),
    [
        (_one("holiday", country="CN"), {0, 1, 2, 4}),
        (_one("holiday", country="RU"), {3, 4}),
        (_one("holiday"), {0, 1, 2, 3, 4}),
        (_one("holiday", country="BR"), set()),
        (_one("surge", country="RU"), {0, 1, 2, 3, 4}),
        (_one("cut_off"), {0, 4}),
        (_one("cut_off", carrier="post"), {0, 4}),
        (_one("cut_off", carrier="post/air"), {0, 4}),
        (_one("cut_off", carrier="post/sea"), set()),
        (_one("closure", country="RU"), {2, 3, 4}),
        (_one("strike", country="CN"), {0, 1, 2, 4}),
        (_one("strike", carrier="wolf"), set()),
        (_one("working_day", country="RU"), set()),
    ],
)
def test_a_declaration_concerns_the_clocks_of_its_kind_country_and_carrier(
    declared: Declaration, clocks: set[int]
) -> None:
    found = DeclaredWindows(10, {"D": declared}).of("RU|tablet|post/air")
    assert set(found) == clocks
    assert set(found.values()) <= ({STRUCK} if declared.kind == "strike" else {":D"})
    last = declared.last_day
    assert DeclaredWindows(last, {"D": declared}).of("RU|tablet|post/air") == found
    for day in (last + 1, last + UNDERWAY_DAYS):  # those that waited are on their way
        later = DeclaredWindows(day, {"D": declared}).of("RU|tablet|post/air")
        assert later == dict.fromkeys({4} & clocks, ":D")
    assert DeclaredWindows(last + UNDERWAY_DAYS + 1, {"D": declared}).of("RU|tablet|post/air") == {}


def test_a_strike_counts_before_any_other_declaration() -> None:
    calendar = {"A": _one("holiday", "A"), "B": _one("strike", "B", country="CN")}
    found = DeclaredWindows(12, calendar)
    assert found.of("RU|tablet|post") == {0: STRUCK, 1: STRUCK, 2: STRUCK, 3: ":A", 4: STRUCK}
    assert found.is_struck("RU|tablet|post")


def test_a_make_up_working_day_is_no_holiday() -> None:
    day = _day("2026-10-10")  # a Saturday on which China works for its Golden Week
    assert is_special("RU", 0, day)
    assert not is_special("RU", 0, day, frozenset({"CN"}))
    assert not is_special("RU", 0, day, frozenset({""}))
    assert is_special("RU", 0, day, frozenset({"RU"}))
    assert not is_special("RU", 3, _day("2026-06-12"), frozenset({"RU"}))
    calendar = {"D": Declaration(1, 1, "u", "D", "working_day", day, day, "CN", "", "")}
    assert DeclaredWindows(day, calendar).working == {"CN"}
    assert DeclaredWindows(day + 1, calendar).working == frozenset()
