"""Backups of the log in a file: one moment of it, whole or not at all, and a new history when it is restored."""

from __future__ import annotations

from pathlib import Path

import pytest
from backends import EmbeddedBackend, event, values

from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.backup import restore
from monitor.log.records import Checkpoint, LogError, NewRecord, Shard, TableChange


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_backup_taken_while_others_write_is_one_moment_of_the_log(data: Path, tmp_path: Path) -> None:
    EmbeddedLog.open(data).close()
    backend = EmbeddedBackend(data)
    writer = backend.start(
        "for i in range(100_000):\n"
        "    log.append([NewRecord('events', p, b'%d' % i, timestamp_us=0) for p in (0, 1)])\n"
        "    if i == 50: print('going', flush=True)\n"
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
        backend.close()
    assert [p.name for p in tmp_path.glob("copy*")] == ["copy"]
    restore(out, tmp_path / "restored")
    with EmbeddedLog.open(tmp_path / "restored") as log:
        assert values(log) == values(log, partition=1) == [b"%d" % i for i in range(log.end_offset("events", 0))]
        assert log.end_offset("events", 0) >= least > 50


def test_a_restored_log_is_a_new_generation_that_folds_everything_again(data: Path, tmp_path: Path) -> None:
    with EmbeddedLog.open(data) as log:
        log.append([event(b"truth")])
        shard, output = Shard("events", 0), NewRecord("contributions", 0, b"+1", timestamp_us=0)
        log.checkpoint([Checkpoint(log.generation, shard, [output], [TableChange("t", b"k", b"v")], 1)])
        generation = log.generation
        log.backup(tmp_path / "copy")
    new = restore(tmp_path / "copy", tmp_path / "restored")
    with EmbeddedLog.open(tmp_path / "restored") as log:
        assert log.generation == new != generation
        assert values(log) == [b"truth"]
        assert (log.headers(), list(log.changes(shard)), log.read("contributions", 0, 0)) == ({}, [], [])
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
