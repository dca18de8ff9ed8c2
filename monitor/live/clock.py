"""The ticker and the feed: what the live monitor itself appends to the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from monitor.core.params import Params
from monitor.core.parcel_fold import ParcelFold
from monitor.log.appending import Appender
from monitor.log.embedded import EmbeddedLog
from monitor.log.gateway import Gateway, now_us
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
    """

    def __init__(self, log: EmbeddedLog, params: Params, folds: Callable[[], Iterable[ParcelFold]]) -> None:
        self._log = log
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
                self._append(tick)
            await asyncio.sleep(_LOOK_S)

    def _append(self, tick: int) -> None:
        try:
            appender = Appender(self._log)
            appender.tick(tick * self._tick_us)
            appender.flush()
        except (LogFullError, LogBusyError) as error:
            _LOG.error("tick_not_appended", reason=str(error))
            return
        self._last = tick


class Feed:
    """Streams history into the log in fast-forward, a part at a time, no faster than it is folded."""

    def __init__(self, log: EmbeddedLog, params: Params, rows: Iterable[Flow], part: int = 2_000) -> None:
        self._log = log
        self._params = params
        self._gateway = Gateway(log, params, history=True)
        self._rows = rows
        self._part = part
        self.appended = 0

    async def run(self, ready: asyncio.Event, lag: Callable[[], int], progress: Callable[[int], None]) -> None:
        """Append everything. ``lag`` tells the records not yet folded; ``progress`` gets the events appended."""
        await ready.wait()
        part: list[Flow] = []
        for row in self._rows:
            part.append(row)
            if len(part) >= self._part:
                await self._send(part, lag, progress)
                part = []
        await self._send(part, lag, progress)
        while lag():
            await asyncio.sleep(0.05)
        _LOG.info("feed_done", events=self.appended)

    async def _send(self, part: list[Flow], lag: Callable[[], int], progress: Callable[[int], None]) -> None:
        wait_s = _FIRST_RETRY_S
        while True:
            try:
                outcome = self._gateway.ingest(part)
                break
            except (LogFullError, LogBusyError) as error:
                # What was appended of this part comes again; the folds know it by its ids. The gateway is made anew:
                # this one remembers dead letters that did not get into the log.
                self._gateway = Gateway(self._log, self._params, history=True)
                _LOG.error("feed_blocked", reason=str(error), retry_in_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LAST_RETRY_S)
        self.appended += outcome.accepted
        progress(self.appended)
        await asyncio.sleep(0)
        while lag() > _AHEAD_RECORDS:
            await asyncio.sleep(0.01)
