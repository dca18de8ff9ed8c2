"""The folds on the engine: which topic is folded into which tables, and what goes out.

The folds themselves are :mod:`monitor.core`'s, the same objects a replay uses; here they work on Faust tables instead
of plain dicts. A record is folded whole and without an ``await``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from monitor.connectors.files import KEPT_BYTES
from monitor.core import channel as channel_state
from monitor.core import groups as group_state
from monitor.core.channel import Channel
from monitor.core.contribution import Contribution, DeadLetter, Segment
from monitor.core.events import Rejected, to_us
from monitor.core.facets import Facet
from monitor.core.fleet_fold import FleetFold, Unresolved
from monitor.core.fleet_header import FleetHeader
from monitor.core.groups import Group
from monitor.core.incidents import Incident, record
from monitor.core.ledger import Header, Thing
from monitor.core.params import Params
from monitor.core.parcel import Parcel
from monitor.core.parcel_fold import ParcelFold
from monitor.core.switch.advice import Lane
from monitor.core.switch.advice import record as advice_record
from monitor.core.switch.book import Page
from monitor.core.vocabulary import MAX_EVENT_BYTES
from monitor.live.engine import Engine
from monitor.live.tables import FoldTable
from monitor.log.partition import at_home, partition_of
from monitor.log.records import Shard
from monitor.log.topics import CONTRIBUTIONS, DEAD_LETTERS, EVENTS, INCIDENTS, RECOMMENDATIONS
from monitor.read.lists import dead_letter_record
from monitor.wire.dead_letter import letter_id
from monitor.wire.decode import decode_pack, with_recorded

_LOG: Final = structlog.get_logger(__name__)
_to_msgpack: Final = msgspec.msgpack.Encoder().encode
_to_json: Final = msgspec.json.Encoder().encode
_contribution: Final = msgspec.msgpack.Decoder(Contribution).decode

#: Key of the one value in the tables that hold a fold's position.
HEADER: Final = "header"
#: Tables of the two folds, with the type of their values.
PARCEL_TABLES: Final[dict[str, type]] = {"parcels": Parcel, "things": Thing, "positions": Header}
FLEET_TABLES: Final[dict[str, type]] = {
    "channels": Channel,
    "groups": Group,
    "facets": Facet,
    "incidents": Incident,
    "held": Segment,
    "unresolved": Unresolved,
    "fleet": FleetHeader,
    "lanes": Lane,
    "book": Page,
}


def decoder(kind: type) -> Any:
    """How the values of a table are read."""
    special: dict[type, Any] = {Channel: channel_state.decode, Group: group_state.decode}
    return special.get(kind) or msgspec.msgpack.Decoder(kind).decode


def home_of(partition: int, partitions: int) -> Callable[[str], bool]:
    """Whether a subject is at home in ``partition``: there its events count that all partitions see."""
    return lambda subject: partition_of(subject, partitions) == partition


def _table(engine: Engine, name: str, topic: str, kind: type) -> FoldTable[Any]:
    special: dict[type, Any] = {Channel: channel_state.encode, Group: group_state.encode}
    encode = special.get(kind, _to_msgpack)
    return engine.table(name, topic=topic, encode=encode, decode=decoder(kind))


class _Letters:
    """Sends dead letters out."""

    def __init__(self, engine: Engine, source: str) -> None:
        self._engine = engine
        self._source = source

    def send(self, partition: int, letters: list[DeadLetter]) -> None:
        """Emit and clear the ``letters`` of a partition's fold."""
        shard = Shard(self._source, partition)
        for letter in letters:
            value = _to_json(dead_letter_record(letter, letter.recorded_us))
            key = letter_id(letter.raw, letter.reason).encode()
            self._engine.checkpointer.emit(shard, DEAD_LETTERS, 0, key, value, letter.recorded_us)
            _LOG.warning("dead_letter", reason=letter.reason, position=letter.position)
        letters.clear()


