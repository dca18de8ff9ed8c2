"""The embedded log's database: its tables, how it is opened, and what its errors mean to a person.

A *stream* is one partition of a topic, or the changelog of a shard's state. Rows of ``record`` and ``change`` are keyed
by ``position`` = stream number x 2^40 + offset: one integer, so the rows of a stream lie side by side, a
range read walks the B-tree's leaves, and its cost does not depend on the size of the log.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor.log.records import LogBusyError, LogError, LogFullError
from monitor.log.topics import EVENTS, TOPICS, partition_count

FILE_NAME: Final = "log.sqlite3"
APPLICATION_ID: Final = 0x63686D6F  # "chmo": tells this log from any other SQLite file
SCHEMA_VERSION: Final = 2
OFFSETS_PER_STREAM: Final = 1 << 40
BUSY_TIMEOUT_S: Final = 10.0
_FREE_BYTES_NEEDED: Final = 1 << 20

_DDL: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # Every partition of every topic ('topic'), and the changelog of the state folded from it ('state').
    # Offsets below first_offset are gone; next_offset is the highwater and only rises, whatever is deleted.
    """CREATE TABLE stream (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('topic', 'state')),
        name TEXT NOT NULL,
        partition INTEGER NOT NULL,
        first_offset INTEGER NOT NULL DEFAULT 0,
        next_offset INTEGER NOT NULL DEFAULT 0,
        UNIQUE (kind, name, partition)
    )""",
    # derived = 1: written by a checkpoint, so a rebuild writes it again. derived = 0: appended, the truth.
    """CREATE TABLE record (
        position INTEGER PRIMARY KEY,
        timestamp_us INTEGER NOT NULL,
        derived INTEGER NOT NULL,
        key BLOB,
        value BLOB NOT NULL
    )""",
    # The last change of every key of every shard; key is the table's name, a zero byte, and its key there.
    # value NULL: the key was deleted.
    """CREATE TABLE change (
        position INTEGER PRIMARY KEY,
        stream INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB
    )""",
    "CREATE UNIQUE INDEX change_of_key ON change (stream, key)",
    "CREATE INDEX change_deleted ON change (position) WHERE value IS NULL",
    # How far each partition of a source topic has been folded into the tables.
    """CREATE TABLE header (
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        next_offset INTEGER NOT NULL,
        PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID""",
    # Which records hold events of a key (a parcel).
    """CREATE TABLE event_index (
        key_hash INTEGER NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (key_hash, position)
    ) WITHOUT ROWID""",
)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection to an existing database, or to one that SQLite creates (not when ``read_only``).

    ``read_only`` keeps statements from writing; the file and its ``-wal`` must still be writable, since any
    reader may have to recover the log after a crash.
    """
    mode = "rw" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -32000")  # 32 MB
        connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: 16 MB
        connection.execute("PRAGMA journal_size_limit = 67108864")  # bytes
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def is_empty(connection: sqlite3.Connection) -> bool:
    """True if the database was just created, or its creator died before it wrote the tables."""
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return tables == 0


def create(connection: sqlite3.Connection, partitions: int) -> None:
    """Create the tables and topics of a new log, unless another process has just done so."""
    enter_wal_mode(connection)
    with transaction(connection):
        if not is_empty(connection):
            return
        for statement in _DDL:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            (
                ("schema_version", str(SCHEMA_VERSION)),
                ("partitions", str(partitions)),
                ("generation", uuid.uuid4().hex),
            ),
        )
        connection.executemany(
            "INSERT INTO stream (kind, name, partition) VALUES ('topic', ?, ?)",
            [(name, p) for name in TOPICS for p in range(partition_count(name, partitions))],
        )


def enter_wal_mode(connection: sqlite3.Connection) -> None:
    """Switch the database to write-ahead logging: one writer and any readers go side by side."""
    # SQLite does not use the busy handler for this change, so a second creator must try again itself.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def check(connection: sqlite3.Connection, path: Path) -> dict[str, str]:
    """The ``meta`` rows of a log of this version; ``LogError`` if the file is something else."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise LogError(f"{path} is an SQLite file but not an event log; give another --data directory.")
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    if int(meta["schema_version"]) != SCHEMA_VERSION:
        raise LogError(
            f"{path} was written by another version of this program (its schema is {meta['schema_version']}, "
            f"this one reads {SCHEMA_VERSION}); `export events` with that version and `ingest` them into a "
            "new directory with this one."
        )
    return meta


def new_generation(connection: sqlite3.Connection, state_version: str | None) -> str:
    """Delete what was derived and name a new generation, inside the caller's transaction."""
    generation = uuid.uuid4().hex
    connection.execute("DELETE FROM change")
    connection.execute("DELETE FROM header")
    derived = connection.execute(
        "SELECT id FROM stream WHERE kind = 'topic' AND name != ? AND next_offset > first_offset", (EVENTS,)
    ).fetchall()
    for (stream,) in derived:
        first = stream * OFFSETS_PER_STREAM
        connection.execute(
            "DELETE FROM record WHERE derived AND position >= ? AND position < ?",
            (first, first + OFFSETS_PER_STREAM),
        )
        connection.execute(
            "UPDATE stream SET first_offset = coalesce("
            " (SELECT min(position) - :first FROM record WHERE position >= :first AND position < :end), next_offset"
            ") WHERE id = :stream",
            {"first": first, "end": first + OFFSETS_PER_STREAM, "stream": stream},
        )
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('generation', ?)", (generation,))
    if state_version is None:
        connection.execute("DELETE FROM meta WHERE name = 'state_version'")
    else:
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('state_version', ?)", (state_version,))
    return generation


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One durable transaction that takes the write lock at once, so that what it reads cannot be stale."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors, a full disk among them, have rolled back already
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the system into :class:`LogError` with a remedy."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _full(path) from error
        raise LogError(f"{path}: {error.strerror}; check the path and its permissions.") from error


def _full(path: Path) -> LogFullError:
    return LogFullError(f"The disk of {path} is full; nothing was lost. Free some space, the log then goes on.")


def _explain(error: sqlite3.Error, path: Path) -> LogError:
    # sqlite_errorcode is absent from errors that Python's module raises itself, such as a closed connection.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _no_space(path)):
        return _full(path)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LogBusyError(
            f"{path} has been locked by another program for more than {BUSY_TIMEOUT_S:.0f} s; "
            "see what else uses this directory, then try again."
        )
    if primary == sqlite3.SQLITE_NOTADB:
        return LogError(f"{path} is not a database; move it away, or `restore` a backup into another directory.")
    if primary == sqlite3.SQLITE_CORRUPT:
        return LogError(f"{path} is damaged ({error}); stop using it and `restore` a backup into an empty directory.")
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return LogError(f"{path} cannot be opened for writing; let this user write to the directory and its files.")
    if primary == sqlite3.SQLITE_IOERR:
        return LogError(f"{path}: the disk failed ({error}); check the disk and the system's log.")
    return LogError(f"{path}: {error}.")


def _no_space(path: Path) -> bool:
    # SQLite reports a full disk as an I/O error when it happens in the shared memory file or in fsync, and likewise a
    # file that may not grow (ulimit -f).
    with contextlib.suppress(OSError):
        if shutil.disk_usage(path.parent).free < _FREE_BYTES_NEEDED:
            return True
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        sizes = [file.stat().st_size for file in path.parent.glob(path.name + "*")]
        return limit != resource.RLIM_INFINITY and max(sizes, default=0) + _FREE_BYTES_NEEDED > limit
    return False


def fsync_directory(directory: Path) -> None:
    """Make a rename or a new file in ``directory`` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
