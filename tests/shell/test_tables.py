"""Tables of the live engine: cheap to read, exact about what changed, restored in bulk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.live.engine import Engine
from monitor.live.tables import FoldTable, PartitionState
from monitor.log.embedded import EmbeddedLog
from monitor.log.records import Checkpoint, NewRecord, TableChange


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(tmp_path / "data") as opened:
        yield opened


def test_a_partition_remembers_what_was_assigned_and_deleted() -> None:
    state: PartitionState[int] = PartitionState()
    state["a"] = 1
    state["b"] = 2
    state["a"] = 3
    del state["b"]
    state["c"] = 4
    assert list(state.changed) == ["a", "b", "c"]
    assert dict(state) == {"a": 3, "c": 4}
    with pytest.raises(KeyError):
        del state["absent"]
    assert "absent" not in state.changed


@pytest.mark.parametrize(
    ("method", "args"),
    [("pop", ("a",)), ("popitem", ()), ("setdefault", ("a", 1)), ("update", ({"a": 1},)), ("clear", ())],
)
def test_a_change_that_would_go_unnoticed_is_refused(method: str, args: tuple[Any, ...]) -> None:
    state: PartitionState[int] = PartitionState()
    state["a"] = 0
    with pytest.raises(TypeError, match="one by one"):
        getattr(state, method)(*args)
    with pytest.raises(TypeError, match="one by one"):
        state |= {"a": 1}
    assert dict(state) == {"a": 0}


def test_inside_an_agent_the_table_is_the_partition_of_the_event(log: EmbeddedLog) -> None:
    engine = Engine(log)
    table: FoldTable[int] = engine.table("t", topic="events", encode=lambda value: b"%d" % value, decode=int)

    class InFaustsWay:
        def recovered(self, partition: int) -> None:
            pass

        def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes) -> None:
            key = value.decode()
            table[key] = table[key] + 1 if key in table else 1
            if table[key] == 3:
                del table[key]
            if (partition, offset) == (0, 1):
                assert dict(table.items()) == {"x": 2}
            if engine.applied_records == 5:
                engine.stop()

    engine.handle("events", InFaustsWay())
    spread = [(0, b"x"), (2, b"x"), (2, b"x"), (2, b"x"), (1, b"y"), (0, b"x")]
    log.append([NewRecord("events", p, value, timestamp_us=0) for p, value in spread])
    asyncio.run(asyncio.wait_for(engine.run(), 20))
    held = {p: dict(table.partition(p)) for p in table.held_partitions()}
    assert held == {0: {"x": 2}, 1: {"y": 1}, 2: {}, 3: {}}
    for partition, state in held.items():
        assert {key.decode(): int(value) for _, key, value in log.changes("t", partition) if value} == state
    with pytest.raises(RuntimeError, match="used outside of an agent"):
        table["x"]


def test_a_large_table_is_restored_in_a_second(log: EmbeddedLog) -> None:
    for partition in range(4):
        entries = [TableChange("t", partition, b"P-%d" % i, b"%d" % i) for i in range(30_000)]
        log.checkpoint(Checkpoint(log.generation, [], entries, {}))
    gone = [TableChange("t", 1, b"P-%d" % i, None) for i in range(100)]
    log.checkpoint(Checkpoint(log.generation, [], gone, {}))
    engine = Engine(log)
    table: FoldTable[int] = engine.table("t", topic="events", encode=lambda value: b"%d" % value, decode=int)

    class Nothing:
        def recovered(self, partition: int) -> None:
            pass

        def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes) -> None:
            pass

    engine.handle("events", Nothing())
    took: list[float] = []

    async def stop_when_ready() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await engine.ready.wait()
        took.append(loop.time() - began)
        engine.stop()

    asyncio.run(asyncio.wait_for(engine.run(stop_when_ready), 20))
    assert [len(table.partition(p)) for p in range(4)] == [30_000, 29_900, 30_000, 30_000]
    assert table.partition(3)["P-29999"] == 29_999
    assert table.changed_count() == 0  # what was restored is not written again
    assert took[0] < 1.1 + 1.2  # Faust itself waits a second before it starts tables
