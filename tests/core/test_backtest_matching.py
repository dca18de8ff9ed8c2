"""Which incident tells of which degradation, worked out by hand; and what the summary makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from monitor.core.events import from_us
from monitor.core.vocabulary import DAY_US
from monitor.replay.backtest.complaints import Wave
from monitor.replay.backtest.facts import Facts
from monitor.replay.backtest.matching import alarm_after, alarm_of, covered_share, observed_faults, planted_faults
from monitor.replay.backtest.report import assess
from monitor.wire.backtest import Planted

ZERO = 20_000 * DAY_US  # 2024-10-04
A, B = "RU|tablet|post", "US|toy|cne"


def at(day: float) -> int:
    return ZERO + round(day * DAY_US)


def incident(
    known: float, *members: str, mode: str = "transit_slow", severity: str = "page", kind: str = "channel"
) -> Any:
    return {
        "incident_id": f"{severity}-{known}",
        "scope": {"kind": kind, "country": None, "product": None, "carrier": None},
        "mode": mode,
        "severity": severity,
        "known_by": from_us(at(known)),
        "members": list(members),
        "evidence": {"ln_m": 13.0},
    }


def plant(start: float, end: float, *channels: str, kind: str = "channel", alarm: bool = True) -> Planted:
    return Planted.model_validate(
        {
            "scope": {"kind": kind, "country": None, "product": None, "carrier": None},
            "mode": "transit_slow",
            "modes": ["transit_slow", "complaints"],
            "alarm": alarm,
            "start": from_us(at(start)),
            "end": from_us(at(end)),
            "channels": list(channels),
        }
    )


def wave(channel: str, *alarms: float, end: float | None = None) -> Wave:
    last = end if end is not None else alarms[-1] + 3
    return Wave(channel, tuple(at(day) for day in alarms), at(alarms[0] - 3), at(alarms[0] - 3), 9, at(last))


def facts(
    records: Sequence[Any], planted: Sequence[Planted] | None = None, complaints: dict[str, list[int]] | None = None
) -> Facts:
    """A log of 200 days with two channels in use from the first to the last; pages from day 90 on."""
    used = {A: (at(0), at(200)), B: (at(0), at(200))}
    return Facts(records, complaints or {}, 0, used, 1000, at(90), at(200), planted)


@pytest.mark.parametrize(
    ("known", "members", "told"),
    [(99, [A], False), (100, [A], True), (120, [B, A], True), (170, [A], True), (171, [A], False), (120, [B], False)],
)
def test_a_planted_fault_is_told_of_from_its_start_to_60_days_after_its_end(
    known: float, members: list[str], told: bool
) -> None:
    (fault,) = planted_faults([plant(100, 110, A)], at(200))
    assert fault.is_told_by(incident(known, *members), at(known)) is told


def test_what_should_not_alarm_or_has_not_begun_is_no_degradation() -> None:
    assert planted_faults([plant(100, 110, A, alarm=False), plant(201, 210, A)], at(200)) == []


def test_of_a_feed_only_an_incident_of_a_fitting_mode_or_kind_tells() -> None:
    (fault,) = planted_faults([plant(100, 110, A, kind="feed")], at(200))
    assert not fault.is_told_by(incident(101, A, mode="loss"), at(101))
    assert fault.is_told_by(incident(101, A, mode="loss", kind="feed"), at(101))
    assert fault.is_told_by(incident(101, A, mode="complaints"), at(101))


@pytest.mark.parametrize(("known", "told"), [(59, False), (60, True), (119, True), (123, True), (124, False)])
def test_a_wave_is_told_of_in_the_60_days_before_its_alarm_and_while_it_runs(known: float, told: bool) -> None:
    (fault,) = observed_faults([wave(A, 120)])
    assert fault.is_told_by(incident(known, A), at(known)) is told
    assert fault.scope.model_dump(exclude_none=True) == {
        "kind": "channel",
        "country": "RU",
        "product": "tablet",
        "carrier": "post",
    }


def test_a_planted_feed_fault_is_found_by_an_incident_of_severity_feed_which_is_no_page() -> None:
    record = incident(102, A, mode="feed_silent", kind="feed", severity="feed")
    run = assess(facts([record], [plant(100, 102, A, kind="feed")])).run
    assert (run.degradations[0].outcome, run.degradations[0].days_to_page) == ("paged_without_alarm", 2.0)
    assert (run.summary.missed, run.summary.pages, run.summary.precision) == (0, 0, None)


def test_the_alarm_of_an_incident_is_the_first_of_its_members_that_belongs_to_it() -> None:
    known = {A: [wave(A, 20), wave(A, 140)], B: [wave(B, 130)]}
    assert alarm_after([A], at(100), known) == at(140)
    assert alarm_after([A, B], at(100), known) == at(130)
    assert alarm_after([A], at(79), known) is None  # 61 days before
    assert alarm_after([A], at(142), known) == at(140)  # after the alarm, while the wave runs


def test_the_alarm_of_a_planted_fault_may_come_from_a_wave_that_ran_before() -> None:
    (fault,) = planted_faults([plant(100, 110, A)], at(200))
    assert alarm_of(fault, {A: [wave(A, 95, 105)], B: [wave(B, 101)]}) == at(105)
    assert alarm_of(fault, {A: [wave(A, 171)]}) is None


def test_a_covered_share_counts_overlaps_once() -> None:
    assert covered_share([(0, 4), (2, 6), (9, 30)], 0, 10) == 0.7
    assert covered_share([(0, 4)], 5, 5) == 0.0


def test_a_run_against_a_truth_counts_what_a_person_would_count() -> None:
    planted = [plant(100, 110, A), plant(120, 130, B), plant(50, 60, B)]
    records = [
        incident(95, B),  # tells of the fault of day 50, in the shadow: right all the same
        incident(104, A),
        incident(108, A),
        incident(181, A),  # 71 days after the end: wrong
        incident(125, B, severity="ticket"),
    ]
    summary = assess(facts(records, planted)).run.summary
    assert (summary.degradations, summary.not_judged, summary.missed, summary.missed_with_ticket) == (2, 1, 1, 1)
    assert (summary.pages, summary.right, summary.wrong, summary.tickets) == (4, 3, 1, 1)
    assert summary.precision == 0.75
    assert (summary.paged_without_alarm, summary.median_days_to_page) == (1, 4.0)
    # Both channels in use for 110 days: 4 pages in 2 × 110 / 7 channel-weeks.
    assert summary.pages_per_week_per_500_channels == pytest.approx(4 / (220 / 7) * 500, rel=1e-3)
    # A page at random is right from 100 to 170 on A, from 90 to 190 on B (two faults that overlap): 170 of 220 days.
    assert summary.precision_by_chance == pytest.approx(170 / 220)


def test_without_a_truth_a_page_is_open_until_its_60_days_are_over_and_in_a_log_without_complaints() -> None:
    records = [incident(100, A), incident(150, A)]
    without = assess(facts(records)).run
    assert [one.right for one in without.incidents] == [None, None]
    assert without.summary.precision is None
    some = assess(facts(records, complaints={B: [at(30)]})).run
    assert [one.right for one in some.incidents] == [False, None]
    assert (some.summary.wrong, some.summary.undecided, some.summary.precision) == (1, 1, 0.0)


def test_a_wave_of_complaints_gives_the_lead() -> None:
    steady = [at(7 * week + 1) for week in range(5, 20)]
    burst = [at(141) + minute * 60_000_000 for minute in range(12)]
    run = assess(facts([incident(121, A), incident(144, B)], complaints={A: [*steady, *burst]})).run
    (wave_,) = run.degradations
    assert (wave_.outcome, wave_.lead_days, wave_.channels) == ("paged_before_alarm", 20.0, [A])
    assert run.incidents[0].lead_days == 20.0
    assert run.summary.median_lead_days == 20.0
    assert (run.summary.paged_before_alarm, run.summary.missed, run.summary.alarms) == (1, 0, 1)
