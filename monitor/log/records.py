"""What goes into a log and comes out of it, whichever log it is: records, checkpoints, errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class LogError(Exception):
    """The log cannot do what was asked; the message names it and what a person can do about it."""


class ForgottenError(LogError):
    """Deletions since the offset asked for may be forgotten: the state has to be read again from its beginning."""


class LogFullError(LogError):
    """The disk is full. Nothing of the failed call was written; it may be tried again."""


class LogBusyError(LogError):
    """The log did not answer in time: locked by another program, or brokers out of reach. Nothing of the failed call
    was written, or will be; it may be tried again."""


class FencedError(LogError):
    """Another worker has taken the shard over: what this one folded of it is void, and nothing of it was written."""


class Shard(NamedTuple):
    """One partition of a source topic with all state folded from it: checkpointed, restored and moved as one."""

    topic: str
    partition: int


class LogRecord(NamedTuple):
    """One record as it stands in the log. ``timestamp_us``: microseconds since 1970 UTC, as given by the
    writer. ``foreign``: not written by this program's gateway, but straight into the topic by another producer.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp_us: int
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be written; the log gives it an offset behind all others of its partition.

    ``index_keys`` are :func:`~monitor.log.partition.key_hash` of the keys (parcel ids) inside the value, under which
    ``find`` finds the record again. ``timestamp_us`` is in microseconds since 1970 UTC. ``holds_until_us``: the record
    is right only if nothing that enters the partition before it is recorded after this time; a log with other
    writers has it made again otherwise.
    """

    topic: str
    partition: int
    value: bytes
    timestamp_us: int = field(kw_only=True)
    key: bytes | None = field(default=None, kw_only=True)
    index_keys: Iterable[int] = field(default=(), kw_only=True)
    holds_until_us: int | None = field(default=None, kw_only=True)


class TableChange(NamedTuple):
    """The new value of a key of a table; ``None`` deletes it (a tombstone)."""

    table: str
    key: bytes
    value: bytes | None


class Change(NamedTuple):
    """The last change of one key of a shard's state, as read back; ``value`` is ``None`` if it was deleted."""

    offset: int
    table: str
    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the fold of one shard did since its last checkpoint; it is written whole or not at all.

    ``generation``: that of the log the work was read from. ``outputs``: records derived from the input.
    ``changes``: at most one per key of a table. ``next_offset``: that of the next record to fold.
    """

    generation: str
    shard: Shard
    outputs: Sequence[NewRecord]
    changes: Sequence[TableChange]
    next_offset: int
