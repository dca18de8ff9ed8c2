"""The state as last checkpointed: read from the log, not from the memory of the `run` that folds it.

The tables say what the folds know up to the positions of the last checkpoint. Made whole (:meth:`SavedState.ended_at`)
they are what a replay of the same log ends with, byte for byte; :func:`saved_state` with a replay of the log is
therefore the proof that nothing was lost, doubled or confused, whatever happened to the process in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from monitor.core.channel import Channel
from monitor.core.contribution import DeadLetter, Segment
from monitor.core.digest import state_sha256
from monitor.core.facets import Facet
from monitor.core.fleet_fold import FleetFold, Unresolved
from monitor.core.fleet_header import FleetHeader
from monitor.core.groups import Group
from monitor.core.incidents import Incident
from monitor.core.ledger import Header, Thing
from monitor.core.params import Params
from monitor.core.parcel import Parcel
from monitor.core.parcel_fold import ParcelFold
from monitor.core.switch.advice import Lane
from monitor.core.switch.book import Page
from monitor.live.folding import FLEET_TABLES, HEADER, PARCEL_TABLES, decoder, home_of
from monitor.log.protocol import Log
from monitor.log.records import Shard
from monitor.log.topics import CONTRIBUTIONS, DEAD_LETTERS, EVENTS
from monitor.read.lists import Picture, dead_letter_record
from monitor.wire.decode import with_recorded

_letter: Final = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(slots=True)
class SavedState:
    """The tables of both folds; those of the parcel fold by partition. ``behind``: records of the log that the last
    checkpoint does not cover; ``letters``: the dead letters that the folds have sent out, in their order."""

    params: Params
    parcels: list[dict[str, Parcel]]
    things: list[dict[str, Thing]]
    positions: list[Header]
    channels: dict[str, Channel]
    groups: dict[str, Group]
    facets: dict[str, Facet]
    incidents: dict[str, Incident]
    held: dict[str, Segment]
    unresolved: dict[str, Unresolved]
    fleet: FleetHeader
    lanes: dict[str, Lane]
    book: dict[str, Page]
    behind: int
    letters: list[dict[str, Any]]

    def ended_at(self, last_us: int) -> SavedState:
        """This state as a replay that ends at ``last_us`` leaves it; the state itself must not be used any more.

        Every partition passes the ticks up to ``last_us``, the fleet closes them, and what is held for the tick after
        them is added without judging it. No table is written.
        """
        count = len(self.parcels)
        fleet = FleetFold(
            self.params,
            self.channels,
            self.groups,
            self.facets,
            self.incidents,
            self.held,
            self.unresolved,
            self.fleet,
            self.lanes,
            self.book,
            partitions=count,
        )
        for partition, header in enumerate(self.positions):
            fold = ParcelFold(
                self.params,
                self.parcels[partition],
                self.things[partition],
                header,
                home_of(partition, count),
                with_recorded,
            )
            fold.tick(last_us // self.params.tick_us * self.params.tick_us)
            fleet.step(fold.take("", partition, self.fleet.marks.get(partition, -1) + 1))
            self._set_aside(fold.dead_letters)
        fleet.settle()
        self._set_aside(fleet.dead_letters)
        return self

    def _set_aside(self, letters: list[DeadLetter]) -> None:
        self.letters += [dead_letter_record(letter, letter.recorded_us) for letter in letters]

    def sha256(self) -> str:
        """Hash of the state, comparable with that of a replay."""
        return state_sha256(
            self.parcels,
            self.things,
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

    def picture(self) -> Picture:
        """The lists at the last closed tick, as the page shows them; as of 1970 before the first."""
        parcels = {name: parcel for part in self.parcels for name, parcel in part.items()}
        as_of_us = (self.fleet.tick or 0) * self.params.tick_us
        return Picture(
            self.params, parcels, self.channels, self.groups, self.incidents, self.fleet, as_of_us, self.lanes
        )


def saved_state(log: Log, params: Params) -> SavedState:
    """What the last checkpoint wrote, all of one moment, while others may go on writing.

    Raises :class:`~monitor.log.records.LogError`. ``params`` must be those of the `run` (see ``state_version``).
    """
    with log.snapshot():
        headers = log.headers()
        sources = [*(Shard(EVENTS, p) for p in range(log.partitions)), Shard(CONTRIBUTIONS, 0)]
        parts = [_tables(log, source, PARCEL_TABLES) for source in sources[:-1]]
        whole = _tables(log, sources[-1], FLEET_TABLES)
        return SavedState(
            params,
            [part["parcels"] for part in parts],
            [part["things"] for part in parts],
            [part["positions"].get(HEADER) or Header() for part in parts],
            whole["channels"],
            whole["groups"],
            whole["facets"],
            whole["incidents"],
            whole["held"],
            whole["unresolved"],
            whole["fleet"].get(HEADER) or FleetHeader(),
            whole["lanes"],
            whole["book"],
            sum(unfolded(log, headers).values()),
            _letters(log),
        )


def saved_incident(log: Log, incident_id: str) -> Incident | None:
    """An incident as the last checkpoint wrote it, whatever version of the folds made it; None where there is none, or
    that version kept incidents in another form. Raises :class:`~monitor.log.records.LogError`."""
    value, key = None, incident_id.encode()
    for change in log.changes(Shard(CONTRIBUTIONS, 0)):
        if change.table == "incidents" and change.key == key:
            value = change.value
    try:
        found: Incident | None = None if value is None else decoder(Incident)(value)
    except msgspec.MsgspecError:
        return None
    return found


def unfolded(log: Log, headers: Mapping[Shard, int] | None = None) -> dict[Shard, int]:
    """For each shard the records of the log that its last checkpoint does not cover. Raises
    :class:`~monitor.log.records.LogError`."""
    headers = log.headers() if headers is None else headers
    shards = [*(Shard(EVENTS, p) for p in range(log.partitions)), Shard(CONTRIBUTIONS, 0)]
    return {shard: log.waiting(shard, headers.get(shard, 0)) for shard in shards}


def _tables(log: Log, shard: Shard, kinds: Mapping[str, type]) -> dict[str, dict[str, Any]]:
    decoders = {name: decoder(kind) for name, kind in kinds.items()}
    tables: dict[str, dict[str, Any]] = {name: {} for name in kinds}
    for change in log.changes(shard):
        table, key = tables[change.table], change.key.decode()
        if change.value is None:
            table.pop(key, None)
        else:
            table[key] = decoders[change.table](change.value)
    return tables


def _letters(log: Log) -> list[dict[str, Any]]:
    letters = (_letter(record.value) for record in log.scan(DEAD_LETTERS, 0))
    return [letter for letter in letters if "topic" in letter.get("position", ())]
