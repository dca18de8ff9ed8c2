"""A carrier with an open incident is taken to need as long as its stages show, before its late parcels arrive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_lanes import Made, parcels, world

from monitor.core.evidence import EXPECTED, LN_M, SEEN
from monitor.core.switch.posterior import Posterior, of_nothing
from monitor.core.switch.trouble import SHAPE, slowed

USUAL = Made("alpha", 10, 12, 200, "5.00")


def test_stages_count_by_their_part_of_the_way_and_only_with_evidence() -> None:
    state = world(parcels(USUAL, days=40), until=40.0)
    channel = state.channels["RU|tablet|alpha"]
    channel.p95 = [2, 18, 121, 121]  # nobody scans the last two stages
    channel.evidence[LN_M] = -1.0
    belief = belief_of(12.0)
    assert slowed(belief, 2.5, channel) is belief
    channel.evidence[LN_M, 1, 0], channel.evidence[SEEN, 1, 0], channel.evidence[EXPECTED, 1, 0] = 9.0, 5.0, 35.0
    ratio = (35 + 5) / (5 + 5)
    found = slowed(belief, 2.5, channel)
    assert float(found.ln_days[0]) == pytest.approx(2.5 + np.log(0.1 + 0.9 * ratio ** (1 / SHAPE)))
    assert found.doubt[0] > belief.doubt[0]
    assert slowed(belief_of(60.0), 2.5, channel).ln_days[0] == belief_of(60.0).ln_days[0]  # it is slower still


def belief_of(days: float) -> Posterior:
    """What is believed of nothing but the median of the days."""
    return replace(of_nothing(), ln_days=np.array([np.log(days)]))
