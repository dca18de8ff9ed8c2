"""Dead letters read once more: their bytes to events, as they were read the first time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from monitor.connectors.csv_file import row_events, rows_to_events, split_rows
from monitor.connectors.files import Line, UnusableFile
from monitor.connectors.mapping import Mapping as TableMapping
from monitor.connectors.mapping import MappingError, load_mapping
from monitor.core.events import Rejected
from monitor.wire.dead_letter import raw_of, reader_of
from monitor.wire.incoming import Incoming


def read_again(letter: Mapping[str, Any], mapping: str | None = None) -> Iterator[Incoming]:
    """What a dead letter says now. ``mapping``: the mapping for rows of tables, instead of the one they had.

    Raises :class:`Rejected` if its mapping cannot be used any more.
    """
    raw = raw_of(letter)
    reader = reader_of(letter)
    position = letter["position"]
    file, line = str(position.get("file", position.get("topic"))), int(position.get("line", position.get("offset", 0)))
    if reader is None:
        yield Incoming(file, line, raw, event=raw.strip())
        return
    name = mapping or reader.mapping
    try:
        rules = None if name is None else _loaded(name)
        to_events = rows_to_events(file, reader.columns, rules)
    except (MappingError, UnusableFile) as error:
        raise Rejected("unreadable_row", str(error)) from None
    encoding, delimiter = (rules.encoding, rules.delimiter) if rules else ("utf-8", ",")
    lines = (Line(line + i, piece) for i, piece in enumerate(raw.split(b"\n")))
    for row in split_rows(lines, encoding, delimiter):
        if row is not None:
            numbered = row._replace(number=line)  # the number of the row in its file is not kept; mostly it is the line
            yield from row_events(file, numbered, reader.columns, to_events, reader)


@functools.lru_cache(maxsize=8)
def _loaded(name: str) -> TableMapping:
    return load_mapping(name)
