"""Reading the state of shards: the last value of every key, and how far the shard has been folded.

A partition of a state topic holds changes with the key ``table\\0key`` and, as the last record of every checkpoint, the
position under a key of its own. The topic is compacted, so it is the last value of each key that is kept for good.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from monitor.log.kafka.layout import DELETIONS_KEPT_MS
from monitor.log.kafka.offsets import Place
from monitor.log.kafka.reading import Reader
from monitor.log.records import Change, ForgottenError

#: The key of a position; it names no table, so no change has it.
POSITION_KEY: Final = b"\0position"
_SEPARATOR: Final = b"\0"
_MARGIN_MS: Final = 3_600_000  # clocks of writers and readers may differ
_TAIL: Final = 2  # behind the last change stand its position and the mark of the commit
_FIRST_LOOK: Final = 16
_LOOK_FACTOR: Final = 4


class Position(msgspec.Struct, frozen=True):
    """How far a shard has been folded. ``write``: an id of the checkpoint, by which its writer knows it again."""

    next_offset: int
    generation: str
    write: str


_decode_position: Final = msgspec.json.Decoder(Position).decode


def key_prefix(table: str) -> bytes:
    """What stands before the keys of a table."""
    return table.encode() + _SEPARATOR


class States:
    """Reads state topics. Methods block and may raise :class:`LogError`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def changes(self, place: Place, after_offset: int, end: int) -> Iterator[Change]:
        """The changes behind ``after_offset`` and before ``end``; :class:`ForgottenError`, at once, if deletions
        among them may be forgotten.
        """
        start = after_offset + 1
        if 0 < start < end - _TAIL and self._forgotten(place, start):
            raise ForgottenError(
                f"{place[0]} has forgotten deletions since offset {after_offset}; read it again from -1."
            )
        return self._changes(place, start, end)

    def _changes(self, place: Place, start: int, end: int) -> Iterator[Change]:
        for message in self._reader.read(place, start, end):
            key = message.key()
            if key != POSITION_KEY:
                table, _, rest = key.partition(_SEPARATOR)
                yield Change(message.offset(), table.decode(), rest, message.value())

    def _forgotten(self, place: Place, start: int) -> bool:
        """Whether a deletion from ``start`` on may be gone: only what is young enough has all of its deletions."""
        oldest_ms = round(time.time() * 1_000) - DELETIONS_KEPT_MS + _MARGIN_MS
        young = self._reader.first_since(place, oldest_ms)
        return young is None or start < young

    def positions(self, ends: Mapping[Place, int]) -> dict[Place, Position]:
        """How far shards were folded by their last checkpoints before these ends; without those that have none.

        Nothing committed stands behind a position, so the search begins at the end.
        """
        found: dict[Place, Position] = {}
        left, look = dict(ends), _FIRST_LOOK
        while left:
            ranges = {place: (max(end - look, 0), end) for place, end in left.items()}
            for message in self._reader.read_all(ranges):
                if message.key() == POSITION_KEY:
                    found[message.topic(), message.partition()] = _decode_position(message.value())
            left = {place: end for place, end in left.items() if place not in found and end > look}
            look *= _LOOK_FACTOR
        return found
