"""Kaplan–Meier against the remission times of Freireich et al., Blood 21 (1963) 699, group 6-MP."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.survival import Quantile, kaplan_meier

EXITS = {6: 3, 7: 1, 10: 1, 13: 1, 16: 1, 22: 1, 23: 1}
CENSORED = {6: 1, 9: 1, 10: 1, 11: 1, 17: 1, 19: 1, 20: 1, 25: 1, 32: 2, 34: 1, 35: 1}


def test_the_curve_is_the_published_one() -> None:
    curve = kaplan_meier(EXITS, CENSORED)
    assert curve.time.tolist() == [6, 7, 10, 13, 16, 22, 23]
    published = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert curve.survival.round(3).tolist() == published


def test_the_interval_is_the_one_on_the_scale_of_log_minus_log() -> None:
    # As SAS (PROC LIFETEST, CONFTYPE=LOGLOG) and R (survfit, conf.type = "log-log") print it for these data.
    curve = kaplan_meier(EXITS, CENSORED)
    low = [0.620, 0.563, 0.503, 0.432, 0.368, 0.268, 0.188]
    high = [0.952, 0.923, 0.889, 0.849, 0.805, 0.747, 0.680]
    assert curve.low.round(3).tolist() == low
    assert curve.high.round(3).tolist() == high


def test_the_median_is_23_weeks_with_no_upper_end() -> None:
    curve = kaplan_meier(EXITS, CENSORED)
    assert curve.quantile(0.5) == Quantile(23.0, 13.0, None)
    assert curve.quantile(0.8) == Quantile(None, 23.0, None)
    assert curve.quantile(0.25) == Quantile(13.0, 6.0, 22.0)


def test_without_censoring_the_curve_is_the_share_that_is_left() -> None:
    curve = kaplan_meier({1: 5, 2: 3, 4: 2}, {})
    assert curve.survival == pytest.approx([0.5, 0.2, 0.0])
    assert curve.quantile(0.5).value == 1.0
    assert curve.quantile(0.8).value == 2.0
    assert curve.quantile(0.95).value == 4.0
    assert np.all(curve.low <= curve.survival + 1e-12)
    assert np.all(curve.survival <= curve.high + 1e-12)


def test_a_curve_of_nobody_and_one_without_exits_has_no_quantiles() -> None:
    for curve in (kaplan_meier({}, {}), kaplan_meier({}, {5: 3}), kaplan_meier({3: 0}, {5: 3})):
        assert curve.quantile(0.5) == Quantile(None, None, None)


def test_parcels_in_flight_move_the_quantiles_up() -> None:
    delivered = dict.fromkeys(range(10, 20), 5)
    alone = kaplan_meier(delivered, {}).quantile(0.5).value
    waiting = kaplan_meier(delivered, {18: 60}).quantile(0.5).value
    assert alone is not None
    assert waiting is not None
    assert waiting > alone
    assert kaplan_meier(delivered, {40: 60}).quantile(0.5).value is None
