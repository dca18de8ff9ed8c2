"""``channel-monitor dead-letters``: what could not be used, and trying it again after a fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from monitor.cli.common import Verbs, json_option, many, settings_or_fail
from monitor.cli.letters import UNKNOWN, Known, open_letters, under_a_new_id
from monitor.cli.places import Place, open_log, place_option
from monitor.cli.whole_log import world_of
from monitor.connectors.again import read_again
from monitor.core.events import Rejected
from monitor.log.dead_letters import DeadLetterBox
from monitor.log.gateway import Admission, Gateway, now_us
from monitor.log.protocol import Log
from monitor.settings import Settings
from monitor.wire.dead_letter import Letter, public, raw_of
from monitor.wire.incoming import Incoming

SHOWN_CHARACTERS = 100


@click.group("dead-letters", cls=Verbs)
def dead_letters() -> None:
    """Records that could not be used: list them, or try them again after a fix."""


@dead_letters.command("list")
@place_option
@json_option
def list_(place: Place, as_json: bool) -> None:
    """The open dead letters, sorted by their text."""
    settings = settings_or_fail()
    with open_log(settings, place) as log:
        letters = open_letters(log, settings)
    if as_json:
        click.echo(json.dumps([public(letter) for letter in letters], ensure_ascii=False))
        return
    for letter in letters:
        click.echo(f"{place_of(letter)}  {letter['reason']}\n    {letter['detail']}\n    {_cut(letter['raw'])}")
    click.echo(f"{many(len(letters), 'open dead letter')}." if letters else "There are no open dead letters.")


@dead_letters.command()
@place_option
@click.option("--reason", metavar="CODE", help="Only letters with this reason.")
@click.option("--history", is_flag=True, help="Take the events as history: they were known when they happened.")
@click.option("--mapping", metavar="FILE", help="Read rows of tables with this mapping instead of the one they had.")
@json_option
def replay(place: Place, reason: str | None, history: bool, mapping: str | None, as_json: bool) -> None:
    """Try the open dead letters again: what is good now enters the log, the rest stays open (exit status 1)."""
    settings = settings_or_fail()
    params = settings.params()
    admission = Admission(params, history=history)
    good: list[Letter] = []
    rows: list[Incoming] = []
    failed: list[tuple[Letter, Rejected]] = []
    with open_log(settings, place) as log:
        now = now_us()
        letters = [letter for letter in open_letters(log, settings) if reason in (None, letter["reason"])]
        waits = _Waits(log, settings)
        for letter in letters:
            try:
                again = list(_admissible(letter, mapping, admission, waits, now))
            except Rejected as rejected:
                failed.append((letter, rejected))
            else:
                good.append(letter)
                rows += again
        outcome = Gateway(log, params, history=history).ingest(rows)
        DeadLetterBox(log).mark_replayed(good, now)
    if as_json:
        report: dict[str, Any] = {
            "replayed": len(good),
            "events": outcome.accepted,
            "failed": [public(letter) | {"detail": error.detail} for letter, error in failed],
        }
        click.echo(json.dumps(report, ensure_ascii=False))
    else:
        for letter, error in failed:
            click.echo(f"{place_of(letter)}  {error.reason}\n    {error.detail}")
        click.echo(
            f"{many(len(good), 'dead letter')} replayed, {many(outcome.accepted, 'event')} appended; "
            f"{len(failed):,} failed again."
            if good or failed
            else "There are no open dead letters to replay."
        )
    if failed:
        raise click.exceptions.Exit(1)


def _admissible(
    letter: Letter, mapping: str | None, admission: Admission, waits: _Waits, now: int
) -> Iterator[Incoming]:
    """The events in a letter. Raises :class:`Rejected` if one of them cannot enter the log, or would be in vain."""
    if letter["reason"].startswith("conflicting_"):
        raise Rejected(letter["reason"], letter["detail"])  # the first stands, whatever is fixed
    if letter["reason"] == UNKNOWN and waits.known().would_wait(raw_of(letter)):
        raise Rejected(UNKNOWN, f"{letter['detail']}, nor since")
    for row in read_again(letter, mapping):
        if row.fault is not None:
            raise row.fault
        if row.event is not None:
            event = under_a_new_id(row.event) if letter["reason"] == UNKNOWN else row.event
            admission.admit(event, now)
            yield row._replace(event=event)


class _Waits:
    """What is known by now; the log is folded when that is first asked."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self._log = log
        self._settings = settings
        self._known: Known | None = None

    def known(self) -> Known:
        """See :class:`~monitor.cli.letters.Known`."""
        if self._known is None:
            self._known = Known(world_of(self._log, self._settings))
        return self._known


def place_of(letter: Letter) -> str:
    """Where a letter comes from, in words."""
    position = letter["position"]
    if "file" in position:
        return f"{position['file']}, line {position['line']}"
    return f"{position['topic']}, partition {position['partition']}, offset {position['offset']}"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[: SHOWN_CHARACTERS - 1]}…"
