"""Parcels that nobody ever scanned, of a forwarder or a batch that is named for it.

They are told by its incident. Weeks later they would be overdue end to end on each of their channels, too, and these
would be paged once more for the same. So they are not counted among those at risk of that clock any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.baseline import Floats, Ints
from monitor.core.channel import Channel, none_unseen
from monitor.core.facets import AGES
from monitor.core.vocabulary import END_TO_END

#: Of the parcels that are ever scanned, no more than this share waits so long.
LATE: Final = 0.05


def overdue(first: Floats) -> NDArray[np.bool_]:
    """Ages on the next day at which a first scan is overdue. ``first``: its hazards by age, ``[age]``."""
    chance = np.exp(-np.cumsum(first))
    never = chance[-1]
    return np.concatenate(([False], chance[:-1] - never <= LATE * (1 - never)))


def add_up(sums: dict[str, Ints], channel: str, waiting: Sequence[int]) -> None:
    """Add the parcels of one more pair to those of its ``channel``, by age."""
    if waiting:
        sums[channel] = sums.get(channel, 0) + np.array(waiting, dtype=np.int64)


def larger(some: Mapping[str, Ints], others: Mapping[str, Ints]) -> dict[str, Ints]:
    """The same parcels told in two ways, by channel and age: of a forwarder, and of its batches."""
    none = np.zeros(AGES, dtype=np.int64)
    return {name: np.maximum(some.get(name, none), others.get(name, none)) for name in sorted({*some, *others})}


def set_aside(channel: Channel, waiting: Ints, first: Floats) -> bool:
    """Leave the parcels that are overdue for their first scan out of the end-to-end clock; whether there are any.

    ``waiting``: parcels without a first scan by age on the next day to be judged; ``first`` as in :func:`overdue`.
    """
    young = np.where(overdue(first), waiting, 0)
    if not (young.any() or channel.unseen.size):
        return False
    unseen = np.zeros(channel.risk.shape[1] - 1, dtype=np.int64)
    if channel.unseen.size:
        unseen[AGES:] = channel.unseen[AGES:]
    unseen[:AGES] = young
    channel.unseen = unseen
    return True


def without_unseen(channel: Channel, at_risk: Floats, exits: Floats) -> None:
    """Take the parcels set aside from those ``at_risk`` today, ``[clock, age]``; those of the next day are a day older.

    No fewer are left than ``exits`` says have left.
    """
    if not channel.unseen.size:
        return
    row = at_risk[END_TO_END]
    unseen = np.minimum(channel.unseen, row.astype(np.int64))
    np.maximum(row - unseen, exits[END_TO_END], out=row)
    channel.unseen = np.concatenate(([0], unseen[:-1])) if unseen[:-1].any() else none_unseen()
