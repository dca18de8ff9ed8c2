"""Begins the program again in the same process: a worker that was shut out, or that stood still, joins anew.

What it had not saved is folded again, by itself or by the worker that took its partitions over. How often it began
again lately is handed on in a hidden option, so that a fault that stays does not become a loop.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Final, NoReturn

import structlog

_LOG: Final = structlog.get_logger(__name__)
OPTION: Final = "--restarts"
_MOST: Final = 10
_WITHIN_S: Final = 600.0
_FIRST_WAIT_S: Final = 0.5
_LAST_WAIT_S: Final = 30.0


def may_restart(restarts: str) -> bool:
    """Whether the program may begin again: not more than ten times in ten minutes. ``restarts``: the hidden option."""
    return _lately(restarts)[0] < _MOST


def restart(reason: str, restarts: str) -> NoReturn:
    """Begin again, after a wait that grows with every time."""
    count, first = _lately(restarts)
    wait_s = min(_FIRST_WAIT_S * 2**count, _LAST_WAIT_S)
    _LOG.error("restarting", reason=reason, restarts=count + 1, wait_s=wait_s)
    time.sleep(wait_s)
    # A rebuild that was asked for has begun, and goes on.
    arguments = [one for one in sys.argv[1:] if one != "--rebuild" and not one.startswith(OPTION + "=")]
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", "monitor", *arguments, f"{OPTION}={count + 1}/{first:.0f}"]
    os.execv(sys.executable, command)  # noqa: S606 - the same program with the same arguments


def _lately(restarts: str) -> tuple[int, float]:
    """How often, and the Unix time of the first."""
    count, _, first = restarts.partition("/")
    now = time.time()
    if not count or now - float(first) > _WITHIN_S:
        return 0, now
    return int(count), float(first)
