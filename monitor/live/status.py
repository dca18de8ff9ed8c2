"""How the running engine is doing, in a small file beside the log, so that any program can see it without asking.

The file is there while the engine runs, changes within a tenth of a second, carries a heartbeat, and goes when the
engine ends cleanly. If the process was killed, the last status stays; whether its ``pid`` is alive is told by the
lock (``run.lock``), not by this file. It keeps its size and is overwritten in place, so a full disk can be reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FILE_NAME: Final = "run.status.json"
_SIZE_BYTES: Final = 4096
_LOOK_S: Final = 0.1
_HEARTBEAT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Status:
    """``lag_records``: in the log, not folded. ``pending_*``: folded, not in a checkpoint. ``blocked``: why not."""

    recovered: bool
    lag_records: int
    applied_records: int
    pending_records: int
    pending_outputs: int
    checkpoints: int
    blocked: str | None


class StatusFile:
    """Keeps the status file of one directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME

    async def keep(self, status: Callable[[], Status]) -> None:
        """Write ``status()`` when it has changed, and every few seconds as a sign of life; never returns.

        Where the file cannot be written there is none: the log lines tell why.
        """
        written: tuple[Status, float] | None = None
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while True:
                now = status()
                if written is None or now != written[0] or time.monotonic() - written[1] >= _HEARTBEAT_S:
                    with contextlib.suppress(OSError):
                        os.pwrite(descriptor, _encode(now), 0)
                    written = (now, time.monotonic())
                await asyncio.sleep(_LOOK_S)
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Take the file away: the engine has ended."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _encode(status: Status) -> bytes:
    content = {"pid": os.getpid(), "written_at_s": round(time.time(), 3), **asdict(status)}
    if status.blocked is not None:
        content["blocked"] = status.blocked[:1000]
    return json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace").ljust(_SIZE_BYTES)


def read_status(directory: Path) -> dict[str, Any] | None:
    """The status in ``directory`` with ``pid`` and ``written_at_s`` (Unix time); ``None`` if there is none."""
    try:
        content = (directory / FILE_NAME).read_bytes()
    except FileNotFoundError:
        return None
    try:
        status: dict[str, Any] = json.loads(content)
    except ValueError:
        return None  # looked in the moment of a change
    return status
