"""The table of carriers as a signed webhook: a CloudEvent by the Standard Webhooks scheme.

The signature is HMAC-SHA256 of ``ID.TIMESTAMP.BODY``, base64, as ``v1,…`` in the header ``webhook-signature``, beside
``webhook-id`` and ``webhook-timestamp`` (Unix seconds); a secret is base64 after ``whsec_``
(https://www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from monitor.core.events import from_us

TYPE: Final = "carriers.published.v1"
CONTENT_TYPE: Final = "application/cloudevents+json"
#: Columns that move with every tick and are no change by themselves.
_DATES: Final = frozenset({"valid_from", "valid_to"})
_LEAST_SECRET: Final = 24


class SecretError(ValueError):
    """The secret cannot sign; the message says why."""


def key_of(secret: str) -> bytes:
    """The bytes of a secret. Raises :class:`SecretError`.

    >>> len(key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    24
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise SecretError("it must be base64, after whsec_: `openssl rand -base64 32` makes one") from None
    if not _LEAST_SECRET <= len(key) <= 64:
        raise SecretError(f"it has {len(key)} bytes; it must have {_LEAST_SECRET} to 64")
    return key


def signature(key: bytes, id_: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``.

    >>> signature(key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
    ...     b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = f"{id_}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the table says apart from dates: equal texts, equal tables."""
    plain = [{name: value for name, value in row.items() if name not in _DATES} for row in rows]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:32]


def event(rows: Sequence[Mapping[str, Any]], as_of: str, source: str, is_test: bool = False) -> dict[str, Any]:
    """The table as a CloudEvent. Its id is a hash of all that it says, so a receiver can drop repeats."""
    whole = hashlib.sha256(json.dumps([as_of, is_test, *rows], sort_keys=True).encode()).hexdigest()[:32]
    data: dict[str, Any] = {"as_of": as_of, "rows": list(rows)}
    if is_test:
        data["test"] = True
    return {
        "specversion": "1.0",
        "id": whole,
        "source": source,
        "type": TYPE,
        "time": as_of,
        "datacontenttype": "application/json",
        "data": data,
    }


def test_event(now_us: int, source: str) -> dict[str, Any]:
    """An event without rows that says it is a test."""
    return event([], from_us(now_us), source, is_test=True)


def headers(key: bytes, id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a request."""
    return {
        "Content-Type": CONTENT_TYPE,
        "User-Agent": "channel-monitor",
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(key, id_, timestamp, body),
    }
