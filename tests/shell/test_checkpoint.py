"""When checkpoints are written, and what becomes of the work when one cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from monitor.live.checkpoint import Checkpointer, CheckpointSettings
from monitor.log.records import Checkpoint, LogBusyError, LogError, LogFullError, NewRecord, TableChange


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Store:
    """Keeps what it is given; raises what it is told to."""

    generation = "g1"

    def __init__(self) -> None:
        self.written: list[Checkpoint] = []
        self.error: LogError | None = None

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(checkpoint)


class Table:
    """As much of a table as a checkpoint sees."""

    def __init__(self, *keys: bytes) -> None:
        self.keys = list(keys)

    def changes(self) -> Iterator[TableChange]:
        return (TableChange("t", 0, key, b"v") for key in self.keys)

    def forget_changes(self) -> None:
        self.keys.clear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def checkpointer(store: Store, clock: Clock) -> Checkpointer:
    return Checkpointer(store, CheckpointSettings(interval_s=0.5, records=100, idle_s=0.05), clock)


def test_work_is_saved_at_the_latest_after_the_interval(checkpointer: Checkpointer, clock: Clock) -> None:
    assert not checkpointer.due()
    for offset in range(13):  # a record every 40 ms: never quiet
        assert not checkpointer.due()
        checkpointer.applied("events", 0, offset + 1)
        clock.now_s += 0.04
    assert checkpointer.due()


def test_work_is_saved_soon_when_it_is_quiet(checkpointer: Checkpointer, clock: Clock) -> None:
    checkpointer.applied("events", 0, 1)
    assert not checkpointer.due()
    clock.now_s += 0.06
    assert checkpointer.due()


def test_work_is_saved_after_so_many_records(checkpointer: Checkpointer) -> None:
    for offset in range(99):
        checkpointer.applied("events", 0, offset + 1)
    assert not checkpointer.due()
    checkpointer.applied("events", 3, 1)
    assert checkpointer.due()


def test_a_checkpoint_holds_outputs_in_order_changes_and_the_last_positions(
    checkpointer: Checkpointer, store: Store
) -> None:
    table = Table(b"k", b"l")
    checkpointer.add_table(table)  # type: ignore[arg-type]
    checkpointer.emit("contributions", 0, None, b"1", 7)
    checkpointer.applied("events", 0, 1)
    checkpointer.emit("incidents", 0, b"id", b"2", 8)
    checkpointer.applied("events", 0, 2)
    checkpointer.applied("events", 3, 9)
    assert (checkpointer.pending_records, checkpointer.pending_outputs) == (3, 2)
    assert checkpointer.commit()
    [written] = store.written
    assert written == Checkpoint(
        "g1",
        [
            NewRecord("contributions", 0, b"1", timestamp_us=7),
            NewRecord("incidents", 0, b"2", key=b"id", timestamp_us=8),
        ],
        [TableChange("t", 0, b"k", b"v"), TableChange("t", 0, b"l", b"v")],
        {("events", 0): 2, ("events", 3): 9},
    )
    assert (checkpointer.pending_records, checkpointer.pending_outputs, table.keys) == (0, 0, [])


def test_nothing_is_written_when_nothing_happened(checkpointer: Checkpointer, store: Store) -> None:
    assert checkpointer.commit()
    assert store.written == []


@pytest.mark.parametrize("error", [LogFullError("the disk is full"), LogBusyError("another program has it")])
def test_work_that_cannot_be_saved_waits_and_is_tried_again_ever_less_often(
    checkpointer: Checkpointer, store: Store, clock: Clock, error: LogError
) -> None:
    table = Table(b"k")
    checkpointer.add_table(table)  # type: ignore[arg-type]
    checkpointer.emit("contributions", 0, None, b"1", 7)
    checkpointer.applied("events", 0, 1)
    store.error = error
    retries = []
    with capture_logs() as lines:
        for _ in range(8):
            assert not checkpointer.commit()
            assert checkpointer.blocked == str(error)
            assert not checkpointer.due()
            failed_at = clock.now_s
            while not checkpointer.due():
                clock.now_s += 0.5
            retries.append(clock.now_s - failed_at)
    assert retries == [1, 2, 4, 8, 16, 30, 30, 30]
    assert {(line["event"], line["log_level"], line["reason"]) for line in lines} == {
        ("checkpoint_blocked", "error", str(error))
    }
    store.error = None
    assert checkpointer.commit()
    assert checkpointer.blocked is None
    [written] = store.written
    assert [record.value for record in written.outputs] == [b"1"]
    assert [change.key for change in written.changes] == [b"k"]
    assert written.headers == {("events", 0): 1}


def test_any_other_error_is_passed_on_and_nothing_is_forgotten(checkpointer: Checkpointer, store: Store) -> None:
    checkpointer.applied("events", 0, 1)
    store.error = LogError("damaged")
    with pytest.raises(LogError, match="damaged"):
        checkpointer.commit()
    assert checkpointer.pending_records == 1
    assert checkpointer.blocked is None


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="interval_s = 0: must be greater than 0"):
        CheckpointSettings(interval_s=0)
