"""The promises of a log, whichever log it is. Each test runs on every backend below."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

import monitor
from monitor.log.embedded import EmbeddedLog
from monitor.log.partition import key_hash, partition_of
from monitor.log.records import Checkpoint, LogError, NewRecord, TableChange

SOURCE = str(Path(monitor.__file__).parents[1])


class Backend(Protocol):
    """How the suite opens one and the same log, from this process and from others."""

    def open(self) -> EmbeddedLog: ...

    def start(self, program: str) -> subprocess.Popen[str]:
        """Start another process that has this log open as ``log`` and runs ``program``."""
        ...


class EmbeddedBackend:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.opened: list[EmbeddedLog] = []
        self.started: list[subprocess.Popen[str]] = []

    def open(self) -> EmbeddedLog:
        log = EmbeddedLog.open(self.directory)
        self.opened.append(log)
        return log

    def start(self, program: str) -> subprocess.Popen[str]:
        prelude = (
            "import sys\nfrom pathlib import Path\nfrom monitor.log.embedded import *\nfrom monitor.log.records import *\n"
            f"log = EmbeddedLog.open(Path({str(self.directory)!r}))\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", prelude + program],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": SOURCE},
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for log in self.opened:
            log.close()


@pytest.fixture(params=["embedded"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backends: dict[str, Callable[[Path], EmbeddedBackend]] = {"embedded": EmbeddedBackend}
    made = backends[request.param](tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def log(backend: Backend) -> EmbeddedLog:
    return backend.open()


def event(value: bytes, partition: int = 0, **fields: object) -> NewRecord:
    return NewRecord("events", partition, value, timestamp_us=1_700_000_000_000_000, **fields)  # type: ignore[arg-type]


def output(value: bytes) -> NewRecord:
    return NewRecord("contributions", 0, value, timestamp_us=1_700_000_000_000_000)


def values(log: EmbeddedLog, topic: str = "events", partition: int = 0, start: int = 0) -> list[bytes]:
    return [record.value for record in log.read(topic, partition, start, limit_records=1_000_000)]


def table(log: EmbeddedLog, name: str, partition: int = 0) -> dict[bytes, bytes]:
    return {key: value for _, key, value in log.changes(name, partition) if value is not None}


def commit(
    log: EmbeddedLog,
    *,
    outputs: tuple[NewRecord, ...] = (),
    changes: tuple[TableChange, ...] = (),
    headers: dict[tuple[str, int], int] | None = None,
    generation: str | None = None,
) -> None:
    log.checkpoint(Checkpoint(generation or log.generation, outputs, changes, headers or {}))


# Order and offsets


def test_offsets_start_at_zero_and_have_no_gaps_in_each_partition(log: EmbeddedLog) -> None:
    assert log.append([event(b"a"), event(b"b", 3), event(b"c")]) == [0, 0, 1]
    assert log.append([event(b"d", 3), event(b"e")]) == [1, 2]
    assert [log.end_offset("events", p) for p in range(4)] == [3, 0, 0, 2]


def test_records_come_back_in_order_with_all_their_fields(log: EmbeddedLog) -> None:
    log.append([NewRecord("events", 2, b"\x00\xff", timestamp_us=-5, key=b"P1"), event(b"second", 2)])
    first, second = log.read("events", 2, 0)
    assert first == ("events", 2, 0, b"P1", b"\x00\xff", -5)
    assert (second.offset, second.key, second.value) == (1, None, b"second")


def test_a_read_begins_where_it_is_told_and_stops_at_its_limits(log: EmbeddedLog) -> None:
    log.append([event(b"%04d" % i) for i in range(100)])
    assert values(log, start=97) == [b"0097", b"0098", b"0099"]
    assert len(log.read("events", 0, 10, limit_records=7)) == 7
    assert [r.offset for r in log.read("events", 0, 10, limit_bytes=8)] == [10, 11]
    assert [r.offset for r in log.read("events", 0, 10, limit_bytes=1)] == [10]  # never stuck on a large record
    assert log.read("events", 0, 100) == []


def test_a_partition_that_does_not_exist_is_refused(log: EmbeddedLog) -> None:
    with pytest.raises(LogError, match="no topic events with a partition 4"):
        log.append([event(b"fine"), event(b"not", 4)])
    assert values(log) == []


def test_writers_in_several_processes_share_the_offsets_without_gap_or_overlap(backend: Backend) -> None:
    program = (
        "for i in range(40):\n"
        "    offsets = log.append([NewRecord('events', p, b'{name} %d' % i, timestamp_us=0) for p in (0, 0, 1)])\n"
        "    assert offsets[1] == offsets[0] + 1\n"
        "    print(*offsets)\n"
    )
    writers = [backend.start(program.replace("{name}", name)) for name in "abcd"]
    lines = [line for writer in writers for line in writer.communicate(timeout=60)[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    taken = [[int(offset) for offset in line.split()] for line in lines]
    assert sorted(o for row in taken for o in row[:2]) == list(range(320))
    assert sorted(row[2] for row in taken) == list(range(160))
    log = backend.open()
    for name in b"abcd":  # what one writer wrote stays in its order
        mine = [int(v.split()[1]) for v in values(log) if v[0] == name]
        assert mine == sorted(mine)


# Durability


def test_what_was_appended_is_there_after_reopening(backend: Backend) -> None:
    log = backend.open()
    log.append([event(b"kept")])
    log.close()
    assert values(backend.open()) == [b"kept"]


def test_no_acknowledged_record_is_lost_when_the_writer_is_killed(backend: Backend) -> None:
    program = (
        "i = 0\nwhile True:\n"
        "    [offset] = log.append([NewRecord('events', 0, b'%d' % i, timestamp_us=0)])\n"
        "    print(offset, flush=True)\n    i += 1\n"
    )
    acknowledged = 0
    for seed in range(3):
        writer = backend.start(program)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.Random(seed).uniform(0, 0.2))
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].splitlines()
        acknowledged = max([acknowledged, *(int(line) + 1 for line in rest if line.isdigit())])
    log = backend.open()
    offsets = [record.offset for record in log.read("events", 0, 0, limit_records=1_000_000)]
    assert offsets == list(range(log.end_offset("events", 0)))
    assert acknowledged > 0
    assert len(offsets) >= acknowledged


def test_another_process_is_seen_by_the_version_of_the_data(backend: Backend) -> None:
    ours, theirs = backend.open(), backend.open()
    before = ours.data_version()
    ours.append([event(b"own")])
    assert ours.data_version() == before
    theirs.append([event(b"other")])
    assert ours.data_version() != before
    assert values(ours) == [b"own", b"other"]


# Tables


def test_a_table_is_the_last_value_of_every_key(log: EmbeddedLog) -> None:
    commit(log, changes=(TableChange("parcels", 1, b"a", b"1"), TableChange("parcels", 1, b"b", b"1")))
    commit(log, changes=(TableChange("parcels", 1, b"a", b"2"), TableChange("parcels", 2, b"a", b"other")))
    commit(log, changes=(TableChange("parcels", 1, b"b", None), TableChange("fleet", 1, b"a", b"else")))
    assert table(log, "parcels", 1) == {b"a": b"2"}
    assert table(log, "parcels", 2) == {b"a": b"other"}
    assert table(log, "parcels", 3) == {}


def test_a_follower_sees_later_changes_and_deletions(log: EmbeddedLog) -> None:
    commit(log, changes=tuple(TableChange("t", 0, key, b"1") for key in (b"a", b"b", b"c")))
    seen = max(offset for offset, _, _ in log.changes("t", 0))
    commit(log, changes=(TableChange("t", 0, b"a", b"2"), TableChange("t", 0, b"b", None)))
    assert [(key, value) for _, key, value in log.changes("t", 0, seen)] == [(b"a", b"2"), (b"b", None)]


def test_a_table_whose_keys_come_and_go_does_not_grow(log: EmbeddedLog) -> None:
    for i in range(30):
        keys = [b"%d-%d" % (i, k) for k in range(1000)]
        commit(log, changes=tuple(TableChange("t", 0, key, b"x") for key in keys))
        commit(log, changes=tuple(TableChange("t", 0, key, None) for key in keys))
    commit(log, changes=(TableChange("t", 0, b"last", b"x"),))
    assert table(log, "t") == {b"last": b"x"}
    assert len(list(log.changes("t", 0))) <= 10_001
    with pytest.raises(LogError, match="forgotten deletions"):
        list(log.changes("t", 0, 5))  # a follower who might have missed a deletion is told


# Checkpoints


def test_a_checkpoint_writes_outputs_values_and_headers_together(backend: Backend) -> None:
    log = backend.open()
    commit(
        log,
        outputs=(output(b"+1"),),
        changes=(TableChange("t", 0, b"k", b"v"),),
        headers={("events", 0): 7, ("events", 1): 3},
    )
    log.close()
    log = backend.open()
    assert values(log, "contributions") == [b"+1"]
    assert table(log, "t") == {b"k": b"v"}
    assert log.headers() == {("events", 0): 7, ("events", 1): 3}


def test_a_checkpoint_that_fails_leaves_nothing_behind(log: EmbeddedLog) -> None:
    wrong = NewRecord("no-such-topic", 0, b"", timestamp_us=0)
    fine, unfit = TableChange("t", 0, b"k", b"v"), TableChange("t", 0, b"l", object())  # type: ignore[arg-type]
    for outputs, changes in (
        ((output(b"+1"), wrong), (fine,)),
        ((output(b"+1"),), (fine, unfit)),
    ):
        with pytest.raises(LogError):
            commit(log, outputs=outputs, changes=changes, headers={("events", 0): 7})
        assert (values(log, "contributions"), table(log, "t"), log.headers()) == ([], {}, {})
    commit(log, outputs=(output(b"+2"),))
    assert values(log, "contributions") == [b"+2"]


def test_work_of_a_past_generation_is_refused(log: EmbeddedLog) -> None:
    past = log.generation
    log.new_generation("2")
    with pytest.raises(LogError, match="another generation"):
        commit(log, outputs=(output(b"+1"),), generation=past)
    assert values(log, "contributions") == []


def test_folds_cannot_write_to_the_log_of_record(log: EmbeddedLog) -> None:
    with pytest.raises(LogError, match="only what came from outside"):
        commit(log, outputs=(event(b"made up"),))


def test_a_killed_process_leaves_whole_checkpoints_only(backend: Backend) -> None:
    program = (
        "n = log.headers().get(('events', 0), 0)\n"
        "while True:\n"
        "    n += 1\n"
        "    outputs = [NewRecord('contributions', 0, b'%d' % n, timestamp_us=0)]\n"
        "    changes = [TableChange('t', p, b'n', b'%d' % n) for p in (0, 1)]\n"
        "    log.checkpoint(Checkpoint(log.generation, outputs, changes, {('events', 0): n}))\n"
        "    if n % 10 == 0: print(n, flush=True)\n"
    )
    for seed in range(4):
        process = backend.start(program)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.Random(seed).uniform(0, 0.1))
        process.kill()
        process.wait()
        log = backend.open()
        n = log.headers()["events", 0]
        assert values(log, "contributions") == [b"%d" % i for i in range(1, n + 1)]
        assert table(log, "t", 0) == table(log, "t", 1) == {b"n": b"%d" % n}
        log.close()


def test_a_new_generation_forgets_what_was_derived_and_keeps_what_came_in(log: EmbeddedLog) -> None:
    log.append([event(b"truth"), NewRecord("dead-letters", 0, b"of the gateway", timestamp_us=0)])
    by_fold = NewRecord("dead-letters", 0, b"of a fold", timestamp_us=0)
    commit(
        log,
        outputs=(output(b"+1"), by_fold),
        changes=(TableChange("t", 0, b"k", b"v"),),
        headers={("events", 0): 1},
    )
    before = log.generation
    assert log.new_generation("state 2") == log.generation != before
    assert log.state_version == "state 2"
    assert values(log) == [b"truth"]
    assert values(log, "dead-letters") == [b"of the gateway"]
    assert (values(log, "contributions"), table(log, "t"), log.headers()) == ([], {}, {})
    assert log.first_offset("contributions", 0) == log.end_offset("contributions", 0) == 1
    commit(log, outputs=(output(b"+1"),))
    assert [r.offset for r in log.read("contributions", 0, 0)] == [1]  # an offset is never used twice


# Retention and finding again


def test_trimmed_records_are_gone_and_offsets_go_on(log: EmbeddedLog) -> None:
    commit(log, outputs=tuple(output(b"%d" % i) for i in range(12_000)))
    assert log.trim("contributions", 0, 11_998) == 11_998
    assert values(log, "contributions") == [b"11998", b"11999"]
    assert (log.first_offset("contributions", 0), log.end_offset("contributions", 0)) == (11_998, 12_000)
    assert log.trim("contributions", 0, 11_998) == 0
    assert log.trim("contributions", 0, 10**9) == 2
    commit(log, outputs=(output(b"next"),))
    assert [r.offset for r in log.read("contributions", 0, 0)] == [12_000]


def test_the_log_of_record_is_never_trimmed(log: EmbeddedLog) -> None:
    with pytest.raises(LogError, match="never trimmed"):
        log.trim("events", 0, 1)


def test_the_records_of_a_parcel_are_found_without_reading_the_log(log: EmbeddedLog) -> None:
    mine, other = key_hash("P-7"), key_hash("P-8")
    p = partition_of("P-7", log.partitions)
    log.append([event(b"[...]", p, index_keys=(mine, other, mine)), event(b"[...]", p, index_keys=(other,))])
    log.append([event(b"[...]", (p + 1) % 4, index_keys=(mine,)), event(b"[...]", p, index_keys=[mine])])
    assert sorted(log.positions(mine)) == sorted([(p, 0), (p, 2), ((p + 1) % 4, 0)])
    assert log.positions(key_hash("P-9")) == []


def test_the_partition_of_a_key_never_changes() -> None:
    # Pinned: another function would cut every existing parcel off from its past.
    assert [partition_of(key, 4) for key in ("P-1", "P-2", "LX123456789CN", "包裹")] == [0, 3, 2, 1]
    assert key_hash("P-1") == -7605027396609460484
    assert -(2**63) <= min(map(key_hash, "abcdefgh")) < 0 < max(map(key_hash, "abcdefgh")) < 2**63
