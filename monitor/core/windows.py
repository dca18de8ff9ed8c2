"""Known and declared windows on a judged day: what counts there is whether a channel is slower than the others."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from monitor.core.baseline import Ints
from monitor.core.block import Block
from monitor.core.calendar import is_special
from monitor.core.channel import KINDS
from monitor.core.declared_windows import NONE, STRUCK, DeclaredWindows

SPECIAL_MARGIN = 0.35  # slack inside known holiday windows
SPECIAL_LEAST = 3.0  # expected exits of a carrier that is compared with
LAST_MILE = 3


def mark_special(
    day: int, names: Sequence[str], carriers: Ints, blocks: Sequence[Block], declared: DeclaredWindows = NONE
) -> None:
    """In known windows, expect what the other carriers show on the same day, and allow more slack.

    For the clocks of the origin other carriers are compared anywhere, for the last mile in the same country. Without
    two other carriers of some volume there is nothing to compare with, and the clock is not judged on that day.

    In a ``declared`` window the other carriers are those it concerns too; a strike is compared with nobody.
    """
    special: list[tuple[Block, int, int, int, str, str]] = []
    seen: dict[tuple[int, str, str], dict[int, list[float]]] = {}
    known: dict[str, tuple[int, ...]] = {}
    for block in blocks:
        exits, expected = block.exits.sum(axis=-1).tolist(), block.expected.tolist()
        for i, row in enumerate(block.rows):
            country = names[row].split("|", 1)[0]
            clocks = known.get(country)
            if clocks is None:
                clocks = known[country] = tuple(
                    k for k in range(KINDS) if is_special(country, k, day, declared.working)
                )
            pools = {**dict.fromkeys(clocks, ""), **declared.of(names[row])}
            if not pools:
                continue
            carrier = int(carriers[row])
            for clock, pool in sorted(pools.items()):
                if pool == STRUCK:
                    block.special[i, clock], block.judged[i, clock] = True, False
                    continue
                where = country if clock == LAST_MILE else ""
                special.append((block, i, clock, carrier, where, pool))
                sums = seen.setdefault((clock, where, pool), {}).setdefault(carrier, [0.0, 0.0])
                sums[0] += exits[i][clock]
                sums[1] += expected[i][clock]
    ratios: dict[tuple[int, str, str, int], float | None] = {}
    for block, i, clock, carrier, where, pool in special:
        key = clock, where, pool, carrier
        if key not in ratios:
            others = [
                o / e for other, (o, e) in seen[clock, where, pool].items() if other != carrier and e >= SPECIAL_LEAST
            ]
            ratios[key] = min(max(median(others), 0.02), 1.5) if len(others) >= 2 else None
        ratio = ratios[key]
        block.special[i, clock] = True
        block.margin[i, clock] = SPECIAL_MARGIN
        if ratio is None:
            block.judged[i, clock] = False
        else:
            block.factor[i, clock] *= ratio
            block.expected[i, clock] *= ratio
