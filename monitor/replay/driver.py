"""The replay driver: files of events through the folds, in one process, by event time alone.

The same set of events gives the same bytes, whatever the order of lines and files: everything is sorted by
(recordedtime, sequence, source, id, canonical bytes) before the first event is folded, and ticks fall on the grid of
recorded time. It reads no wall clock.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from msgspec.structs import replace

from monitor.core.channel import Channel
from monitor.core.contribution import DeadLetter, Position, Segment
from monitor.core.digest import state_sha256
from monitor.core.events import ClockTicked, Event, Rejected, canonical_body
from monitor.core.facets import Facet
from monitor.core.fleet_fold import FleetFold, Unresolved
from monitor.core.fleet_header import FleetHeader
from monitor.core.groups import Day, Group, Membership
from monitor.core.identity import raw_hash
from monitor.core.incidents import Incident
from monitor.core.ledger import Header, Thing
from monitor.core.ordering import AFTER_ALL, normal_sequence
from monitor.core.params import Params
from monitor.core.parcel import Parcel
from monitor.core.parcel_fold import ParcelFold
from monitor.core.switch.advice import Lane
from monitor.core.switch.book import Page
from monitor.core.vocabulary import YEAR_2089_US
from monitor.wire.decode import decode, without_sequence
from monitor.wire.incoming import Incoming
from monitor.wire.times import recorded_us

#: Events between two contributions. Any number gives the same result.
PACK: Final = 5_000
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class World:
    """The state of both folds after a replay, and what came out of them."""

    params: Params
    parcels: dict[str, Parcel] = field(default_factory=dict)
    things: dict[str, Thing] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    facets: dict[str, Facet] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    held: dict[str, Segment] = field(default_factory=dict)
    unresolved: dict[str, Unresolved] = field(default_factory=dict)
    fleet: FleetHeader = field(default_factory=FleetHeader)
    lanes: dict[str, Lane] = field(default_factory=dict)
    book: dict[str, Page] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    duplicates: int = 0  # repeats of lines that are no events; those of events are counted by the folds
    as_of_us: int | None = None
    judged: tuple[int, Membership, Day] | None = None  # the last judged day and what it gave the channels; no state

    def sha256(self) -> str:
        """Hash of the state."""
        return state_sha256(
            [self.parcels],
            [self.things],
            self.channels,
            self.groups,
            self.facets,
            self.incidents,
            self.held,
            self.unresolved,
            self.fleet,
            self.lanes,
            self.book,
        )


class Observer(Protocol):
    """Looks on while a replay folds. It may read what it is given and must change nothing."""

    def saw(self, event: Event, recorded_us: int, refused: bool) -> None:
        """An event was folded, in the order of the log; ``refused``: it became a dead letter just now."""

    def closed(self, tick_us: int, world: World) -> None:
        """The tick at ``tick_us`` was closed: all events recorded up to it are in ``world``, and no later one."""


class Observers:
    """Several that look on together."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def saw(self, event: Event, recorded_us: int, refused: bool) -> None:
        """See :class:`Observer`."""
        for one in self._observers:
            one.saw(event, recorded_us, refused)

    def closed(self, tick_us: int, world: World) -> None:
        """See :class:`Observer`."""
        for one in self._observers:
            one.closed(tick_us, world)


