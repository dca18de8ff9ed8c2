"""The ticker and the feed: what the live monitor itself appends to the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice
from typing import Final

import structlog

from monitor.core.params import Params
from monitor.core.parcel_fold import ParcelFold
from monitor.log.appending import Appender
from monitor.log.gateway import Gateway, now_us
from monitor.log.protocol import Log
from monitor.log.records import LogBusyError, LogFullError
from monitor.wire.incoming import Flow

_LOG: Final = structlog.get_logger(__name__)
_LOOK_S: Final = 0.5
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 30.0
_AHEAD_RECORDS: Final = 64  # records in the log that need not be folded before the next part


class Ticker:
    """Appends the tick of each grid point to every partition, by the wall clock, idle or not.

    A tick stands for all earlier ones (a fold passes each of them in order), so a monitor that was away appends one.
    Of several tickers the first to write it does; the others find that all partitions have passed it.
    """

    def __init__(self, open_log: Callable[[], Log], params: Params, folds: Callable[[], Iterable[ParcelFold]]) -> None:
        self._open_log = open_log
        self._tick_us = params.tick_us
        self._folds = folds
        self._last = 0

    async def run(self, ready: asyncio.Event) -> None:
        """Tick for ever, from ``ready`` on."""
        await ready.wait()
        while True:
            tick = now_us() // self._tick_us
            known = min((fold.header.tick or 0 for fold in self._folds()), default=0)
            if tick > max(known, self._last):
                await asyncio.to_thread(self._append, tick)
            await asyncio.sleep(_LOOK_S)

    def _append(self, tick: int) -> None:
        try:
            with self._open_log() as log:
                appender = Appender(log)
                appender.tick(tick * self._tick_us)
                appender.flush()
        except (LogFullError, LogBusyError) as error:
            _LOG.error("tick_not_appended", reason=str(error))
            return
        self._last = tick


class Feed:
    """Streams history into the log in fast-forward, a part at a time, no faster than it is folded.

    It appends in a thread of its own, in which it opens the log.
    """

    def __init__(self, open_log: Callable[[], Log], params: Params, rows: Iterable[Flow], part: int = 2_000) -> None:
        self._open_log = open_log
        self._params = params
        self._rows = rows
        self._part = part
        self.appended = 0

    async def run(self, ready: asyncio.Event, lag: Callable[[], int], progress: Callable[[int], None]) -> None:
        """Append everything. ``lag`` tells the records not yet folded; ``progress`` gets the events appended."""
        await ready.wait()
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="feed") as thread:
            log = await loop.run_in_executor(thread, self._open_log)
            self._gateway = Gateway(log, self._params, history=True)
            try:
                for part in _parts(self._rows, self._part):
                    self.appended += await self._send(thread, log, part)
                    progress(self.appended)
                    while lag() > _AHEAD_RECORDS:
                        await asyncio.sleep(0.01)
            finally:
                await loop.run_in_executor(thread, log.close)
        while lag():
            await asyncio.sleep(0.05)
        _LOG.info("feed_done", events=self.appended)

    async def _send(self, thread: Executor, log: Log, part: list[Flow]) -> int:
        wait_s = _FIRST_RETRY_S
        while True:
            try:
                outcome = await asyncio.get_running_loop().run_in_executor(thread, self._gateway.ingest, part)
            except (LogFullError, LogBusyError) as error:
                # What was appended of this part comes again; the folds know it by its ids. The gateway is made anew:
                # this one remembers dead letters that did not get into the log.
                self._gateway = Gateway(log, self._params, history=True)
                _LOG.error("feed_blocked", reason=str(error), retry_in_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LAST_RETRY_S)
            else:
                return outcome.accepted


def _parts(rows: Iterable[Flow], size: int) -> Iterator[list[Flow]]:
    rest = iter(rows)
    while part := list(islice(rest, size)):
        yield part
