"""``channel-monitor export``: what the log holds, as files."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import click
import zstandard

from monitor.cli.common import Progress, Verbs, WrongUse, json_option, many, settings_or_fail
from monitor.cli.places import Place, open_log, place_option
from monitor.log.export import Exported, export_events


@click.group(cls=Verbs)
def export() -> None:
    """Write what the log holds to a file."""


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
    with open_log(settings, place) as log, _writing(out) as file:
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


@contextmanager
def _writing(out: str) -> Iterator[IO[bytes]]:
    """The file to write; it takes its name only when all is written, so a failure leaves no half file."""
    if out == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as plain:
            with _packed(plain, path.suffix) as file:
                yield file
            plain.flush()
            os.fsync(plain.fileno())
        part.replace(path)
    except OSError as error:
        raise WrongUse(f"{out} cannot be written: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def _packed(plain: IO[bytes], suffix: str) -> Iterator[IO[bytes]]:
    if suffix == ".gz":
        # No name and no time in it: the same log gives the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=6, mtime=0) as file:
            yield file  # type: ignore[misc]
    elif suffix == ".zst":
        with zstandard.ZstdCompressor().stream_writer(plain, closefd=False) as writer:
            yield writer
    else:
        yield plain
