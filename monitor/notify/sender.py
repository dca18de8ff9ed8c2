"""Takes changes to the queue, and what is in the queue to the sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from monitor.notify.outlets import Outcome
from monitor.notify.queue import Message, Queue
from monitor.notify.texts import body, subject
from monitor.web.i18n import Translator
from monitor.wire.times import parse_time

_LOG: Final = structlog.get_logger(__name__)
#: The most changes in one message.
MOST: Final = 20
FIRST_REST_S: Final = 5.0
LONGEST_REST_S: Final = 600.0


class Sends(Protocol):
    """A sink that is ready: :class:`monitor.notify.outlets.Outlet`."""

    name: str
    language: str

    @property
    def most_bytes(self) -> int:
        """The longest text that arrives whole."""

    def send(self, title: str, body: str) -> Outcome:
        """Send one message."""


@dataclass(frozen=True, slots=True)
class Rules:
    """``severities`` that are told; ``digest_s``: how long a change waits for others; ``per_minute``: attempts a sink
    gets at most; ``page``: address of the monitor's page."""

    severities: frozenset[str]
    digest_s: float
    per_minute: int
    page: str


@dataclass(frozen=True, slots=True)
class _Batch:
    """Messages on their way to an outlet; ``repeated``: they may have arrived before."""

    outlet: Sends
    messages: list[Message]
    repeated: bool
    title: str
    body: str


class Sender:
    """The queue between the incidents and the outlets. ``clock``: seconds since 1970."""

    def __init__(self, queue: Queue, outlets: Sequence[Sends], rules: Rules, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._outlets = outlets
        self._rules = rules
        self._clock = clock

    def look(self, incidents: Sequence[Mapping[str, Any]]) -> int:
        """Queue what has changed in these records of ``incidents.jsonl``; how many messages."""
        known = [(incident, parse_time(incident["known_by"]) / 1e6) for incident in incidents]
        sinks = {outlet.name: set(self._rules.severities) for outlet in self._outlets}
        queued = self._queue.look(known, sinks, self._clock())
        if queued:
            _LOG.info("messages_queued", messages=queued)
        return queued

    def send(self) -> int:
        """Send to every sink what is due, to all at the same time; how many changes have arrived. Raises
        ``QueueError``."""
        begun = [one for outlet in self._outlets if (one := self._begin(outlet)) is not None]
        if not begun:
            return 0
        with ThreadPoolExecutor(max_workers=len(begun), thread_name_prefix="sink") as pool:
            running = {pool.submit(one.outlet.send, one.title, one.body): one for one in begun}
            return sum(self._note(running[done], done.result()) for done in as_completed(running))

    def _begin(self, outlet: Sends) -> _Batch | None:
        name, rules = outlet.name, self._rules
        due = self._queue.due(name, self._clock(), rules.digest_s, rules.per_minute)
        if not due:
            return None
        t = Translator(outlet.language)
        messages = self._fitting(due, t, outlet.most_bytes)
        repeated = self._queue.begin(name, messages, self._clock())
        return _Batch(
            outlet, messages, repeated, subject(messages, t), body(messages, t, rules.page, repeated=repeated)
        )

    def _note(self, batch: _Batch, outcome: Outcome) -> int:
        name = batch.outlet.name
        if outcome.arrived:
            self._queue.sent(name, batch.messages, self._clock())
            _LOG.info("message_sent", sink=name, changes=len(batch.messages), repeated=batch.repeated)
            return len(batch.messages)
        failed = self._queue.attempts(name) + 1
        rest = min(FIRST_REST_S * 2.0 ** min(failed - 1, 20), LONGEST_REST_S)
        self._queue.failed(name, self._clock() + rest, doubt=outcome.doubt or batch.repeated)
        _LOG.warning("message_not_sent", sink=name, reason=outcome.reason, attempts=failed, again_in_s=rest)
        return 0

    def _fitting(self, due: list[Message], t: Translator, most_bytes: int) -> list[Message]:
        """As many as one message holds, the first at least; a batch that was begun stays as it is by this, since it
        fitted before."""
        count = min(len(due), MOST)
        while count > 1 and len(body(due[:count], t, self._rules.page, repeated=True).encode()) > most_bytes:
            count -= 1
        return due[:count]
