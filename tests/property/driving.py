"""Runs the folds in every way a log can be run: replayed, in packs, in partitions, restarted after any record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from monitor.core import channel as channel_state
from monitor.core import groups as group_state
from monitor.core.channel import Channel
from monitor.core.contribution import Contribution, DeadLetter, Segment
from monitor.core.digest import state_sha256
from monitor.core.events import ClockTicked, Event, canonical_body, route, to_us
from monitor.core.facets import Facet
from monitor.core.fleet_fold import FleetFold, Unresolved
from monitor.core.fleet_header import FleetHeader
from monitor.core.groups import Group
from monitor.core.identity import hash64
from monitor.core.incidents import Incident
from monitor.core.ledger import Header, Thing
from monitor.core.ordering import SortKey, sort_key
from monitor.core.params import Params
from monitor.core.parcel import Parcel
from monitor.core.parcel_fold import ParcelFold
from monitor.core.switch.advice import Lane
from monitor.core.switch.book import Page
from monitor.read.lists import Picture
from monitor.replay.driver import Replay, World
from monitor.replay.outputs import dead_letter_records, picture, summary
from monitor.wire.decode import decode
from monitor.wire.incoming import Incoming

T = TypeVar("T")


def replayed(files: Iterable[Sequence[bytes]], params: Params, until_us: int | None = None) -> World:
    """The world after a replay of some files of lines."""
    run = Replay(params, until_us)
    for number, lines in enumerate(files):
        run.add(Incoming(f"{number}.jsonl", i, raw, event=raw) for i, raw in enumerate(lines, start=1))
    return run.run()


def told(world: World) -> dict[str, Any]:
    """Everything a replay says that must not depend on how the input came: all but positions and duplicates."""
    letters = [{**letter, "position": None} for letter in dead_letter_records(world)]
    return _records(picture(world)) | {"dead_letters": letters, "summary": {**summary(world), "duplicates": None}}


def _records(view: Picture) -> dict[str, Any]:
    return {
        "channels": view.channel_records(),
        "incidents": view.incident_records(),
        "watchlist": view.watch_records(),
        "recommendations": view.advice_records(),
    }


def in_order(lines: Iterable[bytes]) -> list[tuple[int, Event, bytes]]:
    """Recorded time, event and bytes of each line, as a log has them."""
    rows = []
    for raw in lines:
        event = decode(raw)
        rows.append((to_us(event.recordedtime or event.time), event, raw))
    rows.sort(key=lambda row: (_sort_key(row[0], row[1]), canonical_body(row[1]), row[2]))
    return rows


def _sort_key(recorded_us: int, event: Event) -> SortKey:
    return sort_key(recorded_us, event.sequence, event.source, event.id)


@dataclass
class Partitions:
    """A log of several partitions and its folds, driven one record at a time."""

    params: Params
    count: int
    parcels: list[dict[str, Parcel]] = field(init=False)
    things: list[dict[str, Thing]] = field(init=False)
    headers: list[Header] = field(init=False)
    channels: dict[str, Channel] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    facets: dict[str, Facet] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    held: dict[str, Segment] = field(default_factory=dict)
    unresolved: dict[str, Unresolved] = field(default_factory=dict)
    header: FleetHeader = field(default_factory=FleetHeader)
    lanes: dict[str, Lane] = field(default_factory=dict)
    book: dict[str, Page] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    offsets: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.parcels = [{} for _ in range(self.count)]
        self.things = [{} for _ in range(self.count)]
        self.headers = [Header() for _ in range(self.count)]
        self.offsets = [0] * self.count
        self._start()

    def _start(self) -> None:
        """Make the folds on the state as it is."""
        self._folds = [
            ParcelFold(
                self.params,
                self.parcels[i],
                self.things[i],
                self.headers[i],
                home=lambda subject, i=i: self.partition(subject) == i,  # type: ignore[misc]
            )
            for i in range(self.count)
        ]
        self._fleet = FleetFold(
            self.params,
            self.channels,
            self.groups,
            self.facets,
            self.incidents,
            self.held,
            self.unresolved,
            self.header,
            self.lanes,
            self.book,
            self.count,
        )

    def partition(self, key: str) -> int:
        """Where a key lives."""
        return hash64(key) % self.count

    def restart(self) -> None:
        """Forget everything but the bytes of the state."""
        self.parcels = [_through_bytes(part, Parcel) for part in self.parcels]
        self.things = [_through_bytes(part, Thing) for part in self.things]
        self.headers = [_again(header, Header) for header in self.headers]
        self.facets = _through_bytes(self.facets, Facet)
        self.incidents = _through_bytes(self.incidents, Incident)
        self.held = _through_bytes(self.held, Segment)
        self.unresolved = _through_bytes(self.unresolved, Unresolved)
        self.lanes = _through_bytes(self.lanes, Lane)
        self.book = _through_bytes(self.book, Page)
        self.header = _again(self.header, FleetHeader)
        self.groups = {name: group_state.decode(group_state.encode(one)) for name, one in _backwards(self.groups)}
        self.channels = {
            name: channel_state.decode(channel_state.encode(one)) for name, one in _backwards(self.channels)
        }
        self._start()

    def log(self, lines: Sequence[bytes], ticks: Iterable[int]) -> list[deque[tuple[int, Event | None, bytes]]]:
        """What stands in each partition: events where they belong, ticks (µs) behind what was recorded up to them."""
        rows: list[tuple[int, Event | None, bytes]] = [*in_order(lines)]
        rows += [(at, None, b"") for at in ticks]
        rows.sort(key=lambda row: (row[0], row[1] is None))
        queues: list[deque[tuple[int, Event | None, bytes]]] = [deque() for _ in range(self.count)]
        for row in rows:
            key = None if row[1] is None else route(row[1])
            for queue in queues if key is None else [queues[self.partition(key)]]:
                queue.append(row)
        return queues

    def pack(self, partition: int, rows: Iterable[tuple[int, Event | None, bytes]]) -> None:
        """Fold one record of a partition, and send what it contributes."""
        fold = self._folds[partition]
        for recorded, event, raw in rows:
            if event is None:
                fold.tick(recorded)
            else:
                assert not isinstance(event, ClockTicked)
                fold.apply(event, recorded, raw, ("events", partition, self.offsets[partition]))
        sent = msgspec.msgpack.encode(fold.take("g", partition, self.offsets[partition]))
        self.offsets[partition] += 1
        self.letters += fold.dead_letters
        fold.dead_letters.clear()
        self.sent.append(sent)
        assert self._deliver(sent)

    def _deliver(self, sent: bytes) -> bool:
        taken = self._fleet.step(msgspec.msgpack.decode(sent, type=Contribution))
        self.letters += self._fleet.dead_letters
        self._fleet.dead_letters.clear()
        return taken

    def deliver_again(self, which: int) -> None:
        """A contribution that was sent before comes once more; it must change nothing."""
        if self.sent:
            assert not self._deliver(self.sent[which % len(self.sent)])

    def sha256(self) -> str:
        """Hash of the state of all folds."""
        return state_sha256(
            self.parcels,
            self.things,
            self.channels,
            self.groups,
            self.facets,
            self.incidents,
            self.held,
            self.unresolved,
            self.header,
            self.lanes,
            self.book,
        )

    def told(self, as_of_us: int) -> dict[str, Any]:
        """The records at ``as_of_us``."""
        parcels = {key: parcel for part in self.parcels for key, parcel in part.items()}
        view = Picture(
            self.params, parcels, self.channels, self.groups, self.incidents, self.header, as_of_us, self.lanes
        )
        return _records(view) | {"letters": letters(self.letters), "counts": counts(self.header)}


def letters(some: Iterable[DeadLetter]) -> list[tuple[bytes, str, str, int]]:
    """Dead letters without their positions, sorted."""
    return sorted((letter.raw, letter.reason, letter.detail, letter.recorded_us) for letter in some)


def counts(header: FleetHeader) -> dict[str, int]:
    """Counts that are not zero."""
    return {name: n for name, n in sorted(header.counts.items()) if n}


def _again(value: T, kind: type[T]) -> T:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=kind)


def _backwards(mapping: dict[str, T]) -> list[tuple[str, T]]:
    """A table does not keep the order of its keys."""
    return sorted(mapping.items(), reverse=True)


def _through_bytes(mapping: dict[str, T], kind: type[T]) -> dict[str, T]:
    return {key: _again(value, kind) for key, value in _backwards(mapping)}
