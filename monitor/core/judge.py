"""One UTC day judged for all channels at once: evidence first, from the baseline of the days before; then learning.

Rows are channels in sorted order and are worked on in blocks, which changes no figure: nothing but the sums of the
parents crosses rows, and those run over whole, sorted columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from functools import lru_cache

import numpy as np

from monitor.core import rare
from monitor.core.arrays import fixed, numbered, stacked
from monitor.core.baseline import KAPPA, Bands, Floats, Ints, cumulative, shrink, whole
from monitor.core.block import Block
from monitor.core.channel import Channel
from monitor.core.declared_windows import NONE, DeclaredWindows
from monitor.core.groups import Day
from monitor.core.params import Params
from monitor.core.spread import cv2_of
from monitor.core.verdict import Judged
from monitor.core.windows import mark_special

BLOCK = 128
WEEKDAY_WEIGHT = 20.0, 10.0  # expected exits behind a weekday factor of one: of a carrier, and of a channel beside it


def judge_day(
    day: int,
    names: Sequence[str],
    channels: Sequence[Channel],
    unlearnt: Set[str],
    relearnt: Set[str],
    params: Params,
    warm: Sequence[bool],
    held: Sequence[bool],
    hushed: bool = False,
    seasoned: bool = True,
    declared: DeclaredWindows = NONE,
    look: Callable[[Sequence[Block]], None] | None = None,
) -> tuple[dict[str, Judged], Day]:
    """Judge ``day`` (UTC day number) for ``channels`` (named by ``names``, sorted); changes the ``warm`` ones
    in place.

    The day enters the baseline of a channel unless there is evidence against it (``learn_ln_m``) or it is in
    ``unlearnt`` (a young incident); always if it is in ``relearnt`` (an old one). Channels that are ``held`` (their
    feed was silent) are neither judged nor learnt from. ``hushed``: complaints say nothing on this day; ``seasoned``:
    the log is old enough to know what old parcels do; ``declared``: what the operator's calendar says of the day.
    ``look``: shown the day before it is weighed and learnt.
    Returns the verdicts of the channels that had something at risk, and what their groups are judged by.
    """
    rows = np.flatnonzero(warm)
    found = Day(len(names))
    verdicts: dict[str, Judged] = {}
    if not rows.size:
        return verdicts, found
    carriers, _, _ = _lanes(tuple(names))
    hazards_of = StageHazards(names, [ch.tally for ch in channels])
    factor = weekday_factor(channels, carriers, day % 7)
    cv2 = cv2_of(stacked([ch.spread for ch in channels]))
    rates, known = rare.hazards(stacked([ch.rare for ch in channels]), rare.parents_of(tuple(names)))
    blocks = []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        blocks.append(
            Block(
                day,
                [int(i) for i in block],
                channels,
                cumulative(hazards_of(block)),
                factor[block],
                (rates[block], known[block]),
                params,
                hushed,
                seasoned,
            )
        )
    mark_special(day, names, carriers, blocks, declared)
    if sum(float(some.exits.sum() + some.at_risk[..., 0].sum()) for some in blocks) == 0:
        held = [True] * len(names)  # no parcel enters or leaves any stage anywhere
    for some in blocks:
        some.hold([held[i] for i in some.rows])
    if look is not None:
        look(blocks)
    for some in blocks:
        some.weigh(cv2[some.rows])
        some.tell(found)
        for i, verdict in zip(some.rows, some.verdicts(), strict=True):
            if verdict is not None:
                verdicts[names[i]] = verdict
        some.learn(
            [
                names[i] in relearnt or not (names[i] in unlearnt or channels[i].ln_m > params.learn_ln_m)
                for i in some.rows
            ]
        )
    return verdicts, found


class StageHazards:
    """What is usual, down from the whole to each channel, from the ``tallies`` of all channels in the order of
    ``names`` (sorted)."""

    def __init__(self, names: Sequence[str], tallies: Sequence[Floats]) -> None:
        self._tallies = tallies
        _, self._lanes, countries = _lanes(tuple(names))
        self._bands = Bands(tallies[0].shape[-1])
        self._parents = _parent_hazards(tallies, countries, self._lanes, self._bands)

    def __call__(self, rows: Ints) -> Floats:
        """Hazards of some channels, ``[row, clock, age]``."""
        tally = stacked([self._tallies[row] for row in rows.tolist()])
        return shrink(tally[:, 0], tally[:, 1], self._parents[self._lanes[rows]], KAPPA[2], self._bands)


@lru_cache(maxsize=4)
def _lanes(names: tuple[str, ...]) -> tuple[Ints, Ints, Ints]:
    """Index of each channel's carrier, of its country × carrier, and of the country of each country × carrier.

    The same names come day after day: the arrays are kept, and cannot be written to.
    """
    lanes = ["{0}|{2}".format(*name.split("|")) for name in names]
    carriers = numbered(lane.split("|")[1] for lane in lanes)
    countries = numbered(lane.split("|")[0] for lane in dict.fromkeys(lanes))
    return fixed(carriers), fixed(numbered(lanes)), fixed(countries)


def _sum_by(values: Iterable[Floats], index: Ints, groups: int) -> Floats:
    """Sums of arrays of one shape by group (of ``groups``, none of them empty), each in their order."""
    out: list[Floats | None] = [None] * groups
    for group, value in zip(index.tolist(), values, strict=True):
        known = out[group]
        if known is None:
            out[group] = value.copy()
        else:
            known += value
    return stacked([value for value in out if value is not None])


def _parent_hazards(tallies: Sequence[Floats], countries: Ints, lanes: Ints, bands: Bands) -> Floats:
    """Hazards of every country × carrier, ``[lane, clock, age]``, down from the whole and the country."""
    by_lane = _sum_by(tallies, lanes, len(countries))
    by_country = _sum_by(by_lane, countries, int(countries.max()) + 1)
    total = by_country.sum(axis=0)
    top = whole(total[0], total[1], bands)
    country = shrink(by_country[:, 0], by_country[:, 1], np.broadcast_to(top, by_country[:, 0].shape), KAPPA[0], bands)
    return shrink(by_lane[:, 0], by_lane[:, 1], country[countries], KAPPA[1], bands)


def weekday_factor(channels: Sequence[Channel], carriers: Ints, weekday: int) -> Floats:
    """Observed over expected exits of this weekday, ``[channel, clock]``: those of the carrier, shrunk to one, times
    those of the channel by what the carrier lets expect, likewise: its own flights, its country's weekend."""
    own = stacked([ch.weekday[:, :, weekday] for ch in channels])
    by_carrier = _sum_by(own, carriers, int(carriers.max()) + 1)
    above, beside = WEEKDAY_WEIGHT
    shared = ((by_carrier[:, 0] + above) / (by_carrier[:, 1] + above))[carriers]
    factor = shared * (own[:, 0] + beside) / (own[:, 1] * shared + beside)
    out: Floats = np.clip(factor, 0.05, 5.0)
    return out
