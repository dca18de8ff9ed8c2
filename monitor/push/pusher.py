"""Keeps a shipping system's table of carriers up to date.

The table is a whole state, made anew from the log at any time. So nothing has to wait in a queue: what is kept is only
which table arrived last, and since when a newer one waits. The newest goes instead of an older one that did not arrive;
what may or may not have arrived is sent again under the same id.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import requests
import structlog

from monitor.push.message import digest, event, headers

_LOG: Final = structlog.get_logger(__name__)
FILE_NAME: Final = "push.json"
SOURCE: Final = "channel-monitor"
FIRST_REST_S: Final = 5.0
LONGEST_REST_S: Final = 600.0
#: Statuses below 500 that may pass by themselves.
_PASSING: Final = frozenset({408, 425, 429})
MOST_BYTES: Final = 8_000_000


class PushError(Exception):
    """The state of the push cannot be kept, or the table is too large; the message says which."""


class Waiting(msgspec.Struct):
    """That a table does not arrive: since when (Unix seconds), how often it was tried, what the last try met, and
    whether that may pass by itself."""

    since_s: float
    attempts: int
    problem: str
    passes: bool


class Known(msgspec.Struct):
    """The table that arrived last: its digest, and when (Unix seconds); and whether a newer one waits."""

    digest: str = ""
    at_s: float = 0.0
    waiting: Waiting | None = None


def known(path: Path) -> Known:
    """What an earlier run left in the file. Raises :class:`PushError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Known)
    except FileNotFoundError:
        return Known()
    except (OSError, msgspec.DecodeError) as error:
        raise PushError(f"{path} cannot be read: {error}. Without it the table is sent once more: remove it.") from None


class Pusher:
    """Sends the table to ``url``. ``clock``: Unix seconds; ``repeat_s``: an equal table is sent again after so long,
    for its rows end. Raises :class:`PushError`."""

    def __init__(
        self,
        url: str,
        key: bytes,
        path: Path,
        timeout_s: float,
        repeat_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._url = url
        self._key = key
        self._path = path
        self._timeout_s = timeout_s
        self._repeat_s = repeat_s
        self._clock = clock
        self._known = known(path)
        self._failed = 0
        self._rest_until = 0.0

    def offer(self, rows: Sequence[Mapping[str, Any]], as_of: str) -> bool:
        """Send the table if it is news, or old, and the receiver is not resting; whether it arrived just now."""
        now, what = self._clock(), digest(rows)
        before = self._known
        if what == before.digest and now < before.at_s + self._repeat_s:
            if before.waiting is not None:  # it is again as it arrived
                self._note(Known(before.digest, before.at_s))
            return False
        if now < self._rest_until:
            return False
        problem, passes = self.send(event(rows, as_of, SOURCE))
        if not problem:
            self._note(Known(what, now))
            self._failed, self._rest_until = 0, 0.0
            _LOG.info("carriers_pushed", rows=len(rows), as_of=as_of)
            return True
        earlier = before.waiting
        since, attempts = (now, 1) if earlier is None else (earlier.since_s, earlier.attempts + 1)
        self._note(Known(before.digest, before.at_s, Waiting(since, attempts, problem, passes)))
        self._failed += 1
        rest = LONGEST_REST_S if not passes else min(FIRST_REST_S * 2 ** (self._failed - 1), LONGEST_REST_S)
        self._rest_until = now + rest
        log = _LOG.warning if passes else _LOG.error
        log("carriers_not_pushed", reason=problem, attempts=attempts, again_in_s=rest)
        return False

    def send(self, message: Mapping[str, Any]) -> tuple[str, bool]:
        """Send one event: what went wrong (nothing if it arrived), and whether that may pass by itself."""
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        if len(body) > MOST_BYTES:
            raise PushError(f"The table has {len(body):,} bytes; no more than {MOST_BYTES:,} are sent.")
        signed = headers(self._key, str(message["id"]), int(self._clock()), body)
        try:
            with requests.post(
                self._url, data=body, headers=signed, timeout=self._timeout_s, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except requests.RequestException as error:
            return _why(error), True
        if 200 <= status < 300:
            return "", True
        return f"it answered with status {status}", status >= 500 or status in _PASSING

    def _note(self, known: Known) -> None:
        """Keep what is known, on the disk before anything else happens."""
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            with temporary.open("wb") as file:
                file.write(msgspec.json.encode(known))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            raise PushError(f"{self._path} cannot be written: {error.strerror}.") from None
        self._known = known


def _why(error: requests.RequestException) -> str:
    """The reason without the address, which may hold a secret."""
    if isinstance(error, requests.Timeout):
        return "it did not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.ConnectionError):
        return "it cannot be reached"
    return type(error).__name__
