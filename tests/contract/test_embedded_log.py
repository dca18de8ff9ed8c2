"""What only the log in a file promises: offsets without gaps, how it is opened, its errors and its lock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import monitor
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.state import EmbeddedState
from monitor.log.partition import key_hash, partition_of
from monitor.log.records import Checkpoint, LogError, NewRecord, Shard, TableChange

SOURCE = str(Path(monitor.__file__).parents[1])
NOBODY = 65534
SHARDS = (Shard("events", 0), Shard("events", 1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def log(data: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(data) as opened:
        yield opened


def event(value: bytes, partition: int = 0, **fields: Any) -> NewRecord:
    return NewRecord("events", partition, value, timestamp_us=0, **fields)


def output(value: bytes) -> NewRecord:
    return NewRecord("contributions", 0, value, timestamp_us=0)


def commit(
    log: EmbeddedLog,
    next_offset: int = 0,
    *,
    outputs: Sequence[NewRecord] = (),
    changes: Sequence[TableChange] = (),
    generation: str | None = None,
) -> None:
    log.checkpoint([Checkpoint(generation or log.generation, SHARDS[0], outputs, changes, next_offset)])


def values(log: EmbeddedLog, partition: int = 0) -> list[bytes]:
    return [record.value for record in log.read("events", partition, 0, limit_records=1_000_000, limit_bytes=1 << 30)]


def run(program: str, directory: Path) -> subprocess.Popen[str]:
    prelude = (
        "import os\nfrom pathlib import Path\nfrom monitor.log.embedded import *\nfrom monitor.log.records import *\n"
        f"log = EmbeddedLog.open(Path({str(directory)!r}))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", prelude + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )


# Offsets


def test_offsets_start_at_zero_and_have_no_gaps_in_each_partition(log: EmbeddedLog) -> None:
    assert log.append([event(b"a"), event(b"b", 3), event(b"c")]) == [0, 0, 1]
    assert log.append([event(b"d", 3), event(b"e")]) == [1, 2]
    assert [log.end_offset("events", p) for p in range(4)] == log.ends("events") == [3, 0, 0, 2]
    assert [log.waiting(Shard("events", 0), offset) for offset in range(4)] == [3, 2, 1, 0]


def test_a_read_begins_where_it_is_told_and_stops_at_its_limits(log: EmbeddedLog) -> None:
    log.append([event(b"%04d" % i) for i in range(100)])
    assert [r.value for r in log.read("events", 0, 97)] == [b"0097", b"0098", b"0099"]
    assert len(log.read("events", 0, 10, limit_records=7)) == 7
    assert [r.offset for r in log.read("events", 0, 10, limit_bytes=8)] == [10, 11]
    assert [r.offset for r in log.read("events", 0, 10, limit_bytes=1)] == [10]  # never stuck on a large record
    assert log.read("events", 0, 100) == []


def test_writers_in_several_processes_share_the_offsets_without_gap_or_overlap(data: Path) -> None:
    program = (
        "for i in range(40):\n"
        "    offsets = log.append([NewRecord('events', p, b'{name} %d' % i, timestamp_us=0) for p in (0, 0, 1)])\n"
        "    assert offsets[1] == offsets[0] + 1\n"
        "    print(*offsets)\n"
    )
    writers = [run(program.replace("{name}", name), data) for name in "abcd"]
    results = [writer.communicate(timeout=60) for writer in writers]
    assert [error for _, error in results] == [""] * 4
    taken = [[int(offset) for offset in line.split()] for told, _ in results for line in told.splitlines()]
    assert sorted(o for row in taken for o in row[:2]) == list(range(320))
    assert sorted(row[2] for row in taken) == list(range(160))


def test_a_killed_writer_leaves_no_gap(data: Path) -> None:
    program = (
        "i = 0\nwhile True:\n"
        "    offsets = log.append([NewRecord('events', p, b'%d' % i, timestamp_us=0) for p in (0, 0, 1)])\n"
        "    print(offsets[1], flush=True)\n    i += 1\n"
    )
    acknowledged = 0
    for seed in range(3):
        writer = run(program, data)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.Random(seed).uniform(0, 0.2))
        writer.kill()
        lines = writer.communicate()[0].splitlines()
        acknowledged = max([acknowledged, *(int(line) + 1 for line in lines if line.isdigit())])
    with EmbeddedLog.open(data) as log:
        calls = log.end_offset("events", 1)
        assert [record.offset for record in log.scan("events", 0)] == list(range(2 * calls))
        assert values(log, 0) == [value for value in values(log, 1) for _ in (0, 1)]  # a call is whole or not at all
        assert 2 * calls >= acknowledged > 0


def test_another_process_is_seen_by_the_version_of_the_data(log: EmbeddedLog) -> None:
    with EmbeddedLog.open(log.directory) as theirs:
        before = log.data_version()
        log.append([event(b"own")])
        assert log.data_version() == before
        theirs.append([event(b"other")])
        assert log.data_version() != before
        assert values(log) == [b"own", b"other"]


def test_trimmed_records_are_counted_and_gone(log: EmbeddedLog) -> None:
    commit(log, outputs=[output(b"%d" % i) for i in range(12_000)])
    assert log.trim("contributions", 0, 11_998) == 11_998
    assert [r.value for r in log.read("contributions", 0, 0)] == [b"11998", b"11999"]
    assert (log.first_offset("contributions", 0), log.end_offset("contributions", 0)) == (11_998, 12_000)
    assert log.waiting(Shard("contributions", 0), 0) == 2
    assert log.trim("contributions", 0, 11_998) == 0
    assert log.trim("contributions", 0, 10**9) == 2
    commit(log, outputs=[output(b"next")])
    assert [r.offset for r in log.read("contributions", 0, 0)] == [12_000]


def test_the_records_of_a_parcel_are_found_without_reading_the_log(log: EmbeddedLog) -> None:
    mine, other = key_hash("P-7"), key_hash("P-8")
    p = partition_of("P-7", log.partitions)
    log.append([event(b"0", p, index_keys=(mine, other, mine)), event(b"1", p, index_keys=(other,))])
    log.append([event(b"2", (p + 1) % 4, index_keys=(mine,)), event(b"3", p, index_keys=[mine])])
    assert sorted(log.positions(mine)) == sorted([(p, 0), (p, 2), ((p + 1) % 4, 0)])
    assert sorted(record.value for record in log.find("P-7")) == [b"0", b"2", b"3"]
    assert log.positions(key_hash("P-9")) == list(log.find("P-9")) == []


# State


def test_each_key_has_one_row_however_often_it_changes(log: EmbeddedLog) -> None:
    for value in (b"1", b"2", b"3"):
        commit(log, changes=[TableChange("t", b"a", value), TableChange("t", b"b", value)])
    commit(log, changes=[TableChange("t", b"b", b"4")])
    assert list(log.changes(SHARDS[0])) == [(4, "t", b"a", b"3"), (6, "t", b"b", b"4")]


def test_state_whose_keys_come_and_go_does_not_grow(log: EmbeddedLog) -> None:
    for i in range(30):
        keys = [b"%d-%d" % (i, k) for k in range(1000)]
        commit(log, changes=[TableChange("t", key, b"x") for key in keys])
        commit(log, changes=[TableChange("t", key, None) for key in keys])
    commit(log, changes=[TableChange("t", b"last", b"x")])
    rows = list(log.changes(SHARDS[0]))
    assert [(key, value) for _, _, key, value in rows if value is not None] == [(b"last", b"x")]
    assert len(rows) <= 10_001
    with pytest.raises(LogError, match="forgotten deletions"):
        list(log.changes(SHARDS[0], 5))  # a follower who might have missed a deletion is told


def test_checkpoints_of_several_shards_are_written_together_or_not_at_all(log: EmbeddedLog) -> None:
    fine = Checkpoint(log.generation, SHARDS[0], [output(b"+1")], [TableChange("t", b"k", b"v")], 1)
    for unfit in (
        Checkpoint(log.generation, SHARDS[1], [output(b"+1")], [TableChange("t", b"k", object())], 1),  # type: ignore[arg-type]
        Checkpoint("of the past", SHARDS[1], [], [], 1),
        Checkpoint(log.generation, SHARDS[1], [NewRecord("no-such-topic", 0, b"", timestamp_us=0)], [], 1),
        Checkpoint(log.generation, SHARDS[1], [event(b"made up")], [], 1),
    ):
        with pytest.raises(LogError):
            log.checkpoint([fine, unfit])
        store = EmbeddedState(log)
        failed = asyncio.run(store.write([fine, unfit]))
        assert [one for one, _ in failed] == [fine, unfit]
        assert (log.headers(), log.end_offset("contributions", 0), list(log.changes(SHARDS[0]))) == ({}, 0, [])
    log.checkpoint([fine])
    assert (log.headers(), log.end_offset("contributions", 0)) == ({SHARDS[0]: 1}, 1)


def test_work_of_a_past_generation_is_refused(log: EmbeddedLog) -> None:
    past = log.generation
    log.new_generation("2")
    with pytest.raises(LogError, match="another generation"):
        commit(log, outputs=[output(b"+1")], generation=past)
    assert log.end_offset("contributions", 0) == 0


def test_a_new_generation_forgets_what_was_derived_and_keeps_what_came_in(log: EmbeddedLog) -> None:
    log.append([event(b"truth"), NewRecord("dead-letters", 0, b"of the gateway", timestamp_us=0)])
    by_fold = NewRecord("dead-letters", 0, b"of a fold", timestamp_us=0)
    commit(log, 1, outputs=[output(b"+1"), by_fold], changes=[TableChange("t", b"k", b"v")])
    before = log.generation
    assert log.new_generation("state 2") == log.generation != before
    assert log.state_version == "state 2"
    assert values(log) == [b"truth"]
    assert [r.value for r in log.scan("dead-letters", 0)] == [b"of the gateway"]
    assert list(log.scan("contributions", 0)) == list(log.changes(SHARDS[0])) == []
    assert log.headers() == {}
    assert log.first_offset("contributions", 0) == log.end_offset("contributions", 0) == 1
    commit(log, outputs=[output(b"+1")])
    assert [r.offset for r in log.read("contributions", 0, 0)] == [1]  # an offset is never used twice


# Opening


def test_the_first_writer_makes_directory_and_log(data: Path) -> None:
    with EmbeddedLog.open(data / "deep") as log:
        assert log.topics()["events"] == log.partitions == 4
    with EmbeddedLog.open(data / "other", partitions=7) as log:
        assert log.topics() == {
            "events": 7,
            **dict.fromkeys(("contributions", "dead-letters", "incidents", "recommendations", "reference"), 1),
        }


def test_several_processes_may_create_the_log_at_once(data: Path) -> None:
    started = [run("print(log.generation)", data) for _ in range(6)]
    results = [process.communicate(timeout=60) for process in started]
    assert [error for _, error in results] == [""] * 6
    assert len({generation for generation, _ in results}) == 1


def test_a_reader_does_not_create_a_log(data: Path) -> None:
    for kwargs in ({"create": False}, {"read_only": True}):
        with pytest.raises(LogError, match=r"There is no event log in .*data; `run` or `ingest` creates one"):
            EmbeddedLog.open(data, **kwargs)
    assert not data.exists()


def test_a_reader_cannot_write(data: Path) -> None:
    EmbeddedLog.open(data).close()
    with EmbeddedLog.open(data, read_only=True) as log, pytest.raises(LogError, match="cannot be opened for writing"):
        log.append([event(b"x")])


def test_the_number_of_partitions_cannot_change(data: Path) -> None:
    EmbeddedLog.open(data, partitions=4).close()
    with pytest.raises(LogError, match="has 4 partitions, not 8; keep 4, or `export events`"):
        EmbeddedLog.open(data, partitions=8)
    with pytest.raises(LogError, match="partitions = 0: give a number from 1"):
        EmbeddedLog.open(data / "new", partitions=0)


def test_a_file_that_is_no_database_is_named_with_a_remedy(data: Path) -> None:
    content = b"\x89PNG not a database" * 500
    data.mkdir()
    (data / "log.sqlite3").write_bytes(content)
    with pytest.raises(LogError, match=r"log.sqlite3 is not a database; move it away"):
        EmbeddedLog.open(data)
    assert (data / "log.sqlite3").read_bytes() == content


def test_another_programs_database_is_left_alone(data: Path) -> None:
    data.mkdir()
    with contextlib.closing(sqlite3.connect(data / "log.sqlite3")) as other:
        other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(LogError, match="not an event log"):
        EmbeddedLog.open(data)


def test_a_log_of_another_version_is_refused(data: Path) -> None:
    EmbeddedLog.open(data).close()
    with contextlib.closing(sqlite3.connect(data / "log.sqlite3")) as other, other:
        other.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(LogError, match="its schema is 99, this one reads 2"):
        EmbeddedLog.open(data)


def test_a_damaged_log_is_reported_as_damaged(data: Path) -> None:
    with EmbeddedLog.open(data) as log:
        log.append([event(b"x" * 3000) for _ in range(400)])
    file = data / "log.sqlite3"
    size = file.stat().st_size
    with file.open("r+b") as content:
        for place in range(size // 2, size, 4096):
            content.seek(place)
            content.write(b"\xa5" * 4096)
    with EmbeddedLog.open(data) as log, pytest.raises(LogError, match=r"damaged .*`restore` a backup"):
        values(log)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_directory_without_permission_is_named_with_a_remedy() -> None:
    directory = Path(tempfile.mkdtemp())
    try:
        EmbeddedLog.open(directory).close()
        for path, mode in ((directory / "log.sqlite3", 0o444), (directory, 0o555)):
            path.chmod(mode)
        with unprivileged():
            for open_it in (
                lambda: EmbeddedLog.open(directory).append([event(b"x")]),
                lambda: EmbeddedLog.open(directory / "below"),
            ):
                with pytest.raises(LogError, match=r"permission|let this user write"):
                    open_it()
    finally:
        directory.chmod(0o755)
        shutil.rmtree(directory)


def test_a_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(LogError, match=r"data.*: File exists"):
        EmbeddedLog.open(tmp_path / "data")


# The lock of `run`


def test_a_second_run_is_refused_and_told_who_holds_the_directory(data: Path) -> None:
    first = run("with log.exclusive():\n    print(os.getpid(), flush=True)\n    input()", data)
    assert first.stdout is not None
    holder = first.stdout.readline().strip()
    with EmbeddedLog.open(data) as log:
        with pytest.raises(LogError, match=f"process {holder}"), log.exclusive():
            pass
        log.append([event(b"ingest goes on beside run")])
        first.kill()
        first.communicate()
        with log.exclusive():  # a dead holder holds nothing
            pass


def test_a_connection_used_by_another_thread_says_so(data: Path) -> None:
    errors: list[BaseException] = []

    def misuse(log: EmbeddedLog) -> None:
        try:
            log.append([event(b"x")])
        except LogError as error:
            errors.append(error)

    with EmbeddedLog.open(data) as log:
        thread = threading.Thread(target=misuse, args=(log,))
        thread.start()
        thread.join()
    assert "thread" in str(errors[0])
