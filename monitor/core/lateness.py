"""Days past the promised day, as places of an array: what parcel fold, fleet fold and forecast agree on."""

from __future__ import annotations

from typing import Final

#: UTC days past the promised day that are looked at, and how many there are.
FIRST: Final = -28
PLACES: Final = 88
#: Rows of ``Channel.overdue``; see :mod:`monitor.core.overdue`.
OPEN, WAITED, STAYED, COMPLAINED = range(4)
ROWS: Final = 4


def place_of(day: int, due_day: int) -> int | None:
    """The place of the UTC day ``day`` for a parcel promised for ``due_day``; None if it is too early or too late.

    >>> place_of(100, 128), place_of(100, 100), place_of(160, 100)
    (0, 28, None)
    """
    place = day - due_day - FIRST
    return place if 0 <= place < PLACES else None
