"""A wall clock that a test sets, for every Python that has this folder on its path and ``CLOCK_FILE`` set.

The file holds the time in nanoseconds since 1970 as eight bytes, little-endian; it is read at every look at the clock.
How long the program waits is not changed. See :class:`stepping.Stepped`.
"""

from __future__ import annotations

import mmap
import os
import time

if "CLOCK_FILE" in os.environ:
    with open(os.environ["CLOCK_FILE"], "rb") as _file:  # noqa: PTH123 - pathlib is not loaded at every start
        _shown = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)

    def _time_ns() -> int:
        return int.from_bytes(_shown[:8], "little")

    time.time_ns = _time_ns
