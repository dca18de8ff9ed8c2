"""What only the log in a file promises: its errors, its lock, its backups, and what it survives."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import monitor
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.backup import restore
from monitor.log.records import Checkpoint, LogError, LogFullError, NewRecord, TableChange

SOURCE = str(Path(monitor.__file__).parents[1])
NOBODY = 65534


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def event(value: bytes, partition: int = 0) -> NewRecord:
    return NewRecord("events", partition, value, timestamp_us=0)


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
    with pytest.raises(LogError, match="its schema is 99, this one reads 1"):
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


# What it survives


def test_a_log_whose_wal_was_cut_goes_on_from_the_last_whole_transaction(data: Path, tmp_path: Path) -> None:
    writer = run(
        "for i in range(60):\n"
        "    log.append([NewRecord('events', p, b'%d ' % i * 200, timestamp_us=0) for p in (0, 0, 1)])\n"
        "print('done', flush=True)\ninput()\n",
        data,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "done\n"
    writer.kill()
    writer.communicate()
    wal = (data / "log.sqlite3-wal").stat().st_size
    kept = set()
    random_ = random.Random(17)
    for i, size in enumerate([0, 31, wal - 1, wal, *(random_.randrange(wal) for _ in range(25))]):
        torn = tmp_path / f"torn{i}"
        shutil.copytree(data, torn)
        with (torn / "log.sqlite3-wal").open("r+b") as content:
            content.truncate(size)
            content.seek(0, os.SEEK_END)
            content.write(random_.randbytes(random_.choice([0, 10, 5000])))  # what a power cut may leave behind
        with EmbeddedLog.open(torn) as log:
            whole = log.end_offset("events", 1)
            written = [b"%d " % k * 200 for k in range(whole)]
            assert values(log, 1) == written
            assert values(log, 0) == [value for value in written for _ in (0, 1)]
            assert log.append([event(b"next", 1)]) == [whole]
        with EmbeddedLog.open(torn) as log:
            assert values(log, 1) == [*written, b"next"]
        kept.add(whole)
    assert max(kept) == 60
    assert len(kept) > 10  # the cuts really fell at different transactions


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB, which only root can mount."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(directory: Path) -> None:
    with contextlib.suppress(OSError), (directory / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


def test_a_full_disk_loses_nothing_and_the_log_goes_on_when_there_is_space(small_disk: Path) -> None:
    with EmbeddedLog.open(small_disk / "data") as log:
        log.append([event(b"before")])
        fill(small_disk)
        written = 1
        with contextlib.suppress(LogFullError):
            while True:
                log.append([event(b"y" * 20_000)])
                written += 1
        for _ in range(3):
            with pytest.raises(LogFullError, match=r"log.sqlite3 is full; nothing was lost. Free some space"):
                log.append([event(b"z" * 100_000)])
        assert len(values(log)) == written
        (small_disk / "ballast").unlink()
        assert log.append([event(b"after")]) == [written]
    with EmbeddedLog.open(small_disk / "data") as log:
        assert (values(log)[0], values(log)[-1], len(values(log))) == (b"before", b"after", written + 1)


def test_a_checkpoint_that_does_not_fit_is_not_half_written(data: Path) -> None:
    with EmbeddedLog.open(data) as log:
        pages = log._connection.execute("PRAGMA page_count").fetchone()[0]
        log._connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        outputs = [NewRecord("contributions", 0, b"c" * 3000, timestamp_us=0) for _ in range(20)]
        work = Checkpoint(log.generation, outputs, [TableChange("t", 0, b"k", b"v")], {("events", 0): 20})
        with pytest.raises(LogFullError):
            log.checkpoint(work)
        assert (log.headers(), log.end_offset("contributions", 0)) == ({}, 0)
        log._connection.execute("PRAGMA max_page_count = 1000000")
        log.checkpoint(work)
        assert (log.headers(), log.end_offset("contributions", 0)) == ({("events", 0): 20}, 20)


def test_memory_does_not_grow_with_the_log(data: Path) -> None:
    program = (
        "import resource\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB\n"
        "def some(n):\n"
        "    for i in range(n):\n"
        "        log.append([NewRecord('events', 0, b'x' * 70_000, timestamp_us=0, index_keys=range(i, i + 200))])\n"
        "    offset = 0\n"
        "    while records := log.read('events', 0, offset): offset = records[-1].offset + 1\n"
        "some(700)\nbefore = peak()\nsome(900)\nprint(peak() - before)\n"
    )
    output, _ = run(program, data).communicate(timeout=120)
    assert int(output) < 12_000  # of 63 MB written and read


# Backup


def test_a_backup_taken_while_others_write_is_one_moment_of_the_log(data: Path, tmp_path: Path) -> None:
    EmbeddedLog.open(data).close()
    writer = run(
        "for i in range(100_000):\n"
        "    log.append([NewRecord('events', p, b'%d' % i, timestamp_us=0) for p in (0, 1)])\n"
        "    if i == 50: print('going', flush=True)\n",
        data,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "going\n"
    out = tmp_path / "copy"
    try:
        with EmbeddedLog.open(data, create=False) as log:
            for _ in range(3):
                least = log.end_offset("events", 0)
                log.backup(out)
    finally:
        writer.kill()
        writer.communicate()
    assert [p.name for p in tmp_path.glob("copy*")] == ["copy"]
    restore(out, tmp_path / "restored")
    with EmbeddedLog.open(tmp_path / "restored") as log:
        assert values(log, 0) == values(log, 1) == [b"%d" % i for i in range(log.end_offset("events", 0))]
        assert log.end_offset("events", 0) >= least > 50


def test_a_restored_log_is_a_new_generation_that_folds_everything_again(data: Path, tmp_path: Path) -> None:
    with EmbeddedLog.open(data) as log:
        log.append([event(b"truth")])
        output = NewRecord("contributions", 0, b"+1", timestamp_us=0)
        log.checkpoint(Checkpoint(log.generation, [output], [TableChange("t", 0, b"k", b"v")], {("events", 0): 1}))
        generation = log.generation
        log.backup(tmp_path / "copy")
    new = restore(tmp_path / "copy", tmp_path / "restored")
    with EmbeddedLog.open(tmp_path / "restored") as log:
        assert log.generation == new != generation
        assert values(log) == [b"truth"]
        assert (log.headers(), list(log.changes("t", 0)), log.read("contributions", 0, 0)) == ({}, [], [])
    assert sorted(p.name for p in (tmp_path / "restored").iterdir()) == ["log.sqlite3"]


def test_restore_does_not_touch_a_directory_that_holds_something(data: Path, tmp_path: Path) -> None:
    with EmbeddedLog.open(data) as log:
        log.append([event(b"mine")])
        log.backup(tmp_path / "copy")
        with pytest.raises(LogError, match="is not an empty directory; restore into a new one"):
            restore(tmp_path / "copy", data)
        assert values(log) == [b"mine"]


def test_restore_refuses_what_is_no_whole_backup(data: Path, tmp_path: Path) -> None:
    with EmbeddedLog.open(data) as log:
        log.append([event(b"x" * 3000) for _ in range(100)])
        log.backup(tmp_path / "copy")
    whole = (tmp_path / "copy").read_bytes()
    for name, content, complaint in (
        ("cut", whole[: len(whole) // 2], "damaged"),
        ("text", b"no backup at all" * 100, "not a database"),
        ("absent", None, "There is no backup file"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(LogError, match=complaint):
            restore(tmp_path / name, tmp_path / "restored")
        assert not (tmp_path / "restored").exists()


def test_a_backup_that_fails_keeps_the_one_before(data: Path, tmp_path: Path) -> None:
    with EmbeddedLog.open(data) as log:
        with pytest.raises(LogError, match="absent"):
            log.backup(tmp_path / "absent" / "copy")
        log.backup(tmp_path / "copy")
        before = (tmp_path / "copy").read_bytes()
        (tmp_path / "copy.partial").mkdir()  # whatever stops the copying
        with pytest.raises(LogError):
            log.backup(tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == before


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
