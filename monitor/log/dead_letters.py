"""The topic of dead letters: each is kept once, listed until it was replayed, and never deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from monitor.core.events import Rejected, from_us
from monitor.log.protocol import Log
from monitor.log.records import NewRecord
from monitor.log.topics import DEAD_LETTERS
from monitor.wire.dead_letter import Letter, dead_letter, letter_id, raw_of
from monitor.wire.incoming import Incoming

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


class DeadLetterBox:
    """The dead letters of one log. What is open is read from the log when it is first needed.

    Memory: about 120 bytes for each open letter. Methods raise :class:`~monitor.log.records.LogError`.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._open: set[str] | None = None

    def letters(self) -> list[Letter]:
        """The open letters, sorted by ``raw``."""
        found: dict[str, Letter] = {}
        for name, letter in self._records():
            if letter is None:
                found.pop(name, None)
            else:
                found.setdefault(name, letter)
        return sorted(found.values(), key=lambda letter: (letter["raw"], letter["reason"]))

    def totals(self) -> Counter[str]:
        """How many letters there ever were, by reason."""
        return Counter(letter["reason"] for _, letter in self._records() if letter is not None)

    def replayed(self) -> set[str]:
        """The ids of letters that were replayed and have not failed again since."""
        names: set[str] = set()
        for name, letter in self._records():
            if letter is None:
                names.add(name)
            else:
                names.discard(name)
        return names

    def record(self, incoming: Incoming, fault: Rejected, now_us: int) -> NewRecord | None:
        """The record of a fault, or None if the same letter is open already. ``now_us``: the time of reading."""
        if self._open is None:
            self._open = set()
            for known, letter in self._records():
                if letter is None:
                    self._open.discard(known)
                else:
                    self._open.add(known)
        name = letter_id(incoming.raw, fault.reason)
        if name in self._open:
            return None
        self._open.add(name)
        position = {"file": incoming.file, "line": incoming.line}
        letter = dead_letter(position, incoming.raw, fault.reason, fault.detail, now_us, incoming.reader)
        return NewRecord(DEAD_LETTERS, 0, _encode(letter), timestamp_us=now_us, key=name.encode())

    def mark_replayed(self, letters: Iterable[Letter], now_us: int) -> None:
        """Note durably that these letters are settled."""
        names = [letter_id(raw_of(letter), letter["reason"]) for letter in letters]
        value = _encode({"replayed": from_us(now_us)})
        self._log.append(NewRecord(DEAD_LETTERS, 0, value, timestamp_us=now_us, key=name.encode()) for name in names)
        if self._open is not None:
            self._open.difference_update(names)

    def _records(self) -> Iterator[tuple[str, Letter | None]]:
        """Every record in order: the id of a letter, and the letter, or None where it was replayed."""
        for record in self._log.scan(DEAD_LETTERS, 0):
            letter = _decode(record.value)
            if "replayed" in letter and record.key is not None:
                yield record.key.decode(), None
            else:
                yield letter_id(raw_of(letter), letter["reason"]), letter
