"""What the live engine promises while it runs: quick, idle when there is nothing to do, loud when it cannot go on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from killing import start, wait_until
from structlog.testing import capture_logs
from toy import build, run, until

from monitor.live.checkpoint import CheckpointSettings
from monitor.live.engine import Engine, EngineError, EngineSettings
from monitor.live.status import read_status
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.transport import Consumer, EmbeddedBackend
from monitor.log.records import LogError, NewRecord, Shard

TOY = str(Path(__file__).with_name("toy.py"))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(tmp_path / "data") as opened:
        yield opened


def number(value: int, partition: int = 0) -> NewRecord:
    return NewRecord("events", partition, b"%d" % value, timestamp_us=1_700_000_000_123_456)


def sums(log: EmbeddedLog) -> dict[bytes, bytes]:
    return {key: value for _, _, key, value in log.changes(Shard("contributions", 0)) if value is not None}


def counted(engine: Engine) -> dict[int, dict[str, Any]]:
    """What the toy has counted in the partitions it holds."""
    handler: Any = engine._handlers["events"]
    return {partition: dict(handler.table.partition(partition)) for partition in handler.table.held_partitions()}


# Folding


def test_tables_are_restored_and_announced_before_the_first_record(log: EmbeddedLog) -> None:
    log.append([number(i % 50, i % 4) for i in range(2_000)])
    engine = build(log)

    before: dict[int, dict[str, Any]] = {}

    async def drain() -> None:
        await until(lambda: engine.ready.is_set() and engine.status().lag_records == 0 and sums(log))
        await until(lambda: engine.status().pending_records == 0)
        before.update(counted(engine))
        engine.stop()

    run(engine, drain)
    assert len(before) == 4
    assert any(before.values())

    again = build(log)
    seen: list[tuple[list[int], dict[int, Any], int]] = []

    async def look() -> None:
        await again.ready.wait()
        handler: Any = again._handlers["events"]
        seen.append((list(handler.recovered_partitions), counted(again), again.applied_records))
        again.stop()

    run(again, look)
    assert seen == [([0, 1, 2, 3], before, 0)]


def test_a_packed_record_reaches_the_handler_as_it_was_written(log: EmbeddedLog) -> None:
    got: list[tuple[int, int, int, bytes]] = []
    engine = Engine(EmbeddedBackend(log))

    class Keep:
        def recovered(self, partition: int) -> None:
            assert partition in range(4)

        def released(self, partition: int) -> None:
            assert partition in range(4)

        def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes, foreign: bool) -> None:
            assert not foreign
            got.append((partition, offset, timestamp_us, value))
            if len(got) == 3:
                engine.stop()

    engine.handle("events", Keep())
    values = [b"\xff\x00 not text", b"", b'[{"a": 1}]' * 20_000]
    log.append(
        [NewRecord("events", 2, value, timestamp_us=1_700_000_000_123_456 + i) for i, value in enumerate(values)]
    )
    run(engine)
    assert got == [(2, i, 1_700_000_000_123_456 + i, value) for i, value in enumerate(values)]


def test_a_record_appended_by_another_process_is_folded_within_a_fifth_of_a_second(log: EmbeddedLog) -> None:
    engine = build(log)
    waits: list[float] = []

    async def append_and_wait() -> None:
        await engine.ready.wait()
        with EmbeddedLog.open(log.directory) as other:
            for i in range(10):
                await asyncio.sleep(0.3)
                before, began = engine.applied_records, time.monotonic()
                other.append([number(i)])
                await until(lambda: engine.applied_records > before)  # noqa: B023
                waits.append(time.monotonic() - began)
        engine.stop()

    run(engine, append_and_wait)
    assert max(waits) < 0.2


def test_a_quiet_engine_saves_soon_and_uses_hardly_any_processor(log: EmbeddedLog) -> None:
    engine = build(log, EngineSettings(checkpoint=CheckpointSettings(interval_s=30)))
    shares: list[float] = []

    async def measure() -> None:
        await engine.ready.wait()
        log.append([number(1)])
        began = time.monotonic()
        await until(lambda: sums(log))
        assert time.monotonic() - began < 1  # not after 30 s
        began, used = time.monotonic(), time.process_time()
        await asyncio.sleep(4)
        shares.append((time.process_time() - used) / (time.monotonic() - began))
        engine.stop()

    run(engine, measure)
    assert shares[0] < 0.02


def test_single_records_are_folded_by_the_thousand_each_second(log: EmbeddedLog) -> None:
    log.append([number(i % 500, i % 4) for i in range(12_000)])
    engine = build(log)
    rates: list[float] = []

    async def measure() -> None:
        await engine.ready.wait()
        began = time.monotonic()
        await until(lambda: engine.applied_records >= 24_000)  # each record gives a contribution, folded too
        rates.append(24_000 / (time.monotonic() - began))
        engine.stop()

    run(engine, measure)
    assert rates[0] > 3_000


# What goes wrong


def test_state_that_is_ahead_of_the_log_is_refused(log: EmbeddedLog) -> None:
    log.append([number(1)])
    log._connection.execute("INSERT INTO header VALUES ('events', 0, 5)")
    with pytest.raises(EngineError, match=r"folded events-0 up to offset 5, but the log ends at 1.*--rebuild"):
        run(build(log))


def test_a_log_that_cannot_be_read_ends_the_run(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise LogError("data/log.sqlite3 is damaged")

    monkeypatch.setattr(Consumer, "_read", broken)
    with capture_logs() as lines, pytest.raises(EngineError, match=r"log.sqlite3 is damaged"):
        run(build(log))
    assert [line["event"] for line in lines].count("engine_failed") == 1


def test_records_that_do_not_arrive_end_the_run(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append([number(i) for i in range(10)])
    read = Consumer._read

    def lossy(self: Consumer, active: Any) -> Any:
        return {tp: [r for r in records if r.offset != 4] for tp, records in read(self, active).items()}

    monkeypatch.setattr(Consumer, "_read", lossy)
    with pytest.raises(EngineError, match="Records 4 to 4 of events-0 did not arrive"):
        run(build(log))
    assert log.headers().get(("events", 0), 0) <= 4


def test_standing_still_with_work_to_do_ends_the_run(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Consumer._read

    def stalled(self: Consumer, active: Any) -> Any:
        return {} if log.end_offset("events", 0) > 1 else read(self, active)

    monkeypatch.setattr(Consumer, "_read", stalled)
    engine = build(log, EngineSettings(watchdog_s=1.0))

    async def append() -> None:
        await engine.ready.wait()
        log.append([number(1)])
        await asyncio.sleep(2)  # longer than the watchdog waits, but nothing is left to do
        assert engine.applied_records == 2
        log.append([number(2)])

    with pytest.raises(EngineError, match="1 records wait, and nothing has happened for 1 s"):
        run(engine, append)


def test_a_companion_that_fails_ends_the_run(log: EmbeddedLog) -> None:
    async def broken_web_server() -> None:
        raise OSError("address already in use")

    with pytest.raises(EngineError, match="address already in use"):
        run(build(log), broken_web_server)


def test_a_rebuild_beside_a_run_ends_the_run_instead_of_mixing_two_histories(log: EmbeddedLog) -> None:
    engine = build(log)

    async def rebuild() -> None:
        await engine.ready.wait()
        with EmbeddedLog.open(log.directory) as other:
            other.new_generation("2")
            other.append([number(1)])

    with pytest.raises(EngineError, match="another generation"):
        run(engine, rebuild)
    assert log.headers() == {}


def test_contributions_that_were_folded_are_not_kept_for_ever(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.live.engine._TRIM_S", 0.2)

    async def fold_more(engine: Engine) -> None:
        await engine.ready.wait()
        log.append([number(i % 500, i % 4) for i in range(500)])
        end = log.end_offset("contributions", 0) + 500
        await until(lambda: log.headers().get(("contributions", 0)) == end)
        await until(lambda: log.first_offset("contributions", 0) == end - 20)
        engine.stop()

    for _ in range(2):  # a start finds its place although the beginning is gone
        engine = build(log, EngineSettings(kept_records=20))
        run(engine, lambda: fold_more(engine))  # noqa: B023
    assert log.first_offset("events", 0) == 0
    assert sum(int(value.split()[0]) + 1 for value in sums(log).values()) == 1_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_the_work_until_there_is_space_and_nothing_is_lost(small_disk: Path) -> None:
    data = small_disk / "data"
    with EmbeddedLog.open(data) as log:
        log.append([number(i % 500, i % 4) for i in range(100)])
        process = start([sys.executable, TOY, str(data), "0.1"])
        ballast = small_disk / "ballast"
        try:
            wait_until(lambda: log.headers().get(("contributions", 0)) == 100, "the first records")
            log.append([number(i % 500, i % 4) for i in range(100, 30_000)])
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as content:
                while True:
                    content.write(bytes(4096))
            blocked = wait_until(lambda: (read_status(data) or {}).get("blocked"), "trouble")
            time.sleep(1.5)  # a retry in vain
            assert process.poll() is None
            ballast.unlink()
            wait_until(lambda: log.headers().get(("contributions", 0)) == 30_000, "the rest")
            process.terminate()
            _, errors = process.communicate(timeout=10)
        finally:
            process.kill()
            process.communicate()
    assert "is full; nothing was lost. Free some space" in blocked
    assert process.returncode == 0
    assert errors.count("checkpoint_blocked") >= 2
    assert "checkpoint_unblocked" in errors


def test_memory_does_not_grow_with_what_was_folded(log: EmbeddedLog) -> None:
    engine = build(log)
    peaks: list[int] = []

    async def feed() -> None:
        await engine.ready.wait()
        for _ in range(4):
            log.append(
                [NewRecord("events", i % 4, b" " * 200_000 + b"%d" % (i % 500), timestamp_us=0) for i in range(150)]
            )
            done = engine.applied_records + 300
            await until(lambda: engine.applied_records >= done)  # noqa: B023
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # kB
        engine.stop()

    run(engine, feed)
    assert peaks[-1] - peaks[1] < 20_000  # of 60 MB that went through in between
