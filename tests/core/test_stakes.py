"""Channels that carry more are paged with less evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.facets import DAYS_KEPT
from monitor.core.incidents import page_level, reaches_page
from monitor.core.params import Params
from monitor.core.stakes import FROM, TO, ln_weight
from monitor.core.verdict import Judged

PARAMS = Params()


def _weight(per_day: float, power: float = PARAMS.stake_power) -> float:
    return float(ln_weight(np.array([per_day * DAYS_KEPT]), power)[0])


def test_the_weight_grows_with_the_parcels_a_day_between_two_bounds() -> None:
    assert [_weight(v) for v in (0.0, 0.3, FROM)] == [0.0, 0.0, 0.0]
    assert _weight(4.0, 1.0) == pytest.approx(math.log(2))
    assert _weight(4.0, 2.0) == pytest.approx(2 * math.log(2))
    assert _weight(TO) == _weight(500.0) == pytest.approx(PARAMS.stake_power * math.log(3))


@given(a=st.floats(0, 1000), b=st.floats(0, 1000))
def test_who_carries_more_never_needs_more_evidence(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert page_level(_weight(low), PARAMS) >= page_level(_weight(high), PARAMS) >= PARAMS.ticket_ln_m


def test_a_channel_is_paged_at_its_own_level_and_never_before_a_ticket() -> None:
    def reaches(ln_m: float, weight: float, params: Params = PARAMS, waited: int = 0) -> bool:
        return reaches_page(Judged(ln_m, 0, 0, 1.0, 2.0, 0, weight), waited, params)

    level = PARAMS.page_ln_m - 1.0
    assert reaches(level, 1.0)
    assert not reaches(level - 0.01, 1.0)
    assert not reaches(level, 0.0)
    low = Params(page_ln_m=6.0, ticket_ln_m=5.0)
    assert reaches(5.0, 3.0, low)
    assert not reaches(4.99, 3.0, low)
    assert reaches(PARAMS.ticket_ln_m, 0.0, waited=1)


def test_with_a_power_of_zero_all_channels_are_alike() -> None:
    assert {page_level(_weight(v, 0.0), PARAMS) for v in (0.1, 3.0, 50.0)} == {PARAMS.page_ln_m}
