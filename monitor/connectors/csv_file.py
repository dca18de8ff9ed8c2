"""Tables as CSV (RFC 4180): rows, their numbers, and the events they give.

A row that cannot be read is one fault, and reading goes on with the next line: also where a quote is opened and
never closed. The raw bytes of a row are kept as they stood, so that it can be tried again after a fix.
"""

from __future__ import annotations

import csv
import difflib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from monitor.connectors.contract_columns import ContractRows
from monitor.connectors.files import Line, UnusableFile, read_lines
from monitor.connectors.mapped_rows import MappedRows, Skipped
from monitor.connectors.mapping import Mapping
from monitor.core.events import Rejected
from monitor.core.vocabulary import MAX_EVENT_BYTES
from monitor.wire.incoming import IDLE, Incoming, Reader

FORMAT: Final = "csv"


class RowsToEvents(Protocol):
    """Turns the cells of a row into events."""

    def events(self, cells: Sequence[str], number: int) -> list[bytes]:
        """The JSON texts of the events of row ``number``. Raises :class:`Rejected` and :class:`Skipped`."""


class Row(NamedTuple):
    """One row: the line it starts in, its number as a spreadsheet shows it, its bytes, and its cells or a fault."""

    line: int
    number: int
    raw: bytes
    cells: list[str]
    fault: Rejected | None = None


def read_csv(path: str, mapping: Mapping | None = None, mapping_name: str | None = None) -> Iterator[Incoming | None]:
    """The events of a table; with a ``mapping`` of a merchant's own, without it of the contract's columns.

    ``mapping_name`` is noted beside the rows that fail. Raises :class:`UnusableFile`, also where the table lacks a
    column that the mapping names.
    """
    encoding, delimiter = (mapping.encoding, mapping.delimiter) if mapping else ("utf-8", ",")
    rows = split_rows(read_lines(path), encoding, delimiter)
    header = next((row for row in rows if row is not IDLE), None)
    if header is None:
        return
    if header.fault is not None:
        yield Incoming(path, header.line, header.raw, fault=header.fault)
        return
    columns = tuple(name.strip() for name in header.cells)
    to_events = rows_to_events(path, columns, mapping)
    reader = Reader(FORMAT, columns, mapping_name)
    for row in rows:
        if row is IDLE:
            yield IDLE
        else:
            yield from row_events(path, row, columns, to_events, reader)


def rows_to_events(path: str, columns: tuple[str, ...], mapping: Mapping | None) -> RowsToEvents:
    """What turns the rows of a table with this header into events. Raises :class:`UnusableFile`."""
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise UnusableFile(f"{path}: the header names the column {twice[0]!r} more than once; rename one of them.")
    if mapping is None:
        return ContractRows(path, columns)
    for column, key in mapping.columns().items():
        if column not in columns:
            near = difflib.get_close_matches(column, columns, n=1)
            meant = f" (is {near[0]!r} meant?)" if near else ""
            raise UnusableFile(
                f"{path} has no column {column!r}{meant}, which the mapping {mapping.name!r} uses in {key}; "
                f"its columns are {', '.join(columns)}."
            )
    return MappedRows(mapping, columns)


def row_events(
    path: str, row: Row, columns: tuple[str, ...], to_events: RowsToEvents, reader: Reader
) -> Iterator[Incoming]:
    """The events of one row, or its fault, or why it is left out."""
    place = (path, row.line, row.raw)
    fault = row.fault
    try:
        if fault is None and any(row.cells):
            cells = _fitted(row, len(columns))
            for event in to_events.events(cells, row.number):
                yield Incoming(*place, event=event, reader=reader)
    except Skipped as skipped:
        yield Incoming(*place, skipped=str(skipped), reader=reader)
    except Rejected as rejected:
        fault = rejected
    if fault is not None:
        yield Incoming(*place, fault=fault, reader=reader)


def _fitted(row: Row, width: int) -> list[str]:
    """The cells of a row, as many as the header has; blank ones may be missing or too many at its end."""
    cells = row.cells
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        return cells[:width]
    if len(cells) != width:
        raise Rejected(
            "unreadable_row",
            f"row {row.number} has {len(cells)} cells, the header has {width}; is a separator or a quote wrong, "
            "or was the file cut off?",
        )
    return cells


def split_rows(lines: Iterable[Line | None], encoding: str, delimiter: str) -> Iterator[Row | None]:
    """The rows of a table, the header first; blank lines are left out but counted.

    A row goes on over several lines while a quote is open. If it does not come to a good end within
    ``MAX_EVENT_BYTES``, only its first line is given up and the others are read again.
    """
    source = iter(lines)
    again: deque[Line | None] = deque()
    taken: list[Line] = []  # the lines of the row so far
    size = 0
    number = 0
    while True:
        line = again.popleft() if again else next(source, _END)
        if line is IDLE:
            yield IDLE
            continue
        broken_off = line is _END or line.fault is not None
        if not taken:
            if line is _END:
                return
            number += 1
            if line.fault is not None:
                yield Row(line.number, number, line.raw, [], _of_a_table(line.fault))
                continue
            if not line.raw.strip():
                continue
        if broken_off:
            again.append(line)
        else:
            taken.append(line)
            size += len(line.raw) + 1
            if len(taken) > 1 and b'"' not in line.raw and size <= MAX_EVENT_BYTES:
                continue  # nothing in it can close the quote
        try:
            cells = _cells(taken, size, encoding, delimiter)
            if cells is None and not broken_off:
                continue
            if cells is None:
                raise Rejected("unreadable_row", f"row {number} opens a quote that is never closed")
            yield Row(taken[0].number, number, b"\n".join(one.raw for one in taken), cells)
        except Rejected as rejected:
            yield Row(taken[0].number, number, taken[0].raw, [], rejected)
            again.extendleft(reversed(taken[1:]))
        taken, size = [], 0


_END: Final = Line(0, b"")


def _cells(taken: Sequence[Line], size: int, encoding: str, delimiter: str) -> list[str] | None:
    """The cells in these lines; None if they end within a quote. Raises :class:`Rejected`."""
    if size > MAX_EVENT_BYTES:
        raise Rejected("too_large", f"the row is longer than {MAX_EVENT_BYTES:,} bytes; is a quote never closed?")
    raw = b"\n".join(line.raw for line in taken).removesuffix(b"\r")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise Rejected(
            "not_text",
            f"the row is not text in {encoding}: byte {error.start} is 0x{raw[error.start]:02x}; save the file as "
            "UTF-8, or give its encoding in the mapping",
        ) from None
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        if str(error) == "unexpected end of data":
            return None
        raise Rejected("unreadable_row", f"the row is not CSV: {error}") from None


def _of_a_table(fault: Rejected) -> Rejected:
    return Rejected("unreadable_row", fault.detail) if fault.reason == "malformed_json" else fault
