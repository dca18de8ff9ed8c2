"""What the fold of one partition writes in: recorded time and its ticks, the open contribution, what falls due.

Rules it keeps:

1. Log position decides. The effective recorded time of an event is never before that of the previous one.
2. A tick at grid point T follows every event recorded up to T and precedes every later one. It is implied by the
   first event recorded after T, or told by ``clock.ticked``; what time alone changes happens at ticks only.
3. An event is set aside once: a repeat of a dead letter is a duplicate.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, MutableMapping

from msgspec import Struct

from monitor.core.contribution import Contribution, DeadLetter, Position, Segment
from monitor.core.events import EVERYWHERE, Event, Rejected, route
from monitor.core.identity import body_hash, identity
from monitor.core.ordering import EffectiveClock
from monitor.core.params import Params
from monitor.core.switch.carried import count
from monitor.core.vocabulary import DAY_US, YEAR_2089_US


class Wait(Struct, array_like=True, frozen=True, gc=False):
    """An event that names no parcel (``uid``) waits for an order, complaint or refund (hash ``ref``) to be known."""

    ref: int
    until_us: int
    uid: str


class Thing(Struct, array_like=True):
    """The subject of events about no parcel: ids seen, what its events wait for, what is known through them."""

    seen: dict[int, int]
    keep_until_us: int
    waits: list[Wait] = []
    gives: list[int] = []  # hashes of complaint and refund ids


class Header(Struct, array_like=True):
    """Where a partition stands: least effective recorded time of its next event, last tick done (None before any)."""

    floor_us: int = EffectiveClock().floor_us
    tick: int | None = None


class Ledger:
    """The book of one partition. ``when_due(is_thing, key, at_us)`` is called at the tick at which something is due."""

    def __init__(
        self,
        params: Params,
        things: MutableMapping[str, Thing],
        header: Header,
        home: Callable[[str], bool],
        keep: Callable[[bytes, int], bytes],
        when_due: Callable[[bool, str, int], None],
    ) -> None:
        self.things = things
        self.header = header
        self.segment = Segment(tick=0)
        self.dead_letters: list[DeadLetter] = []
        self.keep = keep
        kept_us = params.dispute_window_days * DAY_US + params.days_us("dedup_days")
        self.thing_us = max(kept_us, params.days_us("waiting_days"))  # how long a thing is remembered
        self._home = home
        self._when_due = when_due
        self._clock = EffectiveClock(header.floor_us)
        self._tick_us = params.tick_us
        self._closed: list[Segment] = []
        self._due: list[tuple[int, bool, str]] = []  # when, whether it is a thing, key

    # -- time ------------------------------------------------------------------------------------------------

    def stamp(self, stated_us: int) -> int:
        """Effective recorded time of the next event; passes the ticks that lie before it."""
        header = self.header
        recorded = header.floor_us = self._clock.stamp(stated_us)
        tick = -(-recorded // self._tick_us)
        if tick == self.segment.tick:
            return recorded
        if header.tick is None:
            header.tick = tick - 1
        if tick != header.tick + 1:
            self._pass_ticks(tick - 1)
        if self.segment.tick != tick:
            self._open_segment(tick)
        return recorded

    def tick(self, at_us: int) -> None:
        """The clock ticked at ``at_us`` (a grid point): every tick up to it is done; repeats change nothing."""
        if at_us >= YEAR_2089_US:
            return
        last = at_us // self._tick_us
        header = self.header
        if header.tick is None:
            header.tick = last
        elif last > header.tick:
            self._pass_ticks(last)
        self._clock.tick(last * self._tick_us)
        header.floor_us = self._clock.floor_us

    def _pass_ticks(self, last: int) -> None:
        """Do every tick up to number ``last``; only those at which something is due cost anything."""
        due = self._due
        bound = last * self._tick_us
        done = last if self.header.tick is None else self.header.tick
        while due and due[0][0] <= bound:
            when, is_thing, key = heapq.heappop(due)
            tick = max(-(-when // self._tick_us), done + 1)
            if self.segment.tick != tick:
                self._open_segment(tick)
            self._when_due(is_thing, key, tick * self._tick_us)
        self.header.tick = last

    def _open_segment(self, tick: int) -> None:
        if self.segment.tick:
            self._closed.append(self.segment)
        self.segment = Segment(tick=tick)

    def take(self, generation: str, partition: int, offset: int) -> Contribution:
        """Everything since the last call, as the contribution of one source record."""
        if self.segment.tick:
            self._closed.append(self.segment)
        segments, self._closed = self._closed, []
        self.segment = Segment(tick=0)
        return Contribution(generation, partition, offset, self.header.tick, segments)

    def due(self, when_us: int, is_thing: bool, key: str) -> None:
        """Have ``when_due`` called at the first tick that is not before ``when_us``."""
        heapq.heappush(self._due, (when_us, is_thing, key))

    # -- what is told ----------------------------------------------------------------------------------------

    def count(self, name: str, n: int = 1) -> None:
        """Add to a count of the open segment."""
        counts = self.segment.counts
        counts[name] = counts.get(name, 0) + n

    def add(self, channel: str, key: int, n: int) -> None:
        """Add to a cell of the open segment."""
        cells = self.segment.cells.setdefault(channel, {})
        cells[key] = cells.get(key, 0) + n

    def carry(self, channel: str, said: Iterable[tuple[str, int]], day: int) -> None:
        """Add what a parcel of a channel carries (see :mod:`monitor.core.switch.carried`) to the open segment."""
        for name, amount in said:
            count(self.segment.carried.setdefault(channel, {}), name, day, amount)

    def saw(self, time_us: int) -> None:
        """Note the time of an accepted event."""
        segment = self.segment
        if time_us < segment.first_us:
            segment.first_us = time_us
        if time_us > segment.last_us:
            segment.last_us = time_us

    def refuse(self, error: Rejected, event: Event, raw: bytes, position: Position, recorded: int) -> None:
        """Set an event aside, once, whenever its repeats are recorded."""
        key = f"dead|{error.reason}|{identity(event):016x}{body_hash(event):016x}"
        if key in self.things:
            self.count("duplicates")
            return
        self.things[key] = Thing(seen={}, keep_until_us=recorded + self.thing_us)
        self.due(recorded + self.thing_us, True, key)
        self.count("dead|" + error.reason)
        self.dead_letters.append(DeadLetter(self.keep(raw, recorded), error.reason, error.detail, position, recorded))

    def repeat(self, event: Event, same: bool, raw: bytes, position: Position, recorded: int) -> None:
        """An event whose id came before: a duplicate if it is the ``same``, else the first stands."""
        if same:
            self.count("duplicates")
            return
        detail = f"id {event.id[:80]!r} of source {event.source[:80]!r} came before with another body; the first stands"
        self.refuse(Rejected("conflicting_duplicate", detail), event, raw, position, recorded)

    def is_home(self, event: Event) -> bool:
        """Whether this partition counts the event: the only one that sees it, or the one of its subject."""
        return route(event) is not EVERYWHERE or self._home(event.subject)
