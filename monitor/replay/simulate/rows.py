"""Events as columns: cheap to make, sort and cut by the million; they become text only when written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from monitor.replay.simulate.streams import IntArray

DAY_S: Final = 86_400


class Kind(IntEnum):
    """What a row becomes; the order breaks ties of recorded time."""

    OFFER = 0
    REGISTERED = 1
    SCAN = 2
    OPENED = 3
    CLOSED = 4
    REFUND_REQUESTED = 5
    REFUND_COMPLETED = 6
    CLAIM_FILED = 7
    CLAIM_SETTLED = 8


@dataclass(frozen=True, slots=True)
class Rows:
    """Events, one a row. Times in seconds since the start of the world.

    ``item`` is the parcel (registrations, scans), the case (complaints, refunds, claims) or the offer; ``form`` the
    scan's template, unused otherwise.
    """

    recorded_s: IntArray
    time_s: IntArray
    kind: IntArray
    item: IntArray
    form: IntArray

    def __len__(self) -> int:
        return len(self.recorded_s)

    def take(self, index: IntArray | slice) -> Rows:
        """The rows at ``index``."""
        return Rows(self.recorded_s[index], self.time_s[index], self.kind[index], self.item[index], self.form[index])

    def shifted(self, parcels: int, cases: int) -> Rows:
        """The same rows with items numbered from ``parcels`` and ``cases`` on."""
        offset = np.where(self.kind <= Kind.SCAN, parcels, cases).astype(self.item.dtype)
        return Rows(self.recorded_s, self.time_s, self.kind, self.item + offset, self.form)


def make_rows(recorded_s: IntArray, time_s: IntArray, kind: Kind, item: IntArray, form: IntArray | int = 0) -> Rows:
    """Rows of one kind in the narrow types that they are kept in."""
    n = len(recorded_s)
    return Rows(
        np.asarray(recorded_s, dtype=np.int64),
        np.asarray(time_s, dtype=np.int64),
        np.full(n, kind, dtype=np.int8),
        np.asarray(item, dtype=np.int32),
        np.asarray(np.broadcast_to(form, n), dtype=np.int32),
    )


def concatenate(parts: Iterable[Rows]) -> Rows:
    """All rows one after another."""
    columns = zip(*((p.recorded_s, p.time_s, p.kind, p.item, p.form) for p in parts), strict=True)
    return Rows(*(np.concatenate(column) for column in columns))


def recorded_before(rows: Rows, end_s: int) -> Rows:
    """The rows that are known before the world ends, in the order of becoming known."""
    kept = np.flatnonzero(rows.recorded_s < end_s)
    order = np.lexsort((rows.item[kept], rows.kind[kept], rows.recorded_s[kept]))
    return rows.take(kept[order])
