"""How to reach the brokers, and what that means for each of the three clients.

``kafka-python`` makes and looks at topics, ``librdkafka`` (confluent-kafka) reads and writes, ``aiokafka`` serves
Faust. Their own log lines go to the :mod:`logging` module: kafka-python's and aiokafka's by themselves, librdkafka's
under the name of :data:`CLIENT_LOG`.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from monitor.log.records import LogError

SCHEME: Final = "kafka"
DEFAULT_PORT: Final = 9092
CLIENT_ID: Final = "channel-monitor"
CLIENT_LOG: Final = logging.getLogger("monitor.log.kafka.librdkafka")
_SAID_AGAIN_S: Final = 60.0
_LINES_KEPT: Final = 1_000
SECURITY_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SASL_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
#: What fits into one record, compressed or not; topics and clients are set to it.
MAX_RECORD_BYTES: Final = 8 << 20
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,100}")
_FETCH_BYTES: Final = 1 << 20
_QUEUED_KBYTES: Final = 4_096  # an export reads all partitions at once, each with a queue of its own


class _Seldom(logging.Filter):
    """Lets the same line through once a minute: librdkafka tells of every attempt to reach a broker."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        what = re.sub(r"\d+", "", record.getMessage())
        now = time.monotonic()
        if now - self._said.get(what, -_SAID_AGAIN_S) < _SAID_AGAIN_S:
            return False
        if len(self._said) >= _LINES_KEPT:
            self._said.clear()
        self._said[what] = now
        return True


