"""What the verbs share: how a verb ends when something is wrong, words, progress on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

import click

from monitor.settings import ConfigError, Settings, load_settings

_REDRAW_S: Final = 0.2


class WrongUse(click.ClickException):
    """The verb cannot do what was asked: exit status 2."""

    exit_code = 2


class FoundProblem(click.ClickException):
    """The verb met a problem that is not the caller's: exit status 1."""

    exit_code = 1


class Verbs(click.Group):
    """Verbs whose help lists each with the first sentence of its own help, whole."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list."""
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries(ctx))

    def summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        """The verbs with what each does."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, first_sentence(command)) for name, command in commands if command is not None]


def first_sentence(command: click.Command) -> str:
    """Of its help."""
    text = " ".join((command.help or "").split())
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def settings_or_fail() -> Settings:
    """The settings; wrong ones end the verb."""
    try:
        return load_settings()
    except ConfigError as error:
        raise WrongUse(str(error)) from None


def many(count: int, one: str, more: str | None = None) -> str:
    """``1 event``, ``2,000 events``."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


class Progress:
    """One line on stderr, rewritten a few times a second; silent unless stderr is a terminal."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._shown_at = 0.0
        self._on = sys.stderr.isatty()

    def __call__(self, *figures: int) -> None:
        """Show ``figures`` in the form."""
        if self._on and (now := time.monotonic()) - self._shown_at > _REDRAW_S:
            self._shown_at = now
            click.echo("\r\x1b[K" + self._form.format(*figures), nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._on and self._shown_at:
            click.echo("\r\x1b[K", nl=False, err=True)
