"""What goes wrong with brokers, in words: where, why, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from kafka.errors import KafkaError as PythonError
from kafka.errors import NodeNotReadyError

from monitor.log.kafka.client import KafkaSettings
from monitor.log.records import FencedError, LogBusyError, LogError

FENCED: Final = frozenset({KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED, KafkaError._FENCED})
_LOGIN: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
    }
)
_FORBIDDEN: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_MISSING: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
)
_TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})
_TOO_FEW: Final = frozenset({KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND})
_OUT_OF_REACH: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._DESTROY,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
    }
)
#: What waiting does not mend; everything else may be a leader that moves or a broker that restarts.
HOPELESS: Final = (
    _LOGIN
    | _FORBIDDEN
    | {KafkaError._SSL, KafkaError.UNSUPPORTED_VERSION, KafkaError.TOPIC_EXCEPTION, KafkaError._INVALID_ARG}
)
#: Told aside by a client whose calls then only say that time is up; these are the true reasons.
_DECISIVE: Final = _LOGIN | {KafkaError._SSL, KafkaError._RESOLVE}


class Troubles:
    """Keeps what a client of librdkafka says about its connections, beside the calls that then run out of time."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """To be the client's ``error_cb``."""
        if self._last is None or self._last.code() not in _DECISIVE or error.code() in _DECISIVE:
            self._last = error

    @property
    def decisive(self) -> KafkaError | None:
        """An error that waiting does not mend: the login, the certificates, the name of the host."""
        return self._last if self._last is not None and self._last.code() in _DECISIVE else None

    @property
    def last(self) -> KafkaError | None:
        """The last error, if there was one."""
        return self._last


def explain(
    error: BaseException | KafkaError,
    settings: KafkaSettings,
    troubles: Troubles | None = None,
    *,
    again: bool = False,
) -> LogError:
    """The :class:`LogError` for what a client raised or reported. ``again``: unless it is known that it would fail in
    the same way, it may be tried again.
    """
    code, text, transient = _read(error)
    if code in _OUT_OF_REACH and troubles is not None and troubles.last is not None:
        code, text, _ = _read(troubles.last)
    name = settings.name
    if code in FENCED:
        return FencedError(f"{name}: another worker has taken over ({text}).")
    if code in _LOGIN:
        how = f"{settings.sasl_mechanism} over {settings.security_protocol}" if settings.sasl else "without a login"
        return LogError(
            f"{name} does not let this program in, {how} ({text}); check user name, password, mechanism and protocol."
        )
    if code == KafkaError._SSL:
        return LogError(
            f"{name}: TLS failed ({text}); check that this port speaks TLS, and give the certificate of the authority "
            "that signed the broker's as ssl_cafile."
        )
    if code in _FORBIDDEN:
        return LogError(
            f"{name} forbids this to {settings.username or 'an anonymous user'} ({text}); let an administrator grant "
            f"it for topics, groups and transactional ids that begin with {settings.topic_prefix!r}."
        )
    if code in _MISSING:
        return LogError(f"{name}: a topic is missing ({text}); `run` or `ingest` creates it.")
    if code in _TOO_LARGE:
        return LogError(f"{name} does not take a record of this size ({text}); raise max.message.bytes of the topic.")
    if code in _TOO_FEW:
        return LogBusyError(f"{name}: too few replicas are in sync ({text}); bring the brokers that are down back.")
    if code == KafkaError._NOENT:
        return LogBusyError(f"{name}: a topic was deleted, or has no leader ({text}); bring its brokers back.")
    if code in _OUT_OF_REACH or transient:
        return LogBusyError(
            f"{name} does not answer ({text}); see that the brokers run and can be reached, then try again."
        )
    return (LogBusyError if again else LogError)(f"{name}: {text}.")


def _read(error: BaseException | KafkaError) -> tuple[int | None, str, bool]:
    """Code, text, and whether it may pass by itself."""
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        error = error.args[0]
    if isinstance(error, KafkaError):
        return error.code(), error.str().rstrip("."), error.retriable()
    if isinstance(error, NodeNotReadyError):
        return None, "no broker can be reached", True
    if isinstance(error, PythonError):
        text = str(error).removeprefix(f"{type(error).__name__}: ").rstrip(".")
        return getattr(error, "errno", None), text or type(error).__name__, bool(getattr(error, "retriable", False))
    return None, str(error).rstrip(".") or type(error).__name__, isinstance(error, OSError)


@contextmanager
def explained(settings: KafkaSettings, troubles: Troubles | None = None) -> Iterator[None]:
    """Turn errors of both clients, and of the network, into :class:`LogError`."""
    try:
        yield
    except LogError:
        raise
    except (KafkaException, PythonError, OSError) as error:
        raise explain(error, settings, troubles) from error
