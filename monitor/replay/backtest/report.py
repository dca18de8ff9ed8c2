"""From what a replay showed to the record of a backtest: everything matched, counted, and with bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.replay.backtest.complaints import SIGMAS, WEEK_US, Wave, calibrate
from monitor.replay.backtest.facts import Alarms, Facts, Waves, moment
from monitor.replay.backtest.intervals import rate, share, spread
from monitor.replay.backtest.matching import Fault, covered_share, observed_faults, planted_faults
from monitor.replay.backtest.scoring import degradation, rule, tested
from monitor.wire.backtest import BacktestRun, BacktestSummary, Degradation, TestedIncident

WEEKS_OF_YEAR = 365.25 / 7


@dataclass(frozen=True, slots=True)
class Assessed:
    """The record, and the complaint alarms it rests on."""

    run: BacktestRun
    waves: Waves


def assess(facts: Facts, config: str | None = None) -> Assessed:
    """The record of one run; ``config`` names its settings."""
    alarms = Alarms(facts)
    plain = alarms.at(SIGMAS)
    if facts.planted is not None:
        faults = planted_faults(facts.planted, facts.as_of_us)
    else:
        faults = observed_faults(wave for some in plain.values() for wave in some)
    incidents = [tested(record, facts, faults, plain) for record in facts.records]
    pages = [incident for incident in incidents if incident.severity == "page"]
    # Without a truth nobody can tell which alarm is false: then all are counted, of both kinds.
    count = _counter(facts, faults if facts.planted is not None else [])
    wrong = sum(page.right is False for page in pages)
    wanted = wrong if facts.planted is not None else len(pages)
    sigmas = calibrate(lambda k: count(alarms.at(k)), wanted) if facts.complaints else None
    tuned = None if sigmas is None else alarms.at(sigmas)
    degradations = [degradation(fault, facts, plain, tuned) for fault in faults]
    weeks = sum((end - begin) / WEEK_US for begin, end in map(facts.in_use, facts.used))
    every = _counter(facts, [])
    complained: dict[str, Any] = {
        "complaints": sum(map(len, facts.complaints.values())),
        "complaints_elsewhere": facts.elsewhere,
        "alarms": every(plain),
        "false_alarms": None if facts.planted is None else count(plain),
        "calibrated_threshold_sd": None if sigmas is None else round(sigmas, 4),
        "calibrated_alarms": None if tuned is None else every(tuned),
        "precision_by_chance": _by_chance(pages, facts, faults),
        "channels": len(facts.used),
        "parcels": facts.parcels,
        "pages_possible_from": None if facts.pages_from_us is None else moment(facts.pages_from_us),
    }
    summary = BacktestSummary(
        source="complaint_wave" if facts.planted is None else "planted",
        **_of_degradations(degradations, tuned is not None),
        **_of_incidents(incidents, weeks, can_be_wrong=facts.planted is not None or bool(facts.complaints)),
        **complained,
    )
    rules = [rule(mode, incidents, weeks) for mode in sorted({incident.mode for incident in incidents})]
    run = BacktestRun(config=config, incidents=incidents, degradations=degradations, rules=rules, summary=summary)
    return Assessed(run, plain)


def _of_degradations(degradations: Sequence[Degradation], is_calibrated: bool) -> dict[str, Any]:
    """The part of the summary that counts degradations; those in the shadow time do not count."""
    counted = [one for one in degradations if one.outcome != "not_judged"]
    outcomes = [one.outcome for one in counted]
    missed = outcomes.count("missed")
    out: dict[str, Any] = {
        "degradations": len(counted),
        "not_judged": len(degradations) - len(counted),
        "paged": len(counted) - missed,
        "paged_before_alarm": outcomes.count("paged_before_alarm"),
        "paged_after_alarm": outcomes.count("paged_after_alarm"),
        "paged_without_alarm": outcomes.count("paged_without_alarm"),
        "missed": missed,
        "missed_bounds": share(missed, len(counted))[1],
        "missed_with_ticket": sum(one.missed and one.ticket_id is not None for one in counted),
        "alarm_missed": sum(one.alarm_at is None for one in counted),
        "calibrated_alarm_missed": sum(one.calibrated_alarm_at is None for one in counted) if is_calibrated else None,
    }
    for name in ("lead_days", "days_to_page", "days_to_alarm", "days_to_calibrated_alarm"):
        values = [value for one in counted if (value := getattr(one, name)) is not None]
        out[f"median_{name}"], out[f"median_{name}_bounds"] = spread(values)
    return out


def _of_incidents(incidents: Sequence[TestedIncident], weeks: float, can_be_wrong: bool) -> dict[str, Any]:
    """The part of the summary that counts incidents; no page can be wrong where nothing could tell."""
    pages = [incident for incident in incidents if incident.severity == "page"]
    right = sum(page.right is True for page in pages)
    wrong = sum(page.right is False for page in pages)
    out: dict[str, Any] = {
        "pages": len(pages),
        "tickets": sum(incident.severity == "ticket" for incident in incidents),
        "right": right,
        "wrong": wrong,
        "undecided": len(pages) - right - wrong,
    }
    out["precision"], out["precision_bounds"] = share(right, right + wrong)
    for name, k, scale in (
        ("pages_per_week_per_500_channels", len(pages), 500),
        ("false_pages_per_channel_year", wrong, WEEKS_OF_YEAR),
    ):
        possible = weeks if can_be_wrong or name != "false_pages_per_channel_year" else 0.0
        out[name], out[f"{name}_bounds"] = rate(k, possible, scale)
    return out


def _counter(facts: Facts, faults: Sequence[Fault]) -> Callable[[Waves], int]:
    """How many complaint alarms there were since a page was possible that none of ``faults`` explains."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for fault in faults:
        for name in fault.channels:
            spans.setdefault(name, []).append((fault.from_us, fault.until_us))

    def counts(wave: Wave) -> bool:
        explained = any(begin <= wave.alarm_us <= end for begin, end in spans.get(wave.channel, ()))
        return wave.alarm_us >= facts.first_page_us and not explained

    return lambda waves: sum(counts(wave) for some in waves.values() for wave in some)


def _by_chance(pages: Sequence[TestedIncident], facts: Facts, faults: Sequence[Fault]) -> float | None:
    """The precision of pages at random: the mean share of the time in use in which a page would be right.

    With a truth over all channels. Without, over the channels of the pages themselves, each as often as it was paged:
    a channel with many complaints has many waves, and to page it is no merit.
    """
    decided = [set(page.members) & facts.used.keys() for page in pages if page.right is not None]
    if not decided:
        return None
    if facts.planted is not None:
        channels = [(name, 1.0) for name in facts.used]
    else:
        channels = [(name, 1 / len(members)) for members in decided for name in sorted(members)]
    covered = total = 0.0
    for name, weight in channels:
        begin, end = facts.in_use(name)
        spans = [(fault.from_us, fault.until_us) for fault in faults if name in fault.channels]
        weight *= end - begin if facts.planted is not None else 1
        covered += weight * covered_share(spans, begin, end)
        total += weight
    return round(covered / total, 6) if total else None
