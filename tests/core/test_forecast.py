"""The forecast of complaints is the distribution it says it is, adds up, and covers what it says it covers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import cells as c
from monitor.core.channel import Channel, new_channel
from monitor.core.forecast import AHEAD_DAYS, TRAILING_DAYS, Forecast, complaints_ahead, others_in, predictive
from monitor.core.overdue import pass_midnight, usual_of

TODAY = 20_000


def _channel(complaints: int = 0, late: int = 0, due: dict[int, int] | None = None) -> Channel:
    """``complaints`` of yesterday, ``late`` of them about overdue parcels; parcels open by days past the promise."""
    channel = new_channel(122)
    channel.recent = {TODAY - 1: {c.COMPLAINT_DAY << 40: complaints, c.OVERDUE_COMPLAINT << 40: late}}
    for overdue, n in (due or {}).items():
        channel.life[c.PROMISED_OPEN << 40 | TODAY - overdue] = n
    return channel


def _ahead(channels: list[Channel], severity: str = "") -> Forecast:
    pass_midnight(channels, TODAY)
    return complaints_ahead(channels, usual_of(channels), TODAY, [severity] * len(channels))


@pytest.mark.parametrize(("mean", "variance"), [(0.3, 0.35), (2.5, 3.75), (14.25, 21.375), (60, 400), (2_000, 2_500)])
def test_the_ends_are_mid_p_quantiles_of_a_negative_binomial(mean: float, variance: float) -> None:
    shape, p = mean * mean / (variance - mean), mean / variance
    chances = [
        math.exp(
            math.lgamma(n + shape) - math.lgamma(shape) - math.lgamma(n + 1) + shape * math.log(p) + n * math.log(1 - p)
        )
        for n in range(6_000)
    ]
    assert sum(n * chance for n, chance in enumerate(chances)) == pytest.approx(mean)
    middle = np.cumsum(chances) - np.array(chances) / 2
    forecast = predictive(mean, variance)
    assert forecast.expected == mean
    assert forecast.low == min(np.flatnonzero(middle >= 0.05)[0], math.floor(mean))
    assert forecast.high == max(np.flatnonzero(middle < 0.95)[-1] if middle[0] < 0.95 else 0, math.ceil(mean))


@given(st.floats(0, 3_000), st.floats(1, 50))
def test_the_interval_holds_the_expected_count_and_widens_with_the_variance(mean: float, times: float) -> None:
    narrow, wide = predictive(mean, mean), predictive(mean, mean * times)
    for forecast in (narrow, wide):
        assert 0 <= forecast.low <= forecast.expected <= forecast.high
        assert forecast.low.is_integer()
        assert forecast.high.is_integer()
    # Of few, a larger variance first makes none at all more likely.
    if times > 2 and mean >= 10:
        assert wide.high - wide.low >= narrow.high - narrow.low


@pytest.mark.parametrize("per_day", [0.05, 0.5, 4.0])
def test_where_nothing_is_promised_the_trailing_rate_goes_on_and_nine_in_ten_outcomes_are_covered(
    per_day: float,
) -> None:
    random = np.random.default_rng(7)
    seen, came = random.poisson(TRAILING_DAYS * per_day, 4_000), random.poisson(AHEAD_DAYS * per_day, 4_000)
    forecasts = {int(k): _ahead([_channel(int(k))]) for k in set(seen.tolist())}
    assert all(one.expected == pytest.approx((k + 0.1) / 2) for k, one in forecasts.items())
    held = [forecasts[int(k)].low <= n <= forecasts[int(k)].high for k, n in zip(seen, came, strict=True)]
    assert 0.85 <= np.mean(held) <= 0.96


def test_a_complaint_about_an_overdue_parcel_is_not_counted_twice() -> None:
    channel = _channel(complaints=9, late=4)
    assert others_in(channel, TODAY) == 5
    channel.recent[TODAY] = {c.COMPLAINT_DAY << 40: 3}
    channel.recent[TODAY - TRAILING_DAYS - 1] = {c.COMPLAINT_DAY << 40: 3}
    assert others_in(channel, TODAY) == 5  # neither today's nor older ones


@given(st.dictionaries(st.integers(-20, 50), st.integers(0, 400), max_size=8), st.integers(0, 60))
def test_more_complaints_or_more_open_parcels_are_never_a_lower_forecast(due: dict[int, int], k: int) -> None:
    base = _ahead([_channel(k, due=due)]).expected
    assert _ahead([_channel(k + 1, due=due)]).expected == pytest.approx(base + 0.5)
    assert _ahead([_channel(k, due=due | {5: due.get(5, 0) + 50})]).expected > base


def test_what_is_expected_adds_up_and_is_surer_together_than_apart() -> None:
    channels = [_channel(n, due=dict.fromkeys(range(-14, 40), 5 * n)) for n in range(1, 9)]
    pass_midnight(channels, TODAY)
    usual = usual_of(channels)
    apart = [complaints_ahead([channel], usual, TODAY, [""]) for channel in channels]
    together = complaints_ahead(channels, usual, TODAY, [""] * len(channels))
    assert together.expected == pytest.approx(sum(one.expected for one in apart), abs=1e-5)
    assert together.high - together.low < sum(one.high - one.low for one in apart)


def test_an_incident_moves_the_forecast_towards_no_parcel_arriving() -> None:
    due = dict.fromkeys(range(-14, 40), 100)
    calm, ticket, page = (_ahead([_channel(10, due=due)], severity) for severity in ("", "ticket", "page"))
    assert calm.expected < ticket.expected < page.expected
    assert calm.high < page.high


def test_channels_with_an_incident_share_their_doubts() -> None:
    channels = [_channel(0, due=dict.fromkeys(range(-14, 40), 2_000)) for _ in range(2)]
    pass_midnight(channels, TODAY)
    for channel in channels:
        channel.pace = np.array([1e6, 1e6, 0.0, 0.0])  # their levels are sure
    usual = usual_of(channels)
    one, both = (complaints_ahead(some, usual, TODAY, ["page"] * len(some)) for some in (channels[:1], channels))
    assert both.high - both.low > 1.9 * (one.high - one.low)


def test_of_no_channels_no_complaints_are_expected() -> None:
    assert complaints_ahead([], usual_of([]), TODAY, []) == Forecast(0.0, 0.0, 0.0)


@pytest.mark.parametrize(("mean", "variance"), [(-1, 1), (3, 2), (3, math.inf), (math.nan, 1), (1, math.nan)])
def test_nonsense_is_refused(mean: float, variance: float) -> None:
    with pytest.raises(ValueError, match="0 <= mean <= variance"):
        predictive(mean, variance)
