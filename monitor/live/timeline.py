"""One parcel's story, read from the log through its index: every event with its raw words and log position."""

from __future__ import annotations

from typing import Any

from monitor.core.events import Event, Rejected, from_us, route, to_us
from monitor.core.ledger import Header
from monitor.core.params import Params
from monitor.core.parcel import Parcel, outcome
from monitor.core.parcel_fold import ParcelFold
from monitor.core.vocabulary import DAY_US
from monitor.log.protocol import Log
from monitor.log.topics import EVENTS
from monitor.read.told import told
from monitor.wire.decode import decode_pack

Record = dict[str, Any]


def parcel_view(log: Log, parcel_id: str, params: Params) -> Record | None:
    """See :meth:`monitor.read.views.Views.parcel`. Raises :class:`~monitor.log.records.LogError`."""
    parcels: dict[str, Parcel] = {}
    fold = ParcelFold(params, parcels, {}, Header())
    events = []
    for recorded_us, event, raw, position in events_of(log, parcel_id):
        fold.apply(event, recorded_us, raw, ())
        events.append(told(event, recorded_us, position))
    parcel = parcels.get(parcel_id)
    if parcel is None or not parcel.channel:
        return None
    end = outcome(parcel)
    promised = parcel.promised_days
    due_us = None if promised is None else (parcel.registered_us // DAY_US + promised) * DAY_US
    return {
        "parcel_id": parcel_id,
        "channel": parcel.channel,
        "state": end[0] if end else "in_flight",
        "registered_at": from_us(parcel.registered_us),
        "promised_by": None if due_us is None else from_us(due_us),
        "last_scan_at": from_us(parcel.last_us) if parcel.last_us else None,
        "events": sorted(events, key=lambda one: (one["time"], one["recordedtime"])),
    }


def events_of(log: Log, key: str) -> list[tuple[int, Event, bytes, Record]]:
    """The events of a parcel, or of the subject of an offer or a rule: recorded time (µs), event, bytes, position."""
    found = []
    for record in log.find(key):
        for index, (raw, event) in enumerate(decode_pack(record.value)):
            if isinstance(event, Rejected) or route(event) != key:
                continue
            recorded = record.timestamp_us if event.recordedtime is None else to_us(event.recordedtime)
            position = {"topic": EVENTS, "partition": record.partition, "offset": record.offset, "index": index}
            found.append((recorded, event, raw, position))
    return found
