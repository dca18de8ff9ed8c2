"""What was told of each planted fault, and when; what was told of nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from monitor.core.events import to_us
from monitor.core.params import Params
from monitor.core.vocabulary import DAY_US
from monitor.read.lists import count_of
from monitor.replay.backtest.complaints import WEEK_US
from monitor.replay.backtest.facts import Facts
from monitor.replay.backtest.report import Assessed, assess
from monitor.replay.outputs import picture
from monitor.wire.backtest import Planted
from monitor.wire.times import parse_time
from proof.watch import Watch
from proof.worlds import Case, Folded, truth_of

#: A page that touches a planted channel up to so many days after the fault's end is about it.
AFTER_DAYS = 30
_FACETS = ("kind", "country", "product", "carrier", "forwarder", "customer_id")


@dataclass
class Fault:
    """One planted fault. Days since its start; None: never, or not in the log."""

    target: str
    stratum: str
    """of its channel, see :data:`~proof.worlds.STRATA`; empty where several are planted"""
    channels: int
    per_day: float
    start: str
    days_seen: float
    """from its start to the end of the log"""
    days_to_page: float | None
    lead_days: float | None
    """from the page to the complaint alarm; where no alarm came, to the end of the log"""
    days_to_alarm: float | None
    pages: int
    """pages from its start to ``AFTER_DAYS`` after its end that touch a planted channel"""
    first_scope: str | None
    first_mode: str | None
    days_to_name: float | None
    """to the page of the very scope that was planted"""
    tickets: int
    feed_incidents: int
    shadow: bool
    """it began before a page was possible"""
    open_before: bool
    """a page that touches a planted channel was open at its start: such a fault cannot be paged by itself"""
    days_to_evidence: float | None = None
    """until ln M of a planted channel was worth a page"""
    days_to_shared: float | None = None
    """until ln M of a group of all planted channels was"""
    evidence: str = ""
    """mode, clock and alternative that said most then"""


@dataclass
class Score:
    """One world. ``wrong``: "scope, mode, known" of the pages that no planted fault explains."""

    scenario: str
    seed: int
    number: int
    faults: list[Fault] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    tickets: int = 0
    channel_weeks: float = 0.0
    complaint_alarms: int = 0
    events: int = 0
    cpu_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def facts(folded: Folded, params: Params) -> Facts:
    """The facts of a world, as the backtest sees them."""
    planted = [Planted.model_validate(item) for item in truth_of(folded.plan)]
    pages_from = (folded.first_us // DAY_US + params.shadow_days) * DAY_US
    records = picture(folded.world).incident_records()
    complaints = {name: folded.complaints[name] for name in sorted(folded.complaints)}
    used = dict(sorted(folded.used.items()))
    as_of = folded.world.as_of_us or 0
    return Facts(records, complaints, folded.elsewhere, used, folded.parcels, pages_from, as_of, planted)


def score(case: Case, folded: Folded, params: Params, watches: Sequence[Watch] = ()) -> tuple[Score, Facts, Assessed]:
    """The score of a world; ``watches`` of what is planted, in order."""
    known = facts(folded, params)
    assessed = assess(known)
    out = Score(case.scenario, case.seed, case.number, cpu_s=round(folded.cpu_s, 2))
    out.events = count_of(folded.world.fleet, "events|")
    out.channel_weeks = sum((end - begin) / WEEK_US for begin, end in map(known.in_use, known.used))
    out.complaint_alarms = assessed.run.summary.alarms
    pages = [one for one in assessed.run.incidents if one.severity == "page"]
    out.tickets = sum(one.severity == "ticket" for one in assessed.run.incidents)
    out.wrong = [
        f"{scope_text(one.scope.model_dump())}, {one.mode}, {one.known_by:%Y-%m-%d}" for one in pages if not one.right
    ]
    volume = {channel.id: channel.volume for channel in folded.plan.channels}
    for i, item in enumerate(folded.planted):
        if item.plant.alarm:
            truth = item.truth(folded.plan.setting.start, folded.plan.setting.days)
            per_day = sum(volume[name] for name in item.members)
            fault = _fault(truth, case.strata[i] if case.strata else "", per_day, known, assessed)
            if i < len(watches):
                start, watch = parse_time(truth["start"]), watches[i]
                fault.days_to_evidence, fault.days_to_shared = (
                    None if at is None else round((at - start) / DAY_US, 2) for at in (watch.channel_us, watch.group_us)
                )
                fault.evidence = watch.what
            out.faults.append(fault)
    return out, known, assessed


def scope_text(scope: Mapping[str, Any]) -> str:
    """A scope in a few letters."""
    parts = [str(scope[name]) for name in _FACETS[1:] if scope.get(name)]
    return f"{scope['kind']}:{'|'.join(parts)}"


def _fault(truth: Mapping[str, Any], stratum: str, per_day: float, known: Facts, assessed: Assessed) -> Fault:
    start, end = parse_time(truth["start"]), parse_time(truth["end"])
    told = next(
        one
        for one in assessed.run.degradations
        if to_us(one.start) == start and one.source == "planted" and set(one.channels) == set(truth["channels"])
    )
    feed = truth["scope"]["kind"] == "feed"
    touching = _touching(known.records, truth, start, end)
    pages = [(when, record) for when, record in touching if record["severity"] == "page"]
    telling = [(when, r) for when, r in touching if r["severity"] == "feed"] if feed else pages
    wanted = scope_text(truth["scope"])
    named = [when for when, record in telling if scope_text(record["scope"]) == wanted]
    first = next(iter(telling), None)
    until = known.as_of_us
    lead = None
    if told.known_by is not None:
        alarm = until if told.alarm_at is None else to_us(told.alarm_at)
        lead = round((alarm - to_us(told.known_by)) / DAY_US, 2)
    return Fault(
        target=wanted,
        stratum=stratum,
        channels=len(truth["channels"]),
        per_day=round(per_day, 2),
        start=truth["start"][:10],
        days_seen=round((until - start) / DAY_US, 2),
        days_to_page=told.days_to_page,
        lead_days=lead,
        days_to_alarm=told.days_to_alarm,
        pages=len(pages),
        first_scope=None if first is None else scope_text(first[1]["scope"]),
        first_mode=None if first is None else str(first[1]["mode"]),
        days_to_name=round((named[0] - start) / DAY_US, 2) if named else None,
        tickets=sum(record["severity"] == "ticket" for _, record in touching),
        feed_incidents=sum(record["severity"] == "feed" for _, record in touching),
        shadow=start < known.first_page_us,
        open_before=any(_is_open_page(record, truth["channels"], start) for record in known.records),
    )


def _is_open_page(record: Mapping[str, Any], channels: Sequence[str], at_us: int) -> bool:
    """Whether a page that touches one of ``channels`` was known and not closed at a moment."""
    closed = record["closed_at"]
    return (
        record["severity"] == "page"
        and parse_time(record["known_by"]) < at_us
        and (closed is None or parse_time(closed) > at_us)
        and not set(channels).isdisjoint(record["members"])
    )


def _touching(
    records: Sequence[Mapping[str, Any]], truth: Mapping[str, Any], start: int, end: int
) -> list[tuple[int, Mapping[str, Any]]]:
    """Incidents that became known from the start to ``AFTER_DAYS`` after the end and touch a planted channel."""
    channels, found = set(truth["channels"]), []
    for record in records:
        when = parse_time(record["known_by"])
        if start <= when <= end + AFTER_DAYS * DAY_US and channels & set(record["members"]):
            found.append((when, record))
    return sorted(found, key=lambda pair: (pair[0], pair[1]["incident_id"]))


def quantile(values: Sequence[float], p: float) -> float:
    """The quantile of values of which some may be infinite (never): the order statistic at ceil(p·n)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(p * len(ordered)) - 1)] if ordered else math.nan
