"""The open dead letters of a log: those that were written down, and those only the folds can tell.

An event that waited in vain, or that contradicts an earlier one, is found by folding. `run` writes such letters down as
it folds; where it has not come to the end of the log, the log is folded here, so the list is the same either way.
"""

from __future__ import annotations

from typing import Final

import msgspec

from monitor.cli.whole_log import world_of
from monitor.core.contribution import DeadLetter
from monitor.core.events import (
    EVERYWHERE,
    ComplaintClosedData,
    ComplaintOpenedData,
    DecisionRecorded,
    Event,
    Rejected,
    route,
)
from monitor.core.identity import body_hash, hash64, identity
from monitor.core.vocabulary import MAX_ID_LENGTH
from monitor.live.state import unfolded
from monitor.live.version import state_version
from monitor.log.dead_letters import DeadLetterBox
from monitor.log.partition import partition_of
from monitor.log.protocol import Log
from monitor.log.records import LogRecord
from monitor.log.topics import EVENTS
from monitor.read.lists import dead_letter_record
from monitor.replay.driver import World
from monitor.settings import Settings
from monitor.wire.dead_letter import Letter, letter_id, raw_of
from monitor.wire.decode import decode, decode_pack

UNKNOWN: Final = "unknown_parcel"
_REPLAYED: Final = "/replayed"
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


def open_letters(log: Log, settings: Settings) -> list[Letter]:
    """All open letters, sorted by ``raw``. Raises :class:`~monitor.log.records.LogError`."""
    box = DeadLetterBox(log)
    letters = box.letters()
    if _is_folded(log, settings):
        return letters
    known = {letter_id_of(letter) for letter in letters} | box.replayed()
    for letter in world_of(log, settings).dead_letters:
        name = letter_id(letter.raw, letter.reason)
        if name not in known:
            known.add(name)
            letters.append(_record(log, letter))
    return sorted(letters, key=lambda letter: (letter["raw"], letter["reason"]))


def letter_id_of(letter: Letter) -> str:
    """The id of a letter's record."""
    return letter_id(raw_of(letter), letter["reason"])


class Known:
    """What an event that waited in vain may name, as far as the whole log tells by now."""

    def __init__(self, world: World) -> None:
        self._parcels = world.parcels
        self._targets = {*world.parcels, *world.incidents}
        self._refs = {ref for parcel in world.parcels.values() for ref in parcel.refs}
        self._refs |= {ref for thing in world.things.values() for ref in thing.gives}

    def would_wait(self, raw: bytes) -> bool:
        """Whether the event would only wait again."""
        event = decode(raw)
        data = event.data
        if isinstance(event, DecisionRecorded):
            return event.data.target not in self._targets
        parcel_id = getattr(data, "parcel_id", None)
        if parcel_id is not None:
            parcel = self._parcels.get(parcel_id)
            return parcel is None or not parcel.channel
        if isinstance(data, ComplaintOpenedData):
            ref = f"order|{data.order_id}"
        elif isinstance(data, ComplaintClosedData):
            ref = f"complaint|{data.complaint_id}"
        else:
            ref = f"refund|{getattr(data, 'refund_id', '')}"
        return hash64(ref) not in self._refs


def under_a_new_id(raw: bytes) -> bytes:
    """The event with ``/replayed`` behind its id: the folds still know the id of the one that waited in vain."""
    members = _members(raw)
    members["id"] = msgspec.Raw(_encode(decode(raw).id[: MAX_ID_LENGTH - len(_REPLAYED)] + _REPLAYED))
    return _encode(members)


def _is_folded(log: Log, settings: Settings) -> bool:
    """Whether `run` has folded the whole log, by these settings."""
    return log.state_version == state_version(settings.params()) and not any(unfolded(log).values())


def _record(log: Log, letter: DeadLetter) -> Letter:
    """The letter as `run` would write it: with its place in the log."""
    event = decode(letter.raw)
    partition, offset, index = _place(log, event)
    found = DeadLetter(letter.raw, letter.reason, letter.detail, (EVENTS, partition, offset, index), letter.recorded_us)
    return dead_letter_record(found, letter.recorded_us)


def _place(log: Log, event: Event) -> tuple[int, int, int]:
    """Where in the log the event stands first: partition, offset, index."""
    wanted = identity(event), body_hash(event)
    for record in _candidates(log, event):
        for index, (_, one) in enumerate(decode_pack(record.value)):
            if not isinstance(one, Rejected) and (identity(one), body_hash(one)) == wanted:
                return record.partition, record.offset, index
    raise AssertionError(f"event {event.id!r} came out of the log and is not in it")


def _candidates(log: Log, event: Event) -> list[LogRecord]:
    key = route(event)
    if key is not EVERYWHERE:
        return list(log.find(key))
    name = event.id.encode()
    records = log.scan(EVENTS, partition_of(event.subject, log.partitions))
    return [record for record in records if name in record.value or b"\\" in record.value]
