"""The live engine: Faust agents that fold the log's topics, their checkpoints, and a clean end.

One agent per source topic takes its records one by one, in the order of each partition, and hands them whole to a
:class:`Handler`. Nothing is awaited while a record is folded, so a checkpoint falls between two records. What Faust
would do with an error (restart the agent and acknowledge the record) is kept from happening: any error in a handler,
a checkpoint or Faust itself ends the process without another checkpoint, and the records since the last one are
folded again by the next start, or by another worker.

A partition and the state folded from it move between workers as one *shard* (:mod:`monitor.live.shards`).

The engine knows no business: handlers and tables are given to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import structlog

from monitor.live.checkpoint import Checkpointer, CheckpointSettings
from monitor.live.faust_app import make_app
from monitor.live.shards import Shards
from monitor.live.status import Status, StatusFile
from monitor.live.tables import FoldTable
from monitor.live.watchdog import StalledError, Watchdog
from monitor.log.protocol import Backend
from monitor.log.records import LogBusyError, LogError, LogFullError, Shard
from monitor.log.topics import EVENTS

V = TypeVar("V")

_LOG: Final = structlog.get_logger(__name__)
_STOP_S: Final = 2.0
_LAST_CHECKPOINT_S: Final = 10.0  # who stops a process commonly gives it half a minute
_TRIM_S: Final = 60.0
_REPORT_S: Final = 2.0


class EngineError(Exception):
    """The engine cannot start, or had to end; the message says why and what to do."""


_SAID: Final = (EngineError, LogError, StalledError)
"""Errors whose message says all there is to say."""


class Handler(Protocol):
    """What is done with the records of one source topic."""

    def recovered(self, partition: int) -> None:
        """Called when the tables of a partition are restored here, before its first record."""
        ...

    def released(self, partition: int) -> None:
        """Called when a partition has gone to another worker."""
        ...

    def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes, foreign: bool) -> None:
        """Fold one record whole, changing tables and emitting outputs; an exception ends the process.

        Bad input is the handler's to catch and to dead-letter. ``foreign``: see
        :class:`~monitor.log.records.LogRecord`.
        """
        ...


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``watchdog_s``: end after so long without progress though records wait. ``kept_records``: how many folded
    records of a derived source topic stay in the log behind the fold."""

    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    watchdog_s: float = 60.0
    kept_records: int = 10_000


