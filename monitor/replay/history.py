"""The metrics of the past: what ``/metrics`` would have shown, tick by tick, while the events of a log came in."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace

from monitor.core.events import Event
from monitor.core.params import Params
from monitor.core.vocabulary import HOUR_US
from monitor.replay.driver import Progress, Replay, World
from monitor.replay.outputs import picture

Labels = tuple[tuple[str, str], ...]
#: Labels, value, time (seconds since 1970 UTC).
Dated = tuple[dict[str, str], float, int]


class History:
    """Looks on while a replay folds, and keeps the figures of every tick that is a multiple of ``step_us`` (µs).

    Memory: 16 bytes a sample.
    """

    def __init__(self, step_us: int) -> None:
        self._step_us = step_us
        self._series: dict[str, dict[Labels, tuple[array[int], array[float]]]] = {}
        self.samples = 0
        self.first_us: int | None = None
        self.last_us: int | None = None

    def saw(self, event: Event, recorded_us: int, refused: bool) -> None:
        """Do nothing: figures change at ticks alone."""

    def closed(self, tick_us: int, world: World) -> None:
        """Keep the figures as of the tick."""
        if tick_us % self._step_us:
            return
        at = replace(picture(world), as_of_us=tick_us)
        for name, samples in at.families().items():
            family = self._series.setdefault(name, {})
            for labels, value in samples:
                times, values = family.setdefault(tuple(sorted(labels.items())), (array("q"), array("d")))
                times.append(tick_us // 1_000_000)
                values.append(value)
                self.samples += 1
        self.first_us = tick_us if self.first_us is None else self.first_us
        self.last_us = tick_us

    @property
    def names(self) -> list[str]:
        """The metrics, without prefix."""
        return sorted(self._series)

    @property
    def series(self) -> int:
        """How many series there are."""
        return sum(map(len, self._series.values()))

    def of(self, name: str) -> Iterator[Dated]:
        """The samples of a metric: series by series, sorted by labels, each by time."""
        for labels, (times, values) in sorted(self._series.get(name, {}).items()):
            told = dict(labels)
            for time, value in zip(times, values, strict=True):
                yield told, value, time


def history(
    params: Params,
    fill: Callable[[Replay], None],
    *,
    step_hours: int | None = None,
    until_us: int | None = None,
    progress: Progress | None = None,
) -> tuple[History, World]:
    """Replay the lines that ``fill`` adds; a sample every ``step_hours``, at every tick without.

    Raises :class:`ValueError` for a step that is no multiple of a tick, and what ``fill`` raises.
    """
    step = params.tick_hours if step_hours is None else step_hours
    if step <= 0 or step % params.tick_hours:
        raise ValueError(f"a step of {step} hours is no multiple of a tick ({params.tick_hours} hours)")
    seen = History(step * HOUR_US)
    work = Replay(params, until_us, seen)
    fill(work)
    return seen, work.run(progress)
