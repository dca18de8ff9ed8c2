"""``channel-monitor ingest``: files of events, or tables, into the log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import click

from monitor.cli.common import Progress, WrongUse, json_option, many, settings_or_fail
from monitor.cli.places import Place, open_log, place_option
from monitor.connectors.csv_file import read_csv
from monitor.connectors.files import STDIN, UnusableFile, check_readable, read_events
from monitor.connectors.mapping import Mapping, MappingError, load_mapping, shipped_mappings
from monitor.core.events import Rejected, from_us
from monitor.core.params import Params
from monitor.log.gateway import FIRST_ROWS, Admission, Gateway, Outcome, Refused, now_us, refuse_history
from monitor.wire.incoming import Flow, Incoming

#: Faults shown one by one in a dry run.
SHOWN: Final = 20

Read = Callable[[str], Iterator[Flow]]

_TABLES: Final = (".csv", ".csv.gz", ".csv.zst")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@place_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["canonical", "csv"]),
    help="canonical (default): one event a line, JSON. csv: a table with the contract's names as columns.",
)
@click.option(
    "--mapping",
    metavar="FILE",
    help=f"How a table of your own becomes events: a mapping file, or one of {', '.join(shipped_mappings())}.",
)
@click.option("--history", is_flag=True, help="The events are old: they were known when they happened.")
@click.option("--dry-run", is_flag=True, help="Print the canonical events, one a line, and append nothing.")
@json_option
def ingest(
    files: tuple[str, ...],
    place: Place,
    form: str | None,
    mapping: str | None,
    history: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Append events to the log. "-" reads standard input.

    It is safe to repeat: the same file twice changes nothing. Exit status 1 if there were dead letters.
    """
    if mapping is not None and form == "canonical":
        raise WrongUse("--mapping is for tables; use it with --format csv.")
    is_table = form == "csv" or mapping is not None
    settings = settings_or_fail()
    rules = _load(mapping)
    name = mapping if mapping is None or mapping in shipped_mappings() else str(Path(mapping).resolve())
    for file in files:
        _check(file, files, is_table)
    read: Read = partial(read_csv, mapping=rules, mapping_name=name) if is_table else read_events
    params = settings.params()
    try:
        if dry_run:
            outcome = _dry_run(chain.from_iterable(map(read, files)), params, history)
        else:
            rows = [_looked_at(read, file, params, history) for file in files if file != STDIN or history]
            with open_log(settings, place, create=True) as log:
                progress = Progress("{:,} events read, {:,} appended")
                gateway = Gateway(log, params, history=history)
                try:
                    if rows:
                        outcome = gateway.ingest(chain.from_iterable(rows), progress)
                    else:
                        outcome = gateway.stream(read(STDIN), progress)
                finally:
                    progress.clear()
    except (UnusableFile, Refused) as error:
        raise WrongUse(str(error)) from None
    _report(outcome, place.name_of(settings), place.option_of(settings), dry_run, as_json)
    if outcome.dead_letters:
        raise click.exceptions.Exit(1)


def _load(mapping: str | None) -> Mapping | None:
    try:
        return None if mapping is None else load_mapping(mapping)
    except MappingError as error:
        raise WrongUse(str(error)) from None


def _check(file: str, files: tuple[str, ...], is_table: bool) -> None:
    """What can be said of a file before anything is read."""
    if file == STDIN and len(files) > 1:
        raise WrongUse("- (standard input) cannot be read together with other files; ingest them one after the other.")
    if file.lower().endswith(_TABLES) and not is_table:
        raise WrongUse(
            f"{file} looks like a table: add --format csv if its columns bear the contract's names, or --mapping FILE "
            "if it is a table of your own."
        )
    try:
        check_readable(file)
    except UnusableFile as error:
        raise WrongUse(str(error)) from None


