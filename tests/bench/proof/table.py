"""One row of figures for the worlds of a scenario."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from monitor.core.intervals import poisson
from proof.scores import Fault, Score, quantile

SCALE_CHANNELS = 500
STRATA = {"huge": ">=20/d", "large": ">=3/d", "small": "<3/d"}
COLUMNS = (
    ("n", 4),
    ("page, days", 18),
    ("evid", 6),
    ("open", 6),
    (">30 d", 7),
    (">60 d", 7),
    ("pages", 7),
    ("lead", 6),
    ("first", 7),
    ("named", 7),
    ("in d", 6),
    ("tick", 6),
    ("false/wk/500", 20),
    ("cpu s", 7),
)
HEAD = f"{'scenario':18}" + "".join(f"{name:>{width}}" for name, width in COLUMNS)
NOTES = """page: days from start to page, median (quartiles), never = inf; evid: until ln M of a channel or of their
group was worth a page, median; open: share with a page on a planted channel open at the start; >30, >60: share without
a page by then; pages: mean pages an event; lead: median days from the page to the complaint alarm (or the end of the
log); first: share whose first page names the planted scope; named: share in which it is named at all, after how many
days (median); tick: tickets an event; false: pages a week on 500 channels that no planted fault explains, 95% interval
(worlds of one seed share their false pages: only the quiet rows are a measurement); cpu: fleet fold of a world."""


def days(value: float | None) -> str:
    """A number of days in a narrow column."""
    if value is None or math.isnan(value):
        return "-"
    return "inf" if math.isinf(value) else f"{value:.1f}"


def never(values: Iterable[float | None]) -> list[float]:
    """None as infinity."""
    return [math.inf if value is None else value for value in values]


def missed(faults: Sequence[Fault], after: float) -> float | None:
    """Share without a page ``after`` days after the start, of those that the log shows so long."""
    seen = [fault for fault in faults if fault.days_seen >= after]
    if not seen:
        return None
    return sum(fault.days_to_page is None or fault.days_to_page > after for fault in seen) / len(seen)


def percent(value: float | None) -> str:
    """A share."""
    return "-" if value is None else f"{100 * value:.0f}%"


def false_rate(scores: Sequence[Score]) -> tuple[int, float, float, float]:
    """(number, rate, low, high) of wrong pages a week on 500 channels, with the 95% Poisson interval."""
    k, weeks = sum(len(one.wrong) for one in scores), sum(one.channel_weeks for one in scores)
    if not weeks:
        return 0, math.nan, math.nan, math.nan
    low, high = poisson(k)
    scale = SCALE_CHANNELS / weeks
    return k, k * scale, low * scale, high * scale


def faults_of(scores: Iterable[Score]) -> list[Fault]:
    """The faults that could be paged."""
    return [fault for one in scores for fault in one.faults if not fault.shadow]


def only(scores: Iterable[Score], stratum: str) -> list[Score]:
    """The worlds with the faults of one stratum; with all of them if it is empty."""
    return [replace(one, faults=[f for f in one.faults if f.stratum == stratum or not stratum]) for one in scores]


def row(name: str, scores: Sequence[Score]) -> str:
    """The line of one scenario, or of one stratum of it."""
    found = faults_of(scores)
    n = len(found)
    paged = never(fault.days_to_page for fault in found)
    named = never(fault.days_to_name for fault in found)
    _, rate, low, high = false_rate(scores)
    page = f"{days(quantile(paged, 0.5))} ({days(quantile(paged, 0.25))}-{days(quantile(paged, 0.75))})"
    evidence = quantile([min(never((f.days_to_evidence, f.days_to_shared))) for f in found], 0.5)
    leads = [fault.lead_days for fault in found if fault.lead_days is not None]
    first = sum(fault.first_scope == fault.target for fault in found) / n if n else None
    cells = (
        str(n),
        page if n else "-",
        days(evidence),
        percent(sum(fault.open_before for fault in found) / n if n else None),
        percent(missed(found, 30)),
        percent(missed(found, 60)),
        f"{sum(fault.pages for fault in found) / n:.1f}" if n else "-",
        days(quantile(leads, 0.5)),
        percent(first),
        percent(sum(map(math.isfinite, named)) / n if n else None),
        days(quantile([value for value in named if math.isfinite(value)], 0.5)),
        f"{sum(fault.tickets for fault in found) / n:.1f}" if n else "-",
        f"{rate:.2f} ({low:.2f}-{high:.2f})",
        f"{sum(one.cpu_s for one in scores) / len(scores):.1f}",
    )
    return f"{name:18}" + "".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True))


def rows(scores: Sequence[Score]) -> list[str]:
    """A line per scenario, and one per stratum where there are two."""
    out = []
    for scenario in dict.fromkeys(one.scenario for one in scores):
        mine = [one for one in scores if one.scenario == scenario]
        strata = [name for name in STRATA if any(fault.stratum == name for one in mine for fault in one.faults)]
        if not strata:
            out.append(row(scenario, mine))
        out += [row(f"{scenario} {STRATA[name]}", only(mine, name)) for name in strata]
    return out
