"""The states of an incident, one judged day after the other."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.core.events import from_us
from monitor.core.forecast import Forecast
from monitor.core.incidents import (
    QUIET_DAYS,
    RELEARN_DAYS,
    Incident,
    Note,
    Stock,
    judge_incident,
    keeps_from_learning,
    mode_of,
    record,
)
from monitor.core.params import Params
from monitor.core.verdict import Judged
from monitor.core.vocabulary import CLOCKS, DAY_US

PARAMS = Params()
FIRST = 20_000
STOCK = Stock(412, Forecast(14.25, 7.0, 22.0))
VERDICT = Judged(ln_m=8.0, clock=2, alternative=3, observed=31.0, expected=74.2, since_day=FIRST - 6)


def _judged(incident: Incident | None, ln_m: float | None, day: int, shadow: bool = False) -> Incident | None:
    verdict = None if ln_m is None else replace(VERDICT, ln_m=ln_m)
    at_us = (day + 2) * DAY_US
    return judge_incident(incident, "RU|tablet|post", verdict, day, at_us, not shadow, lambda _: STOCK, PARAMS)


def _run(*days: float | None, shadow: bool = False) -> list[Incident | None]:
    """The incident after each day, as it was then."""
    incident, seen = None, []
    for day, ln_m in enumerate(days, start=FIRST):
        incident = _judged(incident, ln_m, day, shadow)
        seen.append(None if incident is None else replace_all(incident))
    return seen


def replace_all(incident: Incident) -> Incident:
    """A copy."""
    return Incident(**{name: getattr(incident, name) for name in incident.__struct_fields__})


def test_nothing_opens_below_the_threshold_of_tickets() -> None:
    assert _run(PARAMS.ticket_ln_m - 0.01, -3.0, None) == [None, None, None]


def test_a_ticket_becomes_a_page_once_and_keeps_what_stood_then() -> None:
    ticket, page, later = _run(7.5, 12.0, 40.0)
    assert ticket is not None
    assert page is not None
    assert later is not None
    assert (ticket.severity, page.severity, later.severity) == ("ticket", "page", "page")
    assert ticket.known_us == (FIRST + 2) * DAY_US
    assert page.known_us == later.known_us == (FIRST + 3) * DAY_US
    assert page.ln_m == later.ln_m == 12.0
    assert ticket.incident_id == page.incident_id
    assert ticket.opened_us == page.opened_us == (FIRST - 6) * DAY_US
    assert (page.parcels_at_risk, page.complaints_expected) == (412, 14.25)
    assert (ticket.revision, page.revision, later.revision) == (1, 2, 2)


def test_a_page_names_what_says_most_when_it_is_raised_and_the_id_stays() -> None:
    incident = _judged(None, 7.5, FIRST)
    assert incident is not None
    id_, told = incident.incident_id, []
    for day, (ln_m, alternative) in enumerate([(8.0, 2), (15.0, 2), (20.0, 0)], start=FIRST + 1):
        verdict = replace(VERDICT, ln_m=ln_m, clock=1, alternative=alternative)
        judge_incident(incident, "RU|tablet|post", verdict, day, (day + 2) * DAY_US, True, lambda _: STOCK, PARAMS)
        told.append((incident.severity, incident.mode, incident.clock))
    assert told == [
        ("ticket", "transit_slow", "departed_origin>arrived_destination"),
        *[("page", "stage_stalled", "accepted>departed_origin")] * 2,
    ]
    assert incident.incident_id == id_


def test_a_page_at_once_has_one_revision_and_a_fall_back_leaves_it_a_page() -> None:
    page, weak, strong = _run(15.0, 8.0, 20.0)
    assert page is not None
    assert weak is not None
    assert (page.severity, page.revision) == ("page", 1)
    assert (weak.severity, weak.known_us) == ("page", page.known_us)
    assert strong is not None
    assert strong.known_us == page.known_us


def test_in_shadow_there_are_only_tickets() -> None:
    seen = _run(50.0, 60.0, shadow=True)
    assert [incident.severity for incident in seen if incident] == ["ticket", "ticket"]


def test_it_closes_after_seven_calm_days_in_a_row_and_not_before() -> None:
    days = _run(9.0, *[1.9] * 6, 2.0, *[1.0] * 7)
    assert [bool(incident and incident.closed_us) for incident in days] == [False] * 14 + [True]
    assert days[-1] is not None
    assert days[-1].closed_us == (FIRST + 16) * DAY_US


def test_days_without_parcels_at_risk_neither_count_as_calm_nor_break_the_row() -> None:
    days = _run(9.0, 1.0, None, 1.0, 1.0, None, 1.0, 1.0, 1.0, None, 1.0)
    assert [bool(incident and incident.closed_us) for incident in days] == [False] * 10 + [True]


def test_it_closes_when_nothing_was_at_risk_for_a_month() -> None:
    days = _run(20.0, *[None] * (QUIET_DAYS - 1), 20.0, *[None] * QUIET_DAYS)
    assert [bool(incident and incident.closed_us) for incident in days] == [False] * (2 * QUIET_DAYS) + [True]


def test_the_id_tells_channel_mode_and_tick_apart() -> None:
    def opened(channel: str, at_us: int, alternative: int) -> str:
        verdict = replace(VERDICT, alternative=alternative)
        incident = judge_incident(None, channel, verdict, FIRST, at_us, True, lambda _: STOCK, PARAMS)
        assert incident is not None
        return incident.incident_id

    ids = {opened("RU|a|b", 0, 3), opened("RU|a|c", 0, 3), opened("RU|a|b", 1, 3), opened("RU|a|b", 0, 2)}
    assert len(ids) == 4
    assert opened("RU|a|b", 0, 3) in ids


@pytest.mark.parametrize(
    ("clock", "alternative", "observed", "mode"),
    [
        ("registered>accepted", 4, 10.0, "no_first_scan"),
        ("registered>accepted", 2, 10.0, "no_first_scan"),
        ("accepted>departed_origin", 2, 10.0, "stage_stalled"),
        ("accepted>departed_origin", 4, 1.0, "stage_stalled"),
        ("accepted>departed_origin", 4, 3.0, "transit_slow"),
        ("departed_origin>arrived_destination", 0, 10.0, "transit_slow"),
        ("arrived_destination>delivered", 4, 10.0, "transit_slow"),
        ("registered>delivered", 2, 10.0, "transit_slow"),
    ],
)
def test_the_mode_names_what_is_wrong(clock: str, alternative: int, observed: float, mode: str) -> None:
    assert mode_of(Judged(10.0, CLOCKS.index(clock), alternative, observed, 27.0, FIRST)) == mode


def test_few_that_are_due_and_do_not_come_are_no_standstill() -> None:
    assert mode_of(Judged(10.0, 2, 4, 0.0, 6.0, FIRST)) == "transit_slow"


def test_only_a_young_open_incident_keeps_its_days_from_the_baseline() -> None:
    [incident] = _run(9.0)
    assert incident is not None
    since = incident.since_day
    assert keeps_from_learning(incident, since + RELEARN_DAYS - 1)
    assert not keeps_from_learning(incident, since + RELEARN_DAYS)
    incident.closed_us = 1
    assert not keeps_from_learning(incident, since)


def test_the_record_is_that_of_the_contract() -> None:
    _, incident = _run(8.0, 12.5)
    assert incident is not None
    incident.notes = [Note(FIRST * DAY_US, "ack", "", "seen"), Note(FIRST * DAY_US, "mute", "li", "")]
    said = record(incident)
    assert said["scope"] == {"kind": "channel", "country": "RU", "product": "tablet", "carrier": "post"}
    assert said["known_by"] == from_us((FIRST + 3) * DAY_US)
    assert said["closed_at"] is None
    assert said["evidence"] == {"ln_m": 12.5, "observed": 31.0, "expected": 74.2, "since": from_us(said_since())[:10]}
    assert (said["acknowledged_by"], said["muted"]) == ("unnamed", True)


def said_since() -> int:
    """µs of the day since which the verdict speaks."""
    return VERDICT.since_day * DAY_US
