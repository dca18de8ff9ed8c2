"""What every log promises. There are two: :class:`~monitor.log.embedded.EmbeddedLog`, one SQLite file for one machine,
and :class:`~monitor.log.kafka.KafkaLog`, topics of Apache Kafka. One suite of tests holds both to it.

1. A call that writes returns once all of it is durable; if it raises, nothing of it is ever seen.
2. Offsets of a partition rise in the order of its records; they are allocated by the log, never by a writer. There may
   be numbers without a record.
3. Reading sees whole writes only, and never fewer than it saw before.
4. The state of a shard is written by its owner alone; who takes a shard over shuts its last owner out first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from monitor.log.records import Change, Checkpoint, LogError, LogRecord, NewRecord, Shard

#: Makes the records of one write, given by how much (µs) times that hang together are to lie ahead: 0 at first, more
#: each time another writer came between.
Make = Callable[[int], list[NewRecord]]


class Log(Protocol):
    """A log as the gateway, the exports and the read side use it. Every method may raise :class:`LogError`."""

    @property
    def name(self) -> str:
        """How messages call it: a path or a URL, without secrets."""
        ...

    @property
    def scratch(self) -> Path:
        """A directory for temporary files."""
        ...

    @property
    def partitions(self) -> int:
        """Partitions of the topic ``events``."""
        ...

    @property
    def generation(self) -> str:
        """The id of this history of folding."""
        ...

    @property
    def state_version(self) -> str | None:
        """The version of the folds that write the state; ``None`` before the first."""
        ...

    def topics(self) -> dict[str, int]:
        """Every topic with its number of partitions."""
        ...

    # Records

    def append(self, records: Iterable[NewRecord]) -> list[int]:
        """Write ``records``, all or none, and return their offsets in the same order."""
        ...

    def append_made(self, make: Make) -> list[int]:
        """Like :meth:`append`, of the records that ``make`` gives.

        What ``make`` reads by :meth:`last_records` is still so when its records are written, or it is called again,
        unless ``holds_until_us`` of every record allows for what came between.
        """
        ...

    def last_records(self, partition: int) -> tuple[int, list[LogRecord]]:
        """The end of a partition of ``events``, and those of its last records that tell how far it has come: the
        greatest time among them is that of the partition."""
        ...

    def scan(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[LogRecord]:
        """The records from offset ``start`` (or the first that is kept) up to ``end``, or to where the log ends at the
        call. Memory does not grow with the log."""
        ...

    def find(self, key: str) -> Iterator[LogRecord]:
        """The records of ``events``, in order, that hold events of ``key`` (a parcel), and perhaps some others."""
        ...

    def first_offset(self, topic: str, partition: int) -> int:
        """The first offset that has not been trimmed."""
        ...

    def end_offset(self, topic: str, partition: int) -> int:
        """The offset behind the last record that can be read."""
        ...

    def ends(self, topic: str) -> list[int]:
        """:meth:`end_offset` of every partition of ``topic``, at one moment."""
        ...

    def waiting(self, shard: Shard, next_offset: int) -> int:
        """How many records of a source topic are to be folded from ``next_offset`` on: 0 exactly when there is none,
        else an estimate that counts at least the last one."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """What is read inside is of one moment, whatever others write meanwhile. Not for long."""
        ...

    # State

    def changes(self, shard: Shard, after_offset: int = -1) -> Iterator[Change]:
        """The last change of every key of a shard's state after ``after_offset``, by rising offset; a key that changed
        more than once may come more than once, the last one last. ``LogError`` if deletions since are forgotten."""
        ...

    def headers(self) -> dict[Shard, int]:
        """For each shard folded so far, the offset of the next record to fold, as of its last checkpoint."""
        ...

    def close(self) -> None:
        """Give back what is held; closing twice does no harm."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class StateStore(Protocol):
    """Where the live driver keeps the state of the shards it owns."""

    @property
    def generation(self) -> str:
        """The id of this history of folding; part of a contribution's identity."""
        ...

    async def acquire(self, shard: Shard) -> int:
        """Become the only writer of the shard's state: whoever was it before can write no more of it. Returns the
        offset of the next record to fold, as of the last checkpoint; 0 before the first."""
        ...

    async def release(self, shard: Shard) -> None:
        """Give the shard up; it must not be written any more before it is acquired again."""
        ...

    def restore(self, shard: Shard) -> AsyncIterator[Sequence[Change]]:
        """All of the shard's state in parts, as :meth:`Log.changes`; other tasks run in between."""
        ...

    async def write(self, work: Sequence[Checkpoint]) -> list[tuple[Checkpoint, LogError]]:
        """Make checkpoints durable, each whole or not at all; those that could not be written, with the reason:
        :class:`LogFullError` and :class:`LogBusyError` (try again), :class:`FencedError` (the shard is lost), or
        another that should end the process."""
        ...

    async def trim(self, shard: Shard, before_offset: int) -> None:
        """Delete the records of a derived source topic below ``before_offset``; some may stay."""
        ...


class Backend(Protocol):
    """A log as the live engine sees it: where the state lies, and how Faust reaches the source topics."""

    @property
    def store(self) -> StateStore:
        """The state."""
        ...

    @property
    def partitions(self) -> Mapping[str, int]:
        """Every source topic (``events``, ``contributions``) with its number of partitions."""
        ...

    @property
    def directory(self) -> Path | None:
        """Where the engine's status file lies; ``None`` if there is none."""
        ...

    @property
    def group(self) -> str:
        """The workers that share the work bear this name; Faust calls it the app's ``id``."""
        ...

    def transport(self, app: Any) -> Any:
        """The Faust transport of ``app``."""
        ...

    def topic(self, source: str) -> str:
        """What the source topic is called in this log."""
        ...

    def hold(self) -> AbstractContextManager[None]:
        """Keep other workers off, where only one is allowed; ``LogError`` naming the other if there is one."""
        ...

    async def bounds(self, shard: Shard) -> tuple[int, int]:
        """The first offset that is kept and the one behind the last."""
        ...

    def lag(self, consumer: Any, shard: Shard, next_offset: int) -> int:
        """How many records wait from ``next_offset`` on, about; 0 exactly when none does. ``consumer``: Faust's."""
        ...

    async def report(self, consumer: Any, positions: Mapping[Shard, int]) -> None:
        """Tell the log's own tools how far the shards are, on which nothing depends. :class:`LogError` if the
        generation is no longer the log's, or the log cannot be reached now (:class:`LogBusyError`)."""
        ...
