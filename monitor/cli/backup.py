"""``backup`` and ``restore``: a copy of the embedded log while it runs, and back."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monitor.cli.common import FoundProblem, WrongUse, json_option, settings_or_fail
from monitor.cli.places import data_option, opened_directory
from monitor.log.embedded.backup import restore as restore_file
from monitor.log.records import LogError


@click.command()
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The copy.")
@data_option
@json_option
def backup(out: Path, data: Path | None, as_json: bool) -> None:
    """Copy the event log into one file; `run` and `ingest` may go on meanwhile."""
    settings = settings_or_fail()
    if not out.absolute().parent.is_dir():
        raise WrongUse(f"There is no directory {out.absolute().parent} to write {out.name} into.")
    try:
        with opened_directory(settings, data or settings.log.data) as log:
            log.backup(out)
    except LogError as error:
        raise FoundProblem(str(error)) from None
    size = out.stat().st_size
    click.echo(
        json.dumps({"file": str(out), "bytes": size})
        if as_json
        else f"Wrote {click.format_filename(out)} ({size:,} bytes)."
    )


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_option
@json_option
def restore(file: Path, data: Path | None, as_json: bool) -> None:
    """Bring a backup back into an empty directory. The state is rebuilt from the log by the next `run`."""
    directory = data or settings_or_fail().log.data
    try:
        generation = restore_file(file, directory)
    except LogError as error:
        raise WrongUse(str(error)) from None
    told = {"directory": str(directory), "generation": generation}
    click.echo(json.dumps(told) if as_json else f"Restored {file} into {directory}.")
