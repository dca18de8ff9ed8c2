"""One hash of the whole state: equal states give equal hashes, whatever the partitions, order and restarts.

Left out: positions (they name the input, not the world), marks (they name the log), and the count of duplicates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from monitor.core.arrays import to_plain
from monitor.core.channel import Channel
from monitor.core.contribution import Segment
from monitor.core.facets import Facet
from monitor.core.fleet_fold import Unresolved
from monitor.core.fleet_header import FleetHeader
from monitor.core.groups import Group
from monitor.core.incidents import Incident
from monitor.core.ledger import Thing
from monitor.core.parcel import Parcel
from monitor.core.switch.advice import Lane
from monitor.core.switch.book import Page

_to_json = msgspec.json.Encoder(order="sorted").encode


def _encode(value: Any) -> bytes:
    """Bytes of a state, with the keys of every mapping sorted."""
    return _to_json(msgspec.to_builtins(value, str_keys=True, builtin_types=(bytes,), enc_hook=to_plain))


def state_sha256(
    parcels: Iterable[Mapping[str, Parcel]],
    things: Iterable[Mapping[str, Thing]],
    channels: Mapping[str, Channel],
    groups: Mapping[str, Group],
    facets: Mapping[str, Facet],
    incidents: Mapping[str, Incident],
    held: Mapping[str, Segment],
    unresolved: Mapping[str, Unresolved],
    header: FleetHeader,
    lanes: Mapping[str, Lane],
    book: Mapping[str, Page],
) -> str:
    """Hash of the folds' state; ``parcels`` and ``things`` are given per partition, in any order."""
    sha = hashlib.sha256()
    for key, parcel in sorted((item for part in parcels for item in part.items()), key=_key):
        waiting = [(item.recorded_us, item.raw) for item in parcel.waiting]
        sha.update(_encode((key, msgspec.structs.replace(parcel, waiting=[]), waiting)))
    everywhere = {key: thing for part in things for key, thing in part.items()}
    for key in sorted(everywhere):
        sha.update(_encode((key, everywhere[key])))
    for key in sorted(channels):
        sha.update(_encode((key, channels[key])))
    for key in sorted(groups):
        sha.update(_encode((key, groups[key])))
    for key in sorted(facets):
        sha.update(_encode((key, facets[key])))
    for key in sorted(incidents):
        sha.update(_encode((key, incidents[key])))
    for key in sorted(lanes):
        sha.update(_encode((key, lanes[key])))
    for key in sorted(book):
        sha.update(_encode((key, book[key])))
    for key in sorted(held):
        segment = held[key]
        events = sorted(announced.uid for announced in segment.announced)
        counts = _counts(segment.counts)
        plain = msgspec.structs.replace(
            segment,
            announced=[],
            matched=[],
            decisions=[],
            declared=sorted(segment.declared),
            offers=sorted(segment.offers),
            rules=sorted(segment.rules),
            counts=counts,
        )
        decisions = [(d.recorded_us, d.target, d.what, d.by, d.note) for d in sorted(segment.decisions)]
        sha.update(_encode((key, plain, events, sorted(segment.matched), decisions)))
    for key in sorted(unresolved):
        told = unresolved[key].announced
        event = told.type, told.time_us, told.recorded_us, told.raw, told.kind, told.customer
        sha.update(_encode((key, *event, unresolved[key].done)))
    plain_header = msgspec.structs.replace(header, marks={}, complete={}, counts=_counts(header.counts))
    sha.update(_encode(plain_header))
    return sha.hexdigest()


def _counts(counts: dict[str, int]) -> dict[str, int]:
    return {name: n for name, n in counts.items() if n and name != "duplicates"}


def _key(item: tuple[str, Parcel]) -> str:
    return item[0]
