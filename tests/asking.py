"""One replay that is asked at several ticks, instead of one replay for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from monitor.core.events import Event
from monitor.replay.driver import World

Found = TypeVar("Found")


class Asked(Generic[Found]):
    """Looks at the world at some ticks (µs since 1970); ``found``: what it saw, in the order of time."""

    def __init__(self, ticks: Iterable[int], look: Callable[[World], Found]) -> None:
        self._ticks, self._look = frozenset(ticks), look
        self.found: list[Found] = []

    def saw(self, event: Event, recorded_us: int, refused: bool) -> None:
        """An event is nothing to look at."""

    def closed(self, tick_us: int, world: World) -> None:
        """Look, as if the log ended here."""
        if tick_us in self._ticks:
            world.as_of_us = tick_us
            self.found.append(self._look(world))
