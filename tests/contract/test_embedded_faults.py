"""What the log in a file survives: a torn WAL, a full disk, a log larger than memory."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import EmbeddedBackend, event, values

from monitor.log.embedded import EmbeddedLog
from monitor.log.records import Checkpoint, LogFullError, NewRecord, Shard, TableChange

SHARDS = (Shard("events", 0), Shard("events", 1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_log_whose_wal_was_cut_goes_on_from_the_last_whole_transaction(data: Path, tmp_path: Path) -> None:
    writer = EmbeddedBackend(data).start(
        "for i in range(60):\n"
        "    log.append([NewRecord('events', p, b'%d ' % i * 200, timestamp_us=0) for p in (0, 0, 1)])\n"
        "print('done', flush=True)\ninput()\n"
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
            assert values(log, partition=1) == written
            assert values(log, partition=0) == [value for value in written for _ in (0, 1)]
            assert log.append([event(b"next", 1)]) == [whole]
        with EmbeddedLog.open(torn) as log:
            assert values(log, partition=1) == [*written, b"next"]
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
        work = [Checkpoint(log.generation, shard, outputs, [TableChange("t", b"k", b"v")], 20) for shard in SHARDS]
        with pytest.raises(LogFullError):
            log.checkpoint(work)
        assert (log.headers(), log.end_offset("contributions", 0)) == ({}, 0)
        log._connection.execute("PRAGMA max_page_count = 1000000")
        log.checkpoint(work)
        assert (log.headers(), log.end_offset("contributions", 0)) == (dict.fromkeys(SHARDS, 20), 40)


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
    output, _ = EmbeddedBackend(data).start(program).communicate(timeout=120)
    assert int(output) < 12_000  # of 63 MB written and read
