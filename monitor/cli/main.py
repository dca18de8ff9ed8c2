"""``channel-monitor``: the verbs, put together."""

from __future__ import annotations

import errno
import importlib
from typing import Any, Final

import click

from monitor import __version__
from monitor.cli.common import FoundProblem, Verbs

#: Verb → where its command stands. Modules are imported when their verb is called, so that each starts quickly.
VERBS: Final[dict[str, str]] = {
    "run": "monitor.cli.run:run",
    "notify": "monitor.cli.notify:notify",
    "push": "monitor.cli.push:push",
    "ingest": "monitor.cli.ingest:ingest",
    "replay": "monitor.cli.replay:replay",
    "backtest": "monitor.cli.backtest:backtest",
    "export": "monitor.cli.export:export",
    "simulate": "monitor.cli.simulate:simulate",
    "channels": "monitor.cli.lists:channels",
    "incidents": "monitor.cli.lists:incidents",
    "watchlist": "monitor.cli.lists:watchlist",
    "recommend": "monitor.cli.recommend:recommend",
    "explain": "monitor.cli.explain:explain",
    "act": "monitor.cli.act:act",
    "backup": "monitor.cli.backup:backup",
    "restore": "monitor.cli.backup:restore",
    "check": "monitor.cli.check:check",
    "dead-letters": "monitor.cli.dead_letters:dead_letters",
}


class _Program(Verbs):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = VERBS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

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
