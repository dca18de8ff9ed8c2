"""The real `run`, and the verbs beside it: when it is ready, how it ends, and what it survives."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from killing import SOURCE, wait_until
from program import (
    PROGRAM,
    Run,
    assert_equals_replay,
    lines_to,
    of_type,
    records_behind,
    saved,
    small_world,
    verb,
)

from monitor.live.status import read_status
from monitor.log.embedded import EmbeddedLog

MB = 1 << 20


@pytest.fixture(scope="module")
def world() -> list[bytes]:
    return small_world()


@pytest.fixture(scope="module")
def loaded(world: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with the world in it that nobody has folded yet."""
    folder = tmp_path_factory.mktemp("loaded")
    verb("ingest", lines_to(folder / "w.jsonl", world), "--history", "--data", folder / "data")
    return folder / "data"


@pytest.fixture
def data(loaded: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(loaded, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    """Starts runs; none is left behind."""
    started: list[Run] = []

    def begin(data: Path, *args: str, **kwargs: Any) -> Run:
        started.append(Run(data, *args, **kwargs))
        return started[-1]

    yield begin
    for run in started:
        if run.process.poll() is None:
            run.kill()


def get(url: str) -> tuple[int, Any]:
    """Status and JSON of an address."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def in_the_middle(run: Run) -> dict[str, Any]:
    """The status of a run that is at work: it has folded something, and more waits."""

    def look() -> dict[str, Any] | None:
        assert run.process.poll() is None, run.said()
        status = read_status(run.data)
        mine = status is not None and status["pid"] == run.process.pid
        return status if mine and status["applied_records"] > 0 and status["lag_records"] > 0 else None

    found: dict[str, Any] = wait_until(look, "a run at work")
    return found


def test_it_is_ready_when_all_is_folded_and_says_why_it_is_not(data: Path, start: Callable[..., Run]) -> None:
    run = start(data, env={"CHANNEL_MONITOR_LIVE__LAG_READY_RECORDS": "1"})
    url = run.url
    status, told = get(url + "/readyz")
    assert (status, told["ready"]) == (503, False)
    assert told["reasons"]
    assert get(url + "/healthz")[0] == 200
    reasons: set[str] = set(told["reasons"])

    def ready() -> bool:
        status, told = get(url + "/readyz")
        reasons.update(told["reasons"])
        assert (status == 200) == told["ready"] == (not told["reasons"])
        return status == 200

    wait_until(ready, "readiness")
    assert any("recovered" in reason or "not folded yet" in reason for reason in reasons)
    wait_until(lambda: get(url + "/api/channels")[1], "channels")
    run.stop()
    assert read_status(data) is None


def test_a_signal_under_load_ends_it_at_once_and_saves_its_work(
    data: Path, start: Callable[..., Run], tmp_path: Path
) -> None:
    run = start(data, env={"CHANNEL_MONITOR_LIVE__CHECKPOINT_INTERVAL_S": "60"})
    before = in_the_middle(run)
    began = time.monotonic()
    run.stop()
    assert time.monotonic() - began < 5
    with EmbeddedLog.open(data, read_only=True) as log:
        assert sum(log.headers().values()) >= before["applied_records"]
    assert records_behind(data) > 0
    again = start(data)
    again.wait_folded()
    again.process.send_signal(signal.SIGINT)
    again.process.communicate(timeout=10)
    assert again.process.returncode == 0, again.said()
    assert_equals_replay(data, tmp_path / "compared")


def test_a_second_run_is_refused(data: Path, start: Callable[..., Run]) -> None:
    first = start(data)
    in_the_middle(first)
    done = subprocess.run(
        [*PROGRAM, "run", "--data", str(data), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": SOURCE},
        check=False,
    )
    assert done.returncode == 1
    assert (
        f"Another `run` (process {first.process.pid}) works on {data}; stop it, or give another --data." in done.stderr
    )
    assert "Traceback" not in done.stderr
    first.wait_folded()
    first.stop()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--feed", "nowhere.jsonl"], 2, "nowhere.jsonl"),
        (["--host", "0.0.0.0"], 2, "ACCESS_TOKEN"),
        (["--port", "99999"], 2, "--port"),
        (["--data", __file__], 2, "is a file"),
    ],
)
def test_wrong_use_ends_with_status_two(tmp_path: Path, args: list[str], code: int, said: str) -> None:
    done = subprocess.run(
        [*PROGRAM, "run", *args],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": SOURCE},
        check=False,
    )
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert not (tmp_path / "data").exists()


def test_what_is_ingested_is_folded_within_a_second(data: Path, start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(data)
    url = run.url
    run.wait_folded()
    waits = []
    for i in range(5):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body = {"parcel_id": f"N{i}", "destination": "RU", "product": "tablet", "carrier": "post"}
        event = {"specversion": "1.0", "id": f"n{i}", "source": "t", "type": "parcel.registered.v1", "time": now}
        lines_to(tmp_path / "n.jsonl", [json.dumps({**event, "subject": f"N{i}", "data": body}).encode()])
        verb("ingest", tmp_path / "n.jsonl", "--data", data)
        began = time.monotonic()
        wait_until(lambda: records_behind(data) == 0, "the event folded and saved")
        waits.append(time.monotonic() - began)
        assert get(f"{url}/api/parcels/N{i}")[1]["state"] == "in_flight"
    assert max(waits) < 1, waits
    run.stop()
    assert {f"N{i}" for i in range(5)} <= {name for part in saved(data).parcels for name in part}


def test_a_backup_taken_under_load_becomes_the_same_monitor(
    data: Path, start: Callable[..., Run], tmp_path: Path
) -> None:
    with EmbeddedLog.open(data, read_only=True) as log:
        with_tick = log.end_offset("events", 0) + 1
        run = start(data)
        in_the_middle(run)
        wait_until(lambda: log.end_offset("events", 0) == with_tick, "the tick of now")  # the last thing appended
    verb("backup", "--out", tmp_path / "copy", "--data", data)
    run.wait_folded()
    run.stop()
    verb("restore", tmp_path / "copy", "--data", tmp_path / "restored")
    for name in ("data", "restored"):
        verb("export", "events", "--out", tmp_path / f"{name}.jsonl", "--data", tmp_path / name)
    assert (tmp_path / "data.jsonl").read_bytes() == (tmp_path / "restored.jsonl").read_bytes()
    again = start(tmp_path / "restored")
    again.wait_folded()
    again.stop()
    ours = assert_equals_replay(tmp_path / "restored", tmp_path / "compared1")
    assert ours == assert_equals_replay(data, tmp_path / "compared2")


@pytest.mark.slow
def test_a_log_cut_by_a_power_failure_is_folded_to_what_it_still_says(
    data: Path, start: Callable[..., Run], tmp_path: Path
) -> None:
    run = start(data, env={"CHANNEL_MONITOR_LIVE__CHECKPOINT_INTERVAL_S": "0.1"})
    wait_until(lambda: (in_the_middle(run)["checkpoints"]) > 3, "some checkpoints")
    run.kill()
    wal = (data / "log.sqlite3-wal").stat().st_size
    assert wal > 100_000
    random_ = random.Random(8)
    positions = set()
    for i in range(4):
        torn = tmp_path / f"torn{i}"
        shutil.copytree(data, torn)
        with (torn / "log.sqlite3-wal").open("r+b") as content:
            content.truncate(random_.randrange(wal // 10, wal))
            content.seek(0, os.SEEK_END)
            content.write(random_.randbytes(random_.choice([0, 100, 5_000])))
        with EmbeddedLog.open(torn, read_only=True) as log:
            positions.add(sum(log.headers().values()))
        again = start(torn)
        again.wait_folded()
        again.stop()
        assert_equals_replay(torn, tmp_path / f"compared{i}")
    assert len(positions) > 1, "all cuts fell behind the last checkpoint"


class _Limited:
    """No file of the run may grow beyond so many bytes, as with ``ulimit -f``; any user can do it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, run: Run) -> None:
        size = (run.data / "log.sqlite3-wal").stat().st_size
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (size + 4096, resource.RLIM_INFINITY))

    def make_room(self, run: Run) -> None:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, unlimited)


