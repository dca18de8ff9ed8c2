"""Speed on a real Kafka, beside other ways to read the same topic: ``make bench PYTEST_ARGS='-s -k kafka'``.

Everything is measured in one run on one broker, and in turns, so that a busy machine is busy for all; medians are told,
and the ratio of the monitor to each. The sizes are set by the environment: ``BENCH_EVENTS`` (300,000), ``BENCH_ROUNDS``
(3) and ``BENCH_PARCELS`` (100,000; the aim is for 1,000,000).

A contender does far less than the monitor (see ``contenders/task.py``). It reads packs, as the monitor writes them, and
a topic with an event a record. One that cannot be installed or does not work here is told with the reason.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import contending
import live_news
import numpy as np
import pytest
from contending import ON_PACKS, ON_SINGLES, Contender, NotThere, Ran
from kafka_cluster import KafkaCluster
from kafka_program import Place, Worker
from live_news import NotingLog, Watcher, news, send_packed, send_singly
from made_state import copies, write_state
from profiling import Profiler

from monitor.log.kafka import KafkaLog
from monitor.log.topics import EVENTS
from monitor.replay.simulate import write_world

pytestmark = [pytest.mark.bench, pytest.mark.kafka, pytest.mark.timeout(7_200)]

SIZE = int(os.environ.get("BENCH_EVENTS", "300000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PARCELS = int(os.environ.get("BENCH_PARCELS", "100000"))
EVENTS_A_DAY = 1_880  # of a quiet world of 20 channels
LIVE_S = 20.0
LEAST_PAUSE_S = 0.03
MB = 1 << 20
OURS = "channel-monitor, one worker"
LINES: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def lines() -> Iterator[None]:
    """Prints what was measured."""
    yield
    print("\n\n" + "\n".join(LINES))


@pytest.fixture(scope="module")
def broker(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One broker, that is not taken for dead when the machine is busy."""
    with KafkaCluster(tmp_path_factory.mktemp("kafka"), overrides={"broker.session.timeout.ms": 60_000}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def packs(broker: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A log with history that ends today, as ``ingest --history`` makes it: what a shop begins with."""
    folder = tmp_path_factory.mktemp("packs")
    days = max(7, round(SIZE / EVENTS_A_DAY))
    file = folder / "events.jsonl"
    write_world("quiet", 1, file, days=days, channels=20, start=datetime.now(UTC).date() - timedelta(days))
    place = Place(broker, "packs-", folder)
    took_s = place.fill(file)
    LINES.append(
        f"{place.events:,} events, {place.event_bytes / MB:,.0f} MB of JSON in {place.records:,} records; ingested at "
        f"{place.events / took_s:,.0f} events/s"
    )
    return place


@pytest.fixture(scope="module")
def singles(packs: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same events, each a record of its own."""
    place = Place(packs.cluster, "singles-", tmp_path_factory.mktemp("singles"))
    place.fill_singly(packs)
    return place


# --- throughput -----------------------------------------------------------------------------------


def fold(place: Place) -> Ran:
    """Fold what is to be folded of a log with one worker."""
    with Worker(place) as worker, place.open() as log:
        wall_s, cpu_s, main_s = worker.wait_folded(log)
    return Ran(wall_s, cpu_s, worker.startup_s, main_s=main_s)


def contend(contender: Contender, place: Place, scratch: Path) -> Ran:
    """Let a contender read the events of a log."""
    return contending.run(
        contender,
        scratch,
        bootstrap=place.cluster.bootstrap,
        topic=f"{place.prefix}{EVENTS}",
        partitions=4,
        events=place.events,
    )


def in_turns(place: Place, contenders: Iterable[Contender], scratch: Path) -> dict[str, list[Ran] | NotThere]:
    """Everybody's runs; of one that does not work, why."""
    ran: dict[str, list[Ran] | NotThere] = {OURS: []}
    folders = (scratch / f"{place.prefix}{i}" for i in itertools.count())
    for _ in range(ROUNDS):
        ours = ran[OURS]
        assert isinstance(ours, list)
        place.forget()
        ours.append(fold(place))
        for contender in contenders:
            runs = ran.setdefault(contender.name, [])
            if isinstance(runs, list):
                try:
                    runs.append(contend(contender, place, next(folders)))
                except NotThere as error:
                    ran[contender.name] = error
    return ran


def tell(title: str, events: int, ran: dict[str, list[Ran] | NotThere], load: list[float]) -> None:
    """The table of one topic. The ratios are of medians: how many times as fast as the other the monitor is."""
    LINES.append(f"\n{title}, {ROUNDS} rounds, load average {min(load):.1f} to {max(load):.1f}:")
    LINES.append(f"  {'':<38}{'events/s':>10} {'least and most':>21} {'per CPU s':>11} {'start-up':>9}  the monitor is")
    ours = ran[OURS]
    assert isinstance(ours, list)
    rate = statistics.median(events / run.wall_s for run in ours)
    per_cpu = statistics.median(events / run.cpu_s for run in ours)
    for name, runs in ran.items():
        if isinstance(runs, NotThere):
            LINES.append(f"  {name:<38}{runs}")
            continue
        rates = sorted(events / run.wall_s for run in runs)
        of_cpu = statistics.median(events / run.cpu_s for run in runs)
        line = f"  {name:<38}{statistics.median(rates):>10,.0f} {f'{rates[0]:,.0f} … {rates[-1]:,.0f}':>21} "
        line += f"{of_cpu:>11,.0f} {statistics.median(run.startup_s for run in runs):>7.1f} s"
        if name != OURS:
            line += f"  ×{rate / statistics.median(rates):.2f} by the wall, ×{per_cpu / of_cpu:.2f} by CPU"
        LINES.append(line)
    alone = statistics.median(events / run.main_s for run in ours if run.main_s)
    LINES.append(f"  The monitor's main thread folds {alone:,.0f} events per second of its own CPU time.")


@pytest.mark.parametrize("topic", ["packs", "singles"])
def test_throughput_beside_others(topic: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    place: Place = request.getfixturevalue(topic)
    load = [os.getloadavg()[0]]
    ran = in_turns(place, ON_PACKS if topic == "packs" else ON_SINGLES, tmp_path)
    load.append(os.getloadavg()[0])
    title = "Packs of up to 200 events" if topic == "packs" else "One event a record"
    tell(title, place.events, ran, load)
    digests = {run.digest for runs in ran.values() if isinstance(runs, list) for run in runs} - {None}
    assert len(digests) <= 1, "the contenders disagree"


# --- what is written ------------------------------------------------------------------------------


def tell_written(what: str, written: dict[str, tuple[int, int]], events: int, event_bytes: int) -> None:
    """Bytes of keys and values that the folds wrote, beside those they read."""
    total = sum(size for _, size in written.values())
    LINES.append(f"\n{what}: {total / event_bytes:.2f} bytes written per byte of input ({event_bytes / MB:,.1f} MB)")
    for name, (records, size) in written.items():
        LINES.append(
            f"  {name:<38}{size / MB:>8,.1f} MB in {records:>9,} records, {size / event_bytes:.2f} a byte, "
            f"{size / max(records, 1):,.0f} bytes a record, {records / events:.2f} records an event"
        )


def test_bytes_written(packs: Place) -> None:
    fold(packs)  # nothing, if it is folded already
    with packs.open() as log:
        tell_written("Folding history", packs.written(log), packs.events, packs.event_bytes)
        sizes = packs.sizes(log)
    derived = sum(size for name, size in sizes.items() if name != EVENTS)
    LINES.append(
        f"  on disk, compressed: {derived / MB:,.1f} MB for {sizes[EVENTS] / MB:,.1f} MB of events, "
        f"{derived / sizes[EVENTS]:.2f} a byte"
    )


# --- where the time goes --------------------------------------------------------------------------


def test_where_the_time_goes(packs: Place, tmp_path: Path) -> None:
    packs.forget()
    try:
        with Worker(packs) as worker, packs.open() as log:
            with Profiler(worker.process.pid, tmp_path) as profiler:
                worker.wait_folded(log)
            shares = profiler.shares()
    except NotThere as error:
        LINES.append(f"\nWhere a worker's time goes: {error}")
        return
    LINES.append("\nWhere a worker's time goes, by samples of its threads:")
    LINES.extend(f"  {part:<45}{share:>7.1%}" for part, share in shares)


# --- recovery -------------------------------------------------------------------------------------


def test_recovery(packs: Place, tmp_path: Path) -> None:
    fold(packs)
    place = Place(packs.cluster, "recovery-", tmp_path)
    with place.open(create=True) as log:
        asyncio.run(write_state(log, copies(packs, PARCELS)))
        written = place.written(log)["state of the parcel fold"]
    with Worker(place) as worker:
        peak = worker.peak_bytes()
    assert worker.entries >= PARCELS
    LINES.append(
        f"\nRecovery of {PARCELS:,} parcels ({written[1] / MB:,.0f} MB): {worker.startup_s:.1f} s from start to ready, "
        f"{worker.used_s:.1f} s of CPU, {peak / MB:,.0f} MB of memory at most"
    )


# --- latency --------------------------------------------------------------------------------------


@pytest.mark.parametrize("send", [send_packed, send_singly])
def test_latency(packs: Place, send: Callable[[KafkaLog, list[tuple[str, bytes]]], None]) -> None:
    """Steady news to a worker that has the state of the history; a batch is what is due once the last is appended."""
    fold(packs)
    stream, sent = news(), 0
    with Worker(packs) as worker, packs.open(create=True, kind=NotingLog) as log:
        assert isinstance(log, NotingLog)
        worker.wait_folded(log)
        since = packs.ends(log)
        watcher = Watcher(packs)
        watcher.start()
        used_s, began = worker.cpu_s(), time.perf_counter()
        while (elapsed_s := time.perf_counter() - began) < LIVE_S:
            if due := int(elapsed_s * live_news.RATE) - sent:
                send(log, list(itertools.islice(stream, due)))
                sent += due
            time.sleep(LEAST_PAUSE_S)
        took_s = time.perf_counter() - began
        worker.wait_folded(log)
        used_s = worker.cpu_s() - used_s
        time.sleep(0.5)  # the watcher has seen the last checkpoint by then
        watcher.stop()
        written = packs.written(log, since)
        noted, event_bytes = log.noted, log.appended_bytes
    late_s = watcher.latencies_s(noted)
    how = "packs of a batch" if send is send_packed else "one event a record"
    looks_s = np.diff([at for at, _ in watcher.seen])
    LINES.append(
        f"\nLatency, {how}, {len(late_s) / took_s:,.0f} events/s for {took_s:.0f} s, append returned to in a "
        f"checkpoint: p50 {np.quantile(late_s, 0.5):.2f} s, p99 {np.quantile(late_s, 0.99):.2f} s, most "
        f"{late_s.max():.2f} s (a look each {np.median(looks_s):.2f} s); {used_s / took_s:.0%} of a core"
    )
    tell_written(f"Folding news, {how}", written, len(late_s), event_bytes)
