"""How fast the folds are, replayed and live, against a bare ``json.loads`` of the same file in the same run.

``make bench PYTEST_ARGS='-s -k throughput'`` prints the table. Bounds are loose: they catch a fall, not a busy machine.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

import monitor
from monitor.core import cells as c
from monitor.core.channel import KINDS, Channel, new_channel
from monitor.core.evidence import EXPECTED, SEEN
from monitor.core.fleet_header import FleetHeader
from monitor.core.judging import Judging
from monitor.core.params import Params
from monitor.core.vocabulary import DAY_US
from monitor.live.status import read_status
from monitor.log.embedded import EmbeddedLog
from monitor.log.records import Shard
from monitor.log.topics import CONTRIBUTIONS, EVENTS
from monitor.replay.simulate import write_world

pytestmark = pytest.mark.bench

PROGRAM = (sys.executable, "-m", "monitor")
ENV = {**os.environ, "PYTHONPATH": str(Path(monitor.__file__).parents[1])}
TABLE: list[tuple[str, str]] = []
MB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Prints what was measured."""
    yield
    width = max(len(name) for name, _ in TABLE)
    print("\n\n" + "\n".join(f"{name:<{width}}  {figure}" for name, figure in TABLE))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A file of about 100,000 events and their number."""
    path = tmp_path_factory.mktemp("world") / "events.jsonl"
    return path, write_world("quiet", 1, path, days=90, channels=20).events


@pytest.fixture(scope="module")
def bare(world: tuple[Path, int]) -> tuple[float, float]:
    """Events per second, by the wall and by CPU time, of reading the file and nothing else."""
    path, events = world
    wall, cpu = time.perf_counter(), time.process_time()
    with path.open("rb") as lines:
        for line in lines:
            json.loads(line)
    rates = events / (time.perf_counter() - wall), events / (time.process_time() - cpu)
    TABLE.append((f"json.loads of {events:,} events", f"{rates[0]:,.0f} events/s wall, {rates[1]:,.0f} CPU"))
    return rates


def say_rate(what: str, events: int, wall_s: float, cpu_s: float, bare: tuple[float, float]) -> None:
    wall, cpu = events / wall_s, events / cpu_s
    text = f"{wall:,.0f} events/s wall (1/{bare[0] / wall:.1f} of json.loads), {cpu:,.0f} CPU (1/{bare[1] / cpu:.1f})"
    TABLE.append((what, text))


#: The program, saying at its end how much memory it took at most. (A child's ``ru_maxrss`` begins with its parent's.)
_MEASURED = """
import atexit, sys
from pathlib import Path
def peak():
    kb = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print("PEAK", int(kb[0]) * 1024, file=sys.stderr)
atexit.register(peak)
"""


def run(*args: object) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak memory in bytes of a verb in a fresh process."""
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    program = _MEASURED + "from monitor.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *map(str, args)], env=ENV, capture_output=True, text=True)
    wall, more = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in (0, 1), done.stderr
    cpu = more.ru_utime + more.ru_stime - used.ru_utime - used.ru_stime
    return wall, cpu, int(done.stderr.rpartition("PEAK ")[2])


def test_throughput_of_a_replay(world: tuple[Path, int], bare: tuple[float, float], tmp_path: Path) -> None:
    path, events = world
    wall, cpu, peak = run("replay", path, "--out", tmp_path / "out")
    say_rate("replay, whole process", events, wall, cpu, bare)
    TABLE.append(("replay, peak memory", f"{peak / MB:,.0f} MB for a file of {path.stat().st_size / MB:,.0f} MB"))
    assert events / wall > 5_000


def behind(data: Path) -> int:
    with EmbeddedLog.open(data, create=False, read_only=True) as log, log.snapshot():
        headers = log.headers()
        sources = [*((EVENTS, p) for p in range(log.partitions)), (CONTRIBUTIONS, 0)]
        return sum(log.end_offset(*one) - headers.get(one, log.first_offset(*one)) for one in sources)


def cpu_of(pid: int) -> float:
    """CPU seconds a process has used."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def start(data: Path) -> tuple[subprocess.Popen[bytes], float]:
    """A `run` that has recovered its state, and how many seconds after its start."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [*PROGRAM, "run", "--data", str(data), "--port", "0"],
        env=ENV,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        assert process.poll() is None
        status = read_status(data) if data.is_dir() else None
        if status is not None and status["pid"] == process.pid and status["recovered"]:
            return process, time.perf_counter() - began
        time.sleep(0.01)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(20) == 0


def test_throughput_of_live_and_recovery(world: tuple[Path, int], bare: tuple[float, float], tmp_path: Path) -> None:
    path, events = world
    data = tmp_path / "data"
    wall, cpu, _ = run("ingest", path, "--history", "--data", data)
    say_rate("ingest, whole process", events, wall, cpu, bare)
    process, empty_s = start(data)
    began, used = time.perf_counter(), cpu_of(process.pid)
    while behind(data):
        time.sleep(0.02)
    wall, cpu = time.perf_counter() - began, cpu_of(process.pid) - used
    stop(process)
    say_rate("live, from ready until all is saved", events, wall, cpu, bare)
    process, full_s = start(data)
    with EmbeddedLog.open(data, read_only=True) as log:
        changes = (change for p in range(log.partitions) for change in log.changes(Shard(EVENTS, p)))
        entries = sum(change.table == "parcels" for change in changes)
    stop(process)
    text = f"{full_s:.2f} s from start to ready with {entries:,} parcels; {empty_s:.2f} s with none"
    TABLE.append(("recovery", text))
    assert events / wall > 2_000
    assert full_s < 20


