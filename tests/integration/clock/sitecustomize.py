"""Another wall clock for every Python that has this folder on its path and ``CLOCK="BASE_US REAL_US SPEED"`` set.

When the real clock shows REAL_US (µs since 1970), its clock shows BASE_US, and from then on runs SPEED times as fast;
with SPEED 0 it stands still. A program that begins itself again keeps this clock. Only what it asks the wall clock for
is changed; how long it waits is not.
"""

from __future__ import annotations

import os
import time

if "CLOCK" in os.environ:
    _base_us, _real_us, _speed = map(int, os.environ["CLOCK"].split())
    _real = time.time_ns

    def _time_ns() -> int:
        return (_base_us + (_real() // 1_000 - _real_us) * _speed) * 1_000

    time.time_ns = _time_ns
