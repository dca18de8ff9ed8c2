"""Kills a program that folds an embedded log, at random moments in the middle of its work, and starts it again.

It works with any program whose engine writes the status file beside the log (:mod:`monitor.live.status`)::

    killer = Killer(["python", "-m", "monitor", "run", "--data", str(data)], data, seed=1)
    killer.kill_and_restart(times=10)
    killer.finish()
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monitor
from monitor.live.status import read_status
from monitor.log.embedded import EmbeddedLog

SOURCE = str(Path(monitor.__file__).parents[1])


@dataclass(frozen=True)
class KillPoint:
    """``lost_records``: folded but in no checkpoint when the process died, at least. ``lag_records``: still to come."""

    lost_records: int
    lag_records: int


def start(command: Sequence[str], **kwargs: Any) -> subprocess.Popen[str]:
    """Start ``command`` with this source tree on its path."""
    return subprocess.Popen(
        command,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": SOURCE},
        **kwargs,
    )


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """The first true value of ``condition``."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {timeout_s:g} s in vain: {what}")


class Killer:
    """Owns the process that is killed. ``max_delay_s``: how long it may work before a kill, beyond its first work;
    ``refill``: gives it more to do before each of its starts, so that a fast machine is not through before it is
    killed."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        *,
        seed: int,
        max_delay_s: float = 0.6,
        refill: Callable[[], None] | None = None,
    ) -> None:
        self._command = command
        self._directory = directory
        self._random = random.Random(seed)
        self._max_delay_s = max_delay_s
        self._refill = refill
        self._process: subprocess.Popen[str] | None = None
        self.points: list[KillPoint] = []

    def kill_and_restart(self, times: int) -> None:
        """Start the program and kill it with SIGKILL while records wait and some are folded but not saved."""
        for _ in range(times):
            if self._refill is not None:
                self._refill()
            process = self._start()
            position = self._position()
            self._status(lambda status: status["lag_records"] > 0 and status["applied_records"] > 0)
            time.sleep(self._random.uniform(0, self._max_delay_s))
            self.points.append(self._stop_in_the_middle(process, position))
            process.send_signal(signal.SIGKILL)
            process.communicate()

    def finish(self, timeout_s: float = 120.0) -> None:
        """Start the program, let it work until nothing waits and all is saved, and end it with SIGTERM."""
        process = self._start()
        self._status(
            lambda status: status["recovered"] and not status["lag_records"] and not status["pending_records"],
            timeout_s,
        )
        process.terminate()
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 0, errors

    def close(self) -> None:
        """Leave no process behind."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        self._process = start(self._command)
        return self._process

    def _status(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 60.0) -> dict[str, Any]:
        process = self._process
        assert process is not None

        def look() -> dict[str, Any] | None:
            if process.poll() is not None:
                raise AssertionError(f"the program ended by itself: {process.communicate()[1]}")
            status = read_status(self._directory)
            return status if status is not None and status["pid"] == process.pid and condition(status) else None

        found: dict[str, Any] = wait_until(look, "status of the program", timeout_s)
        return found

    def _stop_in_the_middle(self, process: subprocess.Popen[str], position: int) -> KillPoint:
        # Frozen first, so that what the log holds cannot change between looking and killing.
        for _ in range(100):
            process.send_signal(signal.SIGSTOP)
            status = self._status(lambda _: True)
            lost = position + status["applied_records"] - self._position()
            if lost > 0 and status["lag_records"] > 0:
                return KillPoint(lost, status["lag_records"])
            process.send_signal(signal.SIGCONT)
            time.sleep(self._random.uniform(0.01, 0.1))
        raise AssertionError("never found in the middle of its work; give it more to do or longer checkpoints")

    def _position(self) -> int:
        with EmbeddedLog.open(self._directory, read_only=True) as log:
            return sum(log.headers().values())
