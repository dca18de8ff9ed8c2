"""What a day of all channels is judged against."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.block import Block
from monitor.core.channel import CLOCKS_JUDGED, KINDS, Channel, new_channel
from monitor.core.evidence import LN_M, LOST
from monitor.core.incidents import page_level_of
from monitor.core.judge import weekday_factor
from monitor.core.params import Params
from monitor.core.stakes import handed_lately

FRIDAY, MONDAY = 1, 4  # of 1970, from its first day, a Thursday


def _channel(friday: tuple[float, float], monday: tuple[float, float]) -> Channel:
    """A channel that learnt exits, and expected them, on two days of the week."""
    out = new_channel(62)
    for day, (seen, expected) in ((FRIDAY, friday), (MONDAY, monday)):
        out.weekday[0, :, day], out.weekday[1, :, day] = seen, expected
    return out


def test_a_country_has_its_own_weekend_beside_what_its_carrier_does() -> None:
    channels = [_channel((1e5, 1e5), (1e5, 1e5)), _channel((2e3, 1e4), (1.2e4, 1e4))]
    carriers = np.zeros(2, dtype=np.int64)
    assert weekday_factor(channels, carriers, FRIDAY)[1] == pytest.approx(0.2, rel=0.01)
    assert weekday_factor(channels, carriers, MONDAY)[1] == pytest.approx(1.2, rel=0.01)
    assert weekday_factor(channels, carriers, FRIDAY)[0] == pytest.approx(1.0, rel=0.1)


def test_a_small_channel_has_the_weekdays_of_its_carrier() -> None:
    channels = [_channel((5e4, 1e5), (1e5, 1e5)), _channel((0.0, 1.0), (0.0, 0.0)), new_channel(62)]
    factor = weekday_factor(channels, np.zeros(3, dtype=np.int64), FRIDAY)
    assert factor[1:] == pytest.approx(np.full((2, KINDS), 0.5), rel=0.05)


def _weighed(learnt: float, cv2: float = 0.0) -> tuple[Channel, Block]:
    """A day of a channel on which fewer leave each stage than one in ten, judged after so many exits were learnt."""
    channel = new_channel(62)
    channel.judged_days, channel.risk[:], channel.trail[:] = 100, 20, 20.0
    channel.tally[0, :, 0] = learnt
    ages, rare = channel.risk.shape[1] - 1, (1, *channel.rare.shape[1:])
    known = np.full(rare, 0.1), np.zeros(rare, dtype=bool)
    block = Block(100, [0], [channel], np.full((1, KINDS, ages), 0.1), np.ones((1, KINDS)), known, Params())
    block.weigh(np.full((1, CLOCKS_JUDGED), cv2))
    return channel, block


def test_a_baseline_of_few_exits_is_believed_less_but_not_by_groups() -> None:
    (young, block), (old, other), (sure, _) = _weighed(20), _weighed(1e4), _weighed(1e9)
    assert (block.raw == other.raw).all()
    less, more = (one.evidence[LN_M, :KINDS] for one in (young, old))
    assert (less < more).all()
    assert more == pytest.approx(sure.evidence[LN_M, :KINDS], rel=0.01)
    assert less[:, 0] == pytest.approx(more[:, 0] * (1 - 0.1 / 0.93), rel=0.02)  # half of 1 / √(20 + 5)


def test_the_weeks_of_a_channel_temper_a_loss_less_than_a_slower_pace() -> None:
    (plain, _), (shaken, _) = _weighed(1e9), _weighed(1e9, 0.02)
    phi = plain.evidence[LN_M, :KINDS] / shaken.evidence[LN_M, :KINDS]
    assert phi[:, 0] == pytest.approx(np.full(KINDS, 1 + 0.02 / 2 * 140))
    assert (phi[:, LOST] > 1).all()
    assert (phi[:, LOST] < phi[:, 0]).all()


def test_what_a_channel_carried_when_it_was_weighed_can_be_told_from_its_state_afterwards() -> None:
    channel, block = _weighed(1e4)
    assert block.verdicts()[0].ln_weight == 0.0  # type: ignore[union-attr]
    channel.cohorts[:] = 0
    channel.cohorts[[0, 44, 45]] = 90, 90, 10_000  # 4 a day of the last 45 days
    ages, rare = channel.risk.shape[1] - 1, (1, *channel.rare.shape[1:])
    known = np.full(rare, 0.1), np.zeros(rare, dtype=bool)
    block = Block(101, [0], [channel], np.full((1, KINDS, ages), 0.1), np.ones((1, KINDS)), known, Params())
    block.weigh(np.zeros((1, CLOCKS_JUDGED)))
    assert block.verdicts()[0].ln_weight == pytest.approx(Params().stake_power * np.log(2))  # type: ignore[union-attr]
    assert handed_lately(channel) == 180
    assert page_level_of(channel, Params()) == pytest.approx(Params().page_ln_m - Params().stake_power * np.log(2))
