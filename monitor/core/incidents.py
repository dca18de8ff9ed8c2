"""Incidents: opened, made a page, closed with hysteresis; once raised they stay on record.

State machine of a channel's incident:

    none ──ln M ≥ ticket──▶ ticket ──ln M ≥ page, not in shadow, no group to name──▶ page
    ticket, page ──ln M < close on `close_days` judged days in a row──▶ closed
    ticket, page ──nothing at risk for `QUIET_DAYS` judged days──▶ closed

That of a group is a page from the beginning; :mod:`monitor.core.alarms` decides which of the two it is. Scope,
members, evidence and forecast are what stood when the incident first had its severity (``known_us``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct

from monitor.core.channel import JOINT, Channel
from monitor.core.events import day_text, from_us
from monitor.core.evidence import FACTORS, LOST, STALLED
from monitor.core.forecast import Forecast
from monitor.core.identity import hash64
from monitor.core.params import Params
from monitor.core.rare import MODES, RARE
from monitor.core.scope import channel_scope, scope_record
from monitor.core.stakes import handed_lately, ln_weight
from monitor.core.verdict import Judged
from monitor.core.vocabulary import CLOCKS, DAY_US, STAGE_CLOCKS, UNDERWAY_CLOCK

QUIET_DAYS: Final = 30
#: The mode of the first clock: channels, forwarders and batches may have it.
NO_FIRST_SCAN: Final = "no_first_scan"
#: What else raises incidents of a channel: see the modules of these names.
DRIFT: Final = "drift"
CANARY: Final = "canary"
#: An incident this old no longer keeps its days from the baseline: what has stayed so long is how the channel is now.
RELEARN_DAYS: Final = 45
#: Exits that must have been due for hardly any of them to mean that a stage stands still.
STALLED_LEAST: Final = 10.0


class Stock(NamedTuple):
    """What an incident's channels hold when it is noted: parcels in flight, and the complaints to expect."""

    in_flight: int
    complaints: Forecast


#: The stock of some channels that are to have an incident of this severity; empty for one that makes no parcel late.
StockOf = Callable[[Iterable[str], str], Stock]


class Note(Struct, array_like=True, frozen=True):
    """What a person did to an incident, or said to an advice: there with the ``carrier`` and ``share`` of its own, if
    any (empty, negative)."""

    recorded_us: int
    what: str
    by: str
    note: str
    carrier: str = ""
    share: float = -1.0


class Joined(Struct, array_like=True, frozen=True):
    """A channel that an open incident of a group grew to include, and when (µs)."""

    channel: str
    known_us: int


class Incident(Struct):
    """One incident; times in µs since 1970 UTC, 0 for none."""

    incident_id: str
    scope: str  # see monitor.core.scope
    mode: str
    clock: str  # empty where the mode is about no clock
    severity: str
    opened_us: int
    known_us: int
    closed_us: int
    members: list[str]
    parcels_at_risk: int
    ln_m: float
    observed: float
    expected: float
    since_day: int
    complaints_expected: float
    complaints_low: float
    complaints_high: float
    revision: int = 1
    calm_days: int = 0
    quiet_days: int = 0
    last_judged_day: int = 0
    notes: list[Note] = []
    joined: list[Joined] = []
    absorbed_by: str = ""
    waited_days: int = 0  # judged days on which a page was held back for a forwarder that rises
    judged_by: str = ""  # what watches channels beside their evidence: DRIFT or CANARY

    @property
    def covers(self) -> list[str]:
        """The channels concerned, those that joined later included."""
        return [*self.members, *(joined.channel for joined in self.joined)]


