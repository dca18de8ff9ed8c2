"""Asking where partitions begin and end.

kafka-python asks here: it looks up the leaders each time, so it finds new ones at once, where librdkafka goes on for
minutes with those it knows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.errors import HOPELESS, Troubles, explain
from monitor.log.records import LogBusyError, LogError

Place = tuple[str, int]  # full name of a topic, partition
_PROBE_S: Final = 0.5
_ASK_AGAIN_S: Final = 0.1
_FIRST_PAUSE_S: Final = 0.001


class Offsets:
    """Asks one cluster. Safe for threads. Every method blocks, for ``timeout_s`` at most if brokers are out of reach,
    then it raises :class:`LogBusyError`; for what cannot succeed, :class:`LogError`.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: Any = None
        self._connecting = threading.Lock()
        self._closed = False

    def probe(self) -> None:
        """Wait until a broker answers; at once with the reason if it does not let us in."""
        troubles = Troubles()
        config: dict[str, Any] = {**self._settings.librdkafka(), "error_cb": troubles.note}
        client = AdminClient(config)  # it says why a connection fails; kafka-python only that it does
        deadline = time.monotonic() + self._settings.timeout_s
        while True:
            try:
                client.list_topics(timeout=_PROBE_S)
                return
            except KafkaException as error:
                client.poll(0)
                reason = troubles.decisive
                if reason is not None:
                    raise explain(reason, self._settings) from error
                if error.args[0].code() in HOPELESS or time.monotonic() >= deadline:
                    raise explain(error, self._settings, troubles) from error

    def starts(self, places: Iterable[Place]) -> dict[Place, int]:
        """The first offset that is kept, for each place."""
        return self._ask(dict.fromkeys(places, OffsetSpec.EARLIEST), committed=False)

    def ends(self, places: Iterable[Place], *, committed: bool = True) -> dict[Place, int]:
        """The offset behind the last record that can be read, for each place: one answer per broker, so at one moment
        if one broker leads them all. Not ``committed``: behind the last record that is durable, whosever it is.
        """
        return self._ask(dict.fromkeys(places, OffsetSpec.LATEST), committed=committed)

    def end(self, place: Place, *, committed: bool = True) -> int:
        """:meth:`ends` of one place."""
        return self.ends([place], committed=committed)[place]

    def first_since(self, place: Place, time_ms: int) -> int | None:
        """The offset of the first record with a timestamp from ``time_ms`` on; None if there is none."""
        offset = self._ask({place: time_ms}, committed=False)[place]
        return None if offset < 0 else offset

    def settled_ends(self, places: Iterable[Place], at_most_s: float | None = None) -> dict[Place, int]:
        """:meth:`ends`, once every transaction that is open now has ended; others may have been opened since.
        :class:`LogBusyError` if one is still open after ``at_most_s``, or ``timeout_s``.
        """
        return self.ends_beyond(self.ends(places, committed=False), at_most_s)

    def are_visible(self, last: Mapping[Place, int], at_most_s: float) -> bool:
        """Wait until readers see the committed records at these offsets, and tell whether they do; raises nothing. The
        marks of a commit are set after it was confirmed; and a transaction that was begun before, and is still open,
        hides it as long.
        """
        try:
            self.ends_beyond({place: offset + 1 for place, offset in last.items()}, at_most_s)
        except LogError:
            return False
        return True

    def ends_beyond(self, least: Mapping[Place, int], at_most_s: float | None = None) -> dict[Place, int]:
        """:meth:`ends`, once they have reached ``least``; :class:`LogBusyError` as for :meth:`settled_ends`."""
        at_most_s = self._settings.timeout_s if at_most_s is None else at_most_s
        deadline = time.monotonic() + at_most_s
        pause_s = _FIRST_PAUSE_S
        while True:
            ends = self._ask(dict.fromkeys(least, OffsetSpec.LATEST), committed=True, at_most_s=at_most_s)
            behind = [place for place, end in least.items() if ends[place] < end]
            if not behind:
                return ends
            if time.monotonic() > deadline:
                raise LogBusyError(
                    f"{self._settings.name}: a transaction in {behind[0][0]} stays open; "
                    "brokers end it after a while, then try again."
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _ASK_AGAIN_S)

    def _ask(self, specs: Mapping[Place, int], *, committed: bool, at_most_s: float | None = None) -> dict[Place, int]:
        if not specs:
            return {}
        level = "read_committed" if committed else "read_uncommitted"
        deadline = time.monotonic() + (self._settings.timeout_s if at_most_s is None else at_most_s)
        while True:
            try:
                asked = {TopicPartition(*place): spec for place, spec in specs.items()}
                found = self._connected().list_partition_offsets(asked, isolation_level=level)
                return {(place.topic, place.partition): answer.offset for place, answer in found.items()}
            except (KafkaError, OSError) as error:
                if self._closed or getattr(error, "errno", None) in HOPELESS or time.monotonic() > deadline:
                    raise explain(error, self._settings, again=True) from error
                time.sleep(_ASK_AGAIN_S)

    def _connected(self) -> Any:
        with self._connecting:
            if self._closed:
                raise LogError(f"{self._settings.name} is closed.")
            if self._client is None:
                self._client = KafkaAdminClient(**self._settings.kafka_python())
            return self._client

    def close(self) -> None:
        """Close the connections; another thread that waits for brokers gives up. Closing twice does no harm."""
        self._closed = True
        with self._connecting:
            if self._client is not None:
                with suppress(KafkaError, OSError):
                    self._client.close()
            self._client = None
