"""The figures behind advice, against values worked out another way."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from scipy.special import ndtr

from monitor.core import cells as c
from monitor.core.switch.cost import Cost, of_beta, of_gamma
from monitor.core.switch.counts import Counts
from monitor.core.switch.posterior import Posterior, complaint_share, lateness, of_nothing, pooled, update
from monitor.core.switch.terms import SwitchTerms, money

TODAY = 20_000


def filled(cohorts: dict[int, dict[str, int]]) -> Counts:
    """Counts of one channel: cohort → what became of its parcels: ``open``, ``lost``, or days to delivery."""
    counts = Counts({})
    changes: dict[int, int] = {}
    for cohort, fates in cohorts.items():
        for fate, n in fates.items():
            if fate == "open":
                key = c.cell(c.OPEN, cohort, cohort * 24)
            elif fate == "lost":
                key = c.cell(c.LOST, cohort, 1)
            else:
                key = c.cell(c.DELIVERED, cohort, int(float(fate) * 24))
            changes[key] = changes.get(key, 0) + n
            changes[c.cell(c.REGISTERED, cohort, 3)] = changes.get(c.cell(c.REGISTERED, cohort, 3), 0) + n
    counts.add("RU|tablet|post", changes)
    return counts


def fitted(counts: Counts) -> Posterior:
    """The posterior of its channel, all cohorts with equal weight."""
    seen = counts.weigh(np.array([0]), float(TODAY), 126, np.array([1e9]))
    return update(of_nothing(), seen, np.zeros(1), rounds=200)


def test_days_late_are_the_mean_over_the_posterior() -> None:
    rng = np.random.default_rng(5)
    belief = of_nothing()
    mean, variance, third = lateness(belief, np.array([14.0]))
    n = 400_000
    mu = belief.ln_days[0] + math.sqrt(belief.doubt[0]) * rng.standard_normal(n)
    sd = math.sqrt(belief.variance[0]) * np.exp(math.sqrt(belief.ln_sd_doubt[0]) * rng.standard_normal(n))
    ln_p = math.log(14.0)
    d = (mu + sd**2 - ln_p) / sd
    given = np.exp(mu + sd**2 / 2) * ndtr(d) - 14.0 * ndtr(d - sd)
    late = np.clip(given, 0, 60)
    assert mean[0] == pytest.approx(late.mean(), rel=0.01)
    assert variance[0] == pytest.approx(late.var(), rel=0.05)
    assert third[0] == pytest.approx(((late - late.mean()) ** 3).mean(), rel=0.15)


def test_where_hardly_anything_is_known_days_late_have_their_bound(recwarn: pytest.WarningsRecorder) -> None:
    unknown = replace(of_nothing(), ln_sd_doubt=np.array([4.0]))
    mean, variance, third = lateness(unknown, np.array([14.0]))
    assert 0 < mean[0] < 60
    assert np.isfinite([variance[0], third[0]]).all()
    assert not recwarn.list


def test_the_probability_and_the_interval_are_those_of_the_sum_of_its_parts() -> None:
    rng = np.random.default_rng(7)
    n = 1_000_000
    now, other = np.array([6.0, 94.0]), np.array([2.0, 98.0])
    cost = of_beta(now).times(Decimal(40)) + of_gamma(np.array([5.0, 90.0])).times(Decimal(8))
    saving = cost.less(of_beta(other).times(Decimal(40)) + Cost(Decimal("0.3"), Decimal(0), Decimal(0)))
    drawn = 40 * rng.beta(*now, n) + 8 * rng.gamma(5.0, 1 / 90, n) - 40 * rng.beta(*other, n) - 0.3
    assert float(saving.mean) == pytest.approx(drawn.mean(), abs=0.01)
    for bound in (-1.0, 0.0, 1.0, 2.0, 3.0):
        assert saving.above(Decimal(str(bound))) == pytest.approx((drawn > bound).mean(), abs=0.015)
    for z, share in ((-1.645, 0.05), (1.645, 0.95)):
        assert float(saving.quantile(z)) == pytest.approx(np.quantile(drawn, share), abs=0.06)


def test_a_certain_amount_is_above_a_bound_or_not() -> None:
    certain = Cost(Decimal(2), Decimal(0), Decimal(0))
    assert (certain.above(Decimal("1.99")), certain.above(Decimal(2))) == (1.0, 0.0)
    assert certain.quantile(1.645) == 2


def test_young_open_parcels_say_nothing_of_loss_and_old_ones_almost_all() -> None:
    base = {TODAY - 60 - day: {"12": 10, "14": 10, "16": 10} for day in range(10)}
    before = fitted(filled(base)).lost[0]
    young = fitted(filled({**base, TODAY - 2: {"open": 60}})).lost[0]
    assert young == pytest.approx(before, abs=0.05)
    old = fitted(filled({**base, TODAY - 55: {"open": 60}})).lost[0]
    lost = fitted(filled({**base, TODAY - 55: {"lost": 60}})).lost[0]
    assert old[0] == pytest.approx(lost[0], rel=0.02)
    assert old[0] > before[0] + 30


def test_parcels_in_flight_make_the_duration_longer_than_that_of_the_delivered() -> None:
    # Handed over 20 days ago: only the fast half has arrived; the mean of those delivered is 14 days.
    seen = filled({TODAY - 20: {"12": 50, "14": 50, "16": 50, "open": 150}})
    assert math.exp(fitted(seen).ln_days[0]) > 18
    delivered = filled({TODAY - 20: {"12": 50, "14": 50, "16": 50}})
    assert math.exp(fitted(delivered).ln_days[0]) == pytest.approx(14, abs=0.5)


def test_old_parcels_count_by_their_half_life_and_none_outside_whole_weeks_of_the_window() -> None:
    week = TODAY // 7 * 7
    counts = filled({week - 7: {"3": 8}, week - 7 * 11: {"3": 8}, week - 7 * 12: {"3": 8}})
    at_day = float(week - 7 + 3.5 + 14)
    seen = counts.weigh(np.array([0]), at_day, 90, np.array([14.0]))
    assert seen.delivered.sum() == pytest.approx(8 * 0.5 + 8 * 0.5**6)
    assert counts.registered(["RU|tablet|post"], week, (8, 90)) == {"RU|tablet|post": (8, 24)}


def test_the_index_made_anew_weighs_the_same() -> None:
    from monitor.core.channel import add, new_channel

    channel = new_channel(122)
    changes = {c.cell(c.REGISTERED, TODAY - d, d % 24): 3 for d in range(80)}
    changes |= {c.cell(c.DELIVERED, TODAY - d, 24 * d // 2 + 5): 2 for d in range(80)}
    changes |= {c.cell(c.OPEN, TODAY - d, (TODAY - d) * 24): 1 for d in range(80)}
    add(channel, changes, TODAY - 1, TODAY - 90)
    grown = Counts({})
    for key in sorted(changes, reverse=True):
        grown.add("RU|tablet|post", {key: changes[key]})
    rows, half = np.array([0]), np.array([40.0])
    one, other = (k.weigh(rows, TODAY + 0.5, 90, half) for k in (grown, Counts({"RU|tablet|post": channel})))
    for name in one.__dataclass_fields__:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_a_year_goes_by_and_the_arrays_make_room() -> None:
    counts = Counts({})
    for day in range(TODAY, TODAY + 400):
        counts.add("RU|tablet|post", {c.cell(c.REGISTERED, day, 1): 1, c.cell(c.DELIVERED, day, 48): 1})
    seen = counts.weigh(np.array([0]), TODAY + 400.0, 90, np.array([1e9]))
    assert 84 <= seen.delivered.sum() <= 91
    counts.add("RU|tablet|post", {c.cell(c.DELIVERED, TODAY, 48): 5})  # long over: changes nothing
    assert counts.weigh(np.array([0]), TODAY + 400.0, 90, np.array([1e9])).delivered.sum() == seen.delivered.sum()


def test_a_young_parcel_counts_by_the_share_of_complaints_up_to_its_age() -> None:
    complaints = [0.0, 0.0, 4.0, 4.0] + [0.0] * 22
    total = np.array([100.0, 100.0, 100.0, 100.0, *([0.0] * 22)])
    registered = np.zeros((2, 26))
    registered[0, 0], registered[1, 3] = 100.0, 100.0
    found = (registered * complaint_share(complaints, total)).sum(axis=1)
    assert found[0] == 0
    assert 60 < found[1] < 100


def test_pools_add_up_and_without_the_only_part_nothing_is_left() -> None:
    seen = filled({TODAY - 30: {"12": 10}}).weigh(np.array([0]), float(TODAY), 90, np.array([40.0]))
    both = pooled(seen.take(np.array([0, 0])), np.array([0, 0]), 1)
    assert both.delivered.sum() == pytest.approx(2 * seen.delivered.sum())
    assert both.less(both).weeks[0] == 0


def test_terms_are_refused_by_name_and_bound() -> None:
    with pytest.raises(ValueError, match=r"switch.value is -1; it must lie between 0"):
        SwitchTerms(value=Decimal(-1))
    with pytest.raises(ValueError, match="back_probability"):
        SwitchTerms(back_probability=0.6)
    assert money(Decimal("1.00005")) == Decimal("1.0000")
