"""What goes into a log and comes out of it, whichever log it is: records, checkpoints, errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class LogError(Exception):
    """The log cannot do what was asked; the message names the file and what a person can do about it."""


class LogFullError(LogError):
    """The disk is full. Nothing of the failed transaction was written; it may be tried again."""


class LogBusyError(LogError):
    """Another program kept the log locked for too long. Nothing was written; it may be tried again."""


class LogRecord(NamedTuple):
    """One record as it stands in the log. ``timestamp_us``: microseconds since 1970 UTC, as given by the
    writer.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp_us: int


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be written; the log gives it the next offset of its partition.

    ``index_keys`` are :func:`~monitor.log.partition.key_hash` of the keys (parcel ids) inside the value,
    under which ``positions`` finds the record again. ``timestamp_us`` is in microseconds since 1970 UTC.
    """

    topic: str
    partition: int
    value: bytes
    timestamp_us: int = field(kw_only=True)
    key: bytes | None = field(default=None, kw_only=True)
    index_keys: Iterable[int] = field(default=(), kw_only=True)


class TableChange(NamedTuple):
    """The new value of a key of a table's partition; ``None`` deletes it (a tombstone)."""

    table: str
    partition: int
    key: bytes
    value: bytes | None


class Change(NamedTuple):
    """The last change of one key, as read from a changelog; ``value`` is ``None`` if it was deleted."""

    offset: int
    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the folds did since the last checkpoint; it is written whole or not at all.

    ``generation``: that of the log the work was read from. ``outputs``: records derived from the input.
    ``changes``: at most one per key. ``headers``: for each (source topic, partition) the offset of the next
    record that has not been folded.
    """

    generation: str
    outputs: Sequence[NewRecord]
    changes: Iterable[TableChange]
    headers: Mapping[tuple[str, int], int]
