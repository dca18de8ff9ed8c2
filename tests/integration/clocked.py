"""The real program under another wall clock: ``CLOCK="BASE_US REAL_US SPEED" python clocked.py VERB …``.

When the real clock shows REAL_US (µs since 1970), its clock shows BASE_US, and from then on runs SPEED times as fast.
Only what the program asks the wall clock for is changed; how long it waits is not.
"""

from __future__ import annotations

import os
import time

_base_us, _real_us, _speed = map(int, os.environ["CLOCK"].split())
_real = time.time_ns


def _time_ns() -> int:
    return (_base_us + (_real() // 1_000 - _real_us) * _speed) * 1_000


time.time_ns = _time_ns

from monitor.cli.main import main  # noqa: E402

if __name__ == "__main__":
    main()