class Engine:
    """Folds one log. Make it, add tables and handlers, then ``await run()`` once."""

    def __init__(self, backend: Backend, settings: EngineSettings | None = None) -> None:
        self._backend = backend
        self._settings = settings or EngineSettings()
        self._app = make_app(backend.group)
        self._app.transport = backend.transport(self._app)
        self._handlers: dict[str, Handler] = {}
        self._stop = asyncio.Event()
        self._due = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._failure: BaseException | None = None
        self.checkpointer = Checkpointer(backend.store, self._settings.checkpoint)
        self._shards = Shards(backend, self.checkpointer, self._handlers, self._save)
        self._app.keeper = self._shards
        self.ready = self._shards.ready
        self.applied_records = 0
        self.saved = False  # at the end: everything that was folded

    # What it is made of

    def table(
        self, name: str, *, topic: str, encode: Callable[[V], bytes], decode: Callable[[bytes], V]
    ) -> FoldTable[V]:
        """A table of the state folded from ``topic``, with the partitions of that topic."""
        table: FoldTable[V] = FoldTable(
            self._app,
            name=name,
            source=topic,
            partitions=self._backend.partitions[topic],
            encode=encode,
            decode=decode,
        )
        self._app.tables.add(table)
        self._shards.add_table(table)
        self.checkpointer.add_table(table)
        return table

    def handle(self, topic: str, handler: Handler) -> None:
        """Fold the records of ``topic`` with ``handler``."""
        self._handlers[topic] = handler
        source = self._app.topic(
            self._backend.topic(topic),
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            partitions=self._backend.partitions[topic],
            acks=False,
        )

        async def agent(stream: Any) -> None:
            async for event in stream.events():
                await self._room.wait()
                if self._stop.is_set():
                    await asyncio.Event().wait()  # until cancelled: returning would restart the agent
                self._fold(handler, topic, event.message)
                if self.checkpointer.due():
                    self._due.set()
                    await asyncio.sleep(0)

        self._app.agent(source, name=f"fold-{topic}", concurrency=1)(agent)

    # Running

    async def run(self, *companions: Callable[[], Awaitable[None]]) -> None:
        """Fold until SIGINT, SIGTERM or :meth:`stop`, with ``companions`` (web server, ticker) beside it.

        Companions start at once, before the tables are restored (wait for ``ready``), and are cancelled at the
        end. Raises ``EngineError`` if something failed, ``LogError`` if the log is held by another `run`.
        """
        with self._backend.hold():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.stop)
            status = None if self._backend.directory is None else StatusFile(self._backend.directory)
            parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
                ("faust", self._run_faust),
                ("checkpoints", self._checkpoint_when_due),
                ("watchdog", Watchdog(self, self._settings.watchdog_s).run),
                ("retention", self._trim_now_and_then),
                ("report", self._report_now_and_then),
                *((getattr(c, "__qualname__", "companion"), c) for c in companions),
            ]
            if status is not None:
                parts.append(("status", lambda: status.keep(self.status)))
            tasks = [asyncio.create_task(self._guarded(name, part)) for name, part in parts]
            try:
                await self._stop.wait()
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.remove_signal_handler(number)
                await self._end(*tasks)
                if status is not None:
                    status.remove()
        if self._failure is not None:
            name = "" if isinstance(self._failure, _SAID) else f"{type(self._failure).__name__}: "
            raise EngineError(f"The monitor had to end: {name}{self._failure}") from self._failure

    def stop(self) -> None:
        """End after a last checkpoint; may be called more than once."""
        self._stop.set()

    def fail(self, error: BaseException, **where: Any) -> None:
        """End without another checkpoint because of ``error``; the first error counts."""
        if self._failure is None:
            self._failure = error
            if isinstance(error, _SAID):
                _LOG.error("engine_failed", reason=str(error), **where)
            else:
                _LOG.error("engine_failed", error=repr(error), exc_info=error, **where)
        self._stop.set()

    async def _guarded(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except Exception as error:
            self.fail(error, part=name)

    async def _run_faust(self) -> None:
        await self._app.start()
        await self._app.wait_until_stopped()
        if not self._stop.is_set():
            # What Faust's services raise is the cause; the rest of its message names only them.
            cause = self._app.crash_reason
            if isinstance(cause, EngineError | LogError):
                raise cause
            raise EngineError(f"Faust has stopped: {cause!r}")

    async def _end(self, faust: asyncio.Task[None], *others: asyncio.Task[None]) -> None:
        # The state is saved first: whatever then goes wrong with stopping costs nothing.
        try:
            self.saved = await asyncio.wait_for(self._save(), _LAST_CHECKPOINT_S)
        except TimeoutError:
            self.saved = False
        if not self.saved:
            _LOG.error("ended_without_checkpoint", records=self.checkpointer.pending_records)
        for task in others:
            task.cancel()
        try:
            await asyncio.wait_for(self._app.stop(), _STOP_S)
        except Exception as error:
            _LOG.warning("faust_did_not_stop", error=repr(error))
        faust.cancel()
        await asyncio.wait((faust, *others), timeout=_STOP_S)
        await self._shards.release_all()

    def _fold(self, handler: Handler, topic: str, message: Any) -> None:
        shard, offset = Shard(topic, message.partition), message.offset
        expected = self._shards.expected(shard)
        if message.generation_id != self._app.consumer_generation_id or expected is None or offset < expected:
            return  # fetched for an earlier assignment, or from where the fold stood then: it comes again
        try:
            if message.follows > expected:
                raise EngineError(
                    f"Records {expected} to {message.follows - 1} of {topic}-{shard.partition} did not arrive."
                )
            handler.apply(shard.partition, offset, round(message.timestamp * 1e6), message.value, message.foreign)
        except BaseException as error:
            self.fail(error, topic=topic, partition=shard.partition, offset=offset)
            if not isinstance(error, Exception):
                raise
            return
        self.applied_records += 1
        self.checkpointer.applied(shard, offset + 1)
        if self.checkpointer.overfull():
            self._room.clear()

    # Checkpoints

    async def _save(self) -> bool:
        if self._failure is not None:
            return False  # a record may be half folded
        try:
            done = await self.checkpointer.commit()
        except Exception as error:
            self.fail(error, part="checkpoint")
            return False
        if self.checkpointer.overfull():
            self._room.clear()
        else:
            self._room.set()
        return done

    async def _checkpoint_when_due(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), self._settings.checkpoint.idle_s)
            self._due.clear()
            if self.checkpointer.due():
                await self._save()

    async def _trim_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_TRIM_S)
            with contextlib.suppress(LogFullError, LogBusyError):  # the checkpoints report it; next time, then
                for shard, position in self.checkpointer.saved.items():
                    if shard.topic != EVENTS:
                        await self._backend.store.trim(shard, position - self._settings.kept_records)

    async def _report_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_S)
            if self.ready.is_set():
                with contextlib.suppress(LogBusyError):  # the checkpoints report it
                    await self._backend.report(self._app.consumer, dict(self.checkpointer.saved))

    # Being looked at

    def lag(self) -> dict[Shard, int]:
        """For each shard held here, how many records of the log have not been folded yet."""
        return {
            shard: self._backend.lag(self._app.consumer, shard, position)
            for shard, position in self.checkpointer.positions.items()
        }

    def progress(self) -> int:
        """A number that rises while records are folded or shards restored."""
        return self.applied_records + self._shards.restored_entries

    def status(self) -> Status:
        """How the engine is doing, for readiness, metrics and the status file."""
        return Status(
            recovered=self.ready.is_set(),
            lag_records=sum(self.lag().values()),
            applied_records=self.applied_records,
            pending_records=self.checkpointer.pending_records,
            pending_outputs=self.checkpointer.pending_outputs,
            checkpoints=self.checkpointer.commits,
            blocked=self.checkpointer.blocked,
        )
