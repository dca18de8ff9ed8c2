"""What ``run`` runs on: the embedded log of one directory, or topics of a Kafka cluster that it shares with others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from monitor.cli.common import Progress
from monitor.cli.places import Place, kafka_settings
from monitor.core.params import Params
from monitor.live.version import state_version
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.merging import merge_history
from monitor.log.embedded.schema import FILE_NAME
from monitor.log.embedded.transport import EmbeddedBackend
from monitor.log.protocol import Backend, Log
from monitor.settings import Settings

_LOG: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """``log``: for the thread of the event loop. ``open_log``: for another thread, to write; ``open_reader``: to read.
    ``shared``: other workers may fold the same log, so this one may end and begin again without harm. ``retire``:
    delete the state of versions long gone, and tell their generations; to be called when this one has caught up.
    """

    log: Log
    backend: Backend
    open_log: Callable[[], Log]
    open_reader: Callable[[], Log]
    shared: bool
    retire: Callable[[], list[str]]


@contextmanager
def host_of(settings: Settings, place: Place, *, rebuild: bool) -> Iterator[Host]:
    """The log made ready: its state is forgotten if that is asked for, or if another version or other settings made it.

    Raises :class:`~monitor.log.records.LogError`.
    """
    broker = place.broker_of(settings)
    if broker is None:
        with _embedded(settings, place.directory_of(settings), rebuild) as host:
            yield host
    else:
        with _kafka(settings, broker, rebuild) as host:
            yield host


@contextmanager
def _embedded(settings: Settings, directory: Path, rebuild: bool) -> Iterator[Host]:
    partitions = None if (directory / FILE_NAME).is_file() else settings.log.partitions
    with EmbeddedLog.open(directory, create=True, partitions=partitions) as log:
        _prepare(log, settings.params(), rebuild)
        yield Host(
            log,
            EmbeddedBackend(log),
            lambda: EmbeddedLog.open(directory, create=False),
            lambda: EmbeddedLog.open(directory, create=False, read_only=True),
            shared=False,
            retire=list,  # a new generation takes the place of the old one
        )


def _prepare(log: EmbeddedLog, params: Params, rebuild: bool) -> None:
    version = state_version(params)
    with log.exclusive():
        if rebuild:
            progress = Progress("{:,} events read, {:,} put in order")
            try:
                merged = merge_history(log, params, progress, state_version=version)
            finally:
                progress.clear()
            _LOG.info("history_merged", events=merged.events, ticks=merged.ticks, rewritten=merged.rewritten)
        elif log.state_version != version:
            log.new_generation(version)
        else:
            return
    _LOG.info("state_rebuilt", reason="asked" if rebuild else "new version or settings")


@contextmanager
def _kafka(settings: Settings, broker: str, rebuild: bool) -> Iterator[Host]:
    from monitor.log.kafka import KafkaLog
    from monitor.log.kafka.transport import KafkaBackend

    version = state_version(settings.params())
    ours = kafka_settings(settings, broker)

    def open_log() -> KafkaLog:
        return KafkaLog.open(ours, create=False, state_version=version)

    with KafkaLog.open(ours, new_partitions=settings.log.partitions, state_version=version, rebuild=rebuild) as log:
        backend = KafkaBackend(log, session_timeout_s=settings.kafka.session_timeout_s)
        generation = log.generation
        yield Host(log, backend, open_log, open_log, shared=True, retire=lambda: log.generations.retire(generation))
