"""The bar that shows how far a feed has come."""

from __future__ import annotations

import sys
from typing import Final

import click

from monitor.connectors.files import read_lines

_WIDTH: Final = 30


class FeedProgress:
    """A bar on stderr, on a terminal; one line every tenth otherwise. Counts the file's lines first."""

    def __init__(self, name: str) -> None:
        self._total = max(sum(1 for line in read_lines(name) if line is not None), 1) if name != "-" else 0
        self._on = sys.stderr.isatty()
        self._told = 0

    def __call__(self, done: int) -> None:
        """``done`` events are in the log."""
        if not self._total:
            return
        share = min(done / self._total, 1.0)
        if self._on:
            full = round(share * _WIDTH)
            bar = "#" * full + "-" * (_WIDTH - full)
            click.echo(f"\r\x1b[Kfast-forward [{bar}] {share:4.0%}  {done:,} events", nl=False, err=True)
        elif int(share * 10) > self._told:
            self._told = int(share * 10)
            click.echo(f"fast-forward {share:.0%}, {done:,} events", err=True)

    def done(self) -> None:
        """Take the bar away."""
        if self._on:
            click.echo("\r\x1b[K", nl=False, err=True)
