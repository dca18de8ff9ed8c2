"""Intervals of rates against published values."""

from __future__ import annotations

import math

import pytest

from monitor.core.intervals import poisson, wilson


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_values_of_newcombe(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    mirrored = wilson(n - k, n)
    assert mirrored == (pytest.approx(1 - wilson(k, n)[1]), pytest.approx(1 - wilson(k, n)[0]))


def test_wilson_stays_within_zero_and_one_and_holds_the_ratio() -> None:
    for n in (1, 2, 7, 400):
        for k in range(n + 1):
            low, high = wilson(k, n)
            assert 0 <= low <= k / n <= high <= 1
            assert high > low
    assert wilson(0, 5)[0] == 0
    assert wilson(5, 5)[1] == 1


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 3), (4, 3), (0, -2)])
def test_wilson_refuses_what_is_no_proportion(k: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"k is {k}, n is {n}"):
        wilson(k, n)


def _garwood(k: int) -> tuple[float, float]:
    """The exact interval: the means at which k or more, and k or fewer, have a chance of 2.5%."""

    def at_most(j: int, mean: float) -> float:
        return sum(math.exp(i * math.log(mean) - mean - math.lgamma(i + 1)) for i in range(j + 1))

    def mean_where(j: int, chance: float) -> float:
        low, high = 1e-9, 1000.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(j, middle) > chance else (low, middle)
        return low

    return (mean_where(k - 1, 0.975) if k else 0.0), mean_where(k, 0.025)


def test_the_exact_interval_of_this_test_is_that_of_garwood() -> None:
    # F. Garwood, Biometrika 28 (1936) 437.
    for k, low, high in ((0, 0.0, 3.689), (5, 1.623, 11.668), (10, 4.795, 18.390), (30, 20.241, 42.827)):
        assert _garwood(k) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


@pytest.mark.parametrize("k", [0, 1, 2, 3, 5, 10, 30, 100])
def test_byar_comes_near_the_exact_interval(k: int) -> None:
    low, high = poisson(k)
    exact_low, exact_high = _garwood(k)
    assert low == pytest.approx(exact_low, rel=0.01, abs=0.02)
    assert high == pytest.approx(exact_high, rel=0.006)
    assert low <= k <= high


def test_poisson_refuses_a_count_below_zero() -> None:
    with pytest.raises(ValueError, match="it is -1"):
        poisson(-1)
