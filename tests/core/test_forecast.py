"""The forecast of complaints is the negative binomial it says it is, and covers what it says it covers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.core.forecast import complaints_ahead


@pytest.mark.parametrize(("k", "seen", "ahead"), [(0, 28, 14), (1, 28, 14), (7, 28, 14), (60, 28, 14), (5, 10, 30)])
def test_mean_and_quantiles_are_those_of_the_negative_binomial(k: int, seen: float, ahead: float) -> None:
    shape, p = k + 0.5, seen / (seen + ahead)
    chances = [
        math.exp(
            math.lgamma(n + shape) - math.lgamma(shape) - math.lgamma(n + 1) + shape * math.log(p) + n * math.log(1 - p)
        )
        for n in range(2_000)
    ]
    assert sum(chances) == pytest.approx(1)
    forecast = complaints_ahead(k, seen, ahead)
    assert forecast.expected == pytest.approx(sum(n * chance for n, chance in enumerate(chances)), rel=1e-5)
    reached = np.cumsum(chances)
    assert forecast.low == np.flatnonzero(reached >= 0.05)[0]
    assert forecast.high == np.flatnonzero(reached >= 0.95)[0]


@pytest.mark.parametrize("per_day", [0.05, 0.5, 4.0])
def test_nine_in_ten_outcomes_fall_into_the_interval(per_day: float) -> None:
    random = np.random.default_rng(7)
    seen, came = random.poisson(28 * per_day, 4_000), random.poisson(14 * per_day, 4_000)
    forecasts = {int(k): complaints_ahead(int(k), 28) for k in set(seen.tolist())}
    held = [forecasts[int(k)].low <= n <= forecasts[int(k)].high for k, n in zip(seen, came, strict=True)]
    assert 0.89 <= np.mean(held) <= 0.995


def test_a_large_count_is_forecast_without_underflow() -> None:
    forecast = complaints_ahead(4_000, 28)
    assert forecast.expected == pytest.approx(2_000.25)
    assert 1_850 < forecast.low < 2_000 < forecast.high < 2_150


@pytest.mark.parametrize(("k", "seen", "ahead"), [(-1, 28, 14), (3, 0, 14), (3, 28, 0)])
def test_nonsense_is_refused(k: int, seen: float, ahead: float) -> None:
    with pytest.raises(ValueError, match="k >= 0 and days > 0"):
        complaints_ahead(k, seen, ahead)
