"""Tables of an embedded log: the last value of every key, in the order in which the keys last changed.

A changelog keeps one row per key. A change takes the next offset of its (table, partition) and replaces the
key's earlier row, so the changelog is always compacted, and reading it from the first offset restores the
table. A deleted key leaves a row without a value, so that a reader who follows along learns of it; such rows
go once they are ``DELETIONS_KEPT`` changes old.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from monitor.log.records import Change, LogError, TableChange
from monitor.log.schema import OFFSETS_PER_STREAM

DELETIONS_KEPT: Final = 10_000
_ROWS_PER_READ: Final = 2_000


def write(connection: sqlite3.Connection, changes: Iterable[TableChange]) -> None:
    """Write ``changes`` inside the caller's transaction; a key stands in them at most once."""
    by_stream: dict[tuple[str, int], list[tuple[bytes, bytes | None]]] = defaultdict(list)
    for table, partition, key, value in changes:
        by_stream[table, partition].append((key, value))
    for (table, partition), rows in by_stream.items():
        _write_stream(connection, table, partition, rows)


def _write_stream(
    connection: sqlite3.Connection, table: str, partition: int, rows: list[tuple[bytes, bytes | None]]
) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO stream (kind, name, partition) VALUES ('table', ?, ?)", (table, partition)
    )
    stream, next_offset = connection.execute(
        "SELECT id, next_offset FROM stream WHERE kind = 'table' AND name = ? AND partition = ?",
        (table, partition),
    ).fetchone()
    first = stream * OFFSETS_PER_STREAM
    connection.executemany(
        "INSERT OR REPLACE INTO change (position, stream, key, value) VALUES (?, ?, ?, ?)",
        ((first + next_offset + i, stream, key, value) for i, (key, value) in enumerate(rows)),
    )
    next_offset += len(rows)
    connection.execute("UPDATE stream SET next_offset = ? WHERE id = ?", (next_offset, stream))
    forgotten = connection.execute(
        "DELETE FROM change WHERE value IS NULL AND position >= ? AND position < ?",
        (first, first + next_offset - DELETIONS_KEPT),
    ).rowcount
    if forgotten:
        connection.execute("UPDATE stream SET first_offset = ? WHERE id = ?", (next_offset - DELETIONS_KEPT, stream))


def end_offset(connection: sqlite3.Connection, table: str, partition: int) -> int:
    """The offset that the next change of the table's partition gets."""
    row = connection.execute(
        "SELECT next_offset FROM stream WHERE kind = 'table' AND name = ? AND partition = ?", (table, partition)
    ).fetchone()
    return int(row[0]) if row else 0


def read(connection: sqlite3.Connection, table: str, partition: int, after_offset: int) -> Iterator[Change]:
    """The changes after ``after_offset`` (-1: all) by rising offset; ``LogError`` if deletions since are
    forgotten.

    No transaction is open between two changes. A key that changes meanwhile may come twice, the later value
    last.
    """
    row = connection.execute(
        "SELECT id, first_offset FROM stream WHERE kind = 'table' AND name = ? AND partition = ?",
        (table, partition),
    ).fetchone()
    if row is None:
        return
    stream, first_offset = row
    if 0 <= after_offset < first_offset - 1:
        raise LogError(f"Table {table} has forgotten deletions since offset {after_offset}; read it again from -1.")
    first = stream * OFFSETS_PER_STREAM
    position, end = first + after_offset, first + OFFSETS_PER_STREAM
    while True:
        rows = connection.execute(
            "SELECT position, key, value FROM change WHERE position > ? AND position < ? ORDER BY position LIMIT ?",
            (position, end, _ROWS_PER_READ),
        ).fetchall()
        for position, key, value in rows:
            yield Change(position - first, key, value)
        if len(rows) < _ROWS_PER_READ:
            return
