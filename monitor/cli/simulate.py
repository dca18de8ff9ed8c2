"""``channel-monitor simulate``: a seeded world of parcels and complaints, written as a file of events."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from monitor.replay.simulate import SCENARIOS, SimulationError, World, truth_path, write_world


@click.command("simulate")
@click.option("--scenario", metavar="NAME", help="What to plant; --list shows the names.")
@click.option("--seed", type=int, metavar="N", help="Equal seeds give equal files.")
@click.option("--days", type=int, metavar="D", help="Length of the world in days (default: the scenario's).")
@click.option("--channels", type=int, metavar="C", help="Number of channels (default: the scenario's).")
@click.option(
    "--start",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="First day, UTC (default: the scenario's).",
)
@click.option(
    "--volume", type=float, default=1.0, show_default=True, metavar="X", help="Factor on all parcels per day."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="FILE.jsonl, .jsonl.gz or .jsonl.zst; the truth goes to FILE.truth.json beside it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary (or the list) as JSON.")
@click.option("--list", "list_them", is_flag=True, help="List the scenarios and stop.")
def simulate(
    scenario: str | None,
    seed: int | None,
    days: int | None,
    channels: int | None,
    start: datetime | None,
    volume: float,
    out: Path | None,
    as_json: bool,
    list_them: bool,
) -> None:
    """Make a seeded world of parcels and complaints, with a file saying what was planted in it.

    The file can be given to replay or ingest --history.
    """
    if list_them:
        _print_scenarios(as_json)
        return
    if scenario is None or seed is None or out is None:
        needed = (("--scenario", scenario), ("--seed", seed), ("--out", out))
        missing = ", ".join(name for name, value in needed if value is None)
        raise click.UsageError(f"missing {missing}; for example: simulate --scenario demo --seed 1 --out demo.jsonl.gz")
    progress = _Progress() if sys.stderr.isatty() else None
    first = start.replace(tzinfo=UTC).date() if start is not None else None
    try:
        world = write_world(scenario, seed, out, days, channels, first, volume, progress)
    except SimulationError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.UsageError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        if progress is not None:
            progress.clear()
    summary = _summary(world, out)
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _print_summary(summary)


class _Progress:
    """One line on the terminal, rewritten at every whole percent."""

    def __init__(self) -> None:
        self._shown = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        text = f"{what}: {100 * done // max(1, total)}%"
        if text != self._shown:
            self._shown = text
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)

    def clear(self) -> None:
        """Takes the line away."""
        click.echo("\r\x1b[K", nl=False, err=True)


def _print_scenarios(as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([{"scenario": s.name, "description": s.description} for s in SCENARIOS.values()]))
        return
    width = max(map(len, SCENARIOS))
    for scenario in SCENARIOS.values():
        click.echo(f"{scenario.name:<{width}}  {scenario.description}")


def _summary(world: World, out: Path) -> dict[str, Any]:
    facts = world.truth["world"]
    return {
        "scenario": facts["scenario"],
        "seed": facts["seed"],
        "start": facts["start"],
        "end": facts["end"],
        "days": facts["days"],
        "channels": len(facts["channels"]),
        "parcels": world.parcels,
        "events": world.events,
        "planted": world.truth["planted"],
        "file": str(out),
        "truth": str(truth_path(out)),
    }


def _print_summary(summary: dict[str, Any]) -> None:
    click.echo(
        f"{summary['file']}: {summary['events']} events about {summary['parcels']} parcels on "
        f"{summary['channels']} channels, {summary['start'][:10]} to {summary['end'][:10]}"
    )
    for item in summary["planted"]:
        where = ", ".join(str(value) for key, value in item["scope"].items() if value and key != "kind")
        click.echo(
            f"planted: {item['mode'] or 'nothing to alarm about'} at {item['scope']['kind']}"
            f"{' ' + where if where else ''} ({len(item['channels'])} channels), {item['start']} to {item['end']}"
        )
    if not summary["planted"]:
        click.echo("planted: nothing")
    click.echo(f"truth: {summary['truth']}")
