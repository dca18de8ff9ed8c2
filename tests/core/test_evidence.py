"""The evidence against its formulas, its promise about false alarms, and its speed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.core.baseline import cumulative
from monitor.core.channel import LN_PRIOR
from monitor.core.evidence import (
    ALTERNATIVES,
    FACTORS,
    LATELY,
    LEAST,
    LN_M,
    LOSSES,
    MOST,
    ROWS,
    STRETCHES,
    accumulate,
    cumulated,
    log_likelihood_ratios,
    mixture,
    stretched,
    update,
)

Row = list[float]


def _total(increments: Row, age: float) -> float:
    """H₀ at a broken age: linear within a day."""
    whole = int(age)
    part = increments[whole] * (age - whole) if whole < len(increments) else 0.0
    return sum(increments[:whole]) + part


def _scalar(at_risk: Row, exits: Row, increments: Row, scale: float) -> Row:
    """ℓ of each alternative, one parcel-day after the other, as DETECTION.md writes it."""
    out = []
    factors: list[tuple[float | None, float | None]] = [(f, None) for f in FACTORS]
    for factor, stretch in [*factors, *((None, k) for k in STRETCHES), *((None, None) for _ in LOSSES)]:
        total = 0.0
        for age, (r, j, step) in enumerate(zip(at_risk, exits, increments, strict=True)):
            x = scale * step
            if factor is not None:
                y = factor * x
            elif stretch is None:
                before, after = (
                    LOSSES[0] + (1 - LOSSES[0]) * math.exp(-_total(increments, at)) for at in (age, age + 1)
                )
                y = min(scale * math.log(before / after), x)
            else:
                y = scale * (_total(increments, (age + 1) / stretch) - _total(increments, age / stretch))
                y = min(y, MOST * x)
            if j:
                total += j * math.log((1 - math.exp(-y)) / (1 - math.exp(-x)))
            total += (r - j) * (x - y)
        out.append(total)
    return out


def test_likelihood_ratios_are_those_of_the_formula() -> None:
    random = np.random.default_rng(1)
    increments = random.uniform(0.001, 0.4, (2, 3, 20))
    at_risk = random.integers(0, 9, (2, 3, 20)).astype(float)
    exits = np.minimum(random.integers(0, 3, (2, 3, 20)), at_risk).astype(float)
    exits[1, 2] = 0
    scale = random.uniform(0.3, 1.5, (2, 3))
    found = log_likelihood_ratios(at_risk, exits, increments, scale).ell
    assert found.shape == (2, 3, len(ALTERNATIVES))
    for node in range(2):
        for clock in range(3):
            expected = _scalar(
                at_risk[node, clock].tolist(),
                exits[node, clock].tolist(),
                increments[node, clock].tolist(),
                float(scale[node, clock]),
            )
            assert found[node, clock] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_what_those_say_that_stayed_is_told_apart() -> None:
    increments, scale = np.full((1, 1, 20), 0.1), np.ones((1, 1))
    at_risk, exits = np.full((1, 1, 20), 30.0), np.full((1, 1, 20), 2.0)
    told = log_likelihood_ratios(at_risk, exits, increments, scale)
    assert told.stayed[0, 0, 1] == pytest.approx(20 * 28 * 0.1 * (1 - FACTORS[1]))
    assert told.ell[0, 0, 1] - told.stayed[0, 0, 1] == pytest.approx(
        40 * math.log((1 - math.exp(-0.1 * FACTORS[1])) / (1 - math.exp(-0.1)))
    )
    assert (told.stayed > 0).all()
    assert log_likelihood_ratios(at_risk, at_risk, increments, scale).stayed == pytest.approx(
        np.zeros((1, 1, len(ALTERNATIVES)))
    )


def test_a_shock_of_all_ages_is_less_common_in_a_loss() -> None:
    """Parcels leave at their pace, all of a week sped up or held up alike: with φ from cv² the mean of the likelihood
    ratio of a week stays at one or less for a slower pace, and with the smaller φ for a loss."""
    random = np.random.default_rng(5)
    increments = np.tile(np.linspace(0.05, 0.25, 30), (1, 1, 1))
    at_risk = 60 * np.exp(-np.concatenate(([0], np.cumsum(increments[0, 0])[:-1])))[None, None]
    cv2, runs = 0.03, 4000
    shocks = random.gamma(1 / cv2, cv2, runs)
    exits = random.poisson(shocks[:, None] * (at_risk * increments)[0, 0])[:, None].astype(float)
    exits = np.minimum(exits, at_risk)
    shape = [np.broadcast_to(one, exits.shape) for one in (at_risk, exits, increments)]
    told = log_likelihood_ratios(*shape, np.ones((runs, 1)))
    due = float((at_risk * -np.expm1(-increments)).sum())
    common = float(told.common[0, 0])
    assert 0.1 < common < 0.7
    lost = ALTERNATIVES.index("lost0.05")
    for place, share in ((0, 1.0), (lost, common)):
        assert np.exp(told.ell[:, 0, place] / (1 + cv2 * share * due)).mean() < 1.05
    assert np.exp(told.ell[:, 0, 0] / (1 + cv2 * common * due)).mean() > 1.2  # what it does not suffice for


def test_nobody_at_risk_is_no_evidence() -> None:
    nothing = np.zeros((1, 1, 5))
    assert not log_likelihood_ratios(nothing, nothing, np.full((1, 1, 5), 0.1), np.ones((1, 1))).ell.any()


def test_counts_below_zero_are_no_evidence() -> None:
    at_risk, increments, scale = np.full((1, 1, 5), 4.0), np.full((1, 1, 5), 0.1), np.ones((1, 1))
    corrected, none = np.zeros((1, 1, 5)), np.zeros((1, 1, 5))
    corrected[0, 0, 2] = -1
    assert (
        log_likelihood_ratios(at_risk, corrected, increments, scale).ell.tolist()
        == log_likelihood_ratios(at_risk, none, increments, scale).ell.tolist()
    )


def test_a_stretched_clock_keeps_its_shape_and_takes_longer() -> None:
    increments = cumulative(np.linspace(0.01, 0.3, 40))
    slow = stretched(cumulated(increments), 1.8)
    assert slow.sum() == pytest.approx(_total(increments.tolist(), 40 / 1.8))
    assert stretched(cumulated(increments), 1.0) == pytest.approx(increments)


def test_the_average_of_the_likelihood_ratio_is_one_if_the_baseline_is_right() -> None:
    # Two parcels of one age: all that can happen, weighed with its chance.
    increments = np.full((1, 1, 6), 0.3)
    at_risk = np.zeros((1, 1, 6))
    at_risk[0, 0, 3] = 2
    p = 1 - math.exp(-0.3)
    mean = np.zeros(len(ALTERNATIVES))
    for j in range(3):
        exits = np.zeros((1, 1, 6))
        exits[0, 0, 3] = j
        chance = math.comb(2, j) * p**j * (1 - p) ** (2 - j)
        mean += chance * np.exp(log_likelihood_ratios(at_risk, exits, increments, np.ones((1, 1))).ell[0, 0])
    assert mean == pytest.approx(np.ones(len(ALTERNATIVES)))


def _runs(slow: float | None, threshold: float, runs: int, days: int, scale: float) -> np.ndarray:
    """Days to ln M ≥ threshold (``days`` if never) of many worlds with parcels of ages 0–11 at risk every day."""
    random = np.random.default_rng(11)
    increments = cumulative(np.linspace(0.05, 0.4, 12))
    at_risk = np.linspace(12, 1, 12).round()
    chance = 1 - np.exp(-(increments if slow is None else stretched(cumulated(increments), slow)))
    ln_m = np.full((runs, 1, len(ALTERNATIVES)), -np.inf)
    out = np.full(runs, days)
    for day in range(days):
        exits = random.binomial(at_risk.astype(int), chance, (runs, 1, 12)).astype(float)
        shape = np.broadcast_to(at_risk, exits.shape), exits, np.broadcast_to(increments, exits.shape)
        ln_m = update(ln_m, log_likelihood_ratios(*shape, np.full((runs, 1), scale)).ell)
        alarm = mixture(ln_m) >= threshold
        out[alarm & (out == days)] = day + 1
        if (out < days).all():
            break
    return out


def test_false_alarms_are_as_rare_as_promised() -> None:
    # E[time to M ≥ A] ≥ A; runs are cut at 600 days, which only makes the average smaller.
    for_50 = _runs(None, math.log(50), 200, 600, scale=1.0)
    error = for_50.std() / math.sqrt(len(for_50))
    assert for_50.mean() + 2 * error >= 50


def test_a_stretched_channel_is_found_in_days() -> None:
    to_alarm = _runs(1.8, 12.0, 60, 60, scale=0.93)
    assert np.median(to_alarm) <= 14
    assert to_alarm.max() < 40
    assert (_runs(None, 12.0, 60, 60, scale=0.93) == 60).all()


def test_updating_adds_one_before_the_evidence_of_the_day() -> None:
    ln_m = update(np.array([-np.inf, 0.0, 5.0]), np.array([0.5, -1.0, 2.0]))
    assert np.exp(ln_m) == pytest.approx([math.e**0.5, 2 * math.e**-1, (math.e**5 + 1) * math.e**2])


def test_the_mixture_is_the_mean_over_clocks_and_alternatives() -> None:
    ln_m = np.log(np.array([[[1.0, 3.0], [0.5, 7.5]], [[2.0, 2.0], [2.0, 2.0]]]))
    assert np.exp(mixture(ln_m)) == pytest.approx([3.0, 2.0])
    assert mixture(np.full((1, 2, 2), -np.inf)).tolist() == [-np.inf]
    assert np.isfinite(mixture(np.array([[[2_000.0, -np.inf]]]))).all()


def test_a_prior_weighs_the_mixture_and_promises_the_same() -> None:
    ln_prior = np.log(np.array([[0.1, 0.2], [0.3, 0.4]]))
    ln_m = np.log(np.array([[[1.0, 3.0], [0.5, 7.5]]]))
    assert np.exp(mixture(ln_m, ln_prior)) == pytest.approx([0.1 + 0.6 + 0.15 + 3.0])
    assert np.exp(LN_PRIOR).sum() == pytest.approx(1.0)
    assert mixture(np.zeros(LN_PRIOR.shape), LN_PRIOR) == pytest.approx(0.0)


def test_a_hundred_good_days_do_not_hide_two_bad_ones_from_the_groups() -> None:
    state = np.zeros((1, ROWS, 1, 1))
    state[:, LN_M] = -np.inf
    for day, ell in enumerate([-2.0] * 100 + [1.5] * 2):
        accumulate(state, np.array([[True]]), np.array([[[ell]]]), np.array([[3.0]]), np.array([[4.0]]), day)
        assert state[0, LATELY, 0, 0] >= LEAST
    assert state[0, LATELY, 0, 0] > 1.0
