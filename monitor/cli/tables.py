"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Print aligned columns, numbers to the right, control characters escaped. ``empty`` stands for no rows."""
    if not rows:
        click.echo(empty)
        return
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *texts]) for i in range(len(head))]
    numeric = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    for row in [list(head), *texts]:
        cells = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True))
        click.echo("  ".join(cells).rstrip())


def _text(cell: Any) -> str:
    text = "-" if cell is None else str(cell)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