_PARCELS = (
    _MEASURED
    + """
from datetime import UTC, datetime, timedelta
from monitor.core.events import to_us
from monitor.core.params import Params
from monitor.core.parcel_fold import ParcelFold
from monitor.live.folding import Header
from monitor.wire.decode import decode

fold = ParcelFold(Params(), {}, {}, Header())
line = ('{"specversion":"1.0","id":"%s","source":"/t","type":"%s","subject":"P%08d","time":"%s","data":{"parcel_id":'
        '"P%08d",%s}}')
begin = datetime(2026, 3, 1, tzinfo=UTC)
registered = '"destination":"RU","product":"tablet","carrier":"china-post","order_id":"O%08d","promised_days":30'
for i in range(int(sys.argv[1])):
    at = (begin + timedelta(seconds=i)).isoformat()
    events = [(f"r{i}", "parcel.registered.v1", registered % i)]
    events += [(f"{m}{i}", "parcel.scanned.v1", f'"milestone":"{m}","place":"Shenzhen {i % 50}"') for m in
               ("accepted", "origin_hub", "export_customs", "departed_origin")]
    for name, kind, data in events:
        raw = (line % (name, kind, i, at, i, data)).encode()
        event = decode(raw)
        fold.apply(event, to_us(event.time), raw, ("events", 0, i, 0))
    if i % 100 == 0:
        fold.take("g", 0, i)
"""
)


def test_memory_of_a_parcel_in_flight() -> None:
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", _PARCELS, str(n)], env=ENV, capture_output=True, check=True, text=True
            ).stderr.rpartition("PEAK ")[2]
        )
        for n in (10_000, 60_000)
    ]
    each = (peaks[1] - peaks[0]) / 50_000
    TABLE.append(("memory of a parcel in flight", f"{each:,.0f} bytes (a registration and four scans seen)"))
    assert each < 8_000


def believable(count: int, day: int, params: Params) -> tuple[list[str], list[Channel]]:
    """Channels in the middle of their life: some 30 parcels a day with a month of history in every clock."""
    random = np.random.default_rng(1)
    ages = params.age_cap_days + 2
    decay = np.exp(-np.arange(ages) / 9.0)
    names, channels = [], []
    for i in range(count):
        channel = new_channel(ages)
        channel.risk = random.poisson(30 * decay, size=(KINDS, ages)).astype(np.int64)
        channel.tally[1] = np.round(random.gamma(50.0, 20.0, size=(KINDS, 1)) * decay[:-1], 9)
        channel.tally[0] = np.round(channel.tally[1] * 0.11, 9)
        channel.judged_days = 90
        channel.life[c.REGISTERED << 40] = 2_700
        channel.evidence[SEEN] = channel.evidence[EXPECTED] = 100.0
        exits: dict[int, int] = {c.cell(c.ENTER + k, day): 30 for k in range(KINDS)}
        for k in range(KINDS):
            leaving = random.binomial(channel.risk[k, :40], 0.11)
            for age, n in enumerate(leaving.tolist()):
                if n:
                    exits[c.cell(c.EXIT + k, day - age, day)] = n
        channel.booked[day] = exits
        channels.append(channel)
        names.append(f"{chr(65 + i % 25)}{chr(65 + i // 25 % 2)}|product {i // 50 % 10}|carrier {i // 500}")
    order = sorted(range(count), key=names.__getitem__)
    return [names[i] for i in order], [channels[i] for i in order]


def closing(names: list[str], channels: list[Channel], day: int, params: Params) -> tuple[float, float, int]:
    """Seconds of wall and of CPU to close the tick that judges a day at midnight, and how many channels were judged."""
    state = dict(zip(names, channels, strict=True))
    header = FleetHeader(first_day=day - 120, seasoned=True, late_seasoned=True)
    judging = Judging(params, state, {}, {}, {}, header, lambda incident, is_news: None)
    at_us = (day + 1) * DAY_US
    wall, cpu = time.perf_counter(), time.process_time()
    judging.watch_feeds(at_us // params.tick_us, at_us, {})
    judging.watch_complaints(at_us)
    judging.judge(day, at_us)
    judging.watch_drift(range(day, day + 1), at_us)
    judging.pass_midnight(day + 1)
    judging.prune(day + 1)
    assert judging.judged is not None
    judged = int(judging.judged[2].judged.any(axis=1).sum())
    return time.perf_counter() - wall, time.process_time() - cpu, judged


@pytest.mark.parametrize("count", [2_000, 10_000])
def test_a_tick(count: int) -> None:
    params, day = Params(), 20_520
    names, channels = believable(count, day, params)
    closing(names[:10], deepcopy(channels[:10]), day, params)  # public holidays are worked out once a year
    hazards = np.full((count, KINDS, params.age_cap_days + 1), 0.1)
    pass_s = time.process_time()
    np.exp(hazards)
    pass_s = time.process_time() - pass_s
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu, judged = closing(names, channels, day, params)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert judged == count
    TABLE.append(
        (
            f"tick that judges a day of {count:,} channels",
            f"{wall:.2f} s wall, {cpu:.2f} s CPU, {cpu / pass_s:.0f} × one exp of all their hazards, +{more:,.0f} MB",
        )
    )
