"""``channel-monitor``: the verbs, put together."""

from __future__ import annotations

import errno
import importlib
from dataclasses import dataclass
from typing import Any, Final

import click

from monitor import __version__
from monitor.cli.common import FoundProblem, Verbs


@dataclass(frozen=True, slots=True)
class Verb:
    """Where its command stands, and the first sentence of its help."""

    place: str
    summary: str


#: Modules are imported when their verb is called, so that each, and the help of all, starts quickly.
VERBS: Final[dict[str, Verb]] = {
    "run": Verb(
        "monitor.cli.run:run", "The live monitor: folds the log, ticks, serves the page, the API and /metrics."
    ),
    "notify": Verb(
        "monitor.cli.notify:notify", "Send a message when an incident opens, becomes a page, grows or ends."
    ),
    "push": Verb("monitor.cli.push:push", "Send the carriers of every lane to a shipping system when they change."),
    "ingest": Verb("monitor.cli.ingest:ingest", "Append events to the log."),
    "replay": Verb(
        "monitor.cli.replay:replay",
        "Run files of events through the monitor's folds; no server, no clock but the events' own.",
    ),
    "backtest": Verb(
        "monitor.cli.backtest:backtest",
        "Replay a past: what would have been alerted, when, and how many days before complaints.",
    ),
    "export": Verb("monitor.cli.export:export", "Write what the log holds to a file."),
    "simulate": Verb(
        "monitor.cli.simulate:simulate",
        "Make a seeded world of parcels and complaints, with a file saying what was planted in it.",
    ),
    "channels": Verb(
        "monitor.cli.lists:channels",
        "Every channel with its rates, each with n and a 95% interval (the last 90 days; --json has all time too).",
    ),
    "incidents": Verb("monitor.cli.lists:incidents", "Every incident, open and closed, the newest last."),
    "watchlist": Verb(
        "monitor.cli.lists:watchlist",
        "The parcels to chase, the most urgent first: silent for longer than 95% of their channel's on this leg.",
    ),
    "recommend": Verb(
        "monitor.cli.recommend:recommend", "Which carrier to use on each lane, how sure that is, and how much to move."
    ),
    "explain": Verb(
        "monitor.cli.explain:explain",
        "Why an incident, a parcel on the watchlist or a recommendation is there: rule, figures, events behind it.",
    ),
    "act": Verb(
        "monitor.cli.act:act", "Record a decision about an incident, a parcel on the watchlist or a recommendation."
    ),
    "backup": Verb(
        "monitor.cli.backup:backup", "Copy the event log into one file; `run` and `ingest` may go on meanwhile."
    ),
    "restore": Verb("monitor.cli.backup:restore", "Bring a backup back into an empty directory."),
    "check": Verb("monitor.cli.check:check", "Look at settings, log, and disk or brokers, and say what is wrong."),
    "dead-letters": Verb(
        "monitor.cli.dead_letters:dead_letters",
        "Records that could not be used: list them, or try them again after a fix.",
    ),
}


class _Program(Verbs):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        module, _, name = verb.place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Of each verb."""
        return [(name, verb.summary) for name, verb in VERBS.items()]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a full disk or a lost device behind an output is told in a sentence."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader has seen enough; click ends quietly
                raise
            where = f"{click.format_filename(error.filename)}: " if error.filename else ""
            raise FoundProblem(f"{where}{error.strerror or error}.") from None


@click.command(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="channel-monitor")
def main() -> None:
    """Warns before a logistics channel degrades, from tracking and complaint events.

    Settings come from channel-monitor.toml and from variables CHANNEL_MONITOR_...; see docs/settings.md.
    """
