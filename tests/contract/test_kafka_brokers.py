"""A log on Kafka whose brokers die, come back, stop for a while or hand over: what was confirmed is there once, and
nothing else is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backends import KafkaBackend, Worker, contribution, event, table, values
from kafka_cluster import KafkaCluster

from monitor.log.kafka import KafkaLog
from monitor.log.records import LogBusyError, NewRecord, Shard, TableChange

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
FLEET = Shard("contributions", 0)


class Appending:
    """Appends from several logs at once until it is told to end, and keeps book."""

    def __init__(self, backend: KafkaBackend, writers: int = 3) -> None:
        self.confirmed: dict[bytes, list[int]] = {}
        self.failed: set[bytes] = set()
        self.errors: list[BaseException] = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.append, args=(backend.open(), name)) for name in range(writers)]

    def __enter__(self) -> Appending:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def append(self, log: KafkaLog, name: int) -> None:
        n = 0
        while not self.ended.is_set():
            n += 1
            value = b"%d %d" % (name, n)
            try:
                self.confirmed[value] = log.append([event(value, p) for p in (0, 0, 1, 2)])
            except LogBusyError:
                self.failed.add(value)
            except BaseException as error:
                self.errors.append(error)
                raise

    def go_on(self, count: int = 20) -> None:
        """Wait until so many more have been confirmed."""
        goal = len(self.confirmed) + count
        deadline = time.monotonic() + 120
        while len(self.confirmed) < goal:
            assert time.monotonic() < deadline, "nothing is confirmed any more"
            time.sleep(0.05)

    def check(self, log: KafkaLog) -> None:
        """What was confirmed is there once, where it was said to be, and nothing else is."""
        assert self.errors == []
        log.reader.settled_ends([log.place_of("events", p) for p in range(4)])
        found = [{record.offset: record.value for record in log.scan("events", p)} for p in range(3)]
        for value, (first, second, third, fourth) in self.confirmed.items():
            assert [found[0].pop(first), found[0].pop(second), found[1].pop(third), found[2].pop(fourth)] == [value] * 4
        left = {value for part in found for value in part.values()}
        assert left & self.confirmed.keys() == set(), "written twice"
        assert left == set(), f"written, though it was said that they are not: {sorted(left & self.failed)}"


@pytest.fixture
def alone(kafka_jars: None, tmp_path: Path) -> Iterator[KafkaBackend]:
    """A broker of its own for a test that kills it."""
    with KafkaCluster(tmp_path / "kafka") as cluster:
        made = KafkaBackend(cluster, "alone-")
        yield made
        made.close()


@pytest.fixture
def backend(kafka3: KafkaCluster, topic_prefix: str) -> Iterator[KafkaBackend]:
    made = KafkaBackend(kafka3, topic_prefix)
    yield made
    made.close()


def test_a_broker_is_killed_and_comes_back_while_records_are_appended(alone: KafkaBackend) -> None:
    log = alone.open()
    with Appending(alone) as appending:
        for away_s in (0.0, 2.0, 5.0):
            appending.go_on()
            alone.cluster.kill(1)
            time.sleep(away_s)
            alone.cluster.restart(1)
        appending.go_on()
    appending.check(log)


def test_a_broker_stops_for_longer_than_a_transaction_may_last(alone: KafkaBackend) -> None:
    log = alone.open()
    with Appending(alone) as appending:
        appending.go_on()
        alone.cluster.pause(1)
        time.sleep(25)
        alone.cluster.resume(1)
        appending.go_on()
    appending.check(log)


def test_a_broker_that_stays_away_is_told_of_in_time(alone: KafkaBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    log = alone.open()
    log.append([event(b"before")])
    worker = Worker(log)
    worker.acquire()
    object.__setattr__(log.settings, "timeout_s", 2.0)
    alone.cluster.kill(1)
    began = time.monotonic()
    for call in (lambda: log.end_offset("events", 0), lambda: values(log), lambda: log.append([event(b"lost")])):
        with pytest.raises(LogBusyError, match="does not answer"):
            call()
    assert time.monotonic() - began < 60
    began = time.monotonic()
    worker.close()
    log.close()
    assert time.monotonic() - began < 5
    alone.cluster.restart(1)
    reopened = alone.open()
    reopened.reader.settled_ends([reopened.place_of("events", 0)])
    assert values(reopened) == [b"before"]


def in_turn(cluster: KafkaCluster, act: Callable[[int], None], between: Callable[[], None]) -> None:
    for broker in (1, 2, 3):
        between()
        act(broker)
        between()
        cluster.heal()
    between()


def test_every_broker_is_killed_in_turn_while_records_are_appended(backend: KafkaBackend) -> None:
    log = backend.open()
    with Appending(backend) as appending:
        in_turn(backend.cluster, backend.cluster.kill, appending.go_on)
    appending.check(log)


def test_partitions_get_other_leaders_while_records_are_appended(backend: KafkaBackend) -> None:
    log = backend.open()
    with Appending(backend) as appending:
        for partition in (0, 1, 2, 0):
            appending.go_on()
            backend.cluster.move_leader(log.layout.topic("events", ""), partition)
        appending.go_on()
    appending.check(log)


def test_every_broker_is_killed_in_turn_while_checkpoints_are_written(backend: KafkaBackend) -> None:
    log = backend.open()
    worker = Worker(log)
    worker.acquire()
    errors: list[str] = []
    written = 0
    ended = threading.Event()

    def write() -> None:
        nonlocal written
        while not ended.is_set():
            n = written + 1
            outputs = [contribution(b"%d" % n), NewRecord("incidents", 0, b"%d" % n, timestamp_us=0)]
            changes = [TableChange("t", b"%d" % k, b"%d" % n) for k in range(100)]
            error = worker.write(n, outputs=outputs, changes=changes)
            if error is None:
                written = n
            elif not isinstance(error, LogBusyError):
                errors.append(repr(error))
                return

    def go_on() -> None:
        goal, deadline = written + 20, time.monotonic() + 120
        while written < goal:
            assert time.monotonic() < deadline
            assert errors == []
            time.sleep(0.05)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        in_turn(backend.cluster, backend.cluster.kill, go_on)
    finally:
        ended.set()
        thread.join()
    assert errors == []
    with log.snapshot():
        expected = [b"%d" % n for n in range(1, written + 1)]
        assert values(log, "contributions") == values(log, "incidents") == expected
        assert table(list(log.changes(Shard("events", 0)))) == {("t", b"%d" % k): b"%d" % written for k in range(100)}
        assert log.headers() == {Shard("events", 0): written}
