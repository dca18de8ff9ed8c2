"""Sends messages with Apprise, and finds out whether they have arrived."""

from __future__ import annotations

import logging
import re
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import apprise
import requests
from apprise.result import AppriseResultStatus

from monitor.notify.sinks import Sink, SinkError

_CODE: Final = re.compile(r"\berror=(\d{3})\b|\b(?:code|status)[ =:]+(\d{3,6})\b")
_LEAST_BYTES: Final = 500
_MARGIN_BYTES: Final = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a message has arrived; if not, why, and whether that is in ``doubt``."""

    arrived: bool
    reason: str = ""
    doubt: bool = False


def silence() -> None:
    """Let the libraries below log nothing: their lines hold addresses with tokens."""
    for name in ("apprise", "requests", "urllib3", "requests_oauthlib", "oauthlib"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.handlers = [logging.NullHandler()]


class _Answered(ModuleType):
    """Takes the place of ``requests`` in a plugin: chats that say "refused" with status 200 refuse by it.

    DingTalk and WeCom put their word into ``errcode``: too many messages is 130101 and 45009.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(requests, name)

    @staticmethod
    def post(*args: Any, **kwargs: Any) -> requests.Response:
        """``requests.post``."""
        answer = requests.post(*args, **kwargs)  # noqa: S113  (the plugin gives a time-out)
        if answer.ok:
            try:
                said = answer.json()
            except ValueError:
                return answer
            code = said.get("errcode") if isinstance(said, dict) else None
            if code:
                answer.status_code = 429 if code in (130101, 45009) else 400
        return answer


class Outlet:
    """One sink made ready. Raises :class:`~monitor.notify.sinks.SinkError` for a URL that Apprise does not take."""

    def __init__(self, sink: Sink, timeout_s: float) -> None:
        self.name = sink.name
        self.language = sink.language
        self._timeout_s = timeout_s
        silence()
        self._apprise = apprise.Apprise(asset=apprise.AppriseAsset(app_id="channel-monitor", secure_logging=True))
        if not self._apprise.add(sink.url) or len(self._apprise) != 1:
            raise SinkError(f"sink {sink.name}: Apprise knows no service for its URL, or the URL is not complete")
        (self._plugin,) = self._apprise
        self._plugin.socket_connect_timeout = self._plugin.socket_read_timeout = timeout_s
        self._plugin.request_rate_per_sec = 0  # we keep the rate ourselves
        module = sys.modules[type(self._plugin).__module__]
        if getattr(module, "requests", None) is requests:
            module.requests = _Answered("requests")  # type: ignore[attr-defined]

    @property
    def most_bytes(self) -> int:
        """The longest text that arrives whole."""
        return max(int(self._plugin.body_maxlen) - _MARGIN_BYTES, _LEAST_BYTES)

    def send(self, title: str, body: str) -> Outcome:
        """Send one message and wait for the answer, for the time-out and a little at most."""
        silence()  # each time: whoever sets up logging lets the libraries speak again
        said: list[str] = []
        result = self._apprise.notify(
            title=title,
            body=body,
            body_format="text",
            timeout=2 * self._timeout_s + 1,
            log_callback=lambda entry, _: said.append(str(entry.message)),
            log_level=logging.WARNING,
        )
        if result:
            return Outcome(True)
        codes = [one for found in _CODE.finditer(" ".join(said)) for one in found.groups() if one]
        if codes:
            return Outcome(False, f"refused with status {codes[-1]}")
        if result.status == AppriseResultStatus.TIMEOUT:
            return Outcome(False, "no answer in time", doubt=True)
        # Connections that are refused and answers that stay away are told apart by nobody: both may have arrived.
        return Outcome(False, "no connection, or no answer", doubt=True)