class Replay:
    """Collects lines, then folds them. Memory: the bytes of the events, about 60 more for each, and the state.

    With an ``observer`` the fleet takes its contributions tick by tick, which changes no result and costs some time.
    """

    def __init__(self, params: Params, until_us: int | None = None, observer: Observer | None = None) -> None:
        self.params = params
        self.until_us = until_us
        self._observer = observer
        self._recorded = array("q")
        self._raw: list[bytes] = []
        self._where = array("q")
        self._files: list[str] = []
        self._refused: dict[int, DeadLetter] = {}
        self._repeats = 0

    def add(self, lines: Iterable[Incoming | None], progress: Progress | None = None) -> None:
        """Take in the lines of one source."""
        until = self.until_us
        number = -1
        for line in lines:
            if line is None or line.skipped is not None:
                continue
            if number < 0 or self._files[number] != line.file:
                self._files.append(line.file)
                number = len(self._files) - 1
            if line.event is None:
                if line.fault is not None:
                    self._refuse(line.raw, line.fault, (line.file, line.line))
                continue
            try:
                recorded = recorded_us(line.event)
            except Rejected as error:
                self._refuse(line.raw, error, (line.file, line.line))
                continue
            if until is not None and recorded > until:
                continue
            self._recorded.append(recorded)
            self._raw.append(line.event)
            self._where.append(number << 40 | line.line)
            if progress is not None and not len(self._raw) & 0x3FFF:
                progress(len(self._raw), 0)

    def _refuse(self, raw: bytes, error: Rejected, position: Position) -> None:
        """Set a line aside, once."""
        key = raw_hash(raw)
        if key in self._refused:
            self._repeats += 1
        else:
            self._refused[key] = DeadLetter(raw, error.reason, error.detail, position, 0)

    def run(self, progress: Progress | None = None) -> World:
        """Fold everything that was added. The garbage collector rests meanwhile: a fold's state holds no cycles."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._run(progress)
        finally:
            if collecting:
                gc.enable()

    def _run(self, progress: Progress | None) -> World:
        world = World(self.params)
        parcels = ParcelFold(self.params, world.parcels, world.things, Header(), keep=_kept)
        fleet = FleetFold(
            self.params,
            world.channels,
            world.groups,
            world.facets,
            world.incidents,
            world.held,
            world.unresolved,
            world.fleet,
            world.lanes,
            world.book,
            partitions=1,
        )
        total = len(self._raw)
        recorded = np.frombuffer(self._recorded, dtype=np.int64) if total else np.empty(0, dtype=np.int64)
        order = np.argsort(recorded, kind="stable")
        ordered = recorded[order].tolist()
        order_list: list[int] = order.tolist()
        done = packs = 0
        last = self.until_us
        ticks = None if self._observer is None else _Observed(world, parcels, fleet, self._observer)
        while done < total:
            stop = done + 1
            while stop < total and ordered[stop] == ordered[done]:
                stop += 1
            if ticks is not None:
                ticks.close_before(ordered[done])
            for event, i in self._decoded(order_list[done:stop]):
                if ticks is None:
                    parcels.apply(event, ordered[done], self._raw[i], (i,))
                else:
                    ticks.apply(event, ordered[done], self._raw[i], i)
                if self.until_us is None and ordered[done] < YEAR_2089_US:
                    last = ordered[done]
            if stop // PACK != done // PACK:
                packs += 1
                if ticks is None:
                    fleet.step(parcels.take("replay", 0, packs))
                if progress is not None:
                    progress(stop, total)
            done = stop
        if last is not None and total:
            if ticks is not None:
                ticks.close_before(last // self.params.tick_us * self.params.tick_us + 1)
            parcels.tick(last // self.params.tick_us * self.params.tick_us)
        fleet.step(parcels.take("replay", 0, (packs if ticks is None else ticks.packs) + 1))
        fleet.settle()
        world.as_of_us = last
        world.judged = fleet.judging.judged
        world.duplicates = self._repeats
        world.dead_letters = [*self._refused.values()]
        for letter in (*parcels.dead_letters, *fleet.dead_letters):
            world.dead_letters.append(replace(letter, position=self._position(int(letter.position[0]))))
        world.dead_letters.sort(key=lambda letter: (letter.raw, letter.reason))
        return world

    def _decoded(self, indexes: list[int]) -> list[tuple[Event, int]]:
        """Events of one recorded time in their order: (sequence, source, id, canonical bytes, bytes)."""
        events: list[tuple[Event, int]] = []
        for i in indexes:
            try:
                events.append((decode(self._raw[i]), i))
            except Rejected as error:
                self._refuse(self._raw[i], error, self._position(i))
        if len(events) > 1:
            events.sort(key=lambda pair: _tie(pair[0], self._raw[pair[1]]))
        return events

    def _position(self, i: int) -> Position:
        where = self._where[i]
        return self._files[where >> 40], where & (1 << 40) - 1


class _Observed:
    """Folds under the eyes of an observer: ticks are closed one by one, before the events that follow them."""

    def __init__(self, world: World, parcels: ParcelFold, fleet: FleetFold, observer: Observer) -> None:
        self.packs = 0
        self._world, self._parcels, self._fleet, self._observer = world, parcels, fleet, observer
        self._tick: int | None = None  # the next to be closed

    def apply(self, event: Event, recorded_us: int, raw: bytes, i: int) -> None:
        """Fold one event."""
        set_aside = len(self._parcels.dead_letters)
        self._parcels.apply(event, recorded_us, raw, (i,))
        self._observer.saw(event, recorded_us, len(self._parcels.dead_letters) > set_aside)

    def close_before(self, recorded_us: int) -> None:
        """Close every tick that lies before an event recorded at ``recorded_us``."""
        tick_us = self._world.params.tick_us
        tick = -(-min(recorded_us, YEAR_2089_US) // tick_us)
        if self._tick is None:
            self._tick = tick
        for closing in range(self._tick, tick):
            self._parcels.tick(closing * tick_us)
            self.packs += 1
            self._fleet.step(self._parcels.take("replay", 0, self.packs))
            self._observer.closed(closing * tick_us, self._world)
        self._tick = max(self._tick, tick)


def _kept(raw: bytes, _: int) -> bytes:
    """The bytes to keep of an event: as it was logged, without the sequence that an export adds."""
    return without_sequence(raw)


def _tie(event: Event, raw: bytes) -> tuple[str, str, str, bytes, bytes]:
    sequence = AFTER_ALL if isinstance(event, ClockTicked) else normal_sequence(event.sequence)
    return sequence, event.source, event.id, canonical_body(event), raw
