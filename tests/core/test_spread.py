"""What shocks that parcels share take from their weight as witnesses."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.baseline import Floats
from monitor.core.channel import CLOCKS_JUDGED, JOINT
from monitor.core.spread import EXCESS, SQUARES, WEEKS, cv2_of, tempering, tempering_of_all
from monitor.core.vocabulary import UNDERWAY


def _spread(expected: float, cv2: float, weeks: int) -> Floats:
    """The sums of a node after ``weeks`` of ``expected`` exits that vary by ``cv2`` beyond chance."""
    out = np.zeros((7, CLOCKS_JUDGED))
    out[SQUARES] = weeks * expected**2
    out[EXCESS] = cv2 * out[SQUARES]
    out[WEEKS] = weeks
    return out


def test_tempering_grows_with_what_parcels_share() -> None:
    assert tempering(np.array([0.0, 0.02]), np.array([70.0, 70.0])) == pytest.approx([1.0, 2.4])


def test_a_few_weeks_of_a_large_node_do_not_overrule_all_others() -> None:
    nodes = [_spread(100.0, 0.01, 40) for _ in range(30)]
    young, old = (cv2_of(np.stack([*nodes, _spread(100.0, 0.1, weeks)]))[-1, 0] for weeks in (4, 400))
    assert young / (1 + 4 / 4) < 0.04  # of four weeks and sixteen of the others', a fifth is its own
    assert old == pytest.approx(0.1, rel=0.1)


def test_a_node_of_no_week_varies_as_all_do() -> None:
    nodes = [_spread(100.0, 0.01, 40) for _ in range(30)]
    assert cv2_of(np.stack([*nodes, _spread(0.0, 0.0, 0)]))[-1, 0] == pytest.approx(0.01 * (1 + 4), rel=0.05)


def test_stages_with_shocks_of_their_own_are_not_tempered_for_each_other() -> None:
    first, second = UNDERWAY
    cv2, week = np.full((1, CLOCKS_JUDGED), 0.01), np.full((1, CLOCKS_JUDGED), 50.0)
    cv2[0, second] = 0.03
    week[0, JOINT] = 100.0
    phi = tempering_of_all(cv2, week)[0]
    assert phi[JOINT] == pytest.approx((phi[first] + phi[second]) / 2)
    assert phi[JOINT] == pytest.approx(2.0)


def test_what_is_expected_of_nothing_is_not_tempered() -> None:
    assert (
        tempering_of_all(np.full((2, CLOCKS_JUDGED), 0.01), np.zeros((2, CLOCKS_JUDGED))).tolist()
        == [[1.0] * CLOCKS_JUDGED] * 2
    )
