"""Evidence of groups: what is shared, who is left out, and that the promise about false alarms holds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monitor.core import evidence as ev
from monitor.core.baseline import cumulative
from monitor.core.groups import Day, Membership, best_witness, judge_groups, without_the_best

NAMES = ("BR|shoe|wolf", "DE|shoe|post/air", "DE|tablet|post/air", "RU|shoe|post", "RU|tablet|post", "RU|tablet|wolf")


def _trimmed(raw: list[float], before: list[float], active: list[bool]) -> float:
    """One group, one clock, one alternative."""
    n = len(raw)
    total, _ = without_the_best(
        np.array(raw).reshape(n, 1, 1),
        np.array(before).reshape(n, 1, 1),
        np.array(active).reshape(n, 1),
        np.zeros(n, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
    )
    return float(total[0, 0, 0])


def test_the_member_with_the_most_evidence_up_to_today_is_left_out() -> None:
    assert _trimmed([2.0, 1.0, -0.5], [0.0, 0.0, 0.0], [True] * 3) == 0.5
    # 3 + 1 is more than 0 + 2: the one that has shown most so far is left out although another shows more today.
    assert _trimmed([2.0, 1.0, -0.5], [0.0, 3.0, 0.0], [True] * 3) == 1.5
    assert _trimmed([2.0, 1.0, -0.5], [0.0, 3.0, 0.0], [True, False, True]) == -0.5


def test_one_judged_member_gives_a_group_no_evidence() -> None:
    assert _trimmed([50.0, 1.0], [0.0, 0.0], [True, False]) == 0.0
    assert _trimmed([50.0], [0.0], [True]) == 0.0


def test_channels_form_groups_by_every_facet_they_share_two_by_two() -> None:
    found = Membership(NAMES)
    assert found.scopes == (
        "carrier_country|DE||post",
        "carrier_country|DE||post/air",
        "carrier_country|RU||post",
        "carrier_product||shoe|post",
        "carrier_product||tablet|post",
        "carrier|||post",
        "carrier|||post/air",
        "carrier|||wolf",
        "country_product|RU|tablet|",
        "country|DE||",
        "country|RU||",
    )
    assert found.members("carrier|||post") == list(NAMES[1:5])
    assert found.members("carrier|||wolf") == [NAMES[0], NAMES[5]]
    assert found.groups(0) == ["carrier|||wolf"]
    assert found.members("country|BR||") == []


def _judged(days: int, slow: set[str], strength: float = 3.0) -> dict[str, float]:
    """ln M of the groups of ``NAMES`` after days on which the ``slow`` channels show ``strength`` and the rest −1."""
    membership, groups, before = Membership(NAMES), {}, np.zeros(len(NAMES))
    verdicts = {}
    for day in range(20_000, 20_000 + days):
        found = Day(len(NAMES))
        found.judged[:, 2] = True
        ell = np.array([strength if name in slow else -1.0 for name in NAMES])
        found.raw[:, 2] = ell[:, None]
        found.before[:, 2] = before[:, None]
        before = np.maximum(before + ell, 0.0)
        verdicts = judge_groups(day, found, membership, groups, (), 3.0)
    return {scope: verdict.ln_m for scope, verdict in verdicts.items()}


def test_a_fault_of_one_channel_gives_its_groups_no_evidence() -> None:
    assert max(_judged(10, {"RU|tablet|post"}, strength=40.0).values()) < 1.5


def test_a_fault_of_a_carrier_shows_most_in_the_carrier() -> None:
    found = _judged(10, set(NAMES[1:5]))
    assert max(found, key=lambda scope: found[scope]) == "carrier|||post"
    assert found["carrier|||post"] > 60


def test_false_alarms_of_groups_are_rarer_than_promised() -> None:
    # E[time to M ≥ A] ≥ A holds for any one member left out that is known beforehand; leaving out the best is less.
    random, runs, members, days, threshold = np.random.default_rng(5), 60, 4, 200, math.log(20)
    shape = (runs * members, 1, 12)
    increments = np.broadcast_to(cumulative(np.linspace(0.05, 0.4, 12)), shape)
    at_risk = np.broadcast_to(np.linspace(8, 1, 12).round(), shape)
    group, starts = np.repeat(np.arange(runs), members), np.arange(0, runs * members, members)
    active = np.ones((runs * members, 1), dtype=bool)
    ln_m, before = np.full((runs, 1, len(ev.ALTERNATIVES)), -np.inf), np.zeros((*shape[:2], len(ev.ALTERNATIVES)))
    alarm, means = np.full(runs, days), []
    for day in range(days):
        exits = random.binomial(at_risk.astype(int), 1 - np.exp(-increments)).astype(float)
        raw = ev.log_likelihood_ratios(at_risk, exits, increments, np.ones(shape[:2])).ell
        total, _ = without_the_best(raw, before, active, group, starts)
        before = np.maximum(before + raw, 0.0)
        means.append(np.exp(total).mean(axis=(0, 1)))
        ln_m = ev.update(ln_m, total)
        alarm = np.where((ev.mixture(ln_m) >= threshold) & (alarm == days), day + 1, alarm)
    assert alarm.mean() > 40
    assert (np.mean(means, axis=0) < 1.0).all()


@pytest.mark.parametrize("explained", [(), ("carrier|||post",)])
def test_what_an_open_incident_explains_speaks_for_no_other_group(explained: tuple[str, ...]) -> None:
    membership, groups = Membership(NAMES), {}
    found = Day(len(NAMES))
    found.judged[:, 2] = True
    found.raw[:, 2] = 5.0
    verdicts = judge_groups(20_000, found, membership, groups, explained, 3.0)
    assert verdicts["carrier|||post"].ln_m > 10
    assert verdicts["carrier|||wolf"].ln_m > 1
    assert ("country|RU||" in verdicts) == (not explained)


def test_the_best_witness_is_the_channel_whose_evidence_is_left_out() -> None:
    membership = Membership(NAMES)
    rng = np.random.default_rng(7)
    found = Day(len(NAMES))
    found.raw[:] = rng.normal(size=found.raw.shape)
    found.before[:] = rng.exponential(size=found.before.shape)
    found.judged[:] = rng.random(found.judged.shape) < 0.8
    explained = ["carrier|||wolf"]
    taken = set(membership.members("carrier|||wolf"))
    told = set()
    for scope in membership.scopes:
        for clock in range(found.judged.shape[1]):
            mine = [
                NAMES.index(name)
                for name in membership.members(scope)
                if found.judged[NAMES.index(name), clock] and (scope in explained or name not in taken)
            ]
            witness = best_witness(found, membership, explained, scope, clock, 2)
            told.add(witness is None)
            if len(mine) < 2:
                assert witness is None
                continue
            assert witness is not None
            raw, before = found.raw[mine, clock, 2], found.before[mine, clock, 2]
            rest = raw.sum() - found.raw[NAMES.index(witness), clock, 2]
            assert rest == pytest.approx(_trimmed(list(raw), list(before), [True] * len(mine)))
    assert told == {True, False}
    assert best_witness(found, membership, [], "country|BR||", 0, 0) is None


def test_what_a_group_shows_is_where_its_channels_but_the_best_say_most_of_late() -> None:
    membership, rng = Membership(NAMES), np.random.default_rng(11)
    for _ in range(20):
        found, groups = Day(len(NAMES)), {}
        found.judged[:] = rng.random(found.judged.shape) < 0.9
        found.raw[:] = rng.normal(size=found.raw.shape)
        found.lately[:] = np.maximum(rng.normal(0.5, 2.0, size=found.lately.shape), ev.LEAST)
        verdicts = judge_groups(20_000, found, membership, groups, (), 3.0)
        for scope, verdict in verdicts.items():
            rows = [NAMES.index(name) for name in membership.members(scope)]
            told = found.lately[rows] * found.judged[rows][..., None]
            beside = told.sum(axis=0) - np.maximum(told.max(axis=0), 0.0)
            group = groups[scope]
            assert group.fit == pytest.approx(told.sum(axis=0).max(), abs=1e-6)
            assert group.beside == pytest.approx(beside.max(), abs=1e-6)
            assert (verdict.clock, verdict.alternative) == group.cell
            if beside.max() > 0:
                assert beside[group.cell] == pytest.approx(beside.max())
            else:
                best = group.evidence[ev.LN_M].argmax()
                assert group.cell == divmod(int(best), len(ev.ALTERNATIVES))


def test_one_channel_alone_says_nothing_beside_it() -> None:
    membership, groups = Membership(NAMES), {}
    found = Day(len(NAMES))
    found.judged[:, 2] = True
    found.lately[:, 2] = -0.5
    found.lately[NAMES.index("RU|tablet|post"), 2] = 50.0
    judge_groups(20_000, found, membership, groups, (), 3.0)
    assert groups["carrier|||post"].fit == pytest.approx(48.5)
    assert groups["carrier|||post"].beside == 0.0  # of the clocks that were not judged