class ParcelHandler:
    """Topic ``events``: the parcel fold of every partition."""

    def __init__(self, engine: Engine, params: Params, partitions: int) -> None:
        self._engine = engine
        self._params = params
        self._partitions = partitions
        self._tables = {name: _table(engine, name, EVENTS, kind) for name, kind in PARCEL_TABLES.items()}
        self._letters = _Letters(engine, EVENTS)
        self.folds: dict[int, ParcelFold] = {}
        self.events = 0

    def recovered(self, partition: int) -> None:
        """Make the partition's fold on its restored tables."""
        parcels, things, positions = (table.partition(partition) for table in self._tables.values())
        header = positions.get(HEADER) or Header()

        home = home_of(partition, self._partitions)
        self.folds[partition] = ParcelFold(self._params, parcels, things, header, home, with_recorded)

    def released(self, partition: int) -> None:
        """Forget the partition's fold."""
        self.folds.pop(partition, None)

    def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes, foreign: bool) -> None:
        """Fold the events of one record and send what they contribute."""
        fold = self.folds[partition]
        complete = fold.header.tick
        for index, (raw, event) in enumerate(decode_pack(value)):
            position = (EVENTS, partition, offset, index)
            if not isinstance(event, Rejected) and foreign:
                event = at_home(event, partition, self._partitions)
            if isinstance(event, Rejected):
                # As of a line of a file; and what fills a record would not fit into the record of a dead letter.
                kept = raw if len(raw) <= MAX_EVENT_BYTES else raw[:KEPT_BYTES]
                self._letters.send(partition, [DeadLetter(kept, event.reason, event.detail, position, timestamp_us)])
            else:
                stated = timestamp_us if event.recordedtime is None else to_us(event.recordedtime)
                fold.apply(event, stated, raw, position)
                self.events += 1
        contribution = fold.take(self._engine.checkpointer.generation, partition, offset)
        if contribution.segments or contribution.complete != complete:
            self._engine.checkpointer.emit(
                Shard(EVENTS, partition), CONTRIBUTIONS, 0, None, _to_msgpack(contribution), timestamp_us
            )
        self._letters.send(partition, fold.dead_letters)
        self._tables["positions"].partition(partition)[HEADER] = fold.header


class FleetHandler:
    """Topic ``contributions``: the fleet fold."""

    def __init__(self, engine: Engine, params: Params, partitions: int) -> None:
        self._engine = engine
        self._params = params
        self._partitions = partitions
        self._tables = {name: _table(engine, name, CONTRIBUTIONS, kind) for name, kind in FLEET_TABLES.items()}
        self._letters = _Letters(engine, CONTRIBUTIONS)
        self.fold: FleetFold | None = None
        self.tick_duration_s = 0.0

    def recovered(self, partition: int) -> None:
        """Make the fold on its restored tables."""
        of = {name: table.partition(partition) for name, table in self._tables.items()}
        self.fold = FleetFold(
            self._params,
            of["channels"],
            of["groups"],
            of["facets"],
            of["incidents"],
            of["held"],
            of["unresolved"],
            of["fleet"].get(HEADER) or FleetHeader(),
            of["lanes"],
            of["book"],
            self._partitions,
        )

    def released(self, partition: int) -> None:
        """Forget the fold."""
        del partition
        self.fold = None

    def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes, foreign: bool) -> None:
        """Add a contribution; at the close of a tick, send the incidents that changed."""
        del offset, foreign
        fold = self.fold
        if fold is None:
            raise RuntimeError("a contribution arrived before the fleet's tables were restored")
        before, started = fold.header.tick, time.perf_counter()
        fold.step(_contribution(value))
        if fold.header.tick != before:
            self.tick_duration_s = time.perf_counter() - started
        for incident_id in sorted(fold.changed):
            incident = fold.changed[incident_id]
            said = {**record(incident), "tick": fold.header.tick}
            shard = Shard(CONTRIBUTIONS, partition)
            self._engine.checkpointer.emit(shard, INCIDENTS, 0, incident_id.encode(), _to_json(said), timestamp_us)
            _LOG.info(
                "incident",
                incident_id=incident_id,
                scope=incident.scope,
                mode=incident.mode,
                severity=incident.severity,
                revision=incident.revision,
                closed=bool(incident.closed_us),
            )
        fold.changed.clear()
        self._advise(fold, partition, timestamp_us)
        self._letters.send(partition, fold.dead_letters)
        self._tables["fleet"].partition(partition)[HEADER] = fold.header

    def _advise(self, fold: FleetFold, partition: int, timestamp_us: int) -> None:
        """Send the advice that is news."""
        for lane in sorted(fold.advised):
            advice = fold.advised[lane]
            kept = fold.lanes.get(lane) or Lane()  # gone, if the lane has had no parcels for long
            said = {**advice_record(lane, advice, kept.accepted), "tick": fold.header.tick, "ended": not kept.advice}
            shard = Shard(CONTRIBUTIONS, partition)
            self._engine.checkpointer.emit(
                shard, RECOMMENDATIONS, 0, advice.advice_id.encode(), _to_json(said), timestamp_us
            )
            _LOG.info(
                "recommendation",
                recommendation_id=advice.advice_id,
                lane=lane,
                decision=advice.decision,
                from_carrier=advice.from_carrier,
                to_carrier=advice.to_carrier,
                revision=advice.revision,
            )
        fold.advised.clear()
