"""One `run` per directory, and a sign that the events are being rewritten: locks that the operating system releases
when their holder ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor.log.embedded.schema import explained
from monitor.log.records import LogError

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


@contextlib.contextmanager
def rewriting(directory: Path) -> Iterator[None]:
    """Show to :func:`is_rewriting` that the log is being rewritten, so that others wait for longer than usual."""
    with _opened(directory) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def is_rewriting(directory: Path) -> bool:
    """Whether some process is inside :func:`rewriting`."""
    with _opened(directory) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    # The directory itself bears the lock: to close the database's file would release the locks of SQLite.
    with explained(directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
