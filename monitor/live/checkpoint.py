"""Checkpoints: outputs, changed state and position of a shard become durable together, so every effect happens once.

A checkpoint is one transaction of the log, for each shard: outputs, changed values and deletions, the position they
follow from. After a crash, the records behind the position are folded again; what they gave the first time was
either written with the position or not at all.

The agents call :meth:`Checkpointer.applied` after each record. What is written is collected between two records, so a
checkpoint never sees half a record; while a log takes its time to write it, folding goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from monitor.live.tables import FoldTable
from monitor.log.protocol import StateStore
from monitor.log.records import Checkpoint, LogBusyError, LogError, LogFullError, NewRecord, Shard

_LOG: Final = structlog.get_logger(__name__)
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 30.0
_MOST_WAITING: Final = 4  # intervals' worth of records that may be folded while a checkpoint is being written


@dataclass(frozen=True, slots=True)
class CheckpointSettings:
    """When a checkpoint is due: ``interval_s`` after the first record behind the last one, or after ``records``."""

    interval_s: float = 0.5
    records: int = 2_000
    idle_s: float = 0.05

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name in ("interval_s", "records", "idle_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must be greater than 0")


@dataclass(slots=True)
class _Pending:
    """What one shard did since its last checkpoint."""

    next_offset: int
    outputs: list[NewRecord] = field(default_factory=list)


class Checkpointer:
    """Collects what the agents did, and writes it. Not safe for threads: it lives in the event loop's thread."""

    def __init__(
        self,
        store: StateStore,
        settings: CheckpointSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings or CheckpointSettings()
        self._clock = clock
        self._generation = store.generation
        self._tables: list[FoldTable[Any]] = []
        self._pending: dict[Shard, _Pending] = {}
        self._unwritten: list[Checkpoint] = []  # collected, and refused by the log so far
        self._writing = asyncio.Lock()
        self._records = 0
        self._records_in_writing = 0
        self._first_applied_at: float | None = None
        self._last_applied_at = 0.0
        self._retry_s = _FIRST_RETRY_S
        self._retry_at: float | None = None
        self.positions: dict[Shard, int] = {}  # of the next record to fold
        self.saved: dict[Shard, int] = {}  # the same, as of the last checkpoint
        self.blocked: str | None = None
        self.last_commit_at: float | None = None
        self.commits = 0

    @property
    def generation(self) -> str:
        """The generation all of this work belongs to; part of a contribution's identity."""
        return self._generation

    def add_table(self, table: FoldTable[Any]) -> None:
        """Write the changes of ``table`` with every checkpoint of its shards from now on."""
        self._tables.append(table)

    def hold(self, shard: Shard, next_offset: int) -> None:
        """A shard has been restored; its next record is at ``next_offset``."""
        self.positions[shard] = self.saved[shard] = next_offset

    def drop(self, shard: Shard) -> None:
        """A shard has gone to another worker: what is pending of it is void, since that worker folds it again."""
        self.positions.pop(shard, None)
        self.saved.pop(shard, None)
        self._pending.pop(shard, None)
        self._unwritten = [one for one in self._unwritten if one.shard != shard]

    # What the agents did

    def emit(
        self, shard: Shard, topic: str, partition: int, key: bytes | None, value: bytes, timestamp_us: int
    ) -> None:
        """Add an output of the fold of ``shard``; outputs enter the log with its next checkpoint, in this order."""
        record = NewRecord(topic, partition, value, key=key, timestamp_us=timestamp_us)
        self._pending_of(shard).outputs.append(record)

    def applied(self, shard: Shard, next_offset: int) -> None:
        """Note that a source record has been folded whole; the next one is at ``next_offset``."""
        now = self._clock()
        if self._first_applied_at is None:
            self._first_applied_at = now
        self._last_applied_at = now
        self._records += 1
        self._pending_of(shard).next_offset = next_offset
        self.positions[shard] = next_offset

    def _pending_of(self, shard: Shard) -> _Pending:
        pending = self._pending.get(shard)
        if pending is None:
            pending = self._pending[shard] = _Pending(self.positions.get(shard, 0))
        return pending

    # Writing it

    @property
    def pending_records(self) -> int:
        """Source records folded and not yet in a checkpoint."""
        return self._records + self._records_in_writing

    @property
    def pending_outputs(self) -> int:
        """Outputs that are not in the log yet."""
        waiting = sum(len(pending.outputs) for pending in self._pending.values())
        return waiting + sum(len(one.outputs) for one in self._unwritten)

    def due(self) -> bool:
        """True when a checkpoint should be written now: by time, by number of records, or because it is quiet."""
        now = self._clock()
        if self._retry_at is not None:
            return now >= self._retry_at
        if self._first_applied_at is None:
            return False
        return (
            self._records >= self._settings.records
            or now - self._first_applied_at >= self._settings.interval_s
            or now - self._last_applied_at >= self._settings.idle_s
        )

    def overfull(self) -> bool:
        """True when agents must wait before they fold more: the log takes no checkpoint now, or is slow to."""
        return self.blocked is not None or self._records >= _MOST_WAITING * self._settings.records

    async def commit(self) -> bool:
        """Write what is pending; False if the log cannot take it now, in which case it stays pending.

        Any other ``LogError`` is raised: then the process must end without writing anything more.
        """
        async with self._writing:
            if self._unwritten and not await self._write(self._unwritten):
                return False
            work = self._collect()
            if work:
                return await self._write(work)
            self._unblocked()  # what could not be written may have gone to other workers
            return True

    def _collect(self) -> list[Checkpoint]:
        work = []
        for shard in sorted(self._pending):
            pending = self._pending[shard]
            changes = [
                change
                for table in self._tables
                if table.source == shard.topic
                for change in table.take_changes(shard.partition)
            ]
            work.append(Checkpoint(self._generation, shard, pending.outputs, changes, pending.next_offset))
        self._pending = {}
        self._records_in_writing += self._records
        self._records = 0
        self._first_applied_at = None
        return work

    async def _write(self, work: list[Checkpoint]) -> bool:
        self._unwritten = work
        refused = {one.shard: error for one, error in await self._store.write(work)}
        ours = self._unwritten  # without those of shards that went meanwhile, even if they have come back
        self._unwritten = [one for one in ours if one.shard in refused]
        errors = [refused[one.shard] for one in self._unwritten]
        for error in errors:
            if not isinstance(error, LogFullError | LogBusyError):
                raise error
        self.saved |= {one.shard: one.next_offset for one in ours if one.shard not in refused}
        if errors:
            self._blocked_by(errors[0])
            return False
        self.last_commit_at = self._clock()
        self.commits += 1
        self._unblocked()
        return True

    def _unblocked(self) -> None:
        self._records_in_writing = 0
        if self.blocked is not None:
            _LOG.info("checkpoint_unblocked", records_waiting=self._records)
        self._retry_at, self._retry_s, self.blocked = None, _FIRST_RETRY_S, None

    def _blocked_by(self, error: LogError) -> None:
        self.blocked = str(error)
        _LOG.error(
            "checkpoint_blocked",
            reason=self.blocked,
            retry_in_s=self._retry_s,
            records=self.pending_records,
            outputs=self.pending_outputs,
        )
        self._retry_at = self._clock() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)
