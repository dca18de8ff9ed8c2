"""The live engine when its partitions move, and when the log takes its time: every record has its effect once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP
from toy import build, fill, results, run, until

from monitor.live.checkpoint import CheckpointSettings
from monitor.live.engine import Engine, EngineError, EngineSettings
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.state import EmbeddedState
from monitor.log.records import Checkpoint, FencedError, LogError, NewRecord, Shard


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(tmp_path / "data") as opened:
        yield opened


def number(value: int, partition: int = 0) -> NewRecord:
    return NewRecord("events", partition, b"%d" % value, timestamp_us=0)


# Partitions that move


async def assign(engine: Engine, *partitions: int) -> None:
    """Let the worker have these partitions of ``events`` and the other topic, as a group of workers would decide."""
    consumer = engine._app.consumer
    engine._app.on_rebalance_start()
    await consumer.on_partitions_revoked(set(consumer.assignment()))
    consumer._assigned = {TP("events", p) for p in partitions} | {TP("contributions", 0)}
    engine._app.consumer_generation_id += 1
    await consumer.on_partitions_assigned(set(consumer._assigned), engine._app.consumer_generation_id)
    handler: Any = engine._handlers["events"]
    await until(lambda: sorted(handler.recovered_partitions) == sorted(partitions))


async def fold_as_another_worker(directory: Path, partition: int, records: int) -> None:
    """Take a partition, fold some records of it, save, and give it back."""
    with EmbeddedLog.open(directory) as log:
        other = build(log)
        assert await other._shards.take({TP("events", partition)})
        shard = Shard("events", partition)
        position = other.checkpointer.positions[shard]
        for record in log.read("events", partition, position, records):
            other._handlers["events"].apply(partition, record.offset, record.timestamp_us, record.value, False)
            other.checkpointer.applied(shard, record.offset + 1)
        assert await other.checkpointer.commit()
        await other._shards.release_all()


@pytest.mark.slow
def test_partitions_that_go_and_come_back_are_folded_exactly(tmp_path: Path) -> None:
    for name in ("moved", "unmoved"):
        fill(tmp_path / name, 12_000)
    random_ = random.Random(11)
    with EmbeddedLog.open(tmp_path / "moved") as log:
        engine = build(log, EngineSettings(CheckpointSettings(interval_s=0.05)))

        async def move() -> None:
            await engine.ready.wait()
            for _ in range(12):
                away = random_.randrange(4)
                await assign(engine, *(p for p in range(4) if p != away))
                position = log.headers().get(Shard("events", away), 0)
                before = engine.applied_records
                await fold_as_another_worker(log.directory, away, 150)
                await until(lambda: engine.applied_records > before + 100 or not engine.status().lag_records)  # noqa: B023
                assert log.headers()[Shard("events", away)] == position + 150
                await assign(engine, *range(4))
                await asyncio.sleep(random_.uniform(0, 0.05))
            await until(lambda: not engine.status().lag_records and not engine.status().pending_records)
            engine.stop()

        run(engine, move, timeout_s=60)
    with EmbeddedLog.open(tmp_path / "unmoved") as log:
        engine = build(log)

        async def drain() -> None:
            await until(lambda: engine.ready.is_set() and not engine.status().lag_records, 30)
            await until(lambda: log.headers().get(Shard("contributions", 0)) == 12_000)
            engine.stop()

        run(engine, drain, timeout_s=60)
    assert results(tmp_path / "moved") == results(tmp_path / "unmoved")


def test_records_fetched_before_a_partition_went_are_not_folded_after_it_came_back(log: EmbeddedLog) -> None:
    log.append([number(i % 50) for i in range(1_000)])
    engine = build(log)

    async def move() -> None:
        await engine.ready.wait()
        await until(lambda: engine.applied_records > 20)
        await assign(engine, 1, 2, 3)
        held = log.headers()[Shard("events", 0)]
        assert 0 < held < 1_000  # or nothing was on its way
        await fold_as_another_worker(log.directory, 0, 100)
        await assign(engine, *range(4))
        await until(lambda: log.headers().get(Shard("contributions", 0)) == 1_000)
        engine.stop()

    run(engine, move)
    assert log.end_offset("contributions", 0) == 1_000


# A log that takes its time


@pytest.fixture
def slow_log(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Checkpoints take a fifth of a second; what is listed is how many shards each of them wrote."""
    write = EmbeddedState.write
    written: list[int] = []

    async def slowly(self: EmbeddedState, work: Sequence[Checkpoint]) -> list[tuple[Checkpoint, LogError]]:
        await asyncio.sleep(0.2)
        written.append(len(work))
        return await write(self, work)

    monkeypatch.setattr(EmbeddedState, "write", slowly)
    return written


def test_folding_goes_on_while_a_checkpoint_is_written_but_not_without_bound(
    tmp_path: Path, slow_log: list[int]
) -> None:
    fill(tmp_path, 4_000)
    with EmbeddedLog.open(tmp_path) as log:
        engine = build(log, EngineSettings(CheckpointSettings(interval_s=0.01, records=200)))
        ahead: list[int] = []

        async def watch() -> None:
            await engine.ready.wait()
            while log.headers().get(Shard("contributions", 0)) != 4_000:
                ahead.append(engine.status().pending_records)
                await asyncio.sleep(0.001)
            engine.stop()

        run(engine, watch, timeout_s=60)
    assert len(slow_log) > 5
    assert max(ahead) > 2 * 200  # a checkpoint's worth was being written, and as much again was folded
    assert max(ahead) <= 2 * (4 * 200 + 2)
    saved = results(tmp_path)
    assert sum(map(len, saved["outputs"].values())) == 4_000
    assert sum(saved["headers"].values()) == 8_000


def test_a_stop_in_the_middle_of_a_checkpoint_saves_what_came_after_it_too(tmp_path: Path, slow_log: list[int]) -> None:
    fill(tmp_path, 4_000)
    with EmbeddedLog.open(tmp_path) as log:
        engine = build(log, EngineSettings(CheckpointSettings(interval_s=0.01, records=200)))
        applied: list[int] = []

        async def stop() -> None:
            await until(lambda: len(slow_log) == 1 and engine.status().pending_records > 50)
            engine.stop()
            applied.append(engine.applied_records)

        run(engine, stop)
        assert sum(log.headers().values()) >= applied[0]
    assert sum(map(len, results(tmp_path)["outputs"].values())) == sum(
        position for shard, position in results(tmp_path)["headers"].items() if shard.topic == "events"
    )


def test_a_worker_that_is_shut_out_ends_and_saves_nothing(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    async def shut_out(_: EmbeddedState, work: Sequence[Checkpoint]) -> list[tuple[Checkpoint, LogError]]:
        return [(one, FencedError("Another worker has taken events-0 over.")) for one in work]

    monkeypatch.setattr(EmbeddedState, "write", shut_out)
    log.append([number(1)])
    with pytest.raises(EngineError, match="Another worker has taken events-0 over"):
        run(build(log))
    assert (log.headers(), log.end_offset("contributions", 0)) == ({}, 0)
