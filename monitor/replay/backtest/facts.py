"""What a log says, before anything is matched: incidents, complaints, which channels were in use when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitor.core.events import EPOCH
from monitor.core.vocabulary import DAY_US
from monitor.replay.backtest.complaints import Wave, judged_weeks, waves
from monitor.replay.backtest.observation import Observation
from monitor.wire.backtest import Planted

#: A channel is in use until so many days after its last registration.
IN_USE_DAYS = 30
#: Channel → its waves of complaints.
Waves = dict[str, list[Wave]]


def moment(time_us: int) -> datetime:
    """µs since 1970 as a time of the models."""
    return EPOCH + timedelta(microseconds=time_us)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the log says. ``records`` are incidents as the contract writes them, in the order they became known.

    ``planted`` is what a truth file says, None without one; ``pages_from_us`` the end of the shadow time.
    """

    records: Sequence[Mapping[str, Any]]
    complaints: Mapping[str, Sequence[int]]
    elsewhere: int
    used: Mapping[str, tuple[int, int]]
    parcels: int
    pages_from_us: int | None
    as_of_us: int
    planted: Sequence[Planted] | None

    @property
    def first_page_us(self) -> int:
        """From when on a page was possible; the end of the log where it never was."""
        return self.as_of_us if self.pages_from_us is None else self.pages_from_us

    def in_use(self, channel: str) -> tuple[int, int]:
        """From when to when the channel could be paged: in use, after the shadow time."""
        first, last = self.used[channel]
        begin = max(first, self.first_page_us)
        return begin, max(begin, min(last + IN_USE_DAYS * DAY_US, self.as_of_us))


def facts_of(
    records: Sequence[Mapping[str, Any]],
    seen: Observation,
    shadow_days: int,
    as_of_us: int,
    planted: Sequence[Planted] | None,
) -> Facts:
    """The facts of an observed replay."""
    complaints, elsewhere = seen.complaints()
    pages_from = None if seen.first_us is None else (seen.first_us // DAY_US + shadow_days) * DAY_US
    used = dict(sorted(seen.used.items()))
    return Facts(records, complaints, elsewhere, used, seen.parcels, pages_from, as_of_us, planted)


class Alarms:
    """The complaint alarms of all channels, at any threshold."""

    def __init__(self, facts: Facts) -> None:
        self._weeks = {
            name: judged_weeks(times, facts.used[name][0], facts.as_of_us)
            for name, times in facts.complaints.items()
            if name in facts.used
        }

    def at(self, sigmas: float) -> Waves:
        """The waves at a threshold, channels in sorted order."""
        found = {name: waves(name, weeks, sigmas) for name, weeks in self._weeks.items()}
        return {name: some for name, some in found.items() if some}