def mode_of(verdict: Judged) -> str:
    """The contract's ``mode`` for the clock and alternative that say most.

    A stage that hardly anything leaves stands still, whichever alternative says it best.
    """
    clock = verdict.clock
    if len(CLOCKS) <= clock < JOINT:
        name = RARE[clock - len(CLOCKS)]
        return MODES.get(name, name)
    if clock == 0:
        return NO_FIRST_SCAN
    if verdict.alternative == LOST:
        return "loss"
    due = verdict.expected
    still = verdict.alternative == STALLED or (due >= STALLED_LEAST and verdict.observed <= FACTORS[STALLED] * due)
    return "stage_stalled" if still and clock < STAGE_CLOCKS else "transit_slow"


def clock_name(clock: int) -> str:
    """The contract's ``clock``: the milestones between which parcels wait; empty for a rare event."""
    if clock == JOINT:
        return UNDERWAY_CLOCK
    return CLOCKS[clock] if clock < len(CLOCKS) else ""


def open_incident(scope: str, members: list[str], verdict: Judged, day: int, at_us: int) -> Incident:
    """A new incident, not yet known to anybody: see :func:`note_severity`."""
    incident = open_about(scope, mode_of(verdict), members, verdict.since_day, at_us)
    incident.clock = clock_name(verdict.clock)
    incident.last_judged_day = day
    return incident


def open_about(scope: str, mode: str, members: list[str], since_day: int, at_us: int) -> Incident:
    """A new incident of no clock, not yet known to anybody; its trouble began to show on ``since_day``."""
    return Incident(
        incident_id=f"{hash64(f'{scope}|{mode}|{at_us}'):016x}",
        scope=scope,
        mode=mode,
        clock="",
        severity="ticket",
        opened_us=since_day * DAY_US,
        known_us=0,
        closed_us=0,
        members=members,
        parcels_at_risk=0,
        ln_m=0.0,
        observed=0.0,
        expected=0.0,
        since_day=0,
        complaints_expected=0.0,
        complaints_low=0.0,
        complaints_high=0.0,
        revision=0,
    )


def feed_incident(
    scope: str,
    mode: str,
    channels: list[str],
    in_flight: int,
    since_us: int,
    at_us: int,
    figures: tuple[float, float, float],
) -> Incident:
    """An incident of a feed: a problem of data, not of its ``channels``. ``figures``: score, scans seen, expected."""
    ln_m, observed, expected = figures
    return Incident(
        incident_id=f"{hash64(f'{scope}|{mode}|{at_us}'):016x}",
        scope=scope,
        mode=mode,
        clock="",
        severity="feed",
        opened_us=since_us,
        known_us=at_us,
        closed_us=0,
        members=channels,
        parcels_at_risk=in_flight,
        ln_m=round(ln_m, 6),
        observed=round(observed, 6),
        expected=round(expected, 6),
        since_day=since_us // DAY_US,
        complaints_expected=0.0,
        complaints_low=0.0,
        complaints_high=0.0,
    )


def note_severity(incident: Incident, severity: str, verdict: Judged, at_us: int, stock: Stock) -> None:
    """The incident has this ``severity`` from now on; keep what stands at the moment."""
    in_flight, forecast = stock
    incident.severity = severity
    incident.known_us = at_us
    incident.parcels_at_risk = in_flight
    incident.ln_m = round(verdict.ln_m, 6)
    incident.observed = round(verdict.observed, 6)
    incident.expected = round(verdict.expected, 6)
    incident.since_day = verdict.since_day
    incident.complaints_expected = forecast.expected
    incident.complaints_low, incident.complaints_high = forecast.low, forecast.high
    incident.revision += 1


def pass_day(incident: Incident, calm: bool | None, day: int, at_us: int, params: Params) -> None:
    """A judged day has passed: ``calm`` or not; None when nothing was at risk. Closes what was calm for long enough."""
    if calm is not None:
        incident.calm_days = incident.calm_days + 1 if calm else 0
    incident.quiet_days = incident.quiet_days + 1 if calm is None else 0
    if incident.calm_days >= params.close_days or incident.quiet_days >= QUIET_DAYS:
        incident.closed_us = at_us
        incident.revision += 1
    incident.last_judged_day = day


