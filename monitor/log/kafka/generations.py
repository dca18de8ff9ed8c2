"""The generations of derived state in one log: claiming one, beginning all anew, giving old ones up.

Every version of the state has a generation of its own, with its own topics. So workers of a new version can start while
those of the old one go on, and whoever goes back to the old version finds its state as it was left.
"""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime
from typing import Final

from monitor.log.kafka import meta
from monitor.log.kafka.administration import administration
from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.layout import Layout
from monitor.log.kafka.meta import PARTITIONER, Generation, LogIdentity, Meta
from monitor.log.kafka.reading import Reader
from monitor.log.kafka.transactions import TransactionalProducer
from monitor.log.records import LogError

_TRANSACTION_S: Final = 20.0


class Generations:
    """The topic ``meta`` of a log. Every method blocks, and may raise :class:`LogError`. Safe for threads."""

    def __init__(self, settings: KafkaSettings, layout: Layout, reader: Reader) -> None:
        self._settings = settings
        self._layout = layout
        self._reader = reader
        self._place = (layout.meta, 0)
        self._meta = Meta()
        self._read_to = 0
        self._looking = threading.Lock()

    def look(self) -> Meta:
        """What has been said up to now."""
        with self._looking:
            end = self._reader.end(self._place)
            self._meta.add(message.value() or b"" for message in self._reader.read(self._place, self._read_to, end))
            self._read_to = max(end, self._read_to)
            return self._meta.copy()

    def identity(self, partitions: int | None = None) -> LogIdentity:
        """Which log this is. ``partitions``: say so if nobody has yet; None: raise :class:`LogError` then."""
        log = self.look().log
        if log is None and partitions is not None:
            self._say(meta.log_record(LogIdentity(str(uuid.uuid4()), partitions, PARTITIONER), _now()))
            log = self.look().log
        if log is None:
            raise LogError(f"There is no event log at {self._settings.name}; `run` or `ingest` creates one.")
        if log.partitioner != PARTITIONER:
            raise LogError(
                f"{self._settings.name} spreads parcels by {log.partitioner}, which this version of the program does "
                "not know; use the version that made it."
            )
        return log

    def generation_of(self, version: str) -> str | None:
        """The generation of a version of the state, if there is one."""
        generation = self.look().current.get(version)
        return None if generation is None else generation.id

    def claim(self, version: str) -> Generation:
        """The generation of a version of the state, which is begun if there is none; its topics are there then."""
        found = self.look().current.get(version)
        if found is None:
            self._say(meta.generation_record(Generation(uuid.uuid4().hex, version), _now()))
            found = self.look().current[version]  # ours, or that of a process which was faster
        with administration(self._settings) as admin:
            admin.create(self._layout.plan_generation(found.id, self.identity().partitions))
        return found

    def rebuild(self) -> None:
        """Let every version begin a new generation, when it is claimed the next time."""
        self._say(meta.rebuild_record(_now()))

    def retire(self, in_use: str, keep: int = 1) -> list[str]:
        """Give up all generations but ``in_use`` and the newest ``keep`` others: delete their topics and groups.
        Returns their ids. What was given up before and not deleted whole is deleted again.
        """
        said = self.look()
        others = [one.id for one in said.named if one.id != in_use]
        retired = others[: max(len(others) - keep, 0)]
        for generation in retired:
            self._say(meta.retired_record(generation, _now()))
        with administration(self._settings) as admin:
            for generation in self.look().retired:
                admin.delete(plan.name for plan in self._layout.plan_generation(generation, self.identity().partitions))
                admin.delete_group(self._layout.group(generation))
        return retired

    def _say(self, value: bytes) -> None:
        producer = TransactionalProducer(self._settings, f"{self._layout.meta}-{uuid.uuid4()}", _TRANSACTION_S)
        try:
            producer.open()
            producer.begin()
            producer.produce(*self._place, None, value)
            producer.commit()
        finally:
            producer.close()
        self._reader.settled_ends([self._place])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
