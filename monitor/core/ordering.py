"""The order of events, written down once: recorded time, grid of ticks, key of sorting.

Rules it keeps:

1. Log position decides. The *effective recorded time* of an event is the stated one, but never before that of
   the previous event of its partition, and always after the last tick of its partition. A stated time from 2089 on
   is not believed: one broken date must not move the clock past everything that comes after it.
2. A tick at grid point T stands after every event recorded up to T and before every later one.
3. Where no log has decided yet, events are sorted by (recorded time, sequence, source, id), then by their
   canonical bytes.

All times are integer microseconds since 1970 UTC.
"""

from __future__ import annotations

from typing import Final

from monitor.core.vocabulary import YEAR_2000_US, YEAR_2089_US

SortKey = tuple[int, str, str, str]

#: In the place of a sequence: greater than every sequence of digits, so a tick follows the events of its instant.
AFTER_ALL: Final = "~"

_DIGITS: Final = 20
_BEFORE_ALL: Final = -(1 << 62)


class EffectiveClock:
    """Effective recorded time of one partition; ``floor_us`` is the least that the next event can have."""

    __slots__ = ("floor_us",)

    def __init__(self, floor_us: int = _BEFORE_ALL) -> None:
        self.floor_us = floor_us

    def stamp(self, stated_us: int) -> int:
        """The effective recorded time of the next event, which states ``stated_us``."""
        if stated_us >= YEAR_2089_US:
            stated_us = YEAR_2000_US
        if stated_us > self.floor_us:
            self.floor_us = stated_us
        return self.floor_us

    def tick(self, at_us: int) -> bool:
        """Pass a tick at ``at_us``. False, and nothing changes, when an event or tick after it came before."""
        if at_us < self.floor_us or at_us >= YEAR_2089_US:
            return False
        self.floor_us = at_us + 1
        return True

    @property
    def untouched(self) -> bool:
        """True until the first event or tick."""
        return self.floor_us == _BEFORE_ALL


def grid_point(time_us: int, tick_us: int) -> int:
    """The first grid point that is not before ``time_us``: the tick at which an event recorded then counts."""
    return -(-time_us // tick_us) * tick_us


def ticks_between(after_us: int, until_us: int, tick_us: int) -> range:
    """The grid points T with ``after_us <= T < until_us``: the ticks due between two recorded times."""
    return range(grid_point(after_us, tick_us), until_us, tick_us)


def normal_sequence(sequence: str | int | None) -> str:
    """A sequence as text that sorts as the number does: digits padded to 20, none as the empty text."""
    if sequence is None:
        return ""
    text = str(sequence)
    return text.zfill(_DIGITS) if text.isascii() and text.isdigit() else text


def sort_key(recorded_us: int, sequence: str | int | None, source: str, event_id: str) -> SortKey:
    """The key by which events are sorted; equal keys go by canonical bytes."""
    return recorded_us, normal_sequence(sequence), source, event_id
