"""What a day of all channels is judged against."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.channel import KINDS, Channel, new_channel
from monitor.core.judge import weekday_factor

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
