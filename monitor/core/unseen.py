"""Parcels that nobody ever scanned, of a forwarder or a batch that is named for it.

They are told by its incident. When it is over they would still wait for their first scans, and weeks later be overdue
end to end, and each of their channels would be paged once more for the same. So they are *set aside*: they do not count
among those at risk of these two clocks any more, and are no evidence if they show up after all.
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
#: The clocks that go on until a parcel is scanned.
UNTIL_SEEN: Final = (0, END_TO_END)


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
    """Leave the parcels that are overdue for their first scan out of the clocks; whether any are.

    ``waiting``: parcels without a first scan by age on the next day to be judged; ``first`` as in :func:`overdue`.
    """
    late = np.where(overdue(first), waiting, 0)
    if not late.any():
        return False
    unseen = channel.unseen.copy() if channel.unseen.size else np.zeros(channel.risk.shape[1] - 1, dtype=np.int64)
    np.maximum(unseen[:AGES], late, out=unseen[:AGES])
    channel.unseen = unseen
    return True


def without_unseen(channel: Channel, at_risk: Floats, exits: Floats) -> None:
    """Take the parcels set aside from those ``at_risk`` today, and from the ``exits`` what is more than the others,
    both ``[clock, age]``, in place. Set aside stay those that still wait for a first scan; they are a day older then.
    """
    if not channel.unseen.size:
        return
    waiting = np.maximum(at_risk[0] - exits[0], 0.0).astype(np.int64)
    for clock in UNTIL_SEEN:
        np.maximum(at_risk[clock] - channel.unseen, 0.0, out=at_risk[clock])
        np.minimum(exits[clock], at_risk[clock], out=exits[clock])
    older = np.concatenate(([0], np.minimum(channel.unseen, waiting)[:-1]))
    channel.unseen = older if older.any() else none_unseen()
