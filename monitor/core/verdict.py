"""What a judged day says of a node, be it a channel or a group of channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from monitor.core.baseline import Floats, Ints
from monitor.core.evidence import EXPECTED, LN_M, SEEN, SINCE


class Judged(Struct, frozen=True, gc=False):
    """What a judged day gave a node with something at risk: how strong, and which clock and alternative say most."""

    ln_m: float
    clock: int
    alternative: int
    observed: float
    expected: float
    since_day: int
    ln_weight: float = 0.0  # of a channel that carries much, see monitor.core.stakes


def say(evidence: Floats, ln_m: float) -> Judged:
    """The verdict of a node from its ``evidence`` ``[row, clock, alternative]``."""
    return say_all(evidence[None], [ln_m])[0]


def strongest(evidence: Floats) -> Ints:
    """Of each node, the place (clock × alternatives + alternative) that says most; ``evidence`` as in
    :func:`say_all`."""
    out: Ints = evidence[:, LN_M].reshape(len(evidence), -1).argmax(axis=-1)
    return out


def say_all(
    evidence: Floats, ln_m: Sequence[float], cells: Ints | None = None, ln_weight: Sequence[float] | None = None
) -> list[Judged]:
    """The verdicts of some nodes, ``[node, row, clock, alternative]``; ``cells``: the place that each of them tells of,
    by default the one that says most; ``ln_weight`` of each."""
    alternatives = evidence.shape[-1]
    best = strongest(evidence) if cells is None else cells
    at = evidence[np.arange(len(ln_m)), :, best // alternatives, best % alternatives]
    weights = [0.0] * len(ln_m) if ln_weight is None else ln_weight
    told = zip(ln_m, best.tolist(), at[:, [SEEN, EXPECTED, SINCE]].tolist(), weights, strict=True)
    return [
        Judged(m, place // alternatives, place % alternatives, seen, due, int(since), weight)
        for m, place, (seen, due, since), weight in told
    ]
