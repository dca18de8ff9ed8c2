"""The baseline's shrinkage, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.core.baseline import HIGHEST, LOWEST, Bands, cumulative, p95_days, shrink, whole


def test_a_level_corrects_its_parent_by_observed_over_expected() -> None:
    bands = Bands(3)
    parent = np.array([[0.1, 0.2, 0.3]])
    out = shrink(np.array([[2.0, 0.0, 1.0]]), np.array([[10.0, 8.0, 4.0]]), parent, 4.0, bands)
    # (2 + 4) / (1 + 4) · 0.1,  (0 + 4) / (1.6 + 4) · 0.2,  (1 + 4) / (1.2 + 4) · 0.3
    assert out[0] == pytest.approx([0.12, 0.2 * 4 / 5.6, 0.3 * 5 / 5.2])


def test_the_weight_of_the_parent_is_at_most_fifty_parcel_days() -> None:
    # 50 parcel-days of a hazard of 0.02 are one expected event, not four.
    out = shrink(np.array([[3.0]]), np.array([[50.0]]), np.array([[0.02]]), 4.0, Bands(1))
    assert out[0] == pytest.approx([(3 + 1) / (1 + 1) * 0.02])


def test_ages_of_a_band_share_one_factor() -> None:
    bands = Bands(15)  # the last bands are 11–12 and 13–14
    exits, at_risk, parent = np.zeros((1, 15)), np.zeros((1, 15)), np.full((1, 15), 0.1)
    exits[0, 11], at_risk[0, 11], at_risk[0, 12] = 6.0, 20.0, 20.0
    parent[0, 12] = 0.2
    out = shrink(exits, at_risk, parent, 4.0, bands)
    factor = (6 + 4) / (20 * 0.1 + 20 * 0.2 + 4)
    assert out[0, 11:13] == pytest.approx([0.1 * factor, 0.2 * factor])
    assert out[0, 13:] == pytest.approx([0.1, 0.1])
    assert out[0, :11] == pytest.approx(np.full(11, 0.1))


def test_without_data_everything_is_its_parent_and_the_whole_is_the_prior() -> None:
    bands = Bands(122)
    nothing = np.zeros((5, 122))
    top = whole(nothing, nothing, bands)
    assert top == pytest.approx(np.full((5, 122), 0.02))
    assert shrink(nothing, nothing, top, 6.0, bands) == pytest.approx(top)


def test_hazards_stay_within_their_bounds() -> None:
    bands = Bands(2)
    top = whole(np.array([[1e6, 0.0]]), np.array([[1e6, 1e9]]), bands)
    assert top[0].tolist() == [HIGHEST, LOWEST]


def test_cumulative_hazards_are_the_logarithm_of_survival() -> None:
    hazards = np.array([0.1, 0.5, 0.98])
    assert np.exp(-cumulative(hazards).sum()) == pytest.approx(0.9 * 0.5 * 0.02)


def test_p95_counts_the_days_until_one_in_twenty_is_left() -> None:
    for hazard in (0.06, 0.2, 0.5, 0.96):
        days = math.ceil(math.log(0.05) / math.log(1 - hazard))
        assert p95_days(np.cumsum(cumulative(np.full((1, 120), hazard)), axis=-1)).tolist() == [days]
    assert p95_days(np.cumsum(np.full((1, 120), 1e-4), axis=-1)).tolist() == [120]  # the curve does not get there


@pytest.mark.parametrize("ages", [1, 11, 12, 121, 366])
def test_bands_part_every_age_once(ages: int) -> None:
    bands = Bands(ages)
    assert bands.widths.sum() == ages
    assert len(bands.of_age) == ages
    assert bands.sum(np.ones(ages)).tolist() == bands.widths.tolist()
