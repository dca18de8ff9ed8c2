"""Whatever kills the process, every record has its effect once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from killing import Killer, start, wait_until
from toy import fill, results

from monitor.live.status import read_status
from monitor.log.embedded import EmbeddedLog
from monitor.log.records import NewRecord

TOY = str(Path(__file__).with_name("toy.py"))


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def run(directory: Path, started: list[subprocess.Popen[str]], *args: str) -> subprocess.Popen[str]:
    started.append(start([sys.executable, TOY, str(directory), *args]))
    return started[-1]


def folded(directory: Path, process: subprocess.Popen[str]) -> dict[str, Any] | None:
    status = read_status(directory)
    if process.poll() is not None:
        raise AssertionError(process.communicate()[1])
    return status if status and status["pid"] == process.pid and status["applied_records"] > 0 else None


@pytest.mark.slow
def test_after_any_number_of_kills_state_and_outputs_equal_an_undisturbed_run(tmp_path: Path) -> None:
    seeds = count()

    def refill(records: int = 4_000) -> None:
        seed = next(seeds)
        for name in ("disturbed", "undisturbed"):
            fill(tmp_path / name, records, seed)

    refill(30_000)
    undisturbed = Killer([sys.executable, TOY, str(tmp_path / "undisturbed")], tmp_path / "undisturbed", seed=0)
    command = [sys.executable, TOY, str(tmp_path / "disturbed"), "0.3"]
    killer = Killer(command, tmp_path / "disturbed", seed=7, refill=refill)
    try:
        killer.kill_and_restart(times=6)
        killer.finish()
        undisturbed.finish()
    finally:
        undisturbed.close()
        killer.close()
    assert all(point.lost_records > 0 and point.lag_records > 0 for point in killer.points)
    assert results(tmp_path / "disturbed") == results(tmp_path / "undisturbed")
    assert sum(map(len, results(tmp_path / "disturbed")["outputs"].values())) == 54_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_work_ends_it_within_three_seconds_and_saves_it(
    tmp_path: Path, toy: list[subprocess.Popen[str]], number: signal.Signals
) -> None:
    fill(tmp_path, 40_000)
    process = run(tmp_path, toy, "30")  # checkpoints so rare that only the last one can have saved the work
    applied = wait_until(lambda: folded(tmp_path, process), "work")["applied_records"]
    asked_at = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert time.monotonic() - asked_at < 3
    assert process.returncode == 0, errors
    saved = results(tmp_path)
    assert 40_000 * 2 > sum(saved["headers"].values()) >= applied
    assert sum(map(len, saved["outputs"].values())) >= applied / 2
    assert read_status(tmp_path) is None


def test_a_second_run_on_the_same_directory_is_refused(tmp_path: Path, toy: list[subprocess.Popen[str]]) -> None:
    fill(tmp_path, 10)
    first = run(tmp_path, toy)
    wait_until(lambda: folded(tmp_path, first), "the first run")
    second = run(tmp_path, toy)
    _, errors = second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"Another `run` (process {first.pid})" in errors
    assert first.poll() is None


def test_an_error_in_a_handler_ends_the_process_and_saves_nothing_of_that_record(
    tmp_path: Path, toy: list[subprocess.Popen[str]]
) -> None:
    with EmbeddedLog.open(tmp_path) as log:
        log.append([NewRecord("events", 1, value, timestamp_us=0) for value in (b"1", b"2", b"bad", b"3")])
    for _ in range(2):  # and again at the next start: the record is not skipped
        process = run(tmp_path, toy)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "The monitor had to end: ValueError: invalid literal for int()" in errors
        assert "engine_failed" in errors
        assert "offset=2" in errors
        saved = results(tmp_path)
        whole = saved["headers"].get(("events", 1), 0)
        assert whole <= 2
        checksum = zlib.crc32(b"12"[:whole])
        assert saved["tables"]["counts", 1].get(b"checksum", b"0") == b"%d" % checksum
