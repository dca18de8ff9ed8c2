"""What a judged day says of a node, be it a channel or a group of channels."""

from __future__ import annotations

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
    clock, alternative = divmod(int(np.argmax(evidence[LN_M])), evidence.shape[-1])
    at = evidence[:, clock, alternative]
    return Judged(ln_m, clock, alternative, float(at[SEEN]), float(at[EXPECTED]), int(at[SINCE]))
