"""What the state of shards on Kafka promises: one owner, whole checkpoints, a position that is found again."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator

import pytest
from backends import PARCELS, KafkaBackend, Worker, contribution, event, table, values
from kafka.admin import ConfigResource, ConfigResourceType
from kafka_cluster import KafkaCluster

from monitor.log.kafka import KafkaLog, KafkaState
from monitor.log.kafka.transactions import TransactionalProducer
from monitor.log.records import Checkpoint, FencedError, LogBusyError, LogError, NewRecord, Shard, TableChange

pytestmark = pytest.mark.kafka
FLEET = Shard("contributions", 0)


@pytest.fixture
def backend(kafka: KafkaCluster, topic_prefix: str) -> Iterator[KafkaBackend]:
    made = KafkaBackend(kafka, topic_prefix)
    yield made
    made.close()


@pytest.fixture
def log(backend: KafkaBackend) -> KafkaLog:
    return backend.open()


@pytest.fixture
def worker(log: KafkaLog) -> Iterator[Worker]:
    made = Worker(log)
    made.acquire()
    yield made
    made.close()


def put(key: bytes, value: bytes | None = b"v", name: str = "t") -> TableChange:
    return TableChange(name, key, value)


# Checkpoints


def test_a_checkpoint_is_outputs_values_and_position_together(backend: KafkaBackend, worker: Worker) -> None:
    incident = NewRecord("incidents", 0, b"I", key=b"I1", timestamp_us=-7)
    assert (
        worker.write(7, outputs=[contribution(b"+1"), incident], changes=[put(b"k"), put(b"k", b"w", "other")]) is None
    )
    worker.close()
    log = backend.open()
    assert values(log, "contributions") == [b"+1"]
    assert [(r.key, r.value, r.timestamp_us, r.foreign) for r in log.scan("incidents", 0)] == [(b"I1", b"I", -7, False)]
    assert table(list(log.changes(PARCELS))) == {("t", b"k"): b"v", ("other", b"k"): b"w"}
    assert log.headers() == {PARCELS: 7}
    successor = Worker(log)
    log.append([event(b"x")] * 7)
    assert successor.acquire() == 7
    assert successor.restore() == list(log.changes(PARCELS))
    successor.close()


def test_shards_are_written_at_once_and_apart(log: KafkaLog) -> None:
    async def run() -> list[tuple[Checkpoint, LogError]]:
        store = KafkaState(log)
        shards = [*(Shard("events", p) for p in range(4)), FLEET]
        assert await asyncio.gather(*map(store.acquire, shards)) == [0] * 5
        work = [Checkpoint(store.generation, shard, [], [put(b"k")], i) for i, shard in enumerate(shards)]
        work[2] = Checkpoint("of another", shards[2], [], [put(b"k")], 2)
        failed = await store.write(work)
        assert log.headers() == {shard: i for i, shard in enumerate(shards) if i != 2}
        await store.close()
        return failed

    ((failed, error),) = asyncio.run(run())
    assert failed.shard == Shard("events", 2)
    assert "has begun another generation" in str(error)


@pytest.mark.parametrize(
    ("outputs", "changes", "message"),
    [
        ([NewRecord("no-such-topic", 0, b"", timestamp_us=0)], [put(b"k")], "no topic no-such-topic"),
        ([], [put(b"k"), put(b"l", object())], "not made of bytes"),  # type: ignore[arg-type]
        ([], [put(b"k"), put(b"l", b"x" * 9_000_000)], "does not take a record of this size"),
        ([event(b"made up")], [put(b"k")], "only what came from outside"),
    ],
)
def test_a_checkpoint_that_fails_leaves_nothing_behind(
    log: KafkaLog, worker: Worker, outputs: list[NewRecord], changes: list[TableChange], message: str
) -> None:
    error = worker.write(5, outputs=[contribution(b"+1"), *outputs], changes=changes)
    assert message in str(error)
    assert type(error) is LogError
    assert worker.write(6, outputs=[contribution(b"+2")]) is None
    assert (values(log, "contributions"), list(log.changes(PARCELS)), log.headers()) == ([b"+2"], [], {PARCELS: 6})


def test_large_values_and_many_changes_are_taken(log: KafkaLog, worker: Worker) -> None:
    changes = [put(b"large", b"x" * 7_000_000), *(put(b"%d" % i, b"y" * 400) for i in range(30_000))]
    assert worker.write(1, changes=changes) is None
    assert table(list(log.changes(PARCELS))) == {(name, key): value for name, key, value in changes}


def test_a_killed_worker_leaves_whole_checkpoints_only(backend: KafkaBackend, log: KafkaLog) -> None:
    program = (
        "from itertools import count\n"
        "async def main():\n"
        "    store = KafkaState(log)\n"
        "    for n in count(await store.acquire(Shard('events', 0)) + 1):\n"
        "        outputs = [NewRecord('contributions', 0, b'%d' % n, timestamp_us=0)]\n"
        "        changes = [TableChange('t', b'%d' % k, b'%d' % n) for k in range(50)]\n"
        "        failed = await store.write([Checkpoint(store.generation, Shard('events', 0), outputs, changes, n)])\n"
        "        assert not failed, failed\n"
        "        print(n, flush=True)\n"
        "asyncio.run(main())\n"
    )
    log.append([event(b"x")] * 5_000)
    for pause_s in (0.0, 0.05, 0.11):
        killed = backend.start(program)
        assert killed.stdout is not None
        acknowledged = int(killed.stdout.readline())
        time.sleep(pause_s)
        killed.kill()
        acknowledged = max(acknowledged, *(int(line) for line in killed.communicate()[0].splitlines()), 0)
        successor = Worker(log)
        n = successor.acquire()  # does not wait until the brokers give up what was open
        assert n >= acknowledged
        assert table(successor.restore()) == {("t", b"%d" % k): b"%d" % n for k in range(50)}
        successor.close()
        assert values(log, "contributions") == [b"%d" % i for i in range(1, n + 1)]


# Owners


def test_who_takes_a_shard_over_shuts_the_last_owner_out(backend: KafkaBackend, worker: Worker) -> None:
    assert worker.write(1, changes=[put(b"k", b"first")]) is None
    successor = Worker(backend.open())
    worker.log.append([event(b"x")] * 9)
    assert successor.acquire() == 1
    error = worker.write(2, outputs=[contribution(b"late")], changes=[put(b"k", b"late")])
    assert isinstance(error, FencedError)
    assert isinstance(worker.write(2), FencedError)
    assert successor.write(2, changes=[put(b"k", b"second")]) is None
    assert table(list(worker.log.changes(PARCELS))) == {("t", b"k"): b"second"}
    assert values(worker.log, "contributions") == []
    worker.log.append([event(b"x")] * 2)
    assert worker.acquire() == 2  # and back again
    assert isinstance(successor.write(3), FencedError)
    successor.close()


def test_what_an_owner_left_open_is_given_up_when_the_shard_is_taken(log: KafkaLog, worker: Worker) -> None:
    worker.write(1, changes=[put(b"k", b"kept")])
    log.append([event(b"x")] * 9)
    owner = worker.store._owned[PARCELS]
    owner.begin()
    state, partition = log.state_of(PARCELS, log.generation)
    for i in range(1_000):
        owner.produce(state, partition, b"t\0%d" % i, b"open")
    owner.flush()
    successor = Worker(log)
    assert successor.acquire() == 1
    assert table(successor.restore()) == {("t", b"k"): b"kept"}
    assert log.headers() == {PARCELS: 1}  # found behind a thousand records that do not count
    successor.close()


def test_a_checkpoint_whose_outcome_got_lost_is_looked_up(
    log: KafkaLog, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = TransactionalProducer.commit

    def commit_and_break(producer: TransactionalProducer) -> None:
        commit(producer)
        producer.usable = False
        raise LogError("broke down after it")

    def break_only(producer: TransactionalProducer) -> None:
        producer.usable = False
        raise LogError("broke down before it")

    monkeypatch.setattr(TransactionalProducer, "commit", commit_and_break)
    assert worker.write(3, outputs=[contribution(b"once")]) is None
    monkeypatch.setattr(TransactionalProducer, "commit", break_only)
    error = worker.write(3, outputs=[contribution(b"twice")])
    assert isinstance(error, LogBusyError)
    assert values(log, "contributions") == [b"once"]
    monkeypatch.setattr(TransactionalProducer, "commit", commit)
    assert worker.write(3, outputs=[contribution(b"twice")]) is None
    assert values(log, "contributions") == [b"once", b"twice"]


def test_a_worker_whose_producer_broke_down_writes_nothing_after_another_has_written(
    log: KafkaLog, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.write(1, changes=[put(b"k", b"first")])
    log.append([event(b"x")] * 3)
    successor = Worker(log)
    assert successor.acquire() == 1
    assert successor.write(2, changes=[put(b"k", b"second")]) is None
    begin = TransactionalProducer.begin

    def break_down(producer: TransactionalProducer) -> None:
        producer.usable = False
        raise LogError("Local: Fatal error.")

    monkeypatch.setattr(TransactionalProducer, "begin", break_down)  # it does not say that it was shut out
    error = worker.write(3, changes=[put(b"k", b"out of date")])
    monkeypatch.setattr(TransactionalProducer, "begin", begin)
    assert isinstance(error, FencedError)
    assert "another worker has taken over and written (Local: Fatal error.)" in str(error)
    assert isinstance(worker.write(3), FencedError)
    assert table(list(log.changes(PARCELS))) == {("t", b"k"): b"second"}
    assert successor.acquire() == 2
    successor.close()


def test_a_producer_that_was_shut_out_in_the_middle_of_a_transaction_says_so(log: KafkaLog, worker: Worker) -> None:
    owner = worker.store._owned[PARCELS]
    state, partition = log.state_of(PARCELS, log.generation)
    owner.begin()
    successor = Worker(log)
    successor.acquire()

    def produce(seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            owner.produce(state, partition, b"t\0k", b"out of date")
            time.sleep(0.05)

    with pytest.raises(FencedError, match="another worker has taken over"):
        produce()
    assert not owner.usable
    successor.close()


def test_a_shard_that_was_given_up_is_not_written(worker: Worker) -> None:
    asyncio.run(worker.store.release(PARCELS))
    assert isinstance(worker.write(1), FencedError)
    assert isinstance(worker.write(1, shard=Shard("events", 1)), FencedError)


def test_a_state_of_more_records_than_there_are_is_refused(backend: KafkaBackend, worker: Worker) -> None:
    worker.write(5)
    with pytest.raises(LogError, match=r"of 5 records, but there are only 0.*run --rebuild"):
        Worker(backend.open()).acquire()


# Following


def test_a_follower_sees_later_changes_and_deletions(log: KafkaLog, worker: Worker) -> None:
    worker.write(1, changes=[put(key, b"1") for key in (b"a", b"b", b"c")])
    seen = max(change.offset for change in log.changes(PARCELS))
    worker.write(2, changes=[put(b"a", b"2"), put(b"b", None)])
    assert [(c.key, c.value) for c in log.changes(PARCELS, seen)] == [(b"a", b"2"), (b"b", None)]
    seen = max(change.offset for change in log.changes(PARCELS))
    assert list(log.changes(PARCELS, seen)) == []


def test_a_follower_who_was_away_too_long_is_told(
    log: KafkaLog, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.write(1, changes=[put(b"a")])
    seen = max(change.offset for change in log.changes(PARCELS))
    worker.write(2, changes=[put(b"a", None)])
    in_a_week = time.time() + 7 * 86_400
    monkeypatch.setattr("monitor.log.kafka.states.time.time", lambda: in_a_week)
    with pytest.raises(LogError, match="forgotten deletions since"):
        log.changes(PARCELS, seen)
    assert [change.key for change in log.changes(PARCELS)] == [b"a", b"a"]
    seen = max(change.offset for change in log.changes(PARCELS))
    assert list(log.changes(PARCELS, seen)) == []  # where nothing has happened since, nothing is forgotten


def test_a_snapshot_never_shows_a_state_ahead_of_its_outputs(backend: KafkaBackend, worker: Worker) -> None:
    ended = threading.Event()
    failures: list[LogError] = []

    def write() -> None:
        for n in range(1, 100_000):
            if ended.is_set():
                return
            error = worker.write(n, outputs=[contribution(b"%d" % n)], changes=[put(b"n", b"%d" % n)])
            failures.extend([error] if error else [])

    thread = threading.Thread(target=write)
    thread.start()
    log = backend.open()
    for _ in range(40):
        with log.snapshot():
            position = log.headers().get(PARCELS, 0)
            state = table(list(log.changes(PARCELS)))
            outputs = values(log, "contributions")
        assert state.get(("t", b"n"), b"0") == b"%d" % position
        assert len(outputs) >= position
    ended.set()
    thread.join()
    assert failures == []
    assert log.headers()[PARCELS] > 40


# Size


def test_a_state_whose_keys_come_and_go_is_compacted_and_stays_right(
    backend: KafkaBackend, log: KafkaLog, worker: Worker
) -> None:
    state, _ = log.state_of(PARCELS, log.generation)
    quick = {"segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"}
    with backend.cluster.admin() as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, state, quick)])
    noise = random.Random(1).randbytes(1 << 20)  # nothing that can be compressed
    expected: dict[tuple[str, bytes], bytes] = {}
    for n in range(1, 60):
        changes = [put(b"%d" % i, noise[(i * n * 400) % (1 << 19) :][:400]) for i in range(500)]
        changes += [put(b"gone %d %d" % (n, i), b"x" * 50) for i in range(100)]
        changes += [put(b"gone %d %d" % (n - 1, i), None) for i in range(100)]
        assert worker.write(n, changes=changes) is None
        expected.update({("t", key): value for _, key, value in changes if value is not None})
        for _, key, value in changes:
            if value is None:
                expected.pop(("t", key), None)
    records = 59 * 700

    def kept() -> int:
        assert worker.write(60) is None
        return len(list(log.changes(PARCELS)))

    deadline = time.monotonic() + 60
    while kept() > records / 2 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert kept() <= records / 2
    assert table(list(log.changes(PARCELS))) == expected
    assert log.headers() == {PARCELS: 60}


def test_trimmed_contributions_are_gone_and_offsets_go_on(log: KafkaLog, worker: Worker) -> None:
    for first in (0, 100):
        assert worker.write(first, outputs=[contribution(b"%d" % i) for i in range(first, first + 100)]) is None
    worker.trim(FLEET, 150)
    assert log.first_offset("contributions", 0) == 150
    assert values(log, "contributions") == [b"%d" % i for i in range(149, 200)]  # offset 100 was a mark
    worker.trim(FLEET, 90)
    worker.trim(FLEET, -5)
    assert log.first_offset("contributions", 0) == 150
    worker.trim(FLEET, 10**9)
    assert values(log, "contributions") == []
    assert worker.write(200, outputs=[contribution(b"next")]) is None
    assert [(r.offset, r.value) for r in log.scan("contributions", 0)] == [(202, b"next")]
    with pytest.raises(LogError, match="never trimmed"):
        worker.trim(PARCELS, 1)


def test_a_generation_that_was_deleted_ends_its_worker(backend: KafkaBackend, worker: Worker) -> None:
    newer = backend.open("2")
    newer.generations.retire(newer.generation, keep=0)
    error = worker.write(1, changes=[put(b"k")])
    assert isinstance(error, LogError)
    assert not isinstance(error, LogBusyError)
