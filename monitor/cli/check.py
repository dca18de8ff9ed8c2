"""``channel-monitor check``: are the settings, the log and the port as they must be?"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import click

from monitor.cli.common import json_option
from monitor.cli.letters import open_letters
from monitor.cli.logs import quiet
from monitor.cli.notify import look_at_sinks
from monitor.cli.places import Place, kafka_settings, place_option
from monitor.cli.push import look_at_push
from monitor.cli.whole_log import world_of
from monitor.live.state import saved_state, unfolded
from monitor.live.version import state_version
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.schema import FILE_NAME
from monitor.log.protocol import Log
from monitor.log.records import LogError
from monitor.log.topics import EVENTS
from monitor.settings import ConfigError, Settings, load_settings

LEAST_FREE_BYTES = 1 << 30
Finding = tuple[str, bool, str]  # what was looked at, whether it is well, a sentence


@click.command()
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Settings (TOML).")
@place_option
@click.option(
    "--replay", "replayed", is_flag=True, help="Also fold the whole log again and compare: is the state of `run` right?"
)
@json_option
def check(config: Path | None, place: Place, replayed: bool, as_json: bool) -> None:
    """Look at settings, log, and disk or brokers, and say what is wrong. Exit status 1 if anything is."""
    findings: list[Finding] = []
    try:
        settings = load_settings(config)
        settings.web.token()
    except ConfigError as error:
        findings += [("settings", False, problem) for problem in error.problems]
    else:
        findings.append(("settings", True, "All settings are within their bounds."))
        broker = place.broker_of(settings)
        if broker is None:
            findings += _look_at_directory(settings, place.directory_of(settings), replayed)
        else:
            findings += _look_at_brokers(settings, broker, replayed)
        findings.append(_look_at_port(settings))
        findings += look_at_sinks(settings, place)
        findings += look_at_push(settings, place)
    if as_json:
        click.echo(json.dumps([{"what": w, "ok": ok, "detail": text} for w, ok, text in findings], ensure_ascii=False))
    else:
        for what, ok, text in findings:
            click.echo(f"{'ok  ' if ok else 'FAIL'}  {what}: {text}")
    if not all(ok for _, ok, _ in findings):
        raise click.exceptions.Exit(1)


def _look_at_brokers(settings: Settings, broker: str, replayed: bool) -> list[Finding]:
    from monitor.log.kafka import KafkaLog, inspect

    quiet()
    ours = kafka_settings(settings, broker)
    findings = inspect(ours)
    if not all(ok for _, ok, _ in findings):
        return findings
    try:
        with KafkaLog.open(ours, create=False) as log:
            return [*findings, *_look_at_log(log, settings, replayed)]
    except LogError as error:
        return [*findings, ("log", False, str(error))]


def _look_at_directory(settings: Settings, directory: Path, replayed: bool) -> list[Finding]:
    if not (directory / FILE_NAME).is_file():
        return [("log", False, f"There is no event log in {directory}; `run` or `ingest` makes one.")]
    try:
        with EmbeddedLog.open(directory, create=False, read_only=True) as log:
            return [*_look_at_log(log, settings, replayed), _disk(directory)]
    except LogError as error:
        return [("log", False, str(error))]


def _look_at_log(log: Log, settings: Settings, replayed: bool) -> list[Finding]:
    compared = [_compared(log, settings)] if replayed else []
    return [*_state(log, settings), *compared, _dead_letters(log, settings)]


def _state(log: Log, settings: Settings) -> list[Finding]:
    headers = log.headers()
    ends = {shard: log.end_offset(*shard) for shard in headers}
    records = sum(log.end_offset(EVENTS, p) - log.first_offset(EVENTS, p) for p in range(log.partitions))
    behind = [f"{shard.topic}-{shard.partition}" for shard, end in sorted(ends.items()) if headers[shard] > end]
    found: list[Finding] = [
        ("log", True, f"{log.name} can be read: {records:,} records in {log.partitions} partitions.")
    ]
    if behind:
        text = f"The state is ahead of the log in {', '.join(behind)}; start `run --rebuild`, or restore a backup."
        found.append(("state", False, text))
    elif log.state_version not in (None, state_version(settings.params())):
        found.append(("state", True, "The state was made by other settings or another version; `run` rebuilds it."))
    else:
        lag = sum(unfolded(log, headers).values())
        found.append(("state", True, f"{lag:,} records of the log are not folded yet."))
    return found


def _compared(log: Log, settings: Settings) -> Finding:
    """The state that `run` keeps against a replay of the same records, while others may go on appending."""
    params = settings.params()
    with log.snapshot():
        if log.state_version != state_version(params):
            return "replay", False, "`run` keeps no state made by this version and these settings; nothing to compare."
        saved = saved_state(log, params)
        if saved.behind:
            text = f"{saved.behind:,} records are not folded yet; compare again when `run` has caught up."
            return "replay", False, text
        world = world_of(log, settings)
    ours, theirs = saved.ended_at(world.as_of_us or 0).sha256(), world.sha256()
    if ours == theirs:
        return "replay", True, f"The state equals a replay of the whole log; state_sha256 {ours}."
    return (
        "replay",
        False,
        f"The state (state_sha256 {ours}) differs from a replay of the log ({theirs}). `run --rebuild` makes it anew; "
        "please report it with a backup of the log.",
    )


def _dead_letters(log: Log, settings: Settings) -> Finding:
    letters = open_letters(log, settings)
    text = f"{len(letters):,} open" + ("; see `channel-monitor dead-letters list`." if letters else ".")
    return "dead letters", not letters, text


def _disk(directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    return "disk", free >= LEAST_FREE_BYTES, f"{free / 2**30:,.1f} GiB free (at least 1 is wise)."


def _look_at_port(settings: Settings) -> Finding:
    host, port = settings.web.host, settings.web.port
    connect: Callable[[], socket.socket] = lambda: socket.create_connection((host, port), timeout=1)  # noqa: E731
    try:
        with connect():
            return "port", True, f"Something listens on {host}:{port} already; a running monitor, one hopes."
    except OSError:
        return "port", True, f"{host}:{port} is free."
