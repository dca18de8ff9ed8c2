"""The goals of the advice about carriers, on worlds that nobody looked at while tuning."""

from __future__ import annotations

import pytest
import switch_outcomes
from switching import TERMS, proof

pytestmark = pytest.mark.bench
SEEDS = list(range(9101, 9141))


def test_the_best_carrier_of_a_lane_is_found_and_never_an_excluded_one() -> None:
    told = proof(SEEDS, TERMS, "planted")["planted"]
    print(told)
    assert told["found_ratio_of_clear"] >= 0.9
    assert told["found_ratio"] >= 0.8
    assert told["excluded_named"] == 0
    assert told["least_regret"] <= told["greedy_regret"]


def test_of_equal_carriers_hardly_any_is_advised_in_four_months() -> None:
    told = proof(SEEDS, TERMS, "equal")["equal"]
    print(told)
    assert told["quiet_ratio"] >= 0.95


def test_with_a_parcel_a_day_nothing_is_advised() -> None:
    told = proof(SEEDS[:20], TERMS, "small")["small"]
    print(told)
    assert told["abstained_ratio"] >= 0.95


def test_the_interval_of_what_a_switch_brought_holds_the_truth() -> None:
    told = switch_outcomes.proof(list(range(9361, 9371)))
    print(told)
    assert told["all"]["covered"] >= 0.8
    assert abs(told["all"]["bias"]) <= 0.5
