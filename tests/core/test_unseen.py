"""Parcels set aside because a forwarder or a batch is named for them."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.channel import Channel, new_channel
from monitor.core.facets import AGES
from monitor.core.unseen import UNTIL_SEEN, add_up, larger, overdue, set_aside, without_unseen
from monitor.core.vocabulary import END_TO_END

CAP = 60
#: Half of the parcels are scanned on each of the first days; after a month one in a hundred has not been and never is.
FIRST = np.full(AGES, np.log(2.0))
FIRST[7:] = 0.0


def channel() -> Channel:
    """One of whose parcels four of every age are on their way."""
    new = new_channel(CAP + 2)
    new.risk[list(UNTIL_SEEN)] = 4
    return new


def waiting(*parcels: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Parcels by age without a first scan."""
    return np.array([*parcels, *[0] * (AGES - len(parcels))], dtype=np.int64)


def test_a_first_scan_is_overdue_when_hardly_any_that_comes_comes_so_late() -> None:
    late = overdue(FIRST)
    assert late.shape == (AGES,)
    assert not late[:5].any()  # 1/16 of them wait four days, 1/32 five: of 1/128 that never come nothing is said
    assert late[5:].all()


def test_what_is_overdue_is_left_out_day_by_day_until_it_is_too_old_to_be_at_risk() -> None:
    one = channel()
    assert set_aside(one, waiting(3, 3, 3, 3, 3, 2, 9), FIRST)
    assert one.unseen.tolist() == [0, 0, 0, 0, 0, 2, 9, *[0] * (CAP + 1 - 7)]
    for day in range(CAP - 5):
        at_risk, exits = one.risk[:, :-1].astype(np.float64), np.zeros((len(one.risk), CAP + 1))
        without_unseen(one, at_risk, exits)
        for clock in UNTIL_SEEN:
            assert at_risk[clock, 5 + day] == 2
            assert at_risk[clock].sum() == 4 * (CAP + 1) - (2 + 4)
        assert at_risk[1:END_TO_END].sum() == 0
    without_unseen(one, one.risk[:, :-1].astype(np.float64), np.zeros((len(one.risk), CAP + 1)))
    assert one.unseen.size == 0


def test_what_was_set_aside_and_leaves_is_no_exit() -> None:
    one = channel()
    set_aside(one, waiting(0, 0, 0, 0, 0, 0, 3), FIRST)
    at_risk, exits = one.risk[:, :-1].astype(np.float64), np.zeros((len(one.risk), CAP + 1))
    exits[END_TO_END, 6] = 3  # two of them at least were set aside: one other was there
    without_unseen(one, at_risk, exits)
    assert (at_risk[END_TO_END, 6], exits[END_TO_END, 6]) == (1, 1)


def test_what_is_scanned_after_all_is_at_risk_again() -> None:
    one = channel()
    set_aside(one, waiting(0, 0, 0, 0, 0, 0, 3, 3), FIRST)
    at_risk, exits = one.risk[:, :-1].astype(np.float64), np.zeros((len(one.risk), CAP + 1))
    exits[0, 6] = 3  # of the four that waited
    without_unseen(one, at_risk, exits)
    assert (one.unseen[7], one.unseen[8]) == (1, 3)


def test_what_was_set_aside_stays_so_when_nobody_is_named_any_more() -> None:
    one = channel()
    set_aside(one, waiting(0, 0, 0, 0, 0, 0, 3), FIRST)
    set_aside(one, waiting(0, 0, 0, 0, 0, 0, 1, 2), FIRST)
    assert one.unseen[5:9].tolist() == [0, 3, 2, 0]


def test_nothing_is_kept_where_nothing_is_overdue() -> None:
    one = channel()
    assert not set_aside(one, waiting(5, 5), FIRST)
    assert one.unseen.size == 0


@pytest.mark.parametrize("turn", [1, -1])
def test_of_a_forwarder_and_its_batches_the_larger_number_counts(turn: int) -> None:
    sums: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
    for pair in (waiting(1, 2), waiting(0, 3), []):
        add_up(sums, "RU|tablet|post", [int(n) for n in pair])
    two = [sums, {"RU|tablet|post": waiting(2, 4), "DE|tablet|post": waiting(1)}][::turn]
    found = larger(*two)
    assert list(found) == ["DE|tablet|post", "RU|tablet|post"]
    assert found["RU|tablet|post"][:3].tolist() == [2, 5, 0]
