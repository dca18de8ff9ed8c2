"""A durable log in one SQLite file, for one machine: many processes may append, one ``run`` folds and
checkpoints.

Rules this module keeps:

1. A call that writes returns once its one transaction is on the disk (WAL, ``synchronous=FULL``); if it
   raises, nothing of it was written.
2. Offsets of a partition are contiguous and rise in the order of commits. They are allocated inside the write
   transaction, never from memory, because other processes append too.
3. No transaction stays open between two calls, but for reading inside :meth:`EmbeddedLog.snapshot` and for rewriting
   the events inside :meth:`EmbeddedLog.rewriting_events`.
4. Memory does not grow with the log: reads are ranges of the primary key.

A connection belongs to the thread that opened it.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from monitor.log.embedded import changelog, lock, schema
from monitor.log.embedded.backup import copy_to
from monitor.log.embedded.schema import FILE_NAME, OFFSETS_PER_STREAM, explained, transaction
from monitor.log.partition import key_hash
from monitor.log.protocol import Make
from monitor.log.records import Change, Checkpoint, LogBusyError, LogError, LogRecord, NewRecord, Shard
from monitor.log.topics import DEFAULT_PARTITIONS, EVENTS, MAX_PARTITIONS

_ROWS_PER_DELETE = 5_000


class EmbeddedLog:
    """The log in one directory. Every method may raise :class:`LogError`; those that write also its
    subclasses.
    """

    def __init__(self, directory: Path, *, read_only: bool) -> None:
        """Open an existing database; use :meth:`open`."""
        self.directory = directory
        self.path = directory / FILE_NAME
        self._connection = schema.connect(self.path, read_only=read_only)
        self._rewriting = False

    @classmethod
    def open(
        cls, directory: Path, *, create: bool = True, partitions: int | None = None, read_only: bool = False
    ) -> EmbeddedLog:
        """Open the log in ``directory``; with ``create`` make the directory and the log if they are not
        there.

        ``partitions`` of the topic ``events`` count at creation only (default 4); later they must agree.
        """
        if partitions is not None and not 1 <= partitions <= MAX_PARTITIONS:
            raise LogError(f"partitions = {partitions}: give a number from 1 to {MAX_PARTITIONS}.")
        create = create and not read_only
        with explained(directory / FILE_NAME):
            if create:
                directory.mkdir(parents=True, exist_ok=True)
            elif not (directory / FILE_NAME).is_file():
                raise LogError(f"There is no event log in {directory}; `run` or `ingest` creates one.")
            log = cls(directory, read_only=read_only)
            try:
                log._begin(create, partitions)
            except BaseException:
                log.close()
                raise
        return log

    def _begin(self, create: bool, partitions: int | None) -> None:
        if schema.is_empty(self._connection):
            if not create:
                raise LogError(f"{self.path} is an empty file; `run` or `ingest` makes a log of it.")
            schema.create(self._connection, partitions or DEFAULT_PARTITIONS)
        meta = schema.check(self._connection, self.path)
        self.partitions = int(meta["partitions"])
        if partitions is not None and partitions != self.partitions:
            raise LogError(
                f"{self.path} has {self.partitions} partitions, not {partitions}; keep {self.partitions}, or "
                "`export events` and `ingest` them into a new directory."
            )
        self._streams: dict[tuple[str, int], int] = {
            (name, partition): id_
            for id_, name, partition in self._connection.execute(
                "SELECT id, name, partition FROM stream WHERE kind = 'topic'"
            )
        }

    def close(self) -> None:
        """Close the connection; closing twice does no harm."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Identity

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self.path)

    @property
    def scratch(self) -> Path:
        """The log's own directory: what is sorted there fits where the log fits."""
        return self.directory

    @property
    def generation(self) -> str:
        """The id of this history of folding; a rebuild or a restored backup begins another."""
        with explained(self.path):
            return schema.check(self._connection, self.path)["generation"]

    @property
    def state_version(self) -> str | None:
        """The version of the folds that wrote the tables; ``None`` until :meth:`new_generation` names one."""
        with explained(self.path):
            return schema.check(self._connection, self.path).get("state_version")

    def new_generation(self, state_version: str | None = None) -> str:
        """Forget all that was derived (tables, headers, outputs) and return the new generation's id.

        Appended records stay, and offsets go on rising; what follows is folded from the first record again.
        """
        with explained(self.path), transaction(self._connection):
            return schema.new_generation(self._connection, state_version)

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """Hold the directory for one ``run``; ``LogError`` naming the other process if there is one."""
        return lock.exclusive(self.directory)

    # Records

    def topics(self) -> dict[str, int]:
        """Every topic with its number of partitions."""
        counts: dict[str, int] = defaultdict(int)
        for topic, _ in self._streams:
            counts[topic] += 1
        return dict(counts)

    def append(self, records: Iterable[NewRecord]) -> list[int]:
        """Write ``records`` in one durable transaction and return their offsets, in the same order."""
        batch = list(records)
        return self.append_made(lambda _: batch) if batch else []

    def append_made(self, make: Make) -> list[int]:
        """Like :meth:`append`, of the records that ``make`` gives; it is called inside the transaction, so what it
        reads of this log cannot be stale, whoever else appends.
        """
        if self._rewriting:
            with explained(self.path):
                return self._insert(make(0), derived=False)
        while True:
            try:
                with explained(self.path), transaction(self._connection):
                    return self._insert(make(0), derived=False)
            except LogBusyError:
                if not lock.is_rewriting(self.directory):
                    raise

    @contextlib.contextmanager
    def rewriting_events(self, state_version: str | None = None) -> Iterator[None]:
        """All that is appended inside, and a new generation behind it, is one durable transaction; nothing of it is
        written if the block raises or the process dies.

        Other programs read the log as it was, and wait with what they append, however long it takes.
        """
        with lock.rewriting(self.directory), explained(self.path), transaction(self._connection):
            self._rewriting = True
            try:
                yield
                schema.new_generation(self._connection, state_version)
            finally:
                self._rewriting = False

    def forget_events(self) -> None:
        """Delete every record of the topic ``events``, inside :meth:`rewriting_events`; offsets go on rising."""
        if not self._rewriting:
            raise LogError("The topic events is the log of record; it is emptied only to be rewritten.")
        with explained(self.path):
            for stream in (id_ for (name, _), id_ in self._streams.items() if name == EVENTS):
                start, end = self._connection.execute(
                    "SELECT first_offset, next_offset FROM stream WHERE id = ?", (stream,)
                ).fetchone()
                first = stream * OFFSETS_PER_STREAM
                for offset in range(start, end, _ROWS_PER_DELETE):  # in steps, so that memory does not grow
                    self._connection.execute(
                        "DELETE FROM record WHERE position >= ? AND position < ?",
                        (first + offset, first + min(offset + _ROWS_PER_DELETE, end)),
                    )
                self._connection.execute("UPDATE stream SET first_offset = next_offset WHERE id = ?", (stream,))
            self._connection.execute("DELETE FROM event_index")

    def _insert(self, records: list[NewRecord], *, derived: bool) -> list[int]:
        by_stream: dict[int, list[int]] = defaultdict(list)
        for i, record in enumerate(records):
            by_stream[self._stream(record.topic, record.partition)].append(i)
        offsets = [0] * len(records)
        index: list[tuple[int, int]] = []
        for stream, members in by_stream.items():
            (next_offset,) = self._connection.execute(
                "SELECT next_offset FROM stream WHERE id = ?", (stream,)
            ).fetchone()
            first = stream * OFFSETS_PER_STREAM
            rows = []
            for offset, i in enumerate(members, next_offset):
                record = records[i]
                offsets[i] = offset
                rows.append((first + offset, record.timestamp_us, derived, record.key, record.value))
                index.extend((key_hash, first + offset) for key_hash in record.index_keys)
            self._connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?)", rows)
            self._connection.execute(
                "UPDATE stream SET next_offset = ? WHERE id = ?", (next_offset + len(rows), stream)
            )
        index.sort()  # neighbours share pages, so fewer pages are written
        self._connection.executemany("INSERT OR IGNORE INTO event_index VALUES (?, ?)", index)
        return offsets

    def read(
        self, topic: str, partition: int, offset: int, limit_records: int = 500, limit_bytes: int = 4 << 20
    ) -> list[LogRecord]:
        """The records from ``offset`` on, up to both limits (one record at least); empty at the end of the
        log.

        Where records have been trimmed it goes on with the first that is kept.
        """
        first = self._stream(topic, partition) * OFFSETS_PER_STREAM
        records: list[LogRecord] = []
        size = 0
        with explained(self.path):
            cursor = self._connection.execute(
                "SELECT position, key, value, timestamp_us FROM record"
                " WHERE position >= ? AND position < ? ORDER BY position LIMIT ?",
                (first + max(offset, 0), first + OFFSETS_PER_STREAM, limit_records),
            )
            with contextlib.closing(cursor):
                for position, key, value, timestamp_us in cursor:
                    size += len(value)
                    if records and size > limit_bytes:
                        break
                    records.append(LogRecord(topic, partition, position - first, key, value, timestamp_us))
        return records

    def scan(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[LogRecord]:
        """The records from ``start`` on, up to ``end`` or the end of the log at the call."""
        return self._scan(topic, partition, start, self.end_offset(topic, partition) if end is None else end)

    def _scan(self, topic: str, partition: int, start: int, end: int) -> Iterator[LogRecord]:
        while start < end:
            for record in (records := self.read(topic, partition, start)):
                if record.offset >= end:
                    return
                yield record
            start = records[-1].offset + 1 if records else end

    def last_records(self, partition: int) -> tuple[int, list[LogRecord]]:
        """The end of a partition of ``events`` and its last record; nothing can come between while appending."""
        end = self.end_offset(EVENTS, partition)
        return end, self.read(EVENTS, partition, end - 1, 1) if end else []

    def find(self, key: str) -> Iterator[LogRecord]:
        """The records of ``events`` appended with the hash of ``key`` among their ``index_keys``."""
        for partition, offset in self.positions(key_hash(key)):
            yield from self.read(EVENTS, partition, offset, 1)

    def first_offset(self, topic: str, partition: int) -> int:
        """The offset of the first record that has not been trimmed (or would be written next)."""
        return self._bounds(topic, partition)[0]

    def end_offset(self, topic: str, partition: int) -> int:
        """The highwater: the offset that the next record gets."""
        return self._bounds(topic, partition)[1]

    def waiting(self, shard: Shard, next_offset: int) -> int:
        """How many records of a source topic are to be folded from ``next_offset`` on."""
        first, end = self._bounds(*shard)
        return end - max(next_offset, first)

    def ends(self, topic: str) -> list[int]:
        """:meth:`end_offset` of every partition of ``topic``, at one moment."""
        with self.snapshot():
            return [self.end_offset(topic, partition) for partition in range(self.topics()[topic])]

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        stream = self._stream(topic, partition)
        with explained(self.path):
            first_offset, next_offset = self._connection.execute(
                "SELECT first_offset, next_offset FROM stream WHERE id = ?", (stream,)
            ).fetchone()
        return first_offset, next_offset

    def positions(self, key_hash: int) -> list[tuple[int, int]]:
        """(partition, offset) of the ``events`` records appended with ``key_hash`` among their
        ``index_keys``.

        A hash may be shared by two keys, so the reader still looks at the events inside.
        """
        partition_of_stream = {id_: p for (name, p), id_ in self._streams.items() if name == EVENTS}
        with explained(self.path):
            rows = self._connection.execute(
                "SELECT position FROM event_index WHERE key_hash = ? ORDER BY position", (key_hash,)
            ).fetchall()
        split = (divmod(position, OFFSETS_PER_STREAM) for (position,) in rows)
        return [(partition_of_stream[stream], offset) for stream, offset in split]

    def trim(self, topic: str, partition: int, before_offset: int) -> int:
        """Delete the records below ``before_offset`` and return how many; the truth (``events``) cannot be
        trimmed.
        """
        if topic == EVENTS:
            raise LogError("The topic events is the log of record; it is never trimmed.")
        stream = self._stream(topic, partition)
        first = stream * OFFSETS_PER_STREAM
        offset, end = self._bounds(topic, partition)
        start, last = offset, min(before_offset, end)
        while offset < last:  # in steps, so that no other writer waits long
            offset = min(offset + _ROWS_PER_DELETE, last)
            with explained(self.path), transaction(self._connection):
                self._connection.execute(
                    "DELETE FROM record WHERE position >= ? AND position < ?", (first, first + offset)
                )
                self._connection.execute("UPDATE stream SET first_offset = ? WHERE id = ?", (offset, stream))
        return max(last - start, 0)

    def data_version(self) -> int:
        """A number that differs from the last call's when another connection has committed in between.

        This connection's own commits do not change it.
        """
        with explained(self.path):
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment, whatever others write meanwhile. Not for long: the WAL grows.

        One inside another is the same moment.
        """
        if self._connection.in_transaction:
            yield
            return
        with explained(self.path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    # State

    def changes(self, shard: Shard, after_offset: int = -1) -> Iterator[Change]:
        """The last change of each key of a shard's state after ``after_offset``, by rising offset."""
        with explained(self.path):
            yield from changelog.read(self._connection, shard, after_offset)

    def headers(self) -> dict[Shard, int]:
        """For each shard folded so far, the offset of the next record to fold."""
        with explained(self.path):
            rows = self._connection.execute("SELECT topic, partition, next_offset FROM header")
            return {Shard(topic, partition): next_offset for topic, partition, next_offset in rows}

    def checkpoint(self, work: Sequence[Checkpoint]) -> None:
        """Write outputs, changed values, deletions and headers in one durable transaction.

        ``LogError`` if the log's generation is no longer that of a checkpoint: its work belongs to a past history.
        """
        if any(record.topic == EVENTS for one in work for record in one.outputs):
            raise LogError("A checkpoint cannot write to the topic events: it holds only what came from outside.")
        with explained(self.path), transaction(self._connection):
            generation = schema.check(self._connection, self.path)["generation"]
            for one in work:
                if one.generation != generation:
                    raise LogError(f"{self.path} has begun another generation; start `run` again.")
                self._insert(list(one.outputs), derived=True)
                changelog.write(self._connection, one.shard, one.changes)
                self._connection.execute(
                    "INSERT OR REPLACE INTO header VALUES (?, ?, ?)", (*one.shard, one.next_offset)
                )

    def backup(self, out: Path) -> None:
        """Copy the log as it stands at this moment into the file ``out``; others may go on writing to it."""
        with explained(out):
            copy_to(self._connection, out)

    def _stream(self, topic: str, partition: int) -> int:
        try:
            return self._streams[topic, partition]
        except KeyError:
            raise LogError(f"{self.path} has no topic {topic} with a partition {partition}.") from None
