"""Speed of the embedded log and of the live engine on it: ``make bench PYTEST_ARGS='-s -k engine'`` prints figures."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.live.engine import Engine
from monitor.live.tables import FoldTable
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.transport import EmbeddedBackend
from monitor.log.records import Checkpoint, NewRecord, Shard, TableChange

pytestmark = pytest.mark.bench

EVENTS_PER_PACK = 200
EVENT_BYTES = 370


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(tmp_path / "data") as opened:
        yield opened


def say(what: str, per_second: float, unit: str) -> None:
    print(f"\n{what}: {per_second:,.0f} {unit}/s")


def packs(count: int) -> list[NewRecord]:
    value = b"e" * (EVENTS_PER_PACK * EVENT_BYTES)
    random_ = random.Random(1)
    return [
        NewRecord(
            "events",
            i % 4,
            value,
            timestamp_us=i,
            index_keys=[random_.getrandbits(63) for _ in range(EVENTS_PER_PACK)],
        )
        for i in range(count)
    ]


def test_append_of_single_events(log: EmbeddedLog) -> None:
    event = NewRecord("events", 0, b"e" * EVENT_BYTES, timestamp_us=0, index_keys=(1,))
    began = time.perf_counter()
    for _ in range(3_000):
        log.append([event])
    rate = 3_000 / (time.perf_counter() - began)
    say("append, one durable transaction per event", rate, "events")
    assert rate > 200


def test_append_of_packs(log: EmbeddedLog) -> None:
    batches = [packs(20) for _ in range(20)]
    began = time.perf_counter()
    for batch in batches:
        log.append(batch)
    rate = 20 * 20 * EVENTS_PER_PACK / (time.perf_counter() - began)
    say("append, 20 packs a transaction, all parcels indexed", rate, "events")
    assert rate > 35_000


def test_checkpoint(log: EmbeddedLog) -> None:
    random_ = random.Random(1)
    keys = [b"parcel-%d" % i for i in range(100_000)]
    shard = Shard("events", 0)
    log.checkpoint([Checkpoint(log.generation, shard, [], [TableChange("t", key, b"v" * 500) for key in keys], 0)])
    took = []
    for _ in range(10):
        changes = [TableChange("t", key, b"w" * 500) for key in random_.sample(keys, 10_000)]
        began = time.perf_counter()
        log.checkpoint([Checkpoint(log.generation, shard, [], changes, 1)])
        took.append(time.perf_counter() - began)
    say("checkpoint, 10,000 of 100,000 values of 500 bytes", 10_000 / (sum(took) / len(took)), "values")
    assert max(took) < 2


class Touch:
    """The least a fold does: one value per record."""

    def __init__(self, table: FoldTable[int]) -> None:
        self.table = table

    def recovered(self, partition: int) -> None:
        pass

    def released(self, partition: int) -> None:
        pass

    def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes, foreign: bool) -> None:
        self.table.partition(partition)[f"P-{offset % 10_000}"] = offset


def fold_all(log: EmbeddedLog, records: int) -> float:
    """Records per second."""
    engine = Engine(EmbeddedBackend(log))
    table: FoldTable[int] = engine.table("t", topic="events", encode=lambda value: b"%d" % value, decode=int)
    engine.handle("events", Touch(table))
    took: list[float] = []

    async def drain() -> None:
        await engine.ready.wait()
        began = time.perf_counter()
        while engine.applied_records < records:
            await asyncio.sleep(0.01)
        took.append(time.perf_counter() - began)
        engine.stop()

    asyncio.run(engine.run(drain))
    return records / took[0]


def test_engine_on_single_events(log: EmbeddedLog) -> None:
    log.append([NewRecord("events", i % 4, b"e" * EVENT_BYTES, timestamp_us=i) for i in range(30_000)])
    rate = fold_all(log, 30_000)
    say("live engine, a trivial handler, single events", rate, "records")
    assert rate > 3_000


def test_engine_on_packs(log: EmbeddedLog) -> None:
    log.append(packs(2_000))
    rate = fold_all(log, 2_000)
    say("live engine, a trivial handler, packs", rate, "records")
    say("that is", rate * EVENTS_PER_PACK, "events")
    assert rate > 250


def test_restoring_of_tables(log: EmbeddedLog) -> None:
    for partition in range(4):
        entries = [TableChange("t", b"P-%d" % i, b"%d" % i) for i in range(100_000)]
        log.checkpoint([Checkpoint(log.generation, Shard("events", partition), [], entries, 0)])
    engine = Engine(EmbeddedBackend(log))
    table: FoldTable[int] = engine.table("t", topic="events", encode=lambda value: b"%d" % value, decode=int)
    engine.handle("events", Touch(table))
    took: list[float] = []

    async def measure() -> None:
        began = time.perf_counter()
        while not engine.progress():
            began = time.perf_counter()
            await asyncio.sleep(0)
        await engine.ready.wait()
        took.append(time.perf_counter() - began)
        engine.stop()

    asyncio.run(engine.run(measure))
    rate = 400_000 / took[0]
    say("restoring of tables", rate, "entries")
    assert rate > 100_000
