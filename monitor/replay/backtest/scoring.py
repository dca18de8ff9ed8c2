"""One incident, one degradation, one rule: what is said of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.core.vocabulary import DAY_US
from monitor.replay.backtest.facts import Facts, Waves, moment
from monitor.replay.backtest.intervals import rate, share, spread
from monitor.replay.backtest.matching import HORIZON_US, Fault, alarm_after, alarm_of
from monitor.wire.backtest import Degradation, Outcome, Rule, TestedIncident
from monitor.wire.records import Scope
from monitor.wire.times import parse_time


def days_between(start_us: int, end_us: int) -> float:
    """Days of 24 hours with two decimals."""
    return round((end_us - start_us) / DAY_US, 2)


def tested(record: Mapping[str, Any], facts: Facts, faults: Sequence[Fault], plain: Waves) -> TestedIncident:
    """The incident ``record`` against what went wrong."""
    known = parse_time(record["known_by"])
    told = [fault for fault in faults if fault.is_told_by(record, known)]
    right: bool | None = bool(told)
    if not told and facts.planted is None and (not facts.complaints or known + HORIZON_US > facts.as_of_us):
        right = None
    alarm = alarm_after(record["members"], known, plain)
    return TestedIncident(
        incident_id=record["incident_id"],
        scope=Scope.model_validate(record["scope"]),
        mode=record["mode"],
        severity=record["severity"],
        known_by=moment(known),
        members=list(record["members"]),
        ln_m=float(record["evidence"]["ln_m"]),
        degradation_id=told[0].fault_id if told else None,
        mode_matches=told[0].fits(record) if told and facts.planted is not None else None,
        right=right,
        alarm_at=None if alarm is None else moment(alarm),
        lead_days=None if alarm is None else days_between(known, alarm),
    )


def degradation(fault: Fault, facts: Facts, plain: Waves, tuned: Waves | None) -> Degradation:
    """What became of one degradation."""
    known = [(parse_time(record["known_by"]), record) for record in facts.records]
    telling = [(when, record) for when, record in known if fault.is_told_by(record, when)]
    # A data problem is told as such: it pages nobody, and is no miss.
    page, page_id = _first(telling, ("page", "feed") if fault.scope.kind == "feed" else ("page",))
    ticket_id = _first(telling, ("ticket",))[1] if page is None else None
    alarm = fault.wave.alarm_us if fault.wave is not None else alarm_of(fault, plain)
    calibrated = None if tuned is None else alarm_of(fault, tuned)
    begin = fault.start_us if fault.wave is None else fault.wave.alarm_us
    outcome: Outcome
    if begin < facts.first_page_us:
        outcome = "not_judged"
    elif page is None:
        outcome = "missed"
    elif alarm is None:
        outcome = "paged_without_alarm"
    else:
        outcome = "paged_before_alarm" if page < alarm else "paged_after_alarm"

    def since_start(time_us: int | None) -> float | None:
        return None if time_us is None else days_between(fault.start_us, time_us)

    return Degradation(
        degradation_id=fault.fault_id,
        source="complaint_wave" if fault.wave is not None else "planted",
        scope=fault.scope,
        modes=list(fault.modes),
        channels=list(fault.channels),
        start=moment(fault.start_us),
        end=moment(fault.end_us),
        peak=moment(fault.wave.peak_us) if fault.wave is not None else None,
        peak_complaints=fault.wave.peak if fault.wave is not None else None,
        outcome=outcome,
        missed=page is None,
        incident_id=page_id,
        known_by=None if page is None else moment(page),
        days_to_page=since_start(page),
        ticket_id=ticket_id,
        alarm_at=None if alarm is None else moment(alarm),
        days_to_alarm=since_start(alarm),
        calibrated_alarm_at=None if calibrated is None else moment(calibrated),
        days_to_calibrated_alarm=since_start(calibrated),
        lead_days=None if page is None or alarm is None else days_between(page, alarm),
    )


def _first(
    telling: Sequence[tuple[int, Mapping[str, Any]]], severities: Sequence[str]
) -> tuple[int | None, str | None]:
    """When the first incident of some severities was known, and its id."""
    return min(
        ((known, str(record["incident_id"])) for known, record in telling if record["severity"] in severities),
        default=(None, None),
    )


def rule(mode: str, incidents: Sequence[TestedIncident], channel_weeks: float) -> Rule:
    """How the incidents of one mode did."""
    mine = [incident for incident in incidents if incident.mode == mode]
    pages = [incident for incident in mine if incident.severity == "page"]
    right = [page for page in pages if page.right]
    decided = sum(page.right is not None for page in pages)
    precision, precision_bounds = share(len(right), decided)
    pace, pace_bounds = rate(len(pages), channel_weeks, 500)
    lead, lead_bounds = spread([page.lead_days for page in right if page.lead_days is not None])
    return Rule(
        mode=mine[0].mode,
        pages=len(pages),
        tickets=sum(incident.severity == "ticket" for incident in mine),
        right=len(right),
        wrong=decided - len(right),
        undecided=len(pages) - decided,
        precision=precision,
        precision_bounds=precision_bounds,
        pages_per_week_per_500_channels=pace,
        pages_per_week_per_500_channels_bounds=pace_bounds,
        median_lead_days=lead,
        median_lead_days_bounds=lead_bounds,
    )
