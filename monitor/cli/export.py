"""``channel-monitor export``: what the log holds, as files."""

from __future__ import annotations

import json

import click

from monitor.cli.common import Progress, Verbs, json_option, many, settings_or_fail
from monitor.cli.export_openmetrics import openmetrics
from monitor.cli.places import Place, open_log, place_option
from monitor.cli.writing import writing
from monitor.log.export import Exported, export_events


@click.group(cls=Verbs)
def export() -> None:
    """Write what the log holds to a file."""


export.add_command(openmetrics)


@export.command()
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    help="FILE.jsonl, .jsonl.gz or .jsonl.zst; - is standard output.",
)
@place_option
@json_option
def events(out: str, place: Place, as_json: bool) -> None:
    """The log of record as canonical events, one a line, in order and with a sequence.

    A replay of this file gives the state of the live monitor at its last closed tick.
    """
    settings = settings_or_fail()
    done = Exported()
    progress = Progress("{:,} events written")
    with open_log(settings, place) as log, writing(out) as file:
        for line in export_events(log, done):
            file.write(line)
            file.write(b"\n")
            progress(done.events)
    progress.clear()
    if as_json:
        report = {"events": done.events, "ticks": done.ticks, "unreadable": done.unreadable, "file": out}
        click.echo(json.dumps(report, ensure_ascii=False), err=out == "-")
    else:
        left_out = f" {many(done.unreadable, 'record')} hold no event and were left out." if done.unreadable else ""
        text = f"Wrote {many(done.events, 'event')} and {many(done.ticks, 'tick')} to {out}.{left_out}"
        click.echo(text, err=out == "-")
    if done.unreadable:
        raise click.exceptions.Exit(1)
