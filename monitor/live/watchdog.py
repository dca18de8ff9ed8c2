"""A watchdog: consumers have been seen to stop without an error, so standing still with work to do is an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from monitor.live.status import Status


class Watched(Protocol):
    """What the watchdog looks at."""

    def status(self) -> Status:
        """The state of the engine."""
        ...

    def progress(self) -> int:
        """A number that rises while work is done."""
        ...


class StalledError(Exception):
    """Records wait and nothing has happened for too long."""


class Watchdog:
    """Raises ``StalledError`` after ``limit_s`` seconds in which records waited and ``progress`` stood still.

    A checkpoint that waits for disk space is no stall: it is reported as what it is.
    """

    def __init__(self, watched: Watched, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._watched = watched
        self._limit_s = limit_s
        self._clock = clock
        self._progress = -1
        self._moved_at = clock()

    async def run(self) -> None:
        """Look once in a while until cancelled."""
        while True:
            await asyncio.sleep(min(self._limit_s / 10, 1.0))
            self.look()

    def look(self) -> None:
        """Compare with the last look."""
        status, progress, now = self._watched.status(), self._watched.progress(), self._clock()
        idle = status.recovered and status.lag_records == 0
        if progress != self._progress or idle or status.blocked is not None:
            self._progress, self._moved_at = progress, now
        elif now - self._moved_at > self._limit_s:
            what = f"{status.lag_records} records wait" if status.recovered else "the tables are being restored"
            raise StalledError(
                f"{what}, and nothing has happened for {self._limit_s:g} s "
                f"({status.applied_records} records folded since the start)."
            )
