"""``ingest`` as a program of its own: a pipe that stays open, a full disk, beside another writer."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from made_events import all_in_log, registered, scanned, write_lines

from monitor.log.embedded import EmbeddedLog
from monitor.log.records import LogError
from monitor.log.topics import EVENTS

PROGRAM = [sys.executable, "-c", "from monitor.cli.ingest import ingest; ingest()"]
ROOT = Path(__file__).resolve().parents[2]


def fresh(name: str) -> dict[str, Any]:
    return scanned("P1", time=(datetime.now(UTC) - timedelta(hours=1)).isoformat(), id=name)


@contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [*PROGRAM, *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(directory: Path, records: int, seconds: float) -> bool:
    """Whether the log has so many records of events within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(LogError), EmbeddedLog.open(directory, create=False) as log:  # it may be in the making
            if sum(log.end_offset(EVENTS, partition) for partition in range(log.partitions)) >= records:
                return True
        time.sleep(0.05)
    return False


def test_an_event_on_an_open_pipe_is_in_the_log_while_it_stays_open(tmp_path: Path) -> None:
    with running("-", "--data", tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(fresh("first")).encode() + b"\n")
        process.stdin.flush()
        assert wait_for(tmp_path, 1, seconds=20)  # the program has to start
        for number in range(2, 5):
            process.stdin.write(json.dumps(fresh(f"e{number}")).encode() + b"\n")
            process.stdin.flush()
            assert wait_for(tmp_path, number, seconds=5)  # a busy machine is slow
        process.stdin.write(b"half a line")
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, b"")
    assert b"Appended 4 events" in out
    assert b"malformed_json" in out


def test_a_packed_pipe_of_history_is_read_to_its_end_and_sorted(tmp_path: Path) -> None:
    events = [registered("P1", "2025-03-01T00:00:00Z"), scanned("P1", time="2025-03-01T13:00:00Z")]
    content = gzip.compress(write_lines(tmp_path / "e", events[::-1]).read_bytes())
    command = [*PROGRAM, "-", "--history", "--data", str(tmp_path / "log"), "--json"]
    done = subprocess.run(command, cwd=ROOT, input=content, capture_output=True, check=True)
    assert json.loads(done.stdout)["ticks"] == 3
    times = [one["time"] for one in all_in_log(tmp_path / "log") if one["subject"] == "P1"]
    assert times == [one["time"] for one in events]


def test_a_pipe_that_begins_with_history_is_refused(tmp_path: Path) -> None:
    events = [scanned(f"P{i}", time="2025-03-01T00:00:00Z") for i in range(3_000)]
    content = write_lines(tmp_path / "e", events).read_bytes()
    command = [*PROGRAM, "-", "--data", str(tmp_path / "log")]
    done = subprocess.run(command, cwd=ROOT, input=content, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"--history" in done.stderr
    assert all_in_log(tmp_path / "log") == []


def test_a_named_pipe_is_read_once_from_its_first_byte(tmp_path: Path) -> None:
    content = write_lines(tmp_path / "e", [fresh(f"e{i}") for i in range(1_500)]).read_bytes()
    command = [*PROGRAM, "/dev/fd/0", "--data", str(tmp_path / "log")]
    done = subprocess.run(command, cwd=ROOT, input=content, capture_output=True, check=True)
    assert b"Appended 1,500 events" in done.stdout


def test_two_programs_may_ingest_into_one_log(tmp_path: Path) -> None:
    files = [write_lines(tmp_path / f"{n}", [fresh(f"{n}/{i}") for i in range(3_000)]) for n in range(2)]
    both = [
        subprocess.Popen([*PROGRAM, str(file), "--data", str(tmp_path / "log")], cwd=ROOT, stdout=subprocess.PIPE)
        for file in files
    ]
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, b"Appended 3,000 events" in out) == (0, True)
    assert len({one["id"] for one in all_in_log(tmp_path / "log")}) == 6_000
