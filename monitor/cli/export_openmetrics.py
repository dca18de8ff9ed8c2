"""``channel-monitor export openmetrics``: the past of the metrics, for Prometheus."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monitor.cli.common import Progress, WrongUse, json_option, many
from monitor.cli.writing import writing
from monitor.connectors.files import UnusableFile, check_readable, read_events
from monitor.core.events import Rejected, from_us
from monitor.replay.driver import Replay
from monitor.replay.history import history
from monitor.settings import ConfigError, load_settings
from monitor.web.dated import exposition
from monitor.wire.times import parse_time


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--out", required=True, metavar="FILE", help="The text; .gz and .zst are packed; - is standard output.")
@click.option("--step", type=int, metavar="HOURS", help="Hours between samples (default: those between ticks).")
@click.option("--until", metavar="TIME", help="Take what was recorded up to and including this time (RFC 3339).")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Settings (TOML).")
@json_option
def openmetrics(
    files: tuple[str, ...], out: str, step: int | None, until: str | None, config: Path | None, as_json: bool
) -> None:
    """What /metrics would have shown at every tick while FILE... came in, as OpenMetrics with timestamps.

    promtool tsdb create-blocks-from openmetrics makes blocks of it that Prometheus serves beside what it scrapes. The
    files are folded again, as replay does; "-" reads standard input. The metrics of the moment (lag, requests) have no
    past. The same events give the same bytes.

    Exit status: 0 done, 1 there were dead letters, 2 wrong use.
    """
    reading, folding = Progress("{0:,} events read"), Progress("{0:,} of {1:,} events folded")

    def fill(work: Replay) -> None:
        for file in files:
            work.add(read_events(file), reading)
        reading.clear()

    try:
        params = load_settings(config).params()
        until_us = None if until is None else parse_time(until)
        for file in files:
            check_readable(file)
        past, world = history(params, fill, step_hours=step, until_us=until_us, progress=folding)
    except (ConfigError, UnusableFile, Rejected, ValueError) as error:
        raise WrongUse(str(error)) from None
    folding.clear()
    with writing(out) as target:
        for part in exposition(past.names, past.of):
            target.write(part)
    first, last = (None if us is None else from_us(us) for us in (past.first_us, past.last_us))
    if as_json:
        told = {
            "samples": past.samples,
            "series": past.series,
            "first": first,
            "last": last,
            "dead_letters": len(world.dead_letters),
            "file": out,
        }
        click.echo(json.dumps(told, ensure_ascii=False), err=out == "-")
    else:
        span = f", {first} to {last}" if first else ""
        text = f"Wrote {many(past.samples, 'sample')} of {many(past.series, 'series', 'series')}{span}, to {out}."
        if world.dead_letters:
            text += f" {many(len(world.dead_letters), 'dead letter')}: see them with replay."
        click.echo(text, err=out == "-")
    if world.dead_letters:
        raise click.exceptions.Exit(1)
