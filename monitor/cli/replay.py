"""``channel-monitor replay``: files of events through the folds, by event time."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from monitor.cli.common import Progress, WrongUse, json_option, many
from monitor.connectors.files import UnusableFile, check_readable, read_events
from monitor.core.events import Rejected
from monitor.replay.driver import Replay
from monitor.replay.outputs import write
from monitor.settings import ConfigError, load_settings
from monitor.wire.times import parse_time


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the results go.",
)
@click.option("--until", metavar="TIME", help="Take what was recorded up to and including this time (RFC 3339).")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Settings (TOML).")
@json_option
def replay(files: tuple[str, ...], out: Path, until: str | None, config: Path | None, as_json: bool) -> None:
    """Run files of events through the monitor's folds; no server, no clock but the events' own.

    Writes incidents.jsonl, channels.jsonl, watchlist.jsonl, recommendations.jsonl, dead_letters.jsonl and
    summary.json into DIR. The same events give the same bytes, in whatever order they come. "-" reads standard input.

    Exit status: 0 done, 1 there were dead letters, 2 wrong use.
    """
    try:
        params = load_settings(config).params()
        until_us = None if until is None else parse_time(until)
        for file in files:
            check_readable(file)
    except (ConfigError, UnusableFile, Rejected) as error:
        raise WrongUse(str(error)) from None
    started = time.perf_counter()
    work = Replay(params, until_us)
    reading, folding = Progress("{0:,} events read"), Progress("{0:,} of {1:,} events folded")
    try:
        for file in files:
            work.add(read_events(file), reading)
        reading.clear()
        world = work.run(folding)
        folding.clear()
        told = write(world, out)
    except UnusableFile as error:
        raise WrongUse(str(error)) from None
    except OSError as error:
        raise WrongUse(f"{error.filename or out}: {error.strerror}; the results cannot be written there.") from None
    took = time.perf_counter() - started
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        click.echo(
            f"{many(told['events'], 'event')}, {many(told['duplicates'], 'duplicate')}, "
            f"{many(told['dead_letters'], 'dead letter')}, {told['waiting']:,} waiting; "
            f"{many(told['parcels'], 'parcel')} on {many(told['channels'], 'channel')}; "
            f"{many(told['incidents'], 'incident')}; as of {told['as_of'] or 'never'}. "
            f"Results in {click.format_filename(out)}."
        )
    lines = told["events"] + told["duplicates"] + told["dead_letters"]
    print(f"{took:.1f} s, {lines / max(took, 1e-9):,.0f} events/s", file=sys.stderr)
    if told["dead_letters"]:
        raise click.exceptions.Exit(1)
