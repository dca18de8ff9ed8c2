"""How early a planted fault is paged, how often, and what else is: over many simulated worlds.

    .venv/bin/python tests/bench/early_warning.py --scenario carrier --seeds 1-3 --plants 2

Tuning uses the seeds 1 to 50; the proof uses 9001 and following, which nobody looks at while tuning. The first run of
a seed simulates and folds its channels (a minute or two), every later one takes them from the cache and costs seconds.
"""

from __future__ import annotations

import json
import tempfile
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click
from proof.explain import stories, told
from proof.scores import Score, score
from proof.table import HEAD, NOTES, rows
from proof.watch import Watch
from proof.worlds import Case, Size, cases, fold, plan_of

from monitor.core.params import Params
from monitor.core.params import numbers as all_numbers
from monitor.replay.simulate import SCENARIOS, SimulationError
from monitor.replay.simulate.world import Plan
from monitor.wire.times import parse_time

CACHE = Path(tempfile.gettempdir()) / "channel-monitor-bench"


def judge(case: Case, size: Size, params: Params, cache: Path | None, explain: bool = False) -> Score | str:
    """The score of one world, or why there is none. With ``explain`` the story of each fault is printed."""
    try:
        plan = plan_of(case, size)
    except SimulationError as error:
        return f"{case.scenario} {case.seed}: {error}"
    tales = stories(plan) if explain else []
    watches = watch(plan, params)
    folded = fold(plan, params, cache, [one.tick for one in (*watches, *tales)])
    found, known, _ = score(case, folded, params, watches)
    if explain:
        print("\n".join(told(case, found, known, tales)), flush=True)
    return found


def watch(plan: Plan, params: Params) -> list[Watch]:
    """A watch for everything planted."""
    return [
        Watch(item, parse_time(item.truth(plan.setting.start, plan.setting.days)["start"]), params)
        for item in plan.planted
    ]


def run(
    wanted: list[Case], size: Size, params: Params, cache: Path | None, jobs: int = 1, explain: bool = False
) -> tuple[list[Score], list[str]]:
    """The scores of all worlds, in the order asked for, and what could not be made."""
    work = partial(judge, size=size, params=params, cache=cache, explain=explain)
    if jobs > 1:
        # Worlds of one seed come one after another, so that their common channels are made once.
        with ProcessPoolExecutor(jobs) as pool:
            found = list(pool.map(work, wanted))
    else:
        found = [work(case) for case in wanted]
    return [one for one in found if isinstance(one, Score)], [one for one in found if isinstance(one, str)]


def numbers(text: str) -> list[int]:
    """Seeds: ``3`` are the first three, ``4-6`` those, ``1,7`` these."""
    if "," in text:
        return [int(part) for part in text.split(",") if part]
    low, _, high = text.partition("-")
    return list(range(int(low), int(high) + 1)) if high else list(range(1, int(low) + 1))


def parameters(chosen: tuple[str, ...], config: Path | None) -> Params:
    """The defaults, changed by the ``[detection]`` numbers of a settings file and by ``NAME=VALUE``."""
    known: dict[str, Any] = {spec.name: type(spec.default) for spec in all_numbers()}
    values: dict[str, Any] = {}
    if config is not None:
        for section in tomllib.loads(config.read_text(encoding="utf-8")).values():
            if isinstance(section, dict):
                values |= {name: value for name, value in section.items() if name in known}
    for text in chosen:
        name, _, value = text.partition("=")
        if name not in known:
            raise click.BadParameter(f"there is no parameter {name!r}; known are: {', '.join(known)}")
        values[name] = known[name](float(value))
    return Params(**values)


@click.command(help=__doc__)
@click.option("--scenario", "-s", multiple=True, help="Default: all.", type=click.Choice(list(SCENARIOS)))
@click.option("--seeds", default="3", show_default=True, help="3 (the first three), 4-6, or 1,7.")
@click.option(
    "--plants", default=2, show_default=True, help="Faults per seed and kind of channel; of groups, worlds per seed."
)
@click.option("--channels", default=80, show_default=True)
@click.option("--volume", default=0.5, show_default=True, help="Factor on all volumes (0.5 to 60 parcels a day).")
@click.option("--days", type=int, help="Length of the worlds (default: the scenario's, or 340).")
@click.option("--jobs", default=1, show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), default=CACHE, show_default=True)
@click.option("--set", "chosen", multiple=True, metavar="NAME=VALUE", help="A parameter of the folds.")
@click.option("--config", type=click.Path(path_type=Path, exists=True), help="Settings (TOML).")
@click.option("--explain", is_flag=True, help="Tell the story of each fault: evidence by day, and what paged.")
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
    config: Path | None,
    explain: bool,
    out: Path | None,
) -> None:
    size, params = Size(channels, volume, days), parameters(chosen, config)
    began = time.time()
    print(HEAD, flush=True)
    scores: list[Score] = []
    for name in scenario or tuple(SCENARIOS):
        found, lacking = run(cases(name, numbers(seeds), plants), size, params, cache, jobs, explain)
        scores += found
        print("\n".join([*rows(found), *lacking]), flush=True)
    print(f"{NOTES}\n{len(scores)} worlds in {time.time() - began:.0f} s; {size}")
    if out is not None:
        out.write_text(json.dumps([one.as_dict() for one in scores], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
