"""What the pictures of a backtest show: the weeks, and the most important incidents day by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from monitor.core.events import to_us
from monitor.core.params import Params
from monitor.core.scope import channel_of, channel_scope
from monitor.core.vocabulary import DAY_US
from monitor.read.backtest import Gallery, Story, Week
from monitor.replay.backtest.complaints import monday_us, week_of
from monitor.replay.backtest.facts import Facts
from monitor.replay.backtest.observation import Observation
from monitor.replay.backtest.report import Assessed
from monitor.wire.backtest import TestedIncident

#: Incidents that get pictures of their own.
MOST_STORIES = 20
#: Days shown before an incident was known and after it, or after its complaint alarm.
DAYS_BEFORE, DAYS_AFTER = 90, 45


def gallery(facts: Facts, assessed: Assessed, seen: Observation, params: Params) -> Gallery:
    """All pictures of a run."""
    chosen = sorted(assessed.run.incidents, key=_importance)[:MOST_STORIES]
    return Gallery(
        weeks=_weeks(facts, assessed),
        stories=[_story(incident, facts, assessed, seen, params.page_ln_m) for incident in chosen],
        thresholds={"ticket": params.ticket_ln_m, "group": params.group_page_ln_m},
    )


def _importance(incident: TestedIncident) -> tuple[bool, bool, float, str]:
    """Pages first, right ones before others, then by evidence."""
    return incident.severity != "page", not incident.right, -incident.ln_m, incident.incident_id


def _weeks(facts: Facts, assessed: Assessed) -> list[Week]:
    pages = [incident for incident in assessed.run.incidents if incident.severity == "page"]
    told = Counter((week_of(to_us(page.known_by)), page.right) for page in pages)
    alarms = Counter(week_of(wave.alarm_us) for some in assessed.waves.values() for wave in some)
    if not facts.used:
        return []
    first = week_of(min(begin for begin, _ in facts.used.values()))
    return [
        Week(
            monday=monday_us(week) // DAY_US,
            right=told[week, True],
            wrong=told[week, False],
            undecided=told[week, None],
            alarms=alarms[week],
        )
        for week in range(first, week_of(facts.as_of_us) + 1)
    ]


def _story(incident: TestedIncident, facts: Facts, assessed: Assessed, seen: Observation, page_ln_m: float) -> Story:
    known = to_us(incident.known_by)
    last_us = known if incident.alarm_at is None else max(known, to_us(incident.alarm_at))
    last_us = min(last_us + DAYS_AFTER * DAY_US, facts.as_of_us)
    first_us = max(known - DAYS_BEFORE * DAY_US, min((b for b, _ in facts.used.values()), default=known))
    days = first_us // DAY_US, last_us // DAY_US
    evidence = {name: seen.evidence(channel_scope(name), *days) for name in incident.members}
    scope = seen.scope.get(incident.incident_id, "")
    channel = max(incident.members, key=lambda name: (_peak(evidence[name], known // DAY_US), name))
    counts = Counter(week_of(time) for name in incident.members for time in facts.complaints.get(name, ()))
    alarms = [
        alarm / DAY_US
        for name in incident.members
        for wave in assessed.waves.get(name, ())
        for alarm in wave.alarms_us
        if first_us <= alarm <= last_us
    ]
    now, before = seen.transit.get(incident.incident_id, (None, None))
    return Story(
        incident_id=incident.incident_id,
        channel=channel,
        known_day=known / DAY_US,
        evidence=evidence[channel],
        page_at=seen.page_at.get(incident.incident_id, {}).get(channel, page_ln_m),
        shared=[] if channel_of(scope) else seen.evidence(scope, *days),
        complaints=[
            (monday_us(week) // DAY_US, counts[week]) for week in range(week_of(first_us), week_of(last_us) + 1)
        ],
        alarms=sorted(alarms),
        now=now,
        before=before,
    )


def _peak(evidence: Sequence[tuple[int, float]], known_day: int) -> float:
    """The largest ln M up to the day an incident was known."""
    return max((ln_m for day, ln_m in evidence if day <= known_day), default=float("-inf"))
