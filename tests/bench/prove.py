"""The proof: the goals of early warning with verdicts, other methods at the same rate of false alarms, the forecast of
complaints, and how early anybody could know.

    .venv/bin/python tests/bench/prove.py --seeds 9001-9010 --plants 2 --jobs 2

The seeds from 9001 on are for this only: tuning uses 1 to 50.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from early_warning import CACHE, numbers, parameters, watch
from proof.comparators import NAMES, Rivals, rivals, thresholds
from proof.forecasts import Grid, Told, of_incidents
from proof.forecasts import lines as forecast_lines
from proof.goals import verdicts
from proof.limits import days_to_know
from proof.scores import Fault, Score, quantile, score
from proof.table import HEAD, NOTES, STRATA, days, percent, rows
from proof.worlds import Case, Size, cases, fold, plan_of

from monitor.core.params import Params
from monitor.core.vocabulary import DAY_US
from monitor.replay.backtest.matching import HORIZON_US
from monitor.replay.simulate import SCENARIOS, SimulationError
from monitor.wire.times import parse_time

#: Everything with a goal, and what should stay calm.
PROVED = tuple(name for name in SCENARIOS if name not in ("demo", "holiday_unprepared"))
#: Days of a quiet world: Golden Week, Double 11, Christmas and Spring Festival lie in it after the shadow.
QUIET_DAYS = 440
#: False alarms per channel and year that the others are set to where the monitor had none.
USUAL_RATE = 0.1
WEEKS_OF_YEAR = 365.25 / 7


@dataclass
class Planting:
    """A planted fault beside its score."""

    fault: Fault
    channels: Sequence[str]
    span_us: tuple[int, int]
    """from the start to the horizon after the end"""
    limit_days: float | None


@dataclass
class Proved:
    """What one world gives: its score, the charts of other methods, forecasts, and what is planted."""

    score: Score
    charts: Rivals
    told: list[Told]
    planted: list[Planting]


def prove(case: Case, size: Size, params: Params, cache: Path | None) -> Proved | str:
    """Judge one world in every way, or say why there is none."""
    try:
        plan = plan_of(case, size)
    except SimulationError as error:
        return f"{case.scenario} {case.seed}: {error}"
    quiet = case.scenario == "quiet"
    begin = parse_time(f"{plan.setting.start}T00:00:00Z") // DAY_US
    grid = Grid(begin + params.shadow_days) if quiet else None
    watches = watch(plan, params)
    folded = fold(plan, params, cache, [one.tick for one in (*watches, *([grid] if grid else []))])
    found, known, _ = score(case, folded, params, watches)
    told = of_incidents(folded, known.records) + (grid.told(folded) if grid else [])
    if quiet:
        return Proved(found, rivals(folded, folded.used, params.shadow_days), told, [])
    charts = rivals(folded, {name for item in plan.planted for name in item.members}, params.shadow_days)
    by_id = {channel.id: channel for channel in plan.channels}
    planted = []
    for item, fault in zip((one for one in plan.planted if one.plant.alarm), found.faults, strict=True):
        truth = item.truth(plan.setting.start, plan.setting.days)
        span = parse_time(truth["start"]), parse_time(truth["end"]) + HORIZON_US
        limit = days_to_know(by_id[item.members[0]], item.plant) if case.strata else None
        planted.append(Planting(fault, item.members, span, limit))
    return Proved(found, charts, told, planted)


def run(wanted: Sequence[Case], size: Size, params: Params, cache: Path | None, jobs: int) -> list[Proved]:
    """All worlds that can be made."""
    work = partial(prove, size=size, params=params, cache=cache)
    if jobs > 1:
        with ProcessPoolExecutor(jobs) as pool:
            found: Iterable[Proved | str] = list(pool.map(work, wanted))
    else:
        found = [work(case) for case in wanted]
    out = []
    for one in found:
        if isinstance(one, str):
            print(one, flush=True)
        else:
            out.append(one)
    return out


def by_stratum(proved: Sequence[Proved]) -> list[tuple[str, list[tuple[Rivals, Planting]]]]:
    """The faults that could be paged by scenario and stratum, with a name, each beside the charts of its world."""
    out: dict[tuple[str, str], list[tuple[Rivals, Planting]]] = {}
    for one in proved:
        for planted in one.planted:
            if not planted.fault.shadow:
                out.setdefault((one.score.scenario, planted.fault.stratum), []).append((one.charts, planted))
    return [(f"{scenario} {STRATA.get(stratum, '')}".strip(), mine) for (scenario, stratum), mine in out.items()]


def compared(proved: Sequence[Proved]) -> list[str]:
    """Every method set to the same number of false alarms in the quiet worlds: median days, and missed at 30."""
    quiet = [one for one in proved if one.score.scenario == "quiet"]
    if not quiet:
        return ["no quiet worlds: nothing to set thresholds by"]
    years = sum(one.score.channel_weeks for one in quiet) / WEEKS_OF_YEAR
    own = sum(len(one.score.wrong) for one in quiet)
    wanted = own or USUAL_RATE * years
    at = thresholds([one.charts for one in quiet], wanted)
    today = sum(len(one.charts.alarms("complaints", 3.0)) for one in quiet)
    said = ", ".join(f"{name} {value:.2f}" for name, value in at.items())
    out = [
        f"false alarms in {years:.1f} channel-years without faults: monitor {own}, complaints at 3 sd {today};",
        f"the others are set to at most {wanted:.1f}: {said}",
        f"{'days, median (missed at 30)':24}{'monitor':>16}{'complaints 3 sd':>17}"
        + "".join(f"{n:>17}" for n in NAMES),
    ]
    for name, mine in by_stratum(proved):
        cells = [_cell([planted.fault.days_to_page for _, planted in mine])]
        cells += [_cell([_alarm_days(*one, "complaints", 3.0) for one in mine])]
        cells += [_cell([_alarm_days(*one, kind, at[kind]) for one in mine]) for kind in NAMES]
        out.append(f"{name:24}{cells[0]:>16}" + "".join(f"{cell:>17}" for cell in cells[1:]))
    return out


def _alarm_days(charts: Rivals, planted: Planting, kind: str, threshold: float) -> float | None:
    start, until = planted.span_us
    return next(
        (
            (alarm - start) / DAY_US
            for alarm in charts.alarms(kind, threshold, planted.channels)
            if start <= alarm <= until
        ),
        None,
    )


def _cell(values: Sequence[float | None]) -> str:
    known = [float("inf") if value is None else value for value in values]
    return f"{days(quantile(known, 0.5))} ({percent(sum(value > 30 for value in known) / len(known))})"


def limits(proved: Sequence[Proved]) -> list[str]:
    """The information limit beside what was reached."""
    out = [
        f"{'days, median':24}{'parcels a day':>14}{'page':>8}{'limit':>8}   (limit: at the ln A that pages the channel)"
    ]
    for name, mine in by_stratum(proved):
        bounds = [planted.limit_days for _, planted in mine if planted.limit_days is not None]
        if bounds:
            paged = [planted.fault.days_to_page for _, planted in mine]
            volume = quantile([planted.fault.per_day for _, planted in mine], 0.5)
            reached = quantile([float("inf") if value is None else value for value in paged], 0.5)
            out.append(f"{name:24}{volume:>14.1f}{days(reached):>8}{days(quantile(bounds, 0.5)):>8}")
    return out


def report(proved: Sequence[Proved]) -> list[str]:
    """The whole proof as text."""
    scores = [one.score for one in proved]
    told = [one for world in proved for one in world.told]
    parts = [
        ["Figures", HEAD, *rows(scores), *NOTES.splitlines()],
        ["Goals", *verdicts(scores)],
        ["Other methods", *compared(proved)],
        ["Forecast of complaints (90% interval, 14 days)", *forecast_lines(told)],
        ["What anybody could know", *limits(proved)],
    ]
    return [line for title, *lines in parts for line in ("", title, "-" * len(title), *lines)]


@click.command(help=__doc__)
@click.option("--scenario", "-s", multiple=True, help="Default: all.", type=click.Choice(PROVED))
@click.option("--seeds", default="9001-9005", show_default=True)
@click.option(
    "--plants", default=2, show_default=True, help="Faults per seed and kind of channel; of groups, worlds per seed."
)
@click.option("--channels", default=80, show_default=True)
@click.option("--volume", default=0.5, show_default=True)
@click.option("--days", type=int)
@click.option("--jobs", default=1, show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), default=CACHE, show_default=True)
@click.option("--set", "chosen", multiple=True, metavar="NAME=VALUE", help="A parameter of the folds.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write all scores there.")
def main(
    scenario: tuple[str, ...],
    seeds: str,
    plants: int,
    channels: int,
    volume: float,
    days: int | None,
    jobs: int,
    cache: Path,
    chosen: tuple[str, ...],
    out: Path | None,
) -> None:
    params = parameters(chosen, None)
    began = time.time()
    names = tuple(dict.fromkeys(("quiet", *(scenario or PROVED))))
    print(HEAD, flush=True)
    proved: list[Proved] = []
    for name in names:
        length = days or (QUIET_DAYS if name == "quiet" else None)
        found = run(cases(name, numbers(seeds), plants), Size(channels, volume, length), params, cache, jobs)
        print("\n".join(rows([one.score for one in found])), flush=True)
        proved += found
    print("\n".join(report(proved)))
    print(f"\n{len(proved)} worlds of {channels} channels, volume × {volume:g}; seeds {seeds}")
    print(f"{time.time() - began:.0f} s")
    if out is not None:
        out.write_text(json.dumps([one.score.as_dict() for one in proved], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