def page_level(weight: float, params: Params) -> float:
    """ln M that pages a channel of this ln w (:mod:`monitor.core.stakes`): no less than what opens a ticket."""
    return max(params.page_ln_m - weight, params.ticket_ln_m)


def page_level_of(channel: Channel, params: Params) -> float:
    """The same of a channel as it was weighed on the last judged day."""
    return page_level(float(ln_weight(np.array(float(handed_lately(channel))), params.stake_power)), params)


def reaches_page(verdict: Judged | None, waited_days: int, params: Params) -> bool:
    """Whether a channel's evidence is worth a page: at the page level, or that it was there and had to wait."""
    if verdict is None:
        return False
    return verdict.ln_m >= (params.ticket_ln_m if waited_days else page_level(verdict.ln_weight, params))


def judge_incident(
    incident: Incident | None,
    channel: str,
    verdict: Judged | None,
    day: int,
    at_us: int,
    may_page: bool,
    stock: Callable[[str], Stock],
    params: Params,
) -> Incident | None:
    """The channel's incident after a judged day: opened, changed in place or as it was. None when there is none.

    ``at_us`` is the tick at which this is decided.
    """
    if incident is None:
        if verdict is None or verdict.ln_m < params.ticket_ln_m:
            return None
        incident = open_incident(channel_scope(channel), [channel], verdict, day, at_us)
    page = may_page and reaches_page(verdict, incident.waited_days, params)
    if verdict is not None and (incident.known_us == 0 or (page and incident.severity != "page")):
        severity = "page" if page else "ticket"
        incident.mode, incident.clock = mode_of(verdict), clock_name(verdict.clock)  # a page may know better
        note_severity(incident, severity, verdict, at_us, stock(severity))
    pass_day(incident, None if verdict is None else verdict.ln_m < params.close_ln_m, day, at_us, params)
    return incident


def keeps_from_learning(incident: Incident, day: int) -> bool:
    """Whether an open incident's days stay out of the baseline."""
    return incident.closed_us == 0 and day - incident.since_day < RELEARN_DAYS


def record(incident: Incident) -> dict[str, object]:
    """The incident as the contract's ``incidents.jsonl`` writes it."""
    acknowledged = [note for note in incident.notes if note.what == "ack"]
    out: dict[str, object] = {
        "incident_id": incident.incident_id,
        "scope": scope_record(incident.scope),
        "mode": incident.mode,
        "clock": incident.clock or None,
        "severity": incident.severity,
        "opened_at": from_us(incident.opened_us),
        "closed_at": from_us(incident.closed_us) if incident.closed_us else None,
        "known_by": from_us(incident.known_us),
        "members": list(incident.members),
        "parcels_at_risk": incident.parcels_at_risk,
        "evidence": {
            "ln_m": incident.ln_m,
            "observed": incident.observed,
            "expected": incident.expected,
            "since": day_text(incident.since_day),
        },
        "forecast": {
            "complaints_next_14_days": {
                "expected": incident.complaints_expected,
                "low": incident.complaints_low,
                "high": incident.complaints_high,
            }
        },
        "revision": incident.revision,
    }
    if incident.joined:
        out["joined"] = [{"channel": one.channel, "known_by": from_us(one.known_us)} for one in incident.joined]
    if incident.absorbed_by:
        out["absorbed_by"] = incident.absorbed_by
    if incident.judged_by:
        out["judged_by"] = incident.judged_by
    if acknowledged:
        out["acknowledged_by"] = acknowledged[0].by or "unnamed"
    if any(note.what in ("mute", "done") for note in incident.notes):
        out["muted"] = True
    if incident.notes:
        out["notes"] = [
            f"{from_us(note.recorded_us)} {note.by or 'unnamed'} {note.what}{': ' + note.note if note.note else ''}"
            for note in incident.notes
        ]
    return out
