"""The promises of a log, whichever log it is. Each test runs on every backend below."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from backends import (
    PARCELS,
    Backend,
    EmbeddedBackend,
    KafkaBackend,
    Worker,
    contribution,
    event,
    table,
    values,
)

from monitor.log.partition import key_hash, partition_of
from monitor.log.protocol import Log
from monitor.log.records import LogError, NewRecord, Shard, TableChange

FLEET = Shard("contributions", 0)
TIMEOUT_S = 120
BACKENDS: dict[str, Callable[[pytest.FixtureRequest], Backend]] = {
    "embedded": lambda ask: EmbeddedBackend(ask.getfixturevalue("tmp_path") / "data"),
    "kafka": lambda ask: KafkaBackend(ask.getfixturevalue("kafka"), ask.getfixturevalue("topic_prefix")),
}


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    made = BACKENDS[request.param](request)
    yield made
    made.close()


@pytest.fixture
def log(backend: Backend) -> Log:
    return backend.open()


@pytest.fixture
def worker(log: Log) -> Iterator[Worker]:
    """The owner of some shards."""
    made = Worker(log)
    for shard in (PARCELS, Shard("events", 1), FLEET):
        assert made.acquire(shard) == 0
    yield made
    made.close()


def offsets(log: Log, topic: str = "events", partition: int = 0) -> list[int]:
    return [record.offset for record in log.scan(topic, partition)]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def put(key: bytes, value: bytes | None = b"v", name: str = "t") -> TableChange:
    return TableChange(name, key, value)


def state(log: Log, shard: Shard = PARCELS) -> dict[tuple[str, bytes], bytes]:
    return table(list(log.changes(shard)))


# Order and offsets


def test_offsets_rise_in_the_order_of_the_records_of_each_partition(log: Log) -> None:
    a, b, c = log.append([event(b"a"), event(b"b", 3), event(b"c")])
    d, e = log.append([event(b"d", 3), event(b"e")])
    assert a < c < e
    assert b < d
    assert [(r.offset, r.value) for r in log.scan("events", 0)] == [(a, b"a"), (c, b"c"), (e, b"e")]
    assert [(r.offset, r.value) for r in log.scan("events", 3)] == [(b, b"b"), (d, b"d")]
    ends = [log.end_offset("events", p) for p in range(4)]
    assert ends == log.ends("events")
    assert ends[0] > e
    assert ends[3] > d
    assert ends[1:3] == [0, 0]
    assert [log.first_offset("events", p) for p in range(4)] == [0] * 4


def test_records_come_back_in_order_with_all_their_fields(log: Log) -> None:
    log.append([NewRecord("events", 2, b"\x00\xff", timestamp_us=-5, key=b"P1"), event(b"second", 2)])
    log.append([NewRecord("dead-letters", 0, b"", timestamp_us=1_700_000_000_123_456)])
    first, second = log.scan("events", 2)
    assert first == ("events", 2, first.offset, b"P1", b"\x00\xff", -5, False)
    assert (second.key, second.value) == (None, b"second")
    (letter,) = log.scan("dead-letters", 0)
    assert letter == ("dead-letters", 0, letter.offset, None, b"", 1_700_000_000_123_456, False)


def test_a_scan_begins_and_ends_where_it_is_told(log: Log) -> None:
    for tens in range(10):
        log.append([event(b"%04d" % i) for i in range(10 * tens, 10 * tens + 10)])
    places = offsets(log)
    assert len(places) == 100
    assert values(log, start=places[97]) == [b"0097", b"0098", b"0099"]
    assert values(log, start=places[99] + 1) == values(log, start=log.end_offset("events", 0)) == []
    assert values(log, start=10**9) == []
    assert [r.value for r in log.scan("events", 0, places[10], places[13])] == [b"0010", b"0011", b"0012"]
    assert list(log.scan("events", 0, places[10], places[10])) == []
    assert len(list(log.scan("events", 0, 0, 10**9))) == 100


def test_a_scan_ends_where_the_log_ended_at_the_call(backend: Backend, log: Log) -> None:
    log.append([event(b"before")])
    scan = log.scan("events", 0)
    backend.open().append([event(b"after")])
    assert [record.value for record in scan] == [b"before"]
    assert values(log) == [b"before", b"after"]


def test_a_call_with_a_record_that_cannot_be_written_writes_nothing(log: Log) -> None:
    for wrong in (event(b"not", 4), NewRecord("nowhere", 0, b"", timestamp_us=0)):
        with pytest.raises(LogError, match=f"no topic {wrong.topic} with a partition {wrong.partition}"):
            log.append([event(b"fine"), wrong])
    assert values(log) == []
    log.append([event(b"goes on")])
    assert values(log) == [b"goes on"]


def test_writers_in_several_processes_share_the_partitions_and_keep_their_order(backend: Backend) -> None:
    program = (
        "for i in range(40):\n"
        "    offsets = log.append([NewRecord('events', p, b'{name} %d' % i, timestamp_us=0) for p in (0, 0, 1)])\n"
        "    print(*offsets)\n"
    )
    log = backend.open()  # else the writers would create it together
    writers = [backend.start(program.replace("{name}", name)) for name in "abcd"]
    lines = [line for writer in writers for line in writer.communicate(timeout=TIMEOUT_S)[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    told = [[int(offset) for offset in line.split()] for line in lines]
    assert all(first < second for first, second, _ in told)
    assert sorted(offset for row in told for offset in row[:2]) == offsets(log)
    assert sorted(row[2] for row in told) == offsets(log, partition=1)
    found = values(log)
    assert len(found) == 320
    for name in b"abcd":  # what one writer wrote stays in its order, and the two records of a call together
        mine = [int(value.split()[1]) for value in found if value[0] == name]
        assert mine == [i for i in range(40) for _ in (0, 1)]


# Durability


def test_what_was_appended_is_there_after_reopening(backend: Backend) -> None:
    log = backend.open()
    log.append([event(b"kept")])
    log.close()
    log.close()  # twice does no harm
    assert values(backend.open()) == [b"kept"]


def test_no_acknowledged_record_is_lost_when_the_writer_is_killed(backend: Backend) -> None:
    program = (
        "i = 0\nlife = sys.stdin.readline().strip().encode()\n"
        "while True:\n"
        "    log.append([NewRecord('events', 0, b'%b %d' % (life, i), timestamp_us=0)])\n"
        "    print(i, flush=True)\n    i += 1\n"
    )
    log = backend.open()
    acknowledged: dict[int, int] = {}
    for life in range(3):
        writer = backend.start(program)
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(f"{life}\n")
        writer.stdin.flush()
        writer.stdout.readline()
        time.sleep(random.Random(life).uniform(0, 0.2))
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].splitlines()
        acknowledged[life] = max([0, *(int(line) for line in rest if line.isdigit())]) + 1

    def numbers(life: int) -> list[int]:
        return [int(value.split()[1]) for value in values(log) if value.startswith(b"%d " % life)]

    for life, count in acknowledged.items():
        # What a killed writer has left open may hide what others wrote behind it until it is given up.
        until(lambda: len(numbers(life)) >= count)  # noqa: B023
        assert numbers(life) == list(range(len(numbers(life))))


# Records that are made of what is there


def test_the_last_records_tell_how_far_a_partition_has_come(log: Log) -> None:
    assert log.last_records(0) == (0, [])
    for at_us in (100, 300):
        log.append([event(b"1", timestamp_us=at_us), event(b"2", timestamp_us=at_us + 100)])
    end, last = log.last_records(0)
    assert end == log.end_offset("events", 0)
    assert max(record.timestamp_us for record in last) == 400
    assert log.last_records(1) == (0, [])


def test_records_are_made_without_a_margin_at_first(log: Log) -> None:
    log.append([event(b"before", timestamp_us=700)])
    asked: list[int] = []

    def make(margin_us: int) -> list[NewRecord]:
        asked.append(margin_us)
        last_us = max(record.timestamp_us for record in log.last_records(0)[1])
        return [event(b"at %d" % last_us, p, timestamp_us=last_us, holds_until_us=last_us) for p in (0, 1)]

    first, second = log.append_made(make)
    assert asked == [0]
    assert (first, second) == (offsets(log)[-1], offsets(log, partition=1)[-1])
    assert values(log, partition=1) == [b"at 700"]


def test_nothing_is_written_when_no_records_are_made_or_making_them_fails(log: Log) -> None:
    def fail(_: int) -> list[NewRecord]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        log.append_made(fail)
    assert log.append_made(lambda _: []) == log.append([]) == []
    assert log.ends("events") == [0] * 4
    log.append([event(b"goes on")])
    assert values(log) == [b"goes on"]


def test_what_records_were_made_of_is_still_so_where_they_stand(backend: Backend) -> None:
    program = (
        "def make(margin_us):\n"
        "    _, last = log.last_records(2)\n"
        "    at_us = max((record.timestamp_us for record in last), default=0) + 1 + margin_us\n"
        "    return [NewRecord('events', 2, b'{}', timestamp_us=at_us, holds_until_us=at_us - 1)]\n"
        "for _ in range(15):\n"
        "    log.append_made(make)\n"
    )
    log = backend.open()
    writers = [backend.start(program) for _ in range(3)]
    for writer in writers:
        writer.communicate(timeout=TIMEOUT_S)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    stamps = [record.timestamp_us for record in log.scan("events", 2)]
    assert len(stamps) == 45
    assert all(before < after for before, after in pairwise(stamps))


# Finding again


def test_the_records_of_a_parcel_are_found_in_their_order(log: Log) -> None:
    def pack(number: int, *parcels: str) -> NewRecord:
        value = json.dumps([{"id": f"{number}", "subject": parcel} for parcel in parcels]).encode()
        keys = [key_hash(parcel) for parcel in parcels]
        return event(value, partition_of("P-7", log.partitions), index_keys=keys)

    log.append([pack(1, "P-7", "P-8", "P-7"), pack(2, "P-8")])
    log.append([pack(3, "P-9"), pack(4, "P-7")])
    found = list(log.find("P-7"))
    assert all(record.topic == "events" for record in found)
    numbers = [json.loads(record.value)[0]["id"] for record in found]
    assert [number for number in numbers if number in "14"] == ["1", "4"]
    assert numbers == sorted(numbers)
    assert [r for r in log.find("P-none") if b"P-none" in r.value] == []


def test_the_partition_of_a_key_never_changes() -> None:
    # Pinned: another function would cut every existing parcel off from its past, and other producers would disagree.
    # The hashes are those of Kafka's own tests of murmur2 (org.apache.kafka.common.utils.UtilsTest).
    published = {
        "21": -973932308,
        "foobar": -790332482,
        "a-little-bit-long-string": -985981536,
        "a-little-bit-longer-string": -1486304829,
        "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        "abc": 479470107,
    }
    for key, hashed in published.items():
        for partitions in (1, 4, 7, 64):
            assert partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions
    assert [partition_of(key, 4) for key in ("P-1", "P-2", "LX123456789CN", "包裹")] == [3, 3, 2, 0]
    assert key_hash("P-1") == -7605027396609460484
    assert -(2**63) <= min(map(key_hash, "abcdefgh")) < 0 < max(map(key_hash, "abcdefgh")) < 2**63


# State


def test_state_is_the_last_value_of_every_key_of_every_table_of_a_shard(log: Log, worker: Worker) -> None:
    other = Shard("events", 1)
    assert worker.write(changes=[put(b"a", b"1"), put(b"b", b"1"), put(b"a", b"else", "u")]) is None
    assert worker.write(changes=[put(b"a", b"2")]) is None
    assert worker.write(shard=other, changes=[put(b"a", b"of the other")]) is None
    assert worker.write(shard=FLEET, changes=[put(b"\x00\xff", b"of the fleet")]) is None
    assert worker.write(changes=[put(b"b", None), put(b"c", b"")]) is None
    assert state(log) == {("t", b"a"): b"2", ("u", b"a"): b"else", ("t", b"c"): b""}
    assert state(log, other) == {("t", b"a"): b"of the other"}
    assert state(log, FLEET) == {("t", b"\x00\xff"): b"of the fleet"}
    assert state(log, Shard("events", 2)) == {}
    assert table(worker.restore()) == state(log)


def test_a_follower_sees_later_changes_and_deletions(log: Log, worker: Worker) -> None:
    assert worker.write(changes=[put(key, b"1") for key in (b"a", b"b", b"c")]) is None
    seen = max(change.offset for change in log.changes(PARCELS))
    assert list(log.changes(PARCELS, seen)) == []
    assert worker.write(changes=[put(b"a", b"2"), put(b"b", None)]) is None
    later = list(log.changes(PARCELS, seen))
    assert [(change.key, change.value) for change in later] == [(b"a", b"2"), (b"b", None)]
    assert [change.offset for change in later] == sorted({change.offset for change in later})
    assert list(log.changes(PARCELS, later[-1].offset)) == []


def test_a_large_state_is_restored_in_parts(log: Log, worker: Worker) -> None:
    assert worker.write(changes=[put(b"%d" % i, b"1") for i in range(12_000)]) is None
    assert worker.write(changes=[put(b"%d" % i, None) for i in range(0, 12_000, 2)]) is None
    assert table(worker.restore()) == state(log) == {("t", b"%d" % i): b"1" for i in range(1, 12_000, 2)}


# Checkpoints


def test_a_checkpoint_is_outputs_values_and_position_together(backend: Backend) -> None:
    log = backend.open()
    log.append([event(b"x")] * 7)
    worker = Worker(log)
    assert worker.acquire() == 0
    incident = NewRecord("incidents", 0, b"I", key=b"I1", timestamp_us=-7)
    assert worker.write(5, outputs=[contribution(b"+1"), incident, contribution(b"+2")], changes=[put(b"k")]) is None
    worker.close()
    log.close()
    log = backend.open()
    assert values(log, "contributions") == [b"+1", b"+2"]
    assert [r[3:] for r in log.scan("incidents", 0)] == [(b"I1", b"I", -7, False)]
    assert state(log) == {("t", b"k"): b"v"}
    assert log.headers() == {PARCELS: 5}
    successor = Worker(log)
    assert successor.acquire() == 5
    assert table(successor.restore()) == state(log)
    successor.close()


@pytest.mark.parametrize(
    ("outputs", "changes", "message"),
    [
        ([NewRecord("no-such-topic", 0, b"", timestamp_us=0)], [put(b"k")], "no topic no-such-topic"),
        ([], [put(b"k"), TableChange("t", b"l", object())], ""),  # type: ignore[arg-type]
        ([event(b"made up")], [put(b"k")], "only what came from outside"),
    ],
    ids=["an unknown topic", "no bytes", "the log of record"],
)
def test_a_checkpoint_that_fails_leaves_nothing_behind(
    log: Log, worker: Worker, outputs: list[NewRecord], changes: list[TableChange], message: str
) -> None:
    error = worker.write(5, outputs=[contribution(b"+1"), *outputs], changes=changes)
    assert isinstance(error, LogError)
    assert message in str(error)
    assert (values(log), values(log, "contributions"), state(log), log.headers()) == ([], [], {}, {})
    assert worker.write(6, outputs=[contribution(b"+2")]) is None
    assert (values(log, "contributions"), state(log), log.headers()) == ([b"+2"], {}, {PARCELS: 6})


def test_work_of_another_generation_is_refused(log: Log, worker: Worker) -> None:
    error = worker.write(5, outputs=[contribution(b"+1")], changes=[put(b"k")], generation="of the past")
    assert "another generation" in str(error)
    assert (values(log, "contributions"), state(log), log.headers()) == ([], {}, {})


def test_everyone_who_opens_the_log_reads_the_same_generation(backend: Backend, log: Log, worker: Worker) -> None:
    assert log.generation
    assert backend.open().generation == worker.store.generation == log.generation


def test_a_killed_process_leaves_whole_checkpoints_only(backend: Backend) -> None:
    program = (
        "shard = Shard('events', 0)\n"
        "async def main():\n"
        "    n = await store.acquire(shard)\n"
        "    while True:\n"
        "        n += 1\n"
        "        outputs = [NewRecord('contributions', 0, b'%d' % n, timestamp_us=0)]\n"
        "        changes = [TableChange('t', b'%d' % k, b'%d' % n) for k in range(20)]\n"
        "        failed = await store.write([Checkpoint(log.generation, shard, outputs, changes, n)])\n"
        "        assert not failed, failed\n"
        "        if n % 10 == 0: print(n, flush=True)\n"
        "asyncio.run(main())\n"
    )
    log = backend.open()
    log.append([event(b"x")] * 10_000)
    for seed in range(4):
        process = backend.start(program)
        assert process.stdout is not None
        acknowledged = int(process.stdout.readline())
        time.sleep(random.Random(seed).uniform(0, 0.1))
        process.kill()
        told = process.communicate()[0].splitlines()
        acknowledged = max([acknowledged, *(int(line) for line in told if line.isdigit())])
        successor = Worker(log)
        n = successor.acquire()
        assert n >= acknowledged
        assert values(log, "contributions") == [b"%d" % i for i in range(1, n + 1)]
        assert table(successor.restore()) == {("t", b"%d" % k): b"%d" % n for k in range(20)}
        assert log.headers() == {PARCELS: n}
        successor.close()


# How much is left to fold


def test_no_record_waits_exactly_when_all_are_folded(log: Log, worker: Worker) -> None:
    assert log.waiting(PARCELS, 0) == 0
    log.append([event(b"a"), event(b"b")])
    log.append([event(b"c")])
    first, second, third = offsets(log)
    assert log.waiting(PARCELS, 0) >= log.waiting(PARCELS, second) >= log.waiting(PARCELS, third) >= 1
    assert log.waiting(PARCELS, 0) >= 3
    assert log.waiting(PARCELS, third + 1) == log.waiting(PARCELS, log.end_offset("events", 0)) == 0
    assert worker.write(3, outputs=[contribution(b"+1"), contribution(b"+2")]) is None
    assert log.waiting(FLEET, 0) >= 2
    worker.trim(FLEET, offsets(log, "contributions")[-1] + 1)
    assert log.waiting(FLEET, 0) == 0
    assert first == 0


# Retention


def test_trimmed_records_are_gone_and_offsets_go_on(log: Log, worker: Worker) -> None:
    assert worker.write(1, outputs=[contribution(b"%d" % i) for i in range(12_000)]) is None
    places = offsets(log, "contributions")
    worker.trim(FLEET, places[11_998])
    assert values(log, "contributions")[-2:] == [b"11998", b"11999"]
    assert log.first_offset("contributions", 0) <= places[11_998]
    assert log.end_offset("contributions", 0) > places[-1]
    worker.trim(FLEET, 10**9)
    assert worker.write(2, outputs=[contribution(b"next")]) is None
    assert values(log, "contributions")[-1] == b"next"
    assert offsets(log, "contributions")[-1] > places[-1]  # an offset is never used twice


def test_the_log_of_record_is_never_trimmed(log: Log, worker: Worker) -> None:
    log.append([event(b"truth")])
    with pytest.raises(LogError, match="never trimmed"):
        worker.trim(PARCELS, 1)
    assert values(log) == [b"truth"]


# One moment


def test_what_is_read_in_a_snapshot_is_of_one_moment(backend: Backend, log: Log, worker: Worker) -> None:
    log.append([event(b"a"), NewRecord("dead-letters", 0, b"a", timestamp_us=0)])
    assert worker.write(1, outputs=[contribution(b"a")], changes=[put(b"k", b"a")]) is None
    reader = backend.open()

    def read() -> list[object]:
        return [
            *(values(reader, topic) for topic in ("events", "contributions", "dead-letters")),
            *(reader.ends(topic) for topic in ("events", "contributions", "dead-letters")),
            state(reader),
            reader.headers(),
            reader.generation,
        ]

    before = read()
    with reader.snapshot():
        assert reader.ends("events") == log.ends("events")
        log.append([event(b"b"), event(b"b", 1), NewRecord("dead-letters", 0, b"b", timestamp_us=0)])
        assert worker.write(2, outputs=[contribution(b"b")], changes=[put(b"k", b"b")]) is None
        assert read() == before
        with reader.snapshot():
            assert read() == before
        assert read() == before
    after = read()
    assert after[0] == after[1] == after[2] == [b"a", b"b"]
    assert after[6:8] == [{("t", b"k"): b"b"}, {PARCELS: 2}]
