"""How good the forecast of complaints is: its interval and its error against what came, and against a plain rate.

The plain forecast of the next 14 days is half of the last 28 days' count.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.core.forecast import complaints_ahead
from monitor.core.overdue import Usual, usual_of
from monitor.core.vocabulary import DAY_US
from monitor.replay.driver import World
from monitor.wire.times import parse_time
from proof.worlds import Folded

AHEAD_DAYS = 14
EVERY_DAYS = 7


@dataclass(frozen=True)
class Told:
    """A forecast and what came. ``kind``: "fault", "other" (an incident), or "quiet" (a channel on some day)."""

    kind: str
    expected: float
    low: float
    high: float
    plain: float
    came: int


def count(complaints: Mapping[str, Sequence[int]], channels: Iterable[str], after_us: int, until_us: int) -> int:
    """Complaints of ``channels`` recorded after the one moment, up to and including the other."""
    return sum(
        bisect_right(times, until_us) - bisect_right(times, after_us)
        for name in channels
        if (times := complaints.get(name)) is not None
    )


def of_incidents(folded: Folded, records: Sequence[Mapping[str, object]]) -> list[Told]:
    """The forecasts of all pages and tickets whose 14 days the log shows."""
    planted = [(set(item.members), item.first) for item in folded.planted]
    out = []
    for record in records:
        known = parse_time(str(record["known_by"]))
        if record["severity"] == "feed" or known + AHEAD_DAYS * DAY_US > (folded.world.as_of_us or 0):
            continue
        members: list[str] = record["members"]  # type: ignore[assignment]
        said = record["forecast"]["complaints_next_14_days"]  # type: ignore[index]
        since = known / DAY_US - folded.first_us // DAY_US
        fault = any(since >= start and not touched.isdisjoint(members) for touched, start in planted)
        out.append(
            _told("fault" if fault else "other", folded, members, known, (said["expected"], said["low"], said["high"]))
        )
    return out


def _told(kind: str, folded: Folded, channels: Sequence[str], at_us: int, said: tuple[float, float, float]) -> Told:
    plain = count(folded.complaints, channels, at_us - 2 * AHEAD_DAYS * DAY_US, at_us) / 2
    came = count(folded.complaints, channels, at_us, at_us + AHEAD_DAYS * DAY_US)
    return Told(kind, *said, plain, came)


class Grid:
    """Looks on while a quiet world folds: what would be forecast for each channel, once a week."""

    def __init__(self, from_day: int) -> None:
        self._from_day = from_day
        self._said: dict[int, list[tuple[str, tuple[float, float, float]]]] = {}

    def tick(self, tick_us: int, world: World) -> None:
        """Note the forecasts of the first tick of a week."""
        if tick_us % (EVERY_DAYS * DAY_US) or tick_us // DAY_US < self._from_day:
            return
        names = sorted(world.channels)
        usual = usual_of([world.channels[name] for name in names])
        self._said[tick_us] = [(name, forecast_of(world, name, usual, tick_us // DAY_US)) for name in names]

    def told(self, folded: Folded) -> list[Told]:
        """All forecasts whose 14 days the log shows."""
        last = (folded.world.as_of_us or 0) - AHEAD_DAYS * DAY_US
        return [
            _told("quiet", folded, [name], at_us, said)
            for at_us, rows in self._said.items()
            if at_us <= last
            for name, said in rows
        ]


def forecast_of(world: World, name: str, usual: Usual, today: int) -> tuple[float, float, float]:
    """What is forecast for a channel that is well, at the begin of ``today``: expected, low, high."""
    said = complaints_ahead([world.channels[name]], usual, today, [""])
    return said.expected, said.low, said.high


def lines(told: Sequence[Told]) -> list[str]:
    """A line for each kind: coverage of the interval, error of both forecasts."""
    names = ("n", "in interval", "below", "above", "error", "plain", "came")
    out = [f"{'forecast of':12}" + "".join(f"{name:>12}" for name in names)]
    for kind, what in (("quiet", "quiet days"), ("fault", "faults"), ("other", "other alarms")):
        mine = [one for one in told if one.kind == kind]
        if not mine:
            continue
        n = len(mine)
        below, above = sum(one.came < one.low for one in mine) / n, sum(one.came > one.high for one in mine) / n
        error = sum(abs(one.came - one.expected) for one in mine) / n
        plain = sum(abs(one.came - one.plain) for one in mine) / n
        came = sum(one.came for one in mine) / n
        shares = "".join(f"{share:>12.1%}" for share in (1 - below - above, below, above))
        out.append(f"{what:12}{n:>12}{shares}" + "".join(f"{value:>12.2f}" for value in (error, plain, came)))
    return out
