"""What a judged day says of a node, be it a channel or a group of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.core.baseline import Floats
from monitor.core.evidence import EXPECTED, LN_M, SEEN, SINCE


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judged day gave a node with something at risk: how strong, and which clock and alternative say most."""

    ln_m: float
    clock: int
    alternative: int
    observed: float
    expected: float
    since_day: int


def say(evidence: Floats, ln_m: float) -> Judged:
    """The verdict of a node from its ``evidence`` ``[row, clock, alternative]``."""
    return say_all(evidence[None], [ln_m])[0]


def say_all(evidence: Floats, ln_m: Sequence[float]) -> list[Judged]:
    """The verdicts of some nodes, ``[node, row, clock, alternative]``."""
    alternatives = evidence.shape[-1]
    best = evidence[:, LN_M].reshape(len(ln_m), -1).argmax(axis=-1)
    at = evidence[np.arange(len(ln_m)), :, best // alternatives, best % alternatives]
    told = zip(ln_m, best.tolist(), at[:, [SEEN, EXPECTED, SINCE]].tolist(), strict=True)
    return [
        Judged(m, place // alternatives, place % alternatives, seen, due, int(since))
        for m, place, (seen, due, since) in told
    ]
