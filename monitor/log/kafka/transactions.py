"""A producer whose records are written all or none."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.errors import Troubles, explain
from monitor.log.records import LogError

_LOG: Final = logging.getLogger(__name__)
_CALL_S: Final = 2.0  # a call that takes longer is made again, so that Ctrl-C is heard and the log tells why
_ABORT_S: Final = 10.0
_BUFFER_POLL_S: Final = 0.01


class TransactionalProducer:
    """One transaction after the other under one transactional id. All methods block; not safe for threads.

    Who opens a producer with the same id shuts this one out, whereupon its calls raise
    :class:`~monitor.log.records.FencedError`. ``usable`` is False after that and after every other error from which it
    cannot recover.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str, transaction_timeout_s: float) -> None:
        self._settings = settings
        self._troubles = Troubles()
        config = settings.writer(transactional_id, transaction_timeout_s)
        self._producer = Producer({**config, "error_cb": self._troubles.note})
        self._to_abort = False
        self.usable = True

    def open(self) -> None:
        """Shut out whoever used the id before, and wait until what he left is committed or given up."""
        deadline = time.monotonic() + self._settings.timeout_s
        while True:
            try:
                self._producer.init_transactions(_CALL_S)
                return
            except KafkaException as error:
                reason = self._troubles.decisive or error.args[0]
                if self._troubles.decisive or not error.args[0].retriable() or time.monotonic() > deadline:
                    self.usable = False
                    raise explain(reason, self._settings, self._troubles) from error

    def begin(self) -> None:
        """Begin a transaction, once the last one is given up for good."""
        if self._to_abort:
            self.abort()
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise self._explained(error) from error
        self._to_abort = True

    def produce(self, topic: str, partition: int, key: bytes | None, value: bytes | None, **more: Any) -> None:
        """Add a record to the transaction. ``more``: what else the client's ``produce`` takes."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition, **more)
                return
            except BufferError:
                self._producer.poll(_BUFFER_POLL_S)
            except TypeError as error:
                raise LogError(f"A record for {topic} is not made of bytes ({error}).") from error
            except KafkaException as error:
                raise self._explained(error) from error

    def flush(self) -> None:
        """Wait until every record has been delivered, or its delivery has failed; the callbacks tell which."""
        while self._producer.flush(_CALL_S):
            if not self.usable:
                return

    def commit(self) -> None:
        """Commit. If it raises, nothing of the transaction is visible nor will be, unless ``usable`` is False then.

        While the answer is outstanding it asks again, however long brokers are away: the outcome must be known.
        """
        while True:
            try:
                self._producer.commit_transaction(_CALL_S)
                self._to_abort = False
                return
            except KafkaException as error:
                reason = error.args[0]
                if reason.fatal() or reason.txn_requires_abort() or not reason.retriable():
                    explained = self._explained(error)
                    if self.usable:
                        self.abort()
                    raise explained from error
                _LOG.warning("%s: the outcome of a transaction is not known yet: %s", self._settings.name, reason.str())

    def abort(self) -> None:
        """Give the transaction up. If brokers do not answer, it is given up before the next begins."""
        deadline = time.monotonic() + _ABORT_S
        while self.usable and self._to_abort:
            try:
                self._producer.abort_transaction(_CALL_S)
                self._to_abort = False
            except KafkaException as error:
                if error.args[0].fatal() or not error.args[0].retriable():
                    raise self._explained(error) from error
                if time.monotonic() > deadline:
                    raise explain(error, self._settings, self._troubles) from error

    def close(self) -> None:
        """Give back what is held. An open transaction is given up, by the brokers if need be."""
        self.usable = False
        self._producer.close()

    def _explained(self, error: KafkaException) -> LogError:
        reason = error.args[0]
        self.usable = self.usable and not reason.fatal()
        return explain(error, self._settings, self._troubles, again=reason.txn_requires_abort())
