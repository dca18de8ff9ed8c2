"""``channel-monitor backtest``: what would have been alerted, when, and how many days before complaints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from pydantic import ValidationError

from monitor.cli.backtest_text import print_report
from monitor.cli.common import Progress, WrongUse, json_option
from monitor.connectors.files import UnusableFile, check_readable, read_events
from monitor.core.events import Rejected
from monitor.core.params import Params
from monitor.replay.backtest.run import Tested
from monitor.replay.backtest.run import backtest as run_backtest
from monitor.replay.driver import Replay
from monitor.replay.simulate import truth_path
from monitor.settings import ConfigError, load_settings
from monitor.web.backtest import render
from monitor.wire.backtest import BacktestRun, Planted, Truth
from monitor.wire.times import parse_time

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--html", type=_FILE, metavar="OUT", help="Write a report with pictures, one file that needs no network.")
@click.option(
    "--truth",
    type=_FILE,
    metavar="TRUTH",
    help="What was planted (default: FILE.truth.json, where simulate wrote one). Without: waves of complaints.",
)
@click.option("--config", type=_FILE, metavar="CONFIG", help="Settings (TOML).")
@click.option("--compare", type=_FILE, metavar="CONFIG2", help="Run again with these settings and show both.")
@click.option("--switch", is_flag=True, help="Also estimate what following the advice about carriers would have saved.")
@click.option("--until", metavar="TIME", help="Take what was recorded up to and including this time (RFC 3339).")
@json_option
def backtest(
    files: tuple[str, ...],
    html: Path | None,
    truth: Path | None,
    config: Path | None,
    compare: Path | None,
    switch: bool,
    until: str | None,
    as_json: bool,
) -> None:
    """Replay a past: what would have been alerted, when, and how many days before complaints.

    The incidents are taken as they were when they became known. They are compared with what went wrong: the faults of
    a truth file, else the waves of complaints in the log; and with an alarm on weekly complaints. docs/backtest.md
    tells what each figure means. The same events give the same report, in whatever order they come. "-" reads
    standard input.

    Exit status: 0 done, 1 there were dead letters, 2 wrong use.
    """
    try:
        first = load_settings(config).params()
        second = None if compare is None else load_settings(compare).params()
        until_us = None if until is None else parse_time(until)
        for file in files:
            check_readable(file)
        if html is not None and not html.parent.is_dir():
            raise WrongUse(f"{html}: there is no such directory; the report cannot be written there.")
        if compare is not None and "-" in files:
            raise WrongUse("--compare reads the files twice; standard input can be read only once.")
        planted = _planted(files, truth)
        tested = _run(files, first, until_us, planted, config, switch)
        if compare is not None and second is not None:
            other = _run(files, second, until_us, planted, compare).record
            fields = {name: getattr(other, name) for name in BacktestRun.model_fields}
            record = tested.record.model_copy(update={"compared": BacktestRun(**fields)})
            tested = Tested(record, tested.gallery)
    except (ConfigError, UnusableFile, Rejected) as error:
        raise WrongUse(str(error)) from None
    if html is not None:
        try:
            html.write_text(render(tested.record, tested.gallery), encoding="utf-8")
        except OSError as error:
            raise WrongUse(f"{html}: {error.strerror}; the report cannot be written there.") from None
    if as_json:
        click.echo(tested.record.model_dump_json())
    else:
        print_report(tested.record)
        if html is not None:
            click.echo(f"\nThe report with pictures is in {click.format_filename(html)}.")
    if tested.record.dead_letters:
        raise click.exceptions.Exit(1)


def _run(
    files: Sequence[str],
    params: Params,
    until_us: int | None,
    planted: list[Planted] | None,
    config: Path | None,
    switch: bool = False,
) -> Tested:
    """One run over the files."""
    reading, folding = Progress("{0:,} events read"), Progress("{0:,} of {1:,} events folded")

    def fill(work: Replay) -> None:
        for file in files:
            work.add(read_events(file), reading)
        reading.clear()

    name = None if config is None else config.name
    tested = run_backtest(
        params, fill, until_us=until_us, planted=planted, config=name, switch=switch, progress=folding
    )
    folding.clear()
    return tested


def _planted(files: Sequence[str], truth: Path | None) -> list[Planted] | None:
    """What the truth files say; None where there are none."""
    beside = [truth_path(Path(file)) for file in files if file != "-"]
    paths = [truth] if truth is not None else sorted({path for path in beside if path.is_file()})
    if not paths:
        return None
    planted = []
    for path in paths:
        try:
            planted += Truth.model_validate_json(path.read_bytes()).planted
        except OSError as error:
            raise WrongUse(f"{path}: {error.strerror}.") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise WrongUse(f"{path} is no truth file: {place}: {first['msg']}.") from None
    return planted