class _Disk:
    """A small file system, filled with ballast; only root can mount it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "disk"
        self.folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", str(self.folder)], check=True)

    def fill(self, run: Run) -> None:
        del run
        try:
            with (self.folder / "ballast").open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4096))
        except OSError:
            return

    def make_room(self, run: Run) -> None:
        del run
        (self.folder / "ballast").unlink()


@pytest.fixture(params=["ulimit", "disk"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_Limited | _Disk]:
    if request.param == "ulimit":
        yield _Limited(tmp_path)
        return
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system; the other variant needs none")
    disk = _Disk(tmp_path)
    yield disk
    subprocess.run(["umount", "-l", str(disk.folder)], check=True)


@pytest.mark.slow
def test_without_room_it_says_so_and_waits_and_nothing_is_lost(
    loaded: Path, room: _Limited | _Disk, start: Callable[..., Run], tmp_path: Path
) -> None:
    data = room.folder / "full"
    shutil.copytree(loaded, data)
    run = start(data, env={"CHANNEL_MONITOR_LIVE__CHECKPOINT_INTERVAL_S": "0.2"})
    url = run.url
    in_the_middle(run)
    room.fill(run)
    blocked = wait_until(lambda: (read_status(data) or {}).get("blocked"), "trouble", 20)
    assert "is full; nothing was lost. Free some space" in blocked
    status, told = get(url + "/readyz")
    assert status == 503
    assert any(reason.startswith("Checkpoints are blocked: ") and "is full" in reason for reason in told["reasons"])
    time.sleep(1.5)  # a retry in vain
    assert run.process.poll() is None
    room.make_room(run)
    run.wait_folded()
    wait_until(lambda: get(url + "/readyz")[0] == 200, "readiness")
    run.stop()
    assert_equals_replay(data, tmp_path / "compared")


@pytest.mark.slow
def test_memory_stays_as_it_is_while_the_log_grows_tenfold(
    world: list[bytes], data: Path, start: Callable[..., Run], tmp_path: Path
) -> None:
    run = start(data)
    run.wait_folded()
    file = lines_to(tmp_path / "w.jsonl", of_type(world, "parcel.scanned.v1"))
    sizes = []
    for _ in range(10):
        verb("ingest", file, "--history", "--data", data)
        run.wait_folded()
        sizes.append(_resident_bytes(run.process.pid))
    run.stop()
    with EmbeddedLog.open(data, read_only=True) as log:
        size = log.path.stat().st_size
    print(f"\nresident: {[round(one / MB) for one in sizes]} MB; the log has {size / MB:.0f} MB")
    assert sizes[-1] - sizes[1] < 25 * MB


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()
