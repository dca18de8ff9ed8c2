"""A durable log on Apache Kafka, for many processes on many machines.

Rules this module keeps:

1. What is written is one transaction with ``acks=all``; readers see committed records only.
2. The names, settings and meaning of the topics stand in :mod:`monitor.log.kafka.layout`; the log takes topics as they
   are found if nothing vital differs, and refuses them otherwise.
3. Memory does not grow with the log.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self

from monitor.log.kafka.administration import Administration, administration
from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.generations import Generations
from monitor.log.kafka.layout import SOURCES, Finding, Layout, examine
from monitor.log.kafka.meta import Generation
from monitor.log.kafka.offsets import Place
from monitor.log.kafka.reading import Reader, derived_by, record_of
from monitor.log.kafka.states import States
from monitor.log.kafka.writing import Writer
from monitor.log.partition import partition_of
from monitor.log.protocol import Make
from monitor.log.records import Change, LogError, LogRecord, NewRecord, Shard
from monitor.log.topics import (
    CONTRIBUTIONS,
    DEFAULT_PARTITIONS,
    EVENTS,
    MAX_PARTITIONS,
    TOPICS,
    partition_count,
)

_LOG: Final = logging.getLogger(__name__)


class _Moment(NamedTuple):
    """What a snapshot holds on to: the generation, and where the partitions ended."""

    generation: Generation | None
    ends: Mapping[Place, int]


class KafkaLog:
    """The log behind one prefix of one cluster; use :meth:`open`. Implements :class:`~monitor.log.protocol.Log`.

    Every method blocks while brokers are asked, ``timeout_s`` at most without progress, and may raise
    :class:`LogError`. Safe for threads; :meth:`snapshot` counts for the thread that is inside, and an iterator belongs
    to the thread that began it.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        reader: Reader,
        generations: Generations,
        partitions: int,
        version: str | None,
        claimed: Generation | None,
    ) -> None:
        """Use :meth:`open`."""
        self.settings = settings
        self.layout = Layout(settings.topic_prefix)
        self.reader = reader
        self.states = States(reader)
        self.generations = generations
        self.partitions = partitions
        self.scratch = Path(tempfile.gettempdir())
        self._version = version
        self._claimed = claimed
        self._writer = Writer(settings, reader, partitions, self.place_of)
        self._pins = threading.local()

    @classmethod
    def open(
        cls,
        settings: KafkaSettings,
        *,
        create: bool = True,
        partitions: int | None = None,
        new_partitions: int = DEFAULT_PARTITIONS,
        state_version: str | None = None,
        rebuild: bool = False,
    ) -> KafkaLog:
        """Open the log; with ``create`` make the topics that are missing.

        ``partitions`` of the topic ``events`` must agree with a log that is there; ``new_partitions`` are those of one
        that is not.
        ``state_version`` with ``create``: be part of the generation of this version of the state, begun if there is
        none, until the log is closed. Without ``create`` the one that counts at each call is read, if there is one;
        without ``state_version`` the newest. ``rebuild``: let every version of the state begin anew first.
        """
        if not 1 <= (partitions or new_partitions) <= MAX_PARTITIONS:
            raise LogError(f"partitions = {partitions or new_partitions}: give a number from 1 to {MAX_PARTITIONS}.")
        layout = Layout(settings.topic_prefix)
        reader = Reader(settings)
        try:
            reader.probe()
            generations = Generations(settings, layout, reader)
            with administration(settings) as admin:
                found = _prepare(settings, layout, generations, admin, create, partitions, new_partitions)
            if rebuild:
                generations.rebuild()
            claimed = generations.claim(state_version) if create and state_version is not None else None
            log = cls(settings, reader, generations, found, state_version, claimed)
            for finding in log.findings():
                if finding.vital:
                    raise LogError(f"{settings.name}: {finding.text}")
                _LOG.warning("%s: %s", settings.name, finding.text)
        except BaseException:
            reader.close()
            raise
        return log

    def close(self) -> None:
        """Close the connections; closing twice does no harm."""
        self._writer.close()
        self.reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Identity

    @property
    def name(self) -> str:
        """The URL of the cluster with the prefix of the topics."""
        return self.settings.name

    @property
    def generation(self) -> str:
        """The id of the generation; empty while there is none."""
        generation = self._generation()
        return "" if generation is None else generation.id

    @property
    def state_version(self) -> str | None:
        """The version of the state of this generation."""
        generation = self._generation()
        return None if generation is None else generation.state_version

    def _generation(self) -> Generation | None:
        pinned: _Moment | None = getattr(self._pins, "moment", None)
        if pinned is not None:
            return pinned.generation
        if self._claimed is not None:
            return self._claimed
        said = self.generations.look()
        return said.newest if self._version is None else said.current.get(self._version)

    def findings(self) -> list[Finding]:
        """What is not as it should be about the topics."""
        plans = [self.layout.plan_meta(), *self.layout.plan(self.partitions)]
        if generation := self.generation:
            plans += self.layout.plan_generation(generation, self.partitions)
        with administration(self.settings) as admin:
            return examine(plans, admin.look(plan.name for plan in plans), admin.replication())

    def topics(self) -> dict[str, int]:
        """Every topic with its number of partitions."""
        return {topic: partition_count(topic, self.partitions) for topic in TOPICS}

    def place_of(self, topic: str, partition: int, generation: str | None = None) -> Place:
        """The full name of a topic with the partition; :class:`LogError` if the log has none such. ``generation``:
        None for the log's own.
        """
        if topic not in TOPICS or not 0 <= partition < partition_count(topic, self.partitions):
            raise LogError(f"{self.name} has no topic {topic} with a partition {partition}.")
        if topic == CONTRIBUTIONS and generation is None:
            generation = self.generation
            if not generation:
                raise LogError(f"{self.name} has no contributions yet; `run` makes them.")
        return self.layout.topic(topic, generation or ""), partition

    def state_of(self, shard: Shard, generation: str) -> Place:
        """The full name of the topic with the state of a shard, and the partition; :class:`LogError` if there is none
        such.
        """
        if shard.topic not in SOURCES or not 0 <= shard.partition < partition_count(shard.topic, self.partitions):
            raise LogError(f"{self.name} has no state of a topic {shard.topic} with a partition {shard.partition}.")
        return self.layout.state(shard.topic, generation), shard.partition

    # Records

    def append(self, records: Iterable[NewRecord]) -> list[int]:
        """Write ``records`` in one transaction and return their offsets, in the same order."""
        batch = list(records)
        return self._writer.append_made(lambda _: batch) if batch else []

    def append_made(self, make: Make) -> list[int]:
        """See :meth:`~monitor.log.protocol.Log.append_made` and :mod:`monitor.log.kafka.writing`."""
        return self._writer.append_made(make)

    def last_records(self, partition: int) -> tuple[int, list[LogRecord]]:
        """The end of a partition of ``events``, and one of the records that bring it furthest (none if it is empty)."""
        return self._writer.last_records(partition)

    def scan(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[LogRecord]:
        """See :meth:`~monitor.log.protocol.Log.scan`."""
        generation = self.generation
        if self._underived(topic):
            return iter(())
        place = self.place_of(topic, partition)
        last = self._ends([place])[place]
        messages = self.reader.read(place, max(start, 0), last if end is None else min(end, last))
        if topic in SOURCES:
            return (record_of(topic, message) for message in messages)
        # What another generation derived of the same events is not of this history.
        others = (message for message in messages if derived_by(message) in (None, generation))
        return (record_of(topic, message) for message in others)

    def find(self, key: str) -> Iterator[LogRecord]:
        """The records that may hold events of ``key``, from the one partition in which they are: all of it is read."""
        wanted = key.encode()
        # Other producers may write every character of the key as an escape sequence; the log's own events do not.
        escaped = b"\\u" if key.isprintable() and not set(key) & set('"\\/') else b"\\"
        for record in self.scan(EVENTS, partition_of(key, self.partitions)):
            if wanted in record.value or escaped in record.value:
                yield record

    def first_offset(self, topic: str, partition: int) -> int:
        """The first offset that has not been trimmed."""
        if self._underived(topic):
            return 0
        place = self.place_of(topic, partition)
        return self.reader.starts([place])[place]

    def end_offset(self, topic: str, partition: int) -> int:
        """The offset behind the last record that can be read."""
        if self._underived(topic):
            return 0
        place = self.place_of(topic, partition)
        return self._ends([place])[place]

    def ends(self, topic: str) -> list[int]:
        """:meth:`end_offset` of every partition of ``topic``, at one moment."""
        partitions = range(partition_count(topic, self.partitions))
        if self._underived(topic):
            return [0 for _ in partitions]
        places = [self.place_of(topic, partition) for partition in partitions]
        ends = self._ends(places)
        return [ends[place] for place in places]

    def waiting(self, shard: Shard, next_offset: int) -> int:
        """See :meth:`~monitor.log.protocol.Log.waiting`; marks of transactions between records are counted too."""
        if self._underived(shard.topic):
            return 0
        place = self.place_of(*shard)
        end = self._ends([place])[place]
        first = next(self.reader.read(place, next_offset, end), None)
        return 0 if first is None else end - first.offset()

    def _underived(self, topic: str) -> bool:
        """Whether a topic does not exist yet because nothing was ever derived."""
        return topic == CONTRIBUTIONS and not self.generation

    # One moment

    def _ends(self, places: Iterable[Place]) -> Mapping[Place, int]:
        """The ends of at least these places: now, or at the moment of the snapshot."""
        pinned: _Moment | None = getattr(self._pins, "moment", None)
        return self.reader.ends(places) if pinned is None else pinned.ends

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read inside by this thread is of one moment; one inside another is the same moment.

        First the ends of the states are noted and then, when all that was written with them has arrived, those of what
        was derived, so that no state is ahead of its outputs.
        """
        if getattr(self._pins, "moment", None) is not None:
            yield
            return
        self._pins.moment = self._look()
        try:
            yield
        finally:
            self._pins.moment = None

    def _look(self) -> _Moment:
        generation = self._generation()
        ends: dict[Place, int] = {}
        if generation is not None:
            parcels, fleet = (
                [self.state_of(shard, generation.id) for shard in self._shards(source)] for source in SOURCES
            )
            ends.update(self.reader.ends(parcels))
            ends.update(self.reader.settled_ends([self.place_of(CONTRIBUTIONS, 0, generation.id)]))
            ends.update(self.reader.ends(fleet))
        others = [topic for topic in TOPICS if topic not in SOURCES]
        ends.update(self.reader.settled_ends([self.place_of(topic, 0) for topic in others]))
        ends.update(self.reader.ends([self.place_of(EVENTS, partition) for partition in range(self.partitions)]))
        return _Moment(generation, ends)

    # State

    def changes(self, shard: Shard, after_offset: int = -1) -> Iterator[Change]:
        """See :meth:`~monitor.log.protocol.Log.changes`."""
        generation = self.generation
        if not generation:
            return iter(())
        place = self.state_of(shard, generation)
        return self.states.changes(place, after_offset, self._ends([place])[place])

    def headers(self) -> dict[Shard, int]:
        """See :meth:`~monitor.log.protocol.Log.headers`."""
        generation = self.generation
        if not generation:
            return {}
        shards = {self.state_of(shard, generation): shard for source in SOURCES for shard in self._shards(source)}
        ends = self._ends(shards)
        positions = self.states.positions({place: ends[place] for place in shards})
        return {shard: positions[place].next_offset for place, shard in shards.items() if place in positions}

    def _shards(self, source: str) -> list[Shard]:
        return [Shard(source, partition) for partition in range(partition_count(source, self.partitions))]


def _prepare(
    settings: KafkaSettings,
    layout: Layout,
    generations: Generations,
    admin: Administration,
    create: bool,
    partitions: int | None,
    new_partitions: int,
) -> int:
    """Make what is missing of the topics of all generations, and return the partitions of ``events``."""
    meta, events = layout.plan_meta(), layout.topic(EVENTS, "")
    there = admin.partitions([meta.name, events])
    if create:
        admin.create([meta])
    elif meta.name not in there:
        raise LogError(f"There is no event log at {settings.name}; `run` or `ingest` creates one.")
    wanted = partitions or there.get(events) or new_partitions
    found = generations.identity(wanted if create else None).partitions
    if partitions is not None and partitions != found:
        raise LogError(
            f"{settings.name} has {found} partitions, not {partitions}; keep {found}, or `export events` and `ingest` "
            "them into a log with another topic_prefix."
        )
    if create:
        admin.create(layout.plan(found))
    return found
