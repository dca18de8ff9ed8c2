"""Medians, shares and rates of a backtest with their 95% intervals, against published and hand-computed values."""

from __future__ import annotations

import pytest

from monitor.replay.backtest.intervals import median_ranks, rate, share, spread


@pytest.mark.parametrize(
    ("n", "ranks"),  # Conover, Practical Nonparametric Statistics: ranks of the 95% interval of a median
    [
        (0, None),
        (5, None),
        (6, (1, 6)),
        (8, (1, 8)),
        (9, (2, 8)),
        (10, (2, 9)),
        (15, (4, 12)),
        (20, (6, 15)),
        (25, (8, 18)),
    ],
)
def test_the_median_lies_between_the_published_ranks(n: int, ranks: tuple[int, int] | None) -> None:
    assert median_ranks(n) == ranks


def test_the_example_of_the_documents() -> None:
    middle, around = spread([40, 5, 27, 9, 21, 12, 19])
    assert middle == 19
    assert (around.q25, around.q75, around.low, around.high, around.n) == (10.5, 24, 5, 40, 7)


def test_few_values_have_quartiles_and_no_interval() -> None:
    middle, around = spread([1.0, 2.0])
    assert (middle, around.q25, around.q75, around.low, around.high, around.n) == (1.5, 1.25, 1.75, None, None, 2)
    assert spread([])[0] is None


def test_a_share_has_wilsons_interval() -> None:
    value, bounds = share(9, 12)
    assert (value, bounds.low, bounds.high, bounds.n) == (0.75, 0.467695, 0.911058, 12)
    assert share(0, 0)[0] is None


def test_a_rate_is_scaled_with_its_interval() -> None:
    value, bounds = rate(12, 4286, 500)
    assert value == pytest.approx(1.4, abs=0.001)
    assert (bounds.low, bounds.high) == (pytest.approx(0.723, abs=0.002), pytest.approx(2.446, abs=0.002))
    assert rate(0, 0, 500)[0] is None