CLIENT_LOG.addFilter(_Seldom())


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """A cluster, and how to be let in. Raises :class:`LogError` if a value cannot be right.

    ``bootstrap``: ``host:port`` of some brokers. ``topic_prefix`` stands before the name of every topic, group and
    transactional id, so that several monitors can share a cluster. ``replication`` of topics to be made; 0: three, or
    as many as there are brokers. ``timeout_s``: after which a broker counts as out of reach.
    """

    bootstrap: tuple[str, ...]
    topic_prefix: str = ""
    replication: int = 0
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        """Check what can be checked without asking a broker."""
        if not self.bootstrap:
            raise LogError("No broker is named; give one as kafka://host:port.")
        if not _PREFIX.fullmatch(self.topic_prefix):
            raise LogError(
                f"topic_prefix = {self.topic_prefix!r}: use at most 100 letters, digits, dots, hyphens and underscores."
            )
        if not 0 <= self.replication <= 32:
            raise LogError(f"replication = {self.replication}: give a number from 0 (three, if there are) to 32.")
        if self.security_protocol not in SECURITY_PROTOCOLS:
            raise LogError(f"security_protocol = {self.security_protocol!r}: use {', '.join(SECURITY_PROTOCOLS)}.")
        if self.sasl_mechanism not in SASL_MECHANISMS:
            raise LogError(f"sasl_mechanism = {self.sasl_mechanism!r}: use {', '.join(SASL_MECHANISMS)}.")
        if not 1 <= self.timeout_s <= 3_600:
            raise LogError(f"timeout_s = {self.timeout_s:g}: give a number from 1 to 3600.")
        if self.sasl and not (self.username and self.password):
            raise LogError(f"{self.security_protocol} needs a user name and a password.")
        if not self.sasl and (self.username or self.password):
            raise LogError(
                f"{self.security_protocol} knows no user name and password; use SASL_SSL, or SASL_PLAINTEXT in a "
                "network that nobody can listen to."
            )
        files = (self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile)
        if not self.tls and any(files):
            raise LogError(f"{self.security_protocol} knows no certificates; use SSL or SASL_SSL.")
        for file in files:
            if file is not None and not file.is_file():
                raise LogError(f"There is no certificate or key {file}.")

    @classmethod
    def from_url(cls, url: str, **others: Any) -> KafkaSettings:
        """Settings for ``kafka://host:9092,host2:9093``, with the other fields as they are given."""
        return cls(bootstrap_of(url), **others)

    @property
    def sasl(self) -> bool:
        """Whether a user name and a password are shown."""
        return self.security_protocol.startswith("SASL_")

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def name(self) -> str:
        """The URL with the prefix of the topics, for messages."""
        return f"{SCHEME}://{','.join(self.bootstrap)}" + (f"/{self.topic_prefix}" if self.topic_prefix else "")

    def kafka_python(self) -> dict[str, Any]:
        """Arguments of kafka-python's clients."""
        return {
            **self._python_clients(),
            "client_id": CLIENT_ID,
            "bootstrap_timeout_ms": round(self.timeout_s * 1_000),
            "request_timeout_ms": round(self.timeout_s * 1_000),
            "reconnect_backoff_max_ms": 1_000,
        }

    def aiokafka(self) -> dict[str, Any]:
        """Arguments of aiokafka's clients."""
        return {**self._python_clients(), "client_id": CLIENT_ID}

    def _python_clients(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "bootstrap_servers": list(self.bootstrap),
            "security_protocol": self.security_protocol,
        }
        if self.tls:
            arguments["ssl_context"] = self._tls_context()
        if self.sasl:
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = self.username
            arguments["sasl_plain_password"] = self.password
        return arguments

    def _tls_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ssl_cafile)
            if self.ssl_certfile is not None:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
        except (ssl.SSLError, OSError) as error:
            raise LogError(f"The certificates for {self.name} cannot be used ({error}); give them in PEM.") from error
        return context

    def librdkafka(self) -> dict[str, Any]:
        """Configuration of every client of librdkafka."""
        config: dict[str, Any] = {
            "bootstrap.servers": ",".join(self.bootstrap),
            "client.id": CLIENT_ID,
            "security.protocol": self.security_protocol,
            "logger": CLIENT_LOG,
            "log.connection.close": False,
            "reconnect.backoff.max.ms": 1_000,
            "socket.keepalive.enable": True,
            "socket.timeout.ms": 10_000,  # a broker that is stopped, not dead, is given up after this time
        }
        if self.sasl:
            config["sasl.mechanism"] = self.sasl_mechanism
            config["sasl.username"] = self.username
            config["sasl.password"] = self.password
        locations = {"ca": self.ssl_cafile, "certificate": self.ssl_certfile, "key": self.ssl_keyfile}
        config.update({f"ssl.{name}.location": str(file) for name, file in locations.items() if file is not None})
        return config

    def reader(self, *, committed: bool) -> dict[str, Any]:
        """Configuration of a consumer that is told what to read; ``committed``: nothing of unfinished transactions."""
        return {
            **self.librdkafka(),
            "group.id": f"{self.topic_prefix}{CLIENT_ID}-reader",  # asked for by librdkafka; nobody joins it
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",  # where records have been trimmed
            "fetch.wait.max.ms": 5,  # most reads end where the log ends
            "fetch.queue.backoff.ms": 5,
            "fetch.message.max.bytes": _FETCH_BYTES,
            "queued.max.messages.kbytes": _QUEUED_KBYTES,
        }

    def writer(self, transactional_id: str, transaction_timeout_s: float) -> dict[str, Any]:
        """Configuration of a transactional producer."""
        return {
            **self.librdkafka(),
            "transactional.id": transactional_id,
            "transaction.timeout.ms": round(transaction_timeout_s * 1_000),
            "message.timeout.ms": round(min(transaction_timeout_s, self.timeout_s) * 1_000),
            "allow.auto.create.topics": False,  # a topic that was deleted must not come back with other settings
            "topic.metadata.propagation.max.ms": 10_000,  # after that a topic nobody knows is one that is not there
            "compression.type": "lz4",
            "linger.ms": 5,
            "batch.size": 1 << 20,
            "message.max.bytes": MAX_RECORD_BYTES,
            "queue.buffering.max.messages": 1_000_000,
        }


def bootstrap_of(url: str) -> tuple[str, ...]:
    """``host:port`` of every broker in ``kafka://host:port,host``. Raises :class:`LogError` with what is wrong."""
    try:
        parts = urlsplit(url)
        brokers = tuple(_address(one) for one in parts.netloc.split(","))
    except ValueError as error:
        raise LogError(f"The broker is to be given as kafka://host:port,host2:port ({error}).") from None
    if parts.scheme != SCHEME:
        raise LogError(f"The broker is to be given as kafka://host:port,host2:port, not as {parts.scheme}://….")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise LogError("A URL of brokers ends after the last port; the prefix of the topics is a setting of its own.")
    return brokers


def _address(text: str) -> str:
    if "@" in text:  # the text is not repeated: it holds a secret
        raise LogError(
            "A URL of brokers must not hold a user name and password, because it is shown in messages; give them as "
            "settings."
        )
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{DEFAULT_PORT if parts.port is None else parts.port}"
