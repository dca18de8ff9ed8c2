"""One `run` per directory: a lock the operating system releases when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor.log.records import LogError
from monitor.log.schema import explained

LOCK_NAME: Final = "run.lock"


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold the lock of ``directory``; ``LogError`` with the holder's process id if another process has it.

    The file stays behind when the lock is released: only the lock counts, not the file.
    """
    path = directory / LOCK_NAME
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise LogError(
                f"Another `run` (process {holder}) works on {directory}; stop it, or give another --data."
            ) from None
        with explained(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
