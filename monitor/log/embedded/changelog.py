"""State in an embedded log: the last value of every key of a shard, in the order in which the keys last changed.

A shard's changelog keeps one row per key. A change takes the next offset of its shard and replaces the key's earlier
row, so the changelog is always compacted, and reading it from the first offset restores the state. A deleted key
leaves a row without a value, so that a reader who follows along learns of it; such rows go once they are
``DELETIONS_KEPT`` changes old.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from monitor.log.embedded.schema import OFFSETS_PER_STREAM
from monitor.log.records import Change, ForgottenError, Shard, TableChange

DELETIONS_KEPT: Final = 10_000
_ROWS_PER_READ: Final = 2_000


def write(connection: sqlite3.Connection, shard: Shard, changes: Sequence[TableChange]) -> None:
    """Write ``changes`` inside the caller's transaction; a key of a table stands in them at most once."""
    if not changes:
        return
    connection.execute("INSERT OR IGNORE INTO stream (kind, name, partition) VALUES ('state', ?, ?)", shard)
    stream, next_offset = connection.execute(
        "SELECT id, next_offset FROM stream WHERE kind = 'state' AND name = ? AND partition = ?", shard
    ).fetchone()
    first = stream * OFFSETS_PER_STREAM
    connection.executemany(
        "INSERT OR REPLACE INTO change (position, stream, key, value) VALUES (?, ?, ?, ?)",
        (
            (first + next_offset + i, stream, b"%b\0%b" % (table.encode(), key), value)
            for i, (table, key, value) in enumerate(changes)
        ),
    )
    next_offset += len(changes)
    connection.execute("UPDATE stream SET next_offset = ? WHERE id = ?", (next_offset, stream))
    forgotten = connection.execute(
        "DELETE FROM change WHERE value IS NULL AND position >= ? AND position < ?",
        (first, first + next_offset - DELETIONS_KEPT),
    ).rowcount
    if forgotten:
        connection.execute("UPDATE stream SET first_offset = ? WHERE id = ?", (next_offset - DELETIONS_KEPT, stream))


def read(connection: sqlite3.Connection, shard: Shard, after_offset: int) -> Iterator[Change]:
    """The changes after ``after_offset`` (-1: all) by rising offset; ``ForgottenError`` if deletions
    since are forgotten.

    No transaction is open between two changes. A key that changes meanwhile may come twice, the later value
    last.
    """
    row = connection.execute(
        "SELECT id, first_offset FROM stream WHERE kind = 'state' AND name = ? AND partition = ?", shard
    ).fetchone()
    if row is None:
        return
    stream, first_offset = row
    if 0 <= after_offset < first_offset - 1:
        raise ForgottenError(
            f"The state of {shard.topic}-{shard.partition} has forgotten deletions since offset {after_offset}; read "
            "it again from -1."
        )
    first = stream * OFFSETS_PER_STREAM
    position, end = first + after_offset, first + OFFSETS_PER_STREAM
    while True:
        rows = connection.execute(
            "SELECT position, key, value FROM change WHERE position > ? AND position < ? ORDER BY position LIMIT ?",
            (position, end, _ROWS_PER_READ),
        ).fetchall()
        for position, name, value in rows:
            table, _, key = name.partition(b"\0")
            yield Change(position - first, table.decode(), key, value)
        if len(rows) < _ROWS_PER_READ:
            return
