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
from monitor.log.embedded.transport import EmbeddedBackend
from monitor.log.records import Change, Checkpoint, NewRecord, Shard, TableChange


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


def number_table(engine: Engine) -> FoldTable[int]:
    return engine.table("t", topic="events", encode=lambda value: b"%d" % value, decode=int)


def test_inside_an_agent_the_table_is_the_partition_of_the_event(log: EmbeddedLog) -> None:
    engine = Engine(EmbeddedBackend(log))
    table = number_table(engine)

    class InFaustsWay:
        def recovered(self, partition: int) -> None:
            pass

        def released(self, partition: int) -> None:
            pass

        def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes, foreign: bool) -> None:
            key = value.decode()
            table[key] = table[key] + 1 if key in table else 1
            if table[key] == 3:
                del table[key]
            if (partition, offset) == (0, 1):
                assert dict(table.items()) == {"x": 2}

    engine.handle("events", InFaustsWay())
    spread = [(0, b"x"), (2, b"x"), (2, b"x"), (2, b"x"), (1, b"y"), (0, b"x")]
    log.append([NewRecord("events", p, value, timestamp_us=0) for p, value in spread])
    held: dict[int, dict[str, int]] = {}

    async def look() -> None:
        while engine.applied_records < len(spread):
            await asyncio.sleep(0.01)
        held.update({p: dict(table.partition(p)) for p in table.held_partitions()})
        engine.stop()

    asyncio.run(asyncio.wait_for(engine.run(look), 20))
    assert held == {0: {"x": 2}, 1: {"y": 1}, 2: {}, 3: {}}
    for partition, state in held.items():
        saved = log.changes(Shard("events", partition))
        assert {change.key.decode(): int(change.value) for change in saved if change.value} == state
    assert table.held_partitions() == []  # the end gave them back
    with pytest.raises(RuntimeError, match="used outside of an agent"):
        table["x"]


def test_changes_are_taken_once_encoded_with_deletions_and_by_partition(log: EmbeddedLog) -> None:
    table = number_table(Engine(EmbeddedBackend(log)))
    for partition in (0, 1):
        table.open(partition)
        table.restore(partition, [Change(0, "t", b"old", b"1"), Change(1, "t", b"gone", b"2")])
    state = table.partition(0)
    state["new"] = 5
    state["old"] = 6
    del state["gone"]
    state["brief"] = 7
    del state["brief"]
    state["new"] = 8
    assert table.take_changes(1) == []
    assert table.take_changes(0) == [
        TableChange("t", b"new", b"8"),
        TableChange("t", b"old", b"6"),
        TableChange("t", b"gone", None),
        TableChange("t", b"brief", None),
    ]
    assert table.take_changes(0) == []


def test_a_partition_that_is_closed_and_opened_again_begins_empty(log: EmbeddedLog) -> None:
    table = number_table(Engine(EmbeddedBackend(log)))
    table.open(2)
    table.partition(2)["a"] = 1
    table.close(2)
    table.close(2)
    assert table.held_partitions() == []
    with pytest.raises(KeyError):
        table.partition(2)
    table.open(2)
    assert dict(table.partition(2)) == {}
    assert table.take_changes(2) == []


def test_of_a_key_that_comes_twice_the_last_value_is_restored(log: EmbeddedLog) -> None:
    table = number_table(Engine(EmbeddedBackend(log)))
    table.open(0)
    table.restore(0, [Change(0, "t", b"a", b"1"), Change(1, "t", b"b", b"1"), Change(2, "t", b"a", b"2")])
    table.restore(0, [Change(3, "t", b"b", None), Change(4, "t", b"never", None)])
    assert dict(table.partition(0)) == {"a": 2}
    assert table.take_changes(0) == []


def test_a_large_table_is_restored_whole_before_anything_is_folded(log: EmbeddedLog) -> None:
    for partition in range(4):
        entries = [TableChange("t", b"P-%d" % i, b"%d" % i) for i in range(30_000)]
        log.checkpoint([Checkpoint(log.generation, Shard("events", partition), [], entries, 0)])
    gone = [TableChange("t", b"P-%d" % i, None) for i in range(100)]
    log.checkpoint([Checkpoint(log.generation, Shard("events", 1), [], gone, 0)])
    engine = Engine(EmbeddedBackend(log))
    table = number_table(engine)

    class Nothing:
        def recovered(self, partition: int) -> None:
            pass

        def released(self, partition: int) -> None:
            pass

        def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes, foreign: bool) -> None:
            pass

    engine.handle("events", Nothing())
    looked: list[bool] = []

    async def look_when_ready() -> None:
        await engine.ready.wait()
        assert [len(table.partition(p)) for p in range(4)] == [30_000, 29_900, 30_000, 30_000]
        assert table.partition(3)["P-29999"] == 29_999
        assert [table.take_changes(p) for p in range(4)] == [[]] * 4  # what was restored is not written again
        looked.append(True)
        engine.stop()

    asyncio.run(asyncio.wait_for(engine.run(look_when_ready), 60))
    assert looked == [True]
