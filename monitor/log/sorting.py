"""Events in their order, however many: sorted in memory, and merged from sorted runs on the disk beyond a bound."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self

import msgspec

from monitor.core.events import canonical_body
from monitor.log.records import LogError
from monitor.wire.decode import decode

#: Bytes of memory that an event takes beside its own bytes: the tuple, its number, its texts (measured: 311).
OVERHEAD_BYTES: Final = 320
MAX_BYTES: Final = 256 << 20
_RUN_BLOCK: Final = 500  # events written and read at once


class Admitted(NamedTuple):
    """An event that may enter the log; the first four fields are its :func:`~monitor.core.ordering.sort_key`.

    ``key`` chooses the partition; empty: every partition.
    """

    recorded_us: int
    sequence: str
    source: str
    id: str
    key: str
    raw: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Admitted]).decode


class EventSorter:
    """Collects events and gives them back sorted, once. Use it in a ``with``: it removes its files.

    It holds about ``max_bytes`` of events in memory; more go to unnamed temporary files in ``directory``.
    """

    def __init__(self, directory: Path, max_bytes: int = MAX_BYTES) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._run: list[Admitted] = []
        self._bytes = 0
        self._files: list[BinaryIO] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def runs(self) -> int:
        """Runs written to the disk so far."""
        return len(self._files)

    def add(self, event: Admitted) -> None:
        """Take one event. Raises :class:`~monitor.log.records.LogError` when a run cannot be written."""
        self._run.append(event)
        self._bytes += len(event.raw) + OVERHEAD_BYTES
        if self._bytes > self._max_bytes:
            try:
                self._spill()
            except OSError as error:
                raise LogError(
                    f"{self._directory}: sorting needs room for the events there, but {error.strerror or error}; "
                    "nothing was appended. Free some space, or ingest fewer files at once."
                ) from error

    def in_order(self) -> Iterator[Admitted]:
        """All events by (recorded time, sequence, source, id, canonical bytes)."""
        self._run.sort()
        if not self._files:
            return _settle_ties(self._run)
        return _settle_ties(heapq.merge(*(_read_run(file) for file in self._files), self._run))

    def _spill(self) -> None:
        self._run.sort()
        file: BinaryIO = self._stack.enter_context(tempfile.TemporaryFile(dir=self._directory))  # noqa: SIM115
        for start in range(0, len(self._run), _RUN_BLOCK):
            block = _encode(self._run[start : start + _RUN_BLOCK])
            file.write(len(block).to_bytes(4, "big"))
            file.write(block)
        file.flush()
        self._files.append(file)
        self._run, self._bytes = [], 0


def _read_run(file: BinaryIO) -> Iterator[Admitted]:
    file.seek(0)
    while head := file.read(4):
        yield from _decode(file.read(int.from_bytes(head, "big")))


def _settle_ties(events: Iterable[Admitted]) -> Iterator[Admitted]:
    """Put events of one key in the order of their canonical bytes; they are few, so these are made only here."""
    tied: list[Admitted] = []
    for event in events:
        if tied and (event.recorded_us != tied[0].recorded_us or event[:4] != tied[0][:4]):
            yield from _by_canonical_bytes(tied)
            tied = []
        tied.append(event)
    yield from _by_canonical_bytes(tied)


def _by_canonical_bytes(tied: list[Admitted]) -> list[Admitted]:
    if len(tied) > 1:
        tied.sort(key=lambda event: (canonical_body(decode(event.raw)), event.raw))
    return tied
