"""A log folded again up to a moment: the state as it was then, and where each event of it stands."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

from monitor.core.contribution import Position
from monitor.core.events import Event
from monitor.core.params import Params
from monitor.log.export import Place
from monitor.log.topics import EVENTS
from monitor.read.lists import Picture
from monitor.read.sums import Tallies
from monitor.replay.driver import Progress, Replay, World
from monitor.replay.outputs import picture
from monitor.wire.incoming import Incoming

_NAME: Final = "log"


class _Before:
    """Keeps what the baselines had learnt when the tick before the last was closed."""

    def __init__(self, tick_us: int) -> None:
        self._tick_us = tick_us
        self.tallies: Tallies | None = None

    def saw(self, event: Event, recorded_us: int, refused: bool) -> None:
        """Do nothing."""

    def closed(self, tick_us: int, world: World) -> None:
        """Copy the tallies at the tick in question."""
        if tick_us == self._tick_us and world.channels:
            self.tallies = Tallies.of(world.channels)


class Refold:
    """The ``lines``, all recorded up to ``until_us`` (µs), folded, the tick at ``until_us`` closed.

    ``world`` and ``then``: the state, and the same as the read side sees it; ``tallies``: what the baselines had learnt
    a tick before. Memory as :class:`~monitor.replay.driver.Replay`, and 32 bytes more for each event.
    """

    def __init__(
        self,
        params: Params,
        until_us: int,
        lines: Iterable[tuple[Place, bytes]],
        reading: Progress | None = None,
        folding: Progress | None = None,
    ) -> None:
        self._places = array("q")
        self._lines: list[bytes] = []
        before = _Before((until_us - 1) // params.tick_us * params.tick_us)
        replay = Replay(params, until_us, before)
        replay.add(self._taken(lines), reading)
        self.world = replay.run(folding)
        self.then: Picture = picture(self.world)
        self.tallies = before.tallies

    def _taken(self, lines: Iterable[tuple[Place, bytes]]) -> Iterator[Incoming]:
        for number, (place, line) in enumerate(lines):
            self._places.extend(place)
            self._lines.append(line)
            yield Incoming(_NAME, number, line, line)

    def lines(self) -> Iterator[tuple[bytes, Position]]:
        """The events that were not set aside, each with its position in the log (topic, partition, offset, index)."""
        aside = {letter.position[1] for letter in self.world.dead_letters}
        for number, line in enumerate(self._lines):
            if number not in aside:
                yield line, (EVENTS, *self._places[3 * number : 3 * number + 3])
