"""Who gets the room of an offer that several lanes share: an optimum, and the same in any order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_lanes import BAD, GOOD, found_at, offered, parcels

from monitor.core.switch.allocation import Wish, allocate, asked
from monitor.replay.outputs import picture


def total(wishes: list[Wish], moved: dict[tuple[str, str], float]) -> float:
    worth = {(one.lane, one.carrier): one.saving + one.bonus for one in wishes}
    return sum(worth[key] * x for key, x in moved.items())


def greedy(wishes: list[Wish], free: dict[str, float]) -> dict[tuple[str, str], float]:
    """Lane after lane, those first that save most; each takes what saves it most of what has room."""
    left, taken, out = dict(free), set[str](), {}
    for one in sorted(wishes, key=lambda one: -(one.saving + one.bonus) * one.most):
        x = min(one.most, left.get(one.offer, one.most))
        if one.lane not in taken and x > 0:
            taken.add(one.lane)
            out[one.lane, one.carrier] = x
            if one.offer:
                left[one.offer] -= x
    return out


def test_a_lane_with_another_good_carrier_leaves_the_room_to_one_that_has_none() -> None:
    wishes = [
        Wish("DE|dress", "fast", 10.0, 3.0, "offer"),
        Wish("DE|dress", "other", 10.0, 2.9),
        Wish("DE|toy", "fast", 10.0, 2.5, "offer"),
    ]
    moved = allocate(wishes, {"offer": 10.0})
    assert moved == {("DE|dress", "other"): 10.0, ("DE|toy", "fast"): 10.0}
    assert total(wishes, moved) == pytest.approx(54)
    assert total(wishes, greedy(wishes, {"offer": 10.0})) == pytest.approx(30)


def test_what_is_left_of_the_room_is_given_too() -> None:
    wishes = [Wish("a", "x", 6.0, 2.0, "o"), Wish("b", "x", 6.0, 1.0, "o")]
    assert allocate(wishes, {"o": 8.0}) == {("a", "x"): 6.0, ("b", "x"): 2.0}
    assert allocate(wishes, {"o": -1.0}) == {}


def test_a_lane_keeps_what_it_is_advised_if_the_other_is_hardly_better() -> None:
    wishes = [Wish("a", "x", 5.0, 1.0, "o", bonus=0.1), Wish("b", "x", 5.0, 1.05, "o")]
    assert allocate(wishes, {"o": 5.0}) == {("a", "x"): 5.0}


_lane, _carrier = st.sampled_from("abcde"), st.sampled_from("xyz")
_wish = st.builds(
    lambda lane, carrier, most, saving, short: Wish(lane, carrier, most / 4, saving / 8, carrier if short else ""),
    _lane,
    _carrier,
    st.integers(0, 40),
    st.integers(1, 60),
    st.booleans(),
)
_wishes = st.lists(_wish, max_size=10, unique_by=lambda one: (one.lane, one.carrier))


@given(_wishes, st.integers(0, 40), st.randoms(use_true_random=False))
def test_no_offer_is_overdrawn_nothing_beats_it_and_no_order_matters(
    wishes: list[Wish], room: int, random: st.DataObject
) -> None:
    free = dict.fromkeys("xyz", room / 3)
    moved = allocate(wishes, free)
    most = {(one.lane, one.carrier): one for one in wishes}
    assert len({lane for lane, _ in moved}) == len(moved)
    for key, x in moved.items():
        assert 0 < x <= most[key].most + 1e-6
    for offer, parcels_ in free.items():
        assert sum(x for key, x in moved.items() if most[key].offer == offer) <= parcels_ + 1e-6
    assert total(wishes, moved) >= total(wishes, greedy(wishes, free)) - 1e-5
    random.shuffle(wishes)  # type: ignore[attr-defined]
    assert allocate(wishes, free) == moved


def test_what_is_asked_is_the_best_of_each_lane() -> None:
    wishes = [Wish("a", "x", 5.0, 1.0, "o"), Wish("a", "y", 4.0, 2.0, "p"), Wish("b", "x", 3.0, 1.0, "o")]
    assert asked(wishes) == {"p": 4.0, "o": 3.0}


def test_two_lanes_share_the_room_of_an_offer_and_say_so() -> None:
    events = [
        *parcels(GOOD, BAD, days=42),
        *parcels(GOOD, BAD, product="dress", days=42),
        offered("bravo", 40.5, postage={"amount": "5.00", "currency": "USD"}, capacity_per_day=20),
    ]
    alone, shared = found_at((40, 42), lambda world: picture(world).advice_records(), events)
    assert [one["decision"] for one in alone] == ["switch", "switch"]
    room = 20 - 2 * GOOD.per_day  # parcels a day
    wanted = sum(one["share_to_move"] for one in alone) * (GOOD.per_day + BAD.per_day)
    assert wanted > room
    moved = sum(one["share_to_move"] for one in shared) * (GOOD.per_day + BAD.per_day)
    assert room - 0.4 < moved <= room
    told = " ".join(text for one in shared for text in one["reasons"])
    assert "The offer of bravo has room for 4.0 parcels a day more" in told
    assert "that saves most in all" in told
