"""Checkpoints: outputs, changed state and position become durable together, so that every effect happens once.

The order is (a) outputs, (b) changed values and deletions, (c) the header with the next source offsets, (d) offsets
told to the broker. In the embedded log all of it is one transaction. After a crash, the records behind the header are
folded again; what they gave the first time was either written with the header or not at all.

The agents call :meth:`Checkpointer.applied` after each record, and nothing is awaited while a record is applied or a
checkpoint is written, so a checkpoint never sees half a record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from monitor.live.tables import FoldTable
from monitor.log.records import Checkpoint, LogBusyError, LogFullError, NewRecord

_LOG: Final = structlog.get_logger(__name__)
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 30.0


class CheckpointStore(Protocol):
    """The log that checkpoints are written to."""

    @property
    def generation(self) -> str:
        """The id of this history of folding."""
        ...

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Make it durable in the order above, or raise ``LogError`` with nothing written out of order."""
        ...


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


class Checkpointer:
    """Collects what the agents did, and writes it. Not safe for threads: it lives in the event loop's thread."""

    def __init__(
        self,
        store: CheckpointStore,
        settings: CheckpointSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings or CheckpointSettings()
        self._clock = clock
        self._generation = store.generation
        self._tables: list[FoldTable[Any]] = []
        self._outputs: list[NewRecord] = []
        self._headers: dict[tuple[str, int], int] = {}
        self._records = 0
        self._first_applied_at: float | None = None
        self._last_applied_at = 0.0
        self._retry_s = _FIRST_RETRY_S
        self._retry_at: float | None = None
        self.blocked: str | None = None
        self.last_commit_at: float | None = None
        self.commits = 0

    @property
    def generation(self) -> str:
        """The generation all of this work belongs to; part of a contribution's identity."""
        return self._generation

    def add_table(self, table: FoldTable[Any]) -> None:
        """Write the changes of ``table`` with every checkpoint from now on."""
        self._tables.append(table)

    # What the agents did

    def emit(self, topic: str, partition: int, key: bytes | None, value: bytes, timestamp_us: int) -> None:
        """Add an output; it enters the log with the next checkpoint, in the order of the calls."""
        self._outputs.append(NewRecord(topic, partition, value, key=key, timestamp_us=timestamp_us))

    def applied(self, topic: str, partition: int, next_offset: int) -> None:
        """Note that a source record has been folded whole; the next one is at ``next_offset``."""
        now = self._clock()
        if self._first_applied_at is None:
            self._first_applied_at = now
        self._last_applied_at = now
        self._records += 1
        self._headers[topic, partition] = next_offset

    # Writing it

    @property
    def pending_records(self) -> int:
        """Source records folded since the last checkpoint."""
        return self._records

    @property
    def pending_outputs(self) -> int:
        """Outputs that are not in the log yet."""
        return len(self._outputs)

    def due(self) -> bool:
        """True when a checkpoint should be written now: by time, by number of records, or because it is quiet."""
        if self._first_applied_at is None:
            return False
        now = self._clock()
        if self._retry_at is not None:
            return now >= self._retry_at
        return (
            self._records >= self._settings.records
            or now - self._first_applied_at >= self._settings.interval_s
            or now - self._last_applied_at >= self._settings.idle_s
        )

    def overdue(self) -> bool:
        """True when agents must wait before they fold more, because the log cannot take a checkpoint now."""
        return self.blocked is not None

    def commit(self) -> bool:
        """Write what is pending; False if the disk is full or the log is locked, in which case it stays pending.

        Any other ``LogError`` is raised: then the process must end without writing anything more.
        """
        changes = [change for table in self._tables for change in table.changes()]
        if not (self._headers or self._outputs or changes):
            return True
        try:
            self._store.checkpoint(Checkpoint(self._generation, self._outputs, changes, self._headers))
        except (LogFullError, LogBusyError) as error:
            self._blocked_by(error)
            return False
        for table in self._tables:
            table.forget_changes()
        self._outputs = []
        self._headers = {}
        self._records = 0
        self._first_applied_at = None
        self.last_commit_at = self._clock()
        self.commits += 1
        if self.blocked is not None:
            _LOG.info("checkpoint_unblocked", records_waiting=0)
        self._retry_at, self._retry_s, self.blocked = None, _FIRST_RETRY_S, None
        return True

    def _blocked_by(self, error: Exception) -> None:
        self.blocked = str(error)
        _LOG.error(
            "checkpoint_blocked",
            reason=self.blocked,
            retry_in_s=self._retry_s,
            records=self._records,
            outputs=len(self._outputs),
        )
        self._retry_at = self._clock() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)
