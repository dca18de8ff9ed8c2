"""A producer whose records are written all or none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.errors import Troubles, explain
from monitor.log.records import LogBusyError, LogError

_LOG: Final = logging.getLogger(__name__)
_CALL_S: Final = 2.0  # a call that takes longer is made again, so that Ctrl-C is heard and the log tells why
_ABORT_S: Final = 10.0
_PURGED: Final = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)
_BUFFER_POLL_S: Final = 0.01
_PAUSE_S: Final = 0.1  # where a call fails at once rather than after its time


class TransactionalProducer:
    """One transaction after the other under one transactional id. All methods block; not safe for threads.

    Who opens a producer with the same id shuts this one out, whereupon its calls raise
    :class:`~monitor.log.records.FencedError`. ``usable`` is False after that and after every other error from which it
    cannot recover.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str, transaction_timeout_s: float) -> None:
        self._settings = settings
        self._troubles = Troubles()
        self._failure: KafkaError | None = None  # the first record of the transaction that could not be delivered
        config = settings.writer(transactional_id, transaction_timeout_s)
        self._producer: Any = Producer({**config, "error_cb": self._troubles.note, "on_delivery": self._delivered})
        self._to_abort = False
        self.usable = True

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        # What is purged is not what failed: it was thrown away because of that.
        if error is not None and self._failure is None and error.code() not in _PURGED:
            self._failure = error

    def open(self) -> None:
        """Shut out whoever used the id before, and wait until what he left is committed or given up."""
        deadline = time.monotonic() + self._settings.timeout_s
        while True:
            try:
                _call(self._producer.init_transactions, _CALL_S)
                return
            except KafkaException as error:
                reason = self._troubles.decisive or error.args[0]
                if self._troubles.decisive or not error.args[0].retriable() or time.monotonic() > deadline:
                    self.usable = False
                    raise explain(reason, self._settings, self._troubles) from error
                time.sleep(_PAUSE_S)

    def begin(self) -> None:
        """Begin a transaction, once the last one is given up for good."""
        if self._to_abort:
            self.abort()
        self._failure = None
        try:
            _call(self._producer.begin_transaction)
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
                self._serve(self._producer.poll, _BUFFER_POLL_S)
            except TypeError as error:
                raise LogError(f"A record for {topic} is not made of bytes ({error}).") from error
            except KafkaException as error:
                raise self._explained(error) from error

    def flush(self) -> None:
        """Wait until every record has been delivered or given up; raises if one is known to be refused."""
        while self._serve(self._producer.flush, _CALL_S):  # the client gives records up after a while, so this ends
            _LOG.debug("%s: records wait for their brokers", self._settings.name)
        if self._failure is not None:
            raise explain(self._failure, self._settings, self._troubles, again=True)

    def commit(self) -> None:
        """Commit. If it raises, nothing of the transaction is visible nor will be, unless ``usable`` is False then.

        While the answer is outstanding it asks again, however long brokers are away: the outcome must be known.
        """
        try:
            self.flush()
        except LogError:
            self.give_up()
            raise
        while True:
            try:
                _call(self._producer.commit_transaction, _CALL_S)
                self._to_abort = False
                return
            except KafkaException as error:
                reason = error.args[0]
                if reason.fatal() or reason.txn_requires_abort() or not reason.retriable():
                    explained = self._explained(error)
                    self.give_up()
                    raise explained from error
                _LOG.warning("%s: the outcome of a transaction is not known yet: %s", self._settings.name, reason.str())
                time.sleep(_PAUSE_S)

    def give_up(self) -> None:
        """:meth:`abort` because of an error, which is the one to tell."""
        try:
            self.abort()
        except LogError as error:
            _LOG.debug("%s: given up before the next transaction: %s", self._settings.name, error)

    def abort(self) -> None:
        """Give the transaction up. If brokers do not answer, it is given up before the next one begins."""
        deadline = time.monotonic() + _ABORT_S
        while self.usable and self._to_abort:
            try:
                _call(self._producer.abort_transaction, _CALL_S)
                self._to_abort = False
            except KafkaException as error:
                if error.args[0].fatal() or not error.args[0].retriable():
                    raise self._explained(error) from error
                if time.monotonic() > deadline:
                    raise LogBusyError(str(explain(error, self._settings, self._troubles))) from error
                time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Give back what is held; brokers give an open transaction up after its time.

        The client's own ``close`` would wait for brokers that are away, however long.
        """
        self.usable = False
        self._producer = None

    def _serve(self, function: Callable[[float], int], timeout_s: float) -> int:
        try:
            left: int = _call(function, timeout_s)
        except KafkaException as error:  # one from which the client cannot recover; the others come with the records
            raise self._explained(error) from error
        return left

    def _explained(self, error: KafkaException) -> LogError:
        reason = self._reason(error)
        self.usable = self.usable and not reason.fatal()
        cause = reason if reason.fatal() else self._failure or reason
        return explain(cause, self._settings, self._troubles, again=reason.txn_requires_abort())

    def _reason(self, error: KafkaException) -> KafkaError:
        """What an error is about. That of a fatal one is raised where the client's events are served, others only say
        that there was one."""
        reason: KafkaError = error.args[0]
        if reason.code() == KafkaError._FATAL:
            try:
                _call(self._producer.poll, 0)
            except KafkaException as told:
                reason = told.args[0]
        return reason


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the client. While it raises an error it may call back, which Python takes amiss; this gets the error out."""
    try:
        return function(*arguments)
    except SystemError as error:
        if isinstance(error.__cause__, KafkaException):
            raise error.__cause__ from None
        return function(*arguments)  # the error is lost; but being fatal, it is raised by this call or the next