def _looked_at(read: Read, file: str, params: Params, history: bool) -> Iterable[Flow]:
    """The rows of a file, after a look at its first ones: nothing is appended if one of the files is refused."""
    rows: Iterator[Flow] = read(file)
    first: list[Flow] = []
    seen: set[int] = set()
    for row in rows:
        first.append(row)
        if row is not None:
            seen.add(row.line)
        if len(seen) >= FIRST_ROWS:
            break
    if not history:
        refuse_history([row for row in first if row is not None], params, now_us())
    # A pipe can be read only once; files are opened again in their turn, since many may be named.
    return read(file) if Path(file).is_file() else chain(first, rows)


def _dry_run(rows: Iterable[Flow], params: Params, history: bool) -> Outcome:
    """Print the events. They are printed with a recorded time only where they have one: live, ingest sets it."""
    admission = Admission(params, history=history)
    outcome = Outcome()
    now = now_us()
    for row in rows:
        if row is None:
            continue
        fault = row.fault
        if row.event is not None:
            try:
                admitted = admission.admit(row.event, now)
            except Rejected as rejected:
                fault = rejected
            else:
                outcome.accepted += 1
                click.echo(admitted.raw if history else row.event)
        if fault is not None:
            outcome.dead_letters[fault.reason] += 1
            if outcome.dead_letters.total() <= SHOWN:
                _show_fault(row, fault)
        elif row.skipped is not None:
            outcome.skipped[row.skipped] += 1
    return outcome


def _show_fault(row: Incoming, fault: Rejected) -> None:
    click.echo(f"{row.file}:{row.line}: {fault.reason}: {fault.detail}", err=True)


def _report(outcome: Outcome, name: str, option: str, dry_run: bool, as_json: bool) -> None:
    notice = _notice(outcome, option.startswith("--broker"))
    if as_json:
        report = {
            "events": outcome.accepted,
            "ticks": outcome.ticks,
            "dead_letters": dict(sorted(outcome.dead_letters.items())),
            "dead_letters_known": outcome.known_dead_letters,
            "skipped": dict(sorted(outcome.skipped.items())),
            "behind": outcome.behind,
            "notices": [notice] if notice else [],
        }
        click.echo(json.dumps(report, ensure_ascii=False), err=dry_run)
        return
    lines = []
    if dry_run:
        lines.append(f"{many(outcome.accepted, 'event')}; nothing was appended.")
    else:
        ticks = f" and {many(outcome.ticks, 'tick')}" if outcome.ticks else ""
        lines.append(f"Appended {many(outcome.accepted, 'event')}{ticks} to {name}.")
    if outcome.skipped:
        lines.append(f"Left out {many(outcome.skipped.total(), 'row')} on purpose:")
        lines += [f"  {count:>9,}  {reason}" for reason, count in sorted(outcome.skipped.items())]
    if total := outcome.dead_letters.total():
        known = outcome.known_dead_letters
        lines.append(f"{many(total, 'dead letter')}{f', {known:,} of them known before' if known else ''}:")
        lines += [f"  {count:>9,}  {reason}" for reason, count in sorted(outcome.dead_letters.items())]
        if not dry_run:
            lines.append(f"See them with: channel-monitor dead-letters list {option}")
    if notice:
        lines.append(notice)
    click.echo("\n".join(lines), err=dry_run)


def _notice(outcome: Outcome, on_kafka: bool) -> str | None:
    if not outcome.behind or outcome.frontier_us is None:
        return None
    return (
        f"{many(outcome.behind, 'event')} {'was' if outcome.behind == 1 else 'were'} recorded before "
        f"{from_us(outcome.frontier_us)[:16]}Z, up to which this log had come already. They change parcels, counts and "
        "baselines; what was judged before is not judged again. To have the past judged as if all of it had been "
        "ingested in one call, "
        + (
            "ingest all of it in one call into a log with another kafka.topic_prefix."
            if on_kafka
            else "stop the monitor and start it with: channel-monitor run --rebuild"
        )
    )
