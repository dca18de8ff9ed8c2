"""Where the log is: a directory (``--data``) or a Kafka cluster (``--broker``), and how a verb opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.cli.common import FoundProblem, WrongUse
from monitor.cli.logs import quiet
from monitor.live.version import state_version
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.schema import FILE_NAME
from monitor.log.protocol import Log
from monitor.log.records import LogError
from monitor.settings import Settings

if TYPE_CHECKING:
    from monitor.log.kafka import KafkaSettings


@dataclass(frozen=True, slots=True)
class Place:
    """What the caller has named; both ``None`` stand for the settings ``log.broker`` and ``log.data``."""

    data: Path | None = None
    broker: str | None = None

    def broker_of(self, settings: Settings) -> str | None:
        """The URL of the brokers, or ``None`` if the log is embedded."""
        return self.broker or (settings.log.broker if self.data is None else None)

    def directory_of(self, settings: Settings) -> Path:
        """The directory of the embedded log."""
        return self.data or settings.log.data

    def option_of(self, settings: Settings) -> str:
        """The option that names this place again."""
        broker = self.broker_of(settings)
        return f"--broker {broker}" if broker else f"--data {click.format_filename(self.directory_of(settings))}"

    def name_of(self, settings: Settings) -> str:
        """The place in a sentence."""
        return self.option_of(settings).partition(" ")[2]


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--data DIR``; None stands for the setting ``log.data``."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Directory of the embedded log (default: ./data, or the setting log.data).",
    )(command)


def place_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--data DIR`` or ``--broker URL``; the verb gets a ``place``."""

    @click.option("--broker", metavar="URL", help="Kafka instead: kafka://host:9092[,host:9092…] (setting log.broker).")
    @wraps(command)
    def verb(*args: Any, data: Path | None, broker: str | None, **kwargs: Any) -> Any:
        if data is not None and broker is not None:
            raise WrongUse("--data and --broker name two logs; give one of them.")
        return command(*args, place=Place(data, broker), **kwargs)

    return data_option(verb)


def kafka_settings(settings: Settings, broker: str) -> KafkaSettings:
    """How to reach the brokers. Raises :class:`WrongUse`."""
    from monitor.log.kafka import KafkaSettings  # the clients take a while to load, and most users have no brokers

    ours = settings.kafka
    try:
        return KafkaSettings.from_url(
            broker,
            topic_prefix=ours.topic_prefix,
            replication=ours.replication,
            security_protocol=ours.security_protocol,
            sasl_mechanism=ours.sasl_mechanism,
            username=ours.username,
            password=ours.secret(),
            ssl_cafile=ours.ssl_cafile,
            ssl_certfile=ours.ssl_certfile,
            ssl_keyfile=ours.ssl_keyfile,
            timeout_s=ours.timeout_s,
        )
    except LogError as error:
        raise WrongUse(str(error)) from None


def opened_directory(settings: Settings, directory: Path, *, create: bool = False) -> EmbeddedLog:
    """The embedded log in ``directory``. Raises :class:`WrongUse` where there is none,
    :class:`~monitor.log.records.LogError`."""
    exists = (directory / FILE_NAME).is_file()
    if not exists and not create:
        raise WrongUse(f"There is no event log in {directory}; name its directory with --data.")
    return EmbeddedLog.open(directory, create=create, partitions=None if exists else settings.log.partitions)


def opened(settings: Settings, place: Place, *, create: bool = False) -> Log:
    """The log. Raises :class:`WrongUse` where there is none, :class:`~monitor.log.records.LogError`."""
    broker = place.broker_of(settings)
    if broker is not None:
        from monitor.log.kafka import KafkaLog

        quiet()
        ours = kafka_settings(settings, broker)
        if create:
            return KafkaLog.open(ours, new_partitions=settings.log.partitions)
        return KafkaLog.open(ours, create=False, state_version=state_version(settings.params()))
    return opened_directory(settings, place.directory_of(settings), create=create)


@contextmanager
def open_log(settings: Settings, place: Place, *, create: bool = False) -> Iterator[Log]:
    """The log, closed at the end; its errors end the verb."""
    try:
        with opened(settings, place, create=create) as log:
            yield log
    except LogError as error:
        raise FoundProblem(str(error)) from None
