"""A large state of the parcel fold, written without folding what leads to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from kafka_program import Place

from monitor.core.parcel import Parcel
from monitor.live.folding import decoder
from monitor.log.kafka import KafkaLog, KafkaState
from monitor.log.partition import partition_of
from monitor.log.records import Checkpoint, Shard, TableChange
from monitor.log.topics import EVENTS


def copies(place: Place, count: int) -> Iterator[tuple[str, bytes]]:
    """``count`` parcels with their encoded values: those of a folded log over and over, each time with other ids.

    So they are as large, and as old, as parcels are. The hashes of orders, complaints and refunds differ, too; those of
    events do not, which nobody compares between parcels.
    """
    decode, encode = decoder(Parcel), msgspec.msgpack.Encoder().encode
    with place.open() as log:
        found = {
            change.key: change.value
            for partition in range(log.partitions)
            for change in log.changes(Shard(EVENTS, partition))
            if change.table == "parcels"
        }
    parcels: list[tuple[str, Parcel]] = [(key.decode(), decode(value)) for key, value in found.items() if value]
    for i in range(count):
        name, parcel = parcels[i % len(parcels)]
        again = i // len(parcels)
        complaints = {key ^ again: complaint for key, complaint in parcel.complaints.items()}
        copy = msgspec.structs.replace(parcel, refs=[ref ^ again for ref in parcel.refs], complaints=complaints)
        yield f"{name}-{again}", encode(copy)


async def write_state(log: KafkaLog, parcels: Iterable[tuple[str, bytes]], part: int = 50_000) -> None:
    """Write parcels into the state of a log in which nothing is folded yet."""
    store = KafkaState(log)
    changes: dict[Shard, list[TableChange]] = {Shard(EVENTS, p): [] for p in range(log.partitions)}

    async def flush(shard: Shard) -> None:
        failed = await store.write([Checkpoint(store.generation, shard, [], changes[shard], 0)])
        assert not failed, failed
        changes[shard] = []

    for shard in changes:
        await store.acquire(shard)
    for name, value in parcels:
        shard = Shard(EVENTS, partition_of(name, log.partitions))
        changes[shard].append(TableChange("parcels", name.encode(), value))
        if len(changes[shard]) >= part:
            await flush(shard)
    for shard in changes:
        await flush(shard)
        await store.release(shard)
