"""The live engine: Faust agents that fold the log's topics, their checkpoints, and a clean end.

One agent per source topic takes its records one by one, in the order of each partition, and hands them whole to a
:class:`Handler`. Nothing is awaited while a record is folded, so a checkpoint falls between two records. What Faust
would do with an error (restart the agent and acknowledge the record) is kept from happening: any error in a handler,
a checkpoint or Faust itself ends the process without another checkpoint, and the records since the last one are
folded again by the next start.

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
from monitor.live.status import Status, StatusFile
from monitor.live.tables import FoldTable
from monitor.live.watchdog import StalledError, Watchdog
from monitor.log import transport
from monitor.log.embedded import EmbeddedLog, LogBusyError, LogError, LogFullError
from monitor.log.topics import EVENTS

V = TypeVar("V")

_LOG: Final = structlog.get_logger(__name__)
_STOP_S: Final = 2.0
_STATUS_S: Final = 0.2
_TRIM_S: Final = 60.0


class EngineError(Exception):
    """The engine cannot start, or had to end; the message says why and what to do."""


class Handler(Protocol):
    """What is done with the records of one source topic."""

    def recovered(self, partition: int) -> None:
        """Called once per partition when all tables are restored, before its first record."""
        ...

    def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes) -> None:
        """Fold one record whole, changing tables and emitting outputs; an exception ends the process.

        Bad input is the handler's to catch and to dead-letter.
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

    def __init__(
        self, log: EmbeddedLog, settings: EngineSettings | None = None, *, name: str = "channel-monitor"
    ) -> None:
        transport.register()
        self._log = log
        self._settings = settings or EngineSettings()
        self._app = make_app(name, transport.broker_url(log.directory))
        self._handlers: dict[str, Handler] = {}
        self._tables: list[FoldTable[Any]] = []
        self._next: dict[tuple[str, int], int] = {}
        self._stop = asyncio.Event()
        self._unblocked = asyncio.Event()
        self._unblocked.set()
        self._failure: BaseException | None = None
        self.checkpointer = Checkpointer(log, self._settings.checkpoint)
        self.ready = asyncio.Event()
        self.applied_records = 0

    # What it is made of

    def table(
        self, name: str, *, topic: str, encode: Callable[[V], bytes], decode: Callable[[bytes], V]
    ) -> FoldTable[V]:
        """A table of the state folded from ``topic``, with the partitions of that topic."""
        table: FoldTable[V] = FoldTable(
            self._app,
            name=name,
            partitions=self._log.topics()[topic],
            changelog=self._log,
            encode=encode,
            decode=decode,
        )
        self._app.tables.add(table)
        self._tables.append(table)
        self.checkpointer.add_table(table)
        return table

    def handle(self, topic: str, handler: Handler) -> None:
        """Fold the records of ``topic`` with ``handler``."""
        self._handlers[topic] = handler
        source = self._app.topic(
            topic,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            partitions=self._log.topics()[topic],
            acks=False,
        )

        async def agent(stream: Any) -> None:
            async for event in stream.events():
                message = event.message
                await self._unblocked.wait()
                if self._stop.is_set():
                    await asyncio.Event().wait()  # until cancelled: returning would restart the agent
                self._fold(handler, topic, message.partition, message.offset, message.timestamp, message.value)

        self._app.agent(source, name=f"fold-{topic}", concurrency=1)(agent)

    # Running

    async def run(self, *companions: Callable[[], Awaitable[None]]) -> None:
        """Fold until SIGINT, SIGTERM or :meth:`stop`, with ``companions`` (web server, ticker) beside it.

        Companions start at once, before the tables are restored (wait for ``ready``), and are cancelled at the
        end. Raises ``EngineError`` if something failed, ``LogError`` if another `run` has the directory.
        """
        with self._log.exclusive():
            self._find_positions()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.stop)
            self._app.on_rebalance_complete.connect(self._on_recovered)
            status = StatusFile(self._log.directory)
            tasks = [
                asyncio.create_task(self._guarded(name, part))
                for name, part in (
                    ("faust", self._run_faust),
                    ("checkpoints", self._checkpoint_when_due),
                    ("watchdog", Watchdog(self, self._settings.watchdog_s).run),
                    ("status", lambda: status.keep(self.status)),
                    ("retention", self._trim_now_and_then),
                    *((getattr(c, "__qualname__", "companion"), c) for c in companions),
                )
            ]
            try:
                await self._stop.wait()
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.remove_signal_handler(number)
                await self._end(*tasks)
                status.remove()
        if self._failure is not None:
            said = isinstance(self._failure, EngineError | LogError | StalledError)
            name = "" if said else f"{type(self._failure).__name__}: "
            raise EngineError(f"The monitor had to end: {name}{self._failure}") from self._failure

    def stop(self) -> None:
        """End after a last checkpoint; may be called more than once."""
        self._stop.set()

    def fail(self, error: BaseException, **where: Any) -> None:
        """End without another checkpoint because of ``error``; the first error counts."""
        if self._failure is None:
            self._failure = error
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
            raise EngineError(f"Faust has stopped: {self._app.crash_reason!r}")

    async def _end(self, faust: asyncio.Task[None], *others: asyncio.Task[None]) -> None:
        # The state is saved first: whatever then goes wrong with stopping costs nothing.
        if not self._commit():
            _LOG.error("ended_without_checkpoint", records=self.checkpointer.pending_records)
        for task in others:
            task.cancel()
        try:
            await asyncio.wait_for(self._app.stop(), _STOP_S)
        except Exception as error:
            _LOG.warning("faust_did_not_stop", error=repr(error))
        faust.cancel()
        await asyncio.wait((faust, *others), timeout=_STOP_S)

    # Positions

    def _find_positions(self) -> None:
        headers = self._log.headers()
        for topic in self._handlers:
            for partition in range(self._log.topics()[topic]):
                position = headers.get((topic, partition), 0)
                end = self._log.end_offset(topic, partition)
                if position > end:
                    raise EngineError(
                        f"The state has folded {topic}-{partition} up to offset {position}, but the log ends at "
                        f"{end}: they do not belong together. Start with --rebuild, or restore a backup."
                    )
                self._next[topic, partition] = max(position, self._log.first_offset(topic, partition))

    async def _on_recovered(self, *_: Any, **__: Any) -> None:
        entries = sum(table.restored_entries for table in self._tables)
        try:
            for topic, handler in self._handlers.items():
                for partition in range(self._log.topics()[topic]):
                    handler.recovered(partition)
        except Exception as error:
            self.fail(error, part="recovered")
            return
        _LOG.info("recovered", entries=entries, lag_records=sum(self.lag().values()))
        self.ready.set()

    def _fold(
        self, handler: Handler, topic: str, partition: int, offset: int, timestamp_s: float, value: bytes
    ) -> None:
        expected = self._next[topic, partition]
        if offset < expected:
            return  # Faust went back to the last header and brings it again
        try:
            if offset > expected:
                raise EngineError(f"Records {expected} to {offset - 1} of {topic}-{partition} did not arrive.")
            handler.apply(partition, offset, round(timestamp_s * 1e6), value)
        except BaseException as error:
            self.fail(error, topic=topic, partition=partition, offset=offset)
            if not isinstance(error, Exception):
                raise
            return
        self._next[topic, partition] = offset + 1
        self.applied_records += 1
        self.checkpointer.applied(topic, partition, offset + 1)
        if self.checkpointer.due():
            self._commit()

    # Checkpoints

    def _commit(self) -> bool:
        if self._failure is not None:
            return False  # a record may be half folded
        try:
            done = self.checkpointer.commit()
        except Exception as error:
            self.fail(error, part="checkpoint")
            return False
        if done:
            self._unblocked.set()
        else:
            self._unblocked.clear()
        return done

    async def _checkpoint_when_due(self) -> None:
        while True:
            await asyncio.sleep(self._settings.checkpoint.idle_s)
            if self.checkpointer.due():
                self._commit()

    async def _trim_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_TRIM_S)
            with contextlib.suppress(LogFullError, LogBusyError):  # the checkpoints report it; next time, then
                for (topic, partition), position in self._log.headers().items():
                    if topic != EVENTS:
                        self._log.trim(topic, partition, position - self._settings.kept_records)

    # Being looked at

    def lag(self) -> dict[tuple[str, int], int]:
        """For each (source topic, partition), how many records of the log have not been folded yet."""
        return {(t, p): self._log.end_offset(t, p) - position for (t, p), position in self._next.items()}

    def progress(self) -> int:
        """A number that rises while records are folded or tables restored."""
        return self.applied_records + sum(table.restored_entries for table in self._tables)

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
