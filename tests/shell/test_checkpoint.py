"""When checkpoints are written, and what becomes of the work when one cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from monitor.live.checkpoint import Checkpointer, CheckpointSettings
from monitor.log.records import (
    Checkpoint,
    FencedError,
    LogBusyError,
    LogError,
    LogFullError,
    NewRecord,
    Shard,
    TableChange,
)

FIRST, SECOND, SUM = Shard("events", 0), Shard("events", 3), Shard("contributions", 0)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Store:
    """Keeps what it is given; refuses what it is told to, of all shards or of one; takes its time if it is told to."""

    generation = "g1"

    def __init__(self) -> None:
        self.written: list[Checkpoint] = []
        self.error: LogError | None = None
        self.errors: dict[Shard, LogError] = {}
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, work: Sequence[Checkpoint]) -> list[tuple[Checkpoint, LogError]]:
        await self.open.wait()
        failed = []
        for one in work:
            error = self.error or self.errors.get(one.shard)
            if error is None:
                self.written.append(one)
            else:
                failed.append((one, error))
        return failed


class Table:
    """As much of a table as a checkpoint sees."""

    def __init__(self, source: str, keys: dict[int, list[bytes]]) -> None:
        self.source = source
        self.keys = keys

    def take_changes(self, partition: int) -> list[TableChange]:
        return [TableChange("t", key, b"v") for key in self.keys.pop(partition, [])]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def checkpointer(store: Store, clock: Clock) -> Checkpointer:
    settings = CheckpointSettings(interval_s=0.5, records=100, idle_s=0.05)
    made = Checkpointer(store, settings, clock)  # type: ignore[arg-type]
    for shard in (FIRST, SECOND, SUM):
        made.hold(shard, 0)
    return made


def commit(checkpointer: Checkpointer) -> bool:
    return asyncio.run(checkpointer.commit())


def output(value: bytes, topic: str = "contributions", key: bytes | None = None, at_us: int = 7) -> NewRecord:
    return NewRecord(topic, 0, value, key=key, timestamp_us=at_us)


def fold(checkpointer: Checkpointer, shard: Shard, offset: int) -> None:
    """Fold the record at ``offset``; it gives one output that says which it was."""
    checkpointer.emit(shard, "contributions", 0, None, b"%d" % offset, 7)
    checkpointer.applied(shard, offset + 1)


def outputs(store: Store, shard: Shard = FIRST) -> list[bytes]:
    return [record.value for one in store.written if one.shard == shard for record in one.outputs]


# When


def test_work_is_saved_at_the_latest_after_the_interval(checkpointer: Checkpointer, clock: Clock) -> None:
    assert not checkpointer.due()
    for offset in range(13):  # a record every 40 ms: never quiet
        assert not checkpointer.due()
        checkpointer.applied(FIRST, offset + 1)
        clock.now_s += 0.04
    assert checkpointer.due()


def test_work_is_saved_soon_when_it_is_quiet(checkpointer: Checkpointer, clock: Clock) -> None:
    checkpointer.applied(FIRST, 1)
    assert not checkpointer.due()
    clock.now_s += 0.06
    assert checkpointer.due()


def test_work_is_saved_after_so_many_records(checkpointer: Checkpointer) -> None:
    for offset in range(99):
        checkpointer.applied(FIRST, offset + 1)
    assert not checkpointer.due()
    checkpointer.applied(SECOND, 1)
    assert checkpointer.due()


# What


def test_a_checkpoint_holds_outputs_in_order_changes_and_the_last_position_of_each_shard(
    checkpointer: Checkpointer, store: Store
) -> None:
    events, sums = Table("events", {0: [b"k", b"l"], 3: [b"m"]}), Table("contributions", {0: [b"n"]})
    checkpointer.add_table(events)  # type: ignore[arg-type]
    checkpointer.add_table(sums)  # type: ignore[arg-type]
    checkpointer.emit(FIRST, "contributions", 0, None, b"1", 7)
    checkpointer.applied(FIRST, 1)
    checkpointer.emit(SECOND, "contributions", 0, None, b"3", 9)
    checkpointer.emit(FIRST, "incidents", 0, b"id", b"2", 8)
    checkpointer.applied(FIRST, 2)
    checkpointer.applied(SECOND, 9)
    assert (checkpointer.pending_records, checkpointer.pending_outputs) == (3, 3)
    assert commit(checkpointer)
    assert store.written == [
        Checkpoint(
            "g1",
            FIRST,
            [output(b"1"), output(b"2", "incidents", b"id", 8)],
            [TableChange("t", b"k", b"v"), TableChange("t", b"l", b"v")],
            2,
        ),
        Checkpoint("g1", SECOND, [output(b"3", at_us=9)], [TableChange("t", b"m", b"v")], 9),
    ]
    assert (checkpointer.pending_records, checkpointer.pending_outputs) == (0, 0)
    assert checkpointer.saved == checkpointer.positions == {FIRST: 2, SECOND: 9, SUM: 0}
    assert sums.keys == {0: [b"n"]}  # of a shard that did nothing


def test_nothing_is_written_when_nothing_happened(checkpointer: Checkpointer, store: Store) -> None:
    assert commit(checkpointer)
    assert store.written == []


# When it cannot be


@pytest.mark.parametrize("error", [LogFullError("the disk is full"), LogBusyError("another program has it")])
def test_work_that_cannot_be_saved_waits_and_is_tried_again_ever_less_often(
    checkpointer: Checkpointer, store: Store, clock: Clock, error: LogError
) -> None:
    checkpointer.add_table(Table("events", {0: [b"k"]}))  # type: ignore[arg-type]
    checkpointer.emit(FIRST, "contributions", 0, None, b"1", 7)
    checkpointer.applied(FIRST, 1)
    store.error = error
    retries = []
    with capture_logs() as lines:
        for _ in range(8):
            assert not commit(checkpointer)
            assert checkpointer.blocked == str(error)
            assert checkpointer.overfull()
            assert (checkpointer.pending_records, checkpointer.pending_outputs) == (1, 1)
            assert not checkpointer.due()
            failed_at = clock.now_s
            while not checkpointer.due():
                clock.now_s += 0.5
            retries.append(clock.now_s - failed_at)
    assert retries == [1, 2, 4, 8, 16, 30, 30, 30]
    assert {(line["event"], line["log_level"], line["reason"]) for line in lines} == {
        ("checkpoint_blocked", "error", str(error))
    }
    assert checkpointer.saved[FIRST] == 0
    store.error = None
    assert commit(checkpointer)
    assert checkpointer.blocked is None
    assert not checkpointer.overfull()
    [written] = store.written
    assert [record.value for record in written.outputs] == [b"1"]
    assert [change.key for change in written.changes] == [b"k"]
    assert (written.shard, written.next_offset) == (FIRST, 1)
    assert checkpointer.saved[FIRST] == 1


def test_what_was_refused_is_written_before_what_came_after_it(checkpointer: Checkpointer, store: Store) -> None:
    store.error = LogBusyError("not now")
    fold(checkpointer, FIRST, 0)
    assert not commit(checkpointer)
    fold(checkpointer, FIRST, 1)
    assert not commit(checkpointer)
    store.error = None
    assert commit(checkpointer)
    assert [(one.next_offset, [o.value for o in one.outputs]) for one in store.written] == [(1, [b"0"]), (2, [b"1"])]


def test_of_several_shards_those_are_saved_that_can_be(checkpointer: Checkpointer, store: Store) -> None:
    store.errors[SECOND] = LogBusyError("its brokers are out of reach")
    fold(checkpointer, FIRST, 0)
    fold(checkpointer, SECOND, 0)
    assert not commit(checkpointer)
    assert checkpointer.blocked == "its brokers are out of reach"
    assert checkpointer.saved == {FIRST: 1, SECOND: 0, SUM: 0}
    store.errors.clear()
    assert commit(checkpointer)
    assert (outputs(store, FIRST), outputs(store, SECOND)) == ([b"0"], [b"0"])  # each of them once
    assert checkpointer.saved == {FIRST: 1, SECOND: 1, SUM: 0}


@pytest.mark.parametrize("error", [LogError("damaged"), FencedError("another worker has it")])
def test_any_other_error_is_passed_on_and_nothing_is_forgotten(
    checkpointer: Checkpointer, store: Store, error: LogError
) -> None:
    checkpointer.applied(FIRST, 1)
    store.error = error
    with pytest.raises(LogError, match=str(error)):
        commit(checkpointer)
    assert checkpointer.pending_records == 1
    assert checkpointer.blocked is None
    assert checkpointer.saved[FIRST] == 0


# While it is being written


def while_writing(
    checkpointer: Checkpointer, store: Store, meanwhile: Callable[[], None], *afterwards: Callable[[], None]
) -> bool:
    """Whether a commit succeeded, during which ``meanwhile`` happened; ``afterwards`` before the store answers."""

    async def both() -> bool:
        store.open.clear()
        writing = asyncio.create_task(checkpointer.commit())
        await asyncio.sleep(0)
        meanwhile()
        for one in afterwards:
            one()
        store.open.set()
        return await writing

    return asyncio.run(both())


def test_folding_goes_on_while_a_checkpoint_is_written(checkpointer: Checkpointer, store: Store) -> None:
    fold(checkpointer, FIRST, 0)

    def go_on() -> None:
        assert checkpointer.pending_records == 1  # not durable yet
        fold(checkpointer, FIRST, 1)
        fold(checkpointer, SECOND, 0)
        assert checkpointer.positions == {FIRST: 2, SECOND: 1, SUM: 0}
        assert checkpointer.saved == {FIRST: 0, SECOND: 0, SUM: 0}

    assert while_writing(checkpointer, store, go_on)
    assert [(one.shard, one.next_offset) for one in store.written] == [(FIRST, 1)]
    assert checkpointer.saved == {FIRST: 1, SECOND: 0, SUM: 0}
    assert checkpointer.pending_records == checkpointer.pending_outputs == 2
    assert commit(checkpointer)
    assert [(one.shard, one.next_offset) for one in store.written[1:]] == [(FIRST, 2), (SECOND, 1)]
    assert outputs(store) == [b"0", b"1"]


def test_two_checkpoints_are_written_one_after_the_other(checkpointer: Checkpointer, store: Store) -> None:
    async def overlap() -> None:
        fold(checkpointer, FIRST, 0)
        store.open.clear()
        first = asyncio.create_task(checkpointer.commit())
        await asyncio.sleep(0)
        fold(checkpointer, FIRST, 1)
        second = asyncio.create_task(checkpointer.commit())
        await asyncio.sleep(0)
        store.open.set()
        assert await first
        assert await second

    asyncio.run(overlap())
    assert outputs(store) == [b"0", b"1"]
    assert [one.next_offset for one in store.written] == [1, 2]


def test_agents_wait_when_a_checkpoint_takes_so_long_that_too_much_piles_up(
    checkpointer: Checkpointer, store: Store
) -> None:
    fold(checkpointer, FIRST, 0)
    seen: list[bool] = []

    def pile_up() -> None:
        for offset in range(1, 400):
            checkpointer.applied(FIRST, offset + 1)
            seen.append(checkpointer.overfull())
        checkpointer.applied(FIRST, 401)
        seen.append(checkpointer.overfull())

    assert while_writing(checkpointer, store, pile_up)
    assert seen == [False] * 399 + [True]
    assert commit(checkpointer)
    assert not checkpointer.overfull()


# Shards that go and come


def test_what_is_pending_of_a_shard_that_went_is_void(checkpointer: Checkpointer, store: Store) -> None:
    fold(checkpointer, FIRST, 0)
    fold(checkpointer, SECOND, 0)
    checkpointer.drop(FIRST)
    assert FIRST not in checkpointer.positions
    assert commit(checkpointer)
    assert [(one.shard, one.next_offset) for one in store.written] == [(SECOND, 1)]
    assert checkpointer.saved == {SECOND: 1, SUM: 0}
    assert (checkpointer.pending_records, checkpointer.pending_outputs) == (0, 0)


def test_what_the_log_refused_of_a_shard_that_went_is_not_tried_again(
    checkpointer: Checkpointer, store: Store, clock: Clock
) -> None:
    store.error = LogBusyError("not now")
    fold(checkpointer, FIRST, 0)
    fold(checkpointer, SECOND, 0)
    assert not commit(checkpointer)
    checkpointer.drop(FIRST)
    store.error = None
    clock.now_s += 1
    assert checkpointer.due()
    assert commit(checkpointer)
    assert [one.shard for one in store.written] == [SECOND]


def test_folding_goes_on_when_all_went_that_could_not_be_saved(
    checkpointer: Checkpointer, store: Store, clock: Clock
) -> None:
    store.error = LogBusyError("not now")
    fold(checkpointer, FIRST, 0)
    assert not commit(checkpointer)
    checkpointer.drop(FIRST)
    store.error = None
    clock.now_s += 1
    assert checkpointer.due()
    assert commit(checkpointer)
    assert checkpointer.blocked is None
    assert not checkpointer.overfull()
    assert not checkpointer.due()
    assert checkpointer.pending_records == 0


def test_the_reason_of_a_blocked_checkpoint_is_that_of_a_shard_still_held(
    checkpointer: Checkpointer, store: Store
) -> None:
    fold(checkpointer, FIRST, 0)
    fold(checkpointer, SECOND, 0)
    store.errors = {FIRST: FencedError("another worker has it"), SECOND: LogBusyError("not now")}
    assert not while_writing(checkpointer, store, lambda: checkpointer.drop(FIRST))
    assert checkpointer.blocked == "not now"


def test_being_shut_out_of_a_shard_that_went_meanwhile_is_no_error(checkpointer: Checkpointer, store: Store) -> None:
    fold(checkpointer, FIRST, 0)
    fold(checkpointer, SECOND, 0)
    store.errors = {FIRST: FencedError("another worker has it")}
    assert while_writing(checkpointer, store, lambda: checkpointer.drop(FIRST))
    assert [one.shard for one in store.written] == [SECOND]
    assert checkpointer.saved == {SECOND: 1, SUM: 0}


@pytest.mark.parametrize("error", [None, LogBusyError("not now"), FencedError("taken over")])
def test_a_checkpoint_in_flight_counts_no_more_when_its_shard_has_gone_and_come_back(
    checkpointer: Checkpointer, store: Store, error: LogError | None
) -> None:
    checkpointer.hold(FIRST, 5)
    fold(checkpointer, FIRST, 5)
    store.error = error
    assert while_writing(checkpointer, store, lambda: checkpointer.drop(FIRST), lambda: checkpointer.hold(FIRST, 3))
    assert checkpointer.saved[FIRST] == checkpointer.positions[FIRST] == 3
    store.written.clear()
    store.error = None
    fold(checkpointer, FIRST, 3)
    assert commit(checkpointer)
    assert [(one.next_offset, [o.value for o in one.outputs]) for one in store.written] == [(4, [b"3"])]


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="interval_s = 0: must be greater than 0"):
        CheckpointSettings(interval_s=0)
