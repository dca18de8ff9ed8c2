"""How long a channel in trouble may be taken to need from now on, by what its stages show since the trouble began.

What is registered now arrives in weeks; the stages show it within days. With r_c = (E_c + κ) / (O_c + κ), the exits of
stage c that were expected and seen since its evidence began, and w_c its part of the way (by the days in which 95%
leave it), the duration becomes T · Σ w_c r_c^(1/β). A stage that takes k times as long has k^β times less hazard if its
duration is a Weibull one of shape β; stages of parcels are more regular than β = 1, a constant hazard.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.core.channel import Channel
from monitor.core.evidence import EXPECTED, LN_M, SEEN
from monitor.core.switch.posterior import Posterior
from monitor.core.vocabulary import STAGE_CLOCKS

KAPPA: Final = 5.0
SHAPE: Final = 1.7  # β
#: A stage counts from this evidence on; a way that is not so much longer is taken as it is.
SURE_LN_M: Final = 2.0
LEAST: Final = 1.05


def slowed(belief: Posterior, usual_ln_days: float, channel: Channel) -> Posterior:
    """The belief (one row) about a channel in trouble: at least as slow as its stages show. ``usual_ln_days``: mean of
    ln T with the usual half-life."""
    used = channel.tally[0, :STAGE_CLOCKS].sum(axis=-1) > 0
    if len(channel.p95) < STAGE_CLOCKS or not used.any():
        return belief
    ways = np.where(used, np.array(channel.p95[:STAGE_CLOCKS], dtype=np.float64), 0.0)
    ratios, doubts = np.ones(STAGE_CLOCKS), np.zeros(STAGE_CLOCKS)
    for clock in range(STAGE_CLOCKS):
        best = int(np.argmax(channel.evidence[LN_M, clock]))
        if channel.evidence[LN_M, clock, best] >= SURE_LN_M:
            seen = float(channel.evidence[SEEN, clock, best]) + KAPPA
            ratio = (float(channel.evidence[EXPECTED, clock, best]) + KAPPA) / seen
            ratios[clock] = max(ratio, 1.0) ** (1 / SHAPE)
            doubts[clock] = 1 / seen / SHAPE**2
    parts = ways * ratios / max(float(ways.sum()), 1.0)
    factor = float(parts.sum())
    ln_days = usual_ln_days + math.log(max(factor, 1.0))
    if factor < LEAST or ln_days <= float(belief.ln_days[0]):
        return belief
    doubt = float(((parts / factor) ** 2 * doubts).sum())
    return replace(belief, ln_days=np.array([ln_days]), doubt=belief.doubt + doubt)
