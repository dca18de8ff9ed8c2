"""What a log on Kafka promises beyond what every log does: reading transactions, and appending while others append."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest
from backends import TIME_US, KafkaBackend, event, values
from kafka import KafkaProducer
from kafka_cluster import KafkaCluster
from made_events import registered, scanned

from monitor.core.events import to_us
from monitor.core.ordering import EffectiveClock
from monitor.log.appending import tick_event
from monitor.log.kafka import KafkaLog
from monitor.log.kafka.tails import Tails, reached
from monitor.log.kafka.transactions import TransactionalProducer
from monitor.log.partition import partition_of
from monitor.log.records import FencedError, LogBusyError, LogError, LogRecord, NewRecord
from monitor.wire.decode import decode

pytestmark = pytest.mark.kafka
TICK_US = 1_700_006_400_000_000


@pytest.fixture
def backend(kafka: KafkaCluster, topic_prefix: str) -> Iterator[KafkaBackend]:
    made = KafkaBackend(kafka, topic_prefix)
    yield made
    made.close()


@pytest.fixture
def log(backend: KafkaBackend) -> KafkaLog:
    return backend.open()


@pytest.fixture
def foreign(backend: KafkaBackend, log: KafkaLog) -> Iterator[Callable[..., int]]:
    """Sends records straight into ``events``, as a producer of another make; returns the partition."""
    with KafkaProducer(bootstrap_servers=backend.cluster.bootstrap) as producer:

        def send(value: bytes, key: str | None = None, **more: object) -> int:
            sent = producer.send(log.layout.topic("events", ""), value, key=key and key.encode(), **more)
            return int(sent.get(30).partition)

        yield send


def raw(**members: object) -> bytes:
    return json.dumps(members["event"] if "event" in members else scanned(**members)).encode()  # type: ignore[arg-type]


def us(time_text: str) -> int:
    return to_us(decode(raw(time=time_text)).time)


def given_up(log: KafkaLog, values: list[bytes], partition: int = 0) -> None:
    """A transaction that is given up."""
    producer = TransactionalProducer(log.settings, f"{log.settings.topic_prefix}given-up", 10)
    producer.open()
    producer.begin()
    for value in values:
        producer.produce(log.layout.topic("events", ""), partition, None, value)
    producer.flush()
    producer.abort()
    producer.close()
    log.reader.settled_ends([log.place_of("events", partition)])  # the brokers mark it afterwards


# Reading


def test_a_read_ends_where_the_last_records_are_marks_or_were_given_up(log: KafkaLog) -> None:
    log.append([event(b"a"), event(b"b")])
    given_up(log, [b"never"] * 100)
    end = log.end_offset("events", 0)
    assert end > 100
    assert values(log) == [b"a", b"b"]
    assert values(log, start=end - 1) == values(log, start=end) == []
    assert [record.offset for record in log.scan("events", 0, 0, 1)] == [0]
    log.append([event(b"c")])
    assert values(log) == [b"a", b"b", b"c"]
    assert [record.value for record in log.scan("events", 0, 1, end)] == [b"b"]


def test_an_open_transaction_hides_itself_and_what_is_behind_it_until_it_ends(log: KafkaLog) -> None:
    log.append([event(b"a")])
    producer = TransactionalProducer(log.settings, f"{log.settings.topic_prefix}slow", 60)
    producer.open()
    producer.begin()
    producer.produce(log.layout.topic("events", ""), 0, None, b"slow")
    producer.flush()
    log.append([event(b"b")])
    assert values(log) == [b"a"]
    producer.commit()
    assert wait_for(lambda: values(log), [b"a", b"slow", b"b"])
    producer.close()


def wait_for(ask: Callable[[], object], answer: object) -> bool:
    deadline = time.monotonic() + 10
    while ask() != answer and time.monotonic() < deadline:
        time.sleep(0.01)
    return ask() == answer


def test_scans_of_many_partitions_go_side_by_side(log: KafkaLog) -> None:
    log.append([event(b"%d" % i, i % 4) for i in range(20_000)])
    scans = [log.scan("events", partition) for partition in range(4)]
    taken = [int(record.value) for records in zip(*scans, strict=True) for record in records]
    assert taken == list(range(20_000))


def test_a_scan_that_is_left_early_does_no_harm(log: KafkaLog) -> None:
    log.append([event(b"%d" % i) for i in range(1_000)])
    for i in range(20):
        assert next(log.scan("events", 0, i)).value == b"%d" % i


def test_large_records_are_taken_and_too_large_ones_refused_whole(log: KafkaLog) -> None:
    large = b"x" * 7_000_000
    log.append([event(large), event(large)])
    assert values(log) == [large, large]
    with pytest.raises(LogError, match=r"record of this size .*max\.message\.bytes"):
        log.append([event(b"small", 1), event(b"x" * 9_000_000)])
    log.append([event(b"goes on", 1)])
    assert values(log, partition=1) == [b"goes on"]


def test_what_is_no_record_is_refused_whole(log: KafkaLog) -> None:
    with pytest.raises(LogError, match="not made of bytes"):
        log.append([event(b"fine"), event(object())])  # type: ignore[arg-type]
    with pytest.raises(LogError, match="no topic nowhere with a partition 0"):
        log.append([event(b"fine"), NewRecord("nowhere", 0, b"", timestamp_us=0)])
    assert values(log) == []


def test_a_parcel_is_found_in_its_partition_however_its_id_is_written(log: KafkaLog) -> None:
    for key in ("P-7", "包裹", 'a"b\\c'):
        partition = partition_of(key, 4)
        plain = json.dumps({"parcel_id": key}, ensure_ascii=False).encode()
        escaped = b'{"parcel_id":"' + "".join(f"\\u{ord(c):04x}" for c in key).encode() + b'"}'
        start = log.end_offset("events", partition)
        log.append([event(plain, partition), event(b'{"parcel_id":"other"}', partition), event(escaped, partition)])
        found = [record.value for record in log.find(key) if record.offset >= start]
        assert found == [plain, escaped]
        assert [json.loads(value)["parcel_id"] for value in found] == [key, key]


def test_what_is_read_in_a_snapshot_is_of_one_moment(backend: KafkaBackend, log: KafkaLog) -> None:
    other = backend.open()
    log.append([event(b"before")])
    with log.snapshot():
        other.append([event(b"meanwhile")])
        with log.snapshot():
            assert (values(log), log.end_offset("events", 0), log.ends("events")[0]) == ([b"before"], 2, 2)
        assert values(log) == [b"before"]
    assert values(log) == [b"before", b"meanwhile"]


# Records of other producers


def test_other_producers_put_a_parcel_where_we_look_for_it(foreign: Callable[..., int], log: KafkaLog) -> None:
    for parcel in ("P-1", "LX123456789CN", "包裹", "a" * 60):
        value = raw(parcel=parcel)
        assert foreign(value, parcel) == partition_of(parcel, log.partitions)
        assert [record.value for record in log.find(parcel)] == [value]


def test_records_of_other_producers_are_marked_and_bear_their_own_time(
    foreign: Callable[..., int], log: KafkaLog
) -> None:
    foreign(b"theirs", partition=0, timestamp_ms=1_600_000_000_123)
    log.append([event(b"ours")])
    assert [(record.timestamp_us, record.foreign) for record in log.scan("events", 0)] == [
        (1_600_000_000_123_000, True),
        (TIME_US, False),
    ]


@pytest.mark.parametrize("between", [0, 3, 200])
def test_how_far_a_partition_has_come_is_known_from_its_last_records(
    foreign: Callable[..., int], backend: KafkaBackend, log: KafkaLog, between: int
) -> None:
    log.append([event(raw(time="2026-01-01T00:00:00Z"), timestamp_us=us("2026-01-01T00:00:00Z"))])
    latest = "2026-05-05T00:00:00Z"
    for i in range(between):
        time_text = latest if i == between // 2 else f"2026-03-{i % 28 + 1:02}T00:00:00Z"
        foreign(raw(time=time_text, recordedtime=time_text), partition=0)
    for one in (log, backend.open()):  # one that has looked before, and one that has not
        end, records = one.last_records(0)
        assert end == 2 + between
        assert max(map(reached, records)) == us(latest if between else "2026-01-01T00:00:00Z")


def test_a_broken_clock_of_another_producer_does_not_count_where_its_events_tell_the_time(
    foreign: Callable[..., int], log: KafkaLog
) -> None:
    foreign(
        raw(time="2026-01-01T00:00:00Z", recordedtime="2026-01-02T00:00:00Z"),
        partition=0,
        timestamp_ms=2_000_000_000_000,
    )
    (record,) = log.last_records(0)[1]
    assert reached(record) == us("2026-01-02T00:00:00Z")
    foreign(raw(time="2026-01-01T00:00:00Z"), partition=0, timestamp_ms=2_000_000_000_000)
    (record,) = log.last_records(0)[1]
    assert reached(record) == 2_000_000_000_000_000


def test_what_slips_in_before_the_mark_of_our_own_transaction_counts(
    foreign: Callable[..., int], log: KafkaLog
) -> None:
    place = log.place_of("events", 0)
    ours, other = (TransactionalProducer(log.settings, f"{log.settings.topic_prefix}{n}", 60) for n in "ab")
    for producer in (ours, other):
        producer.open()
        producer.begin()
    ours.produce(*place, None, b"ours")
    ours.flush()
    foreign(raw(time="2026-03-01T00:00:00Z", recordedtime="2026-03-01T00:00:00Z"), partition=0)
    other.produce(*place, None, b"open")
    other.flush()
    ours.commit()  # so its mark stands behind both, and the open one hides it
    assert wait_for(lambda: log.reader.end(place), 2)
    tails = Tails(log.reader)
    tails.written(place, LogRecord("events", 0, 0, None, b"ours", TIME_US))
    tails.durable(place, log.reader.end(place, committed=False))
    furthest = tails.furthest(place, 2)
    assert furthest is not None
    assert reached(furthest) == us("2026-03-01T00:00:00Z")
    other.abort()


# Appending while others append


def test_records_are_made_again_when_something_later_came_between(foreign: Callable[..., int], log: KafkaLog) -> None:
    asked: list[int] = []

    def make(margin_us: int) -> list[NewRecord]:
        for partition in range(4):
            _, last = log.last_records(partition)
            reached_us = max(map(reached, last), default=0)
        if not asked:
            foreign(raw(time="2026-03-01T00:00:00Z", recordedtime="2026-03-01T00:00:00Z"), partition=3)
        asked.append(margin_us)
        time_us = max(reached_us, us("2026-02-01T00:00:00Z")) + margin_us
        return [event(b"for all %d" % len(asked), p, timestamp_us=time_us, holds_until_us=time_us) for p in range(4)]

    offsets = log.append_made(make)
    assert asked == [0, 1_000_000]
    assert [values(log, partition=p)[-1:] for p in range(4)] == [[b"for all 2"]] * 4
    assert [len(values(log, partition=p)) for p in range(4)] == [1, 1, 1, 2]  # nothing of the first attempt
    assert [list(log.scan("events", p))[-1].offset for p in range(4)] == offsets


def test_what_came_between_is_suffered_where_it_is_not_later(foreign: Callable[..., int], log: KafkaLog) -> None:
    asked: list[int] = []

    def make(margin_us: int) -> list[NewRecord]:
        ends = [log.last_records(partition)[0] for partition in range(4)]
        assert ends == [0] * 4
        asked.append(margin_us)
        foreign(raw(time="2026-01-01T00:00:00Z", recordedtime="2026-02-01T00:00:00Z"), partition=2)
        foreign(raw(time="2026-02-01T00:00:00Z", recordedtime="2036-02-01T00:00:00Z"), partition=1)
        time_us = us("2026-02-01T00:00:00Z")
        return [event(b"for two", 2, timestamp_us=time_us, holds_until_us=time_us), event(b"any", 1)]

    assert log.append_made(make) == [1, 1]
    assert asked == [0]
    # What was not expected where it is tells nothing of what came before it.
    assert max(map(reached, log.last_records(1)[1])) == us("2036-02-01T00:00:00Z")


def test_a_tick_of_another_ticker_counts_as_having_passed(foreign: Callable[..., int], log: KafkaLog) -> None:
    made: list[int] = []

    def make(margin_us: int) -> list[NewRecord]:
        end, last = log.last_records(0)
        made.append(end)
        if len(made) == 1:
            foreign(tick_event(TICK_US), partition=0)
        floor_us = max(map(reached, last), default=0)
        return [] if floor_us > TICK_US else [event(b"tick", timestamp_us=TICK_US, holds_until_us=TICK_US)]

    assert log.append_made(make) == []
    assert made == [0, 3]  # behind their tick, and ours with the mark that it was given up
    assert values(log) == [tick_event(TICK_US)]


def test_a_tick_is_not_left_to_a_ticker_that_died(log: KafkaLog) -> None:
    dead = TransactionalProducer(log.settings, f"{log.settings.topic_prefix}dead", 10)
    dead.open()
    dead.begin()
    headers = [("timestamp_us", b"%d" % TICK_US), ("expected", b"0")]
    dead.produce(log.layout.topic("events", ""), 0, None, tick_event(TICK_US), headers=headers)
    dead.flush()
    dead.close()

    def make(margin_us: int) -> list[NewRecord]:
        floor_us = max(map(reached, log.last_records(0)[1]), default=0)
        return [] if floor_us > TICK_US else [event(b"ours", timestamp_us=TICK_US, holds_until_us=TICK_US)]

    log.append_made(make)
    log.reader.settled_ends([log.place_of("events", 0)])
    assert values(log) == [b"ours"]


def test_someone_who_always_comes_between_ends_the_attempts(
    foreign: Callable[..., int], log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.log.kafka.writing._ATTEMPTS", 3)
    margins: list[int] = []

    def make(margin_us: int) -> list[NewRecord]:
        log.last_records(0)
        margins.append(margin_us)
        foreign(raw(time="2026-03-01T00:00:00Z", recordedtime="2026-03-01T00:00:00Z"), partition=0)
        return [event(b"early", timestamp_us=5, holds_until_us=5)]

    with pytest.raises(LogBusyError, match="append so fast"):
        log.append_made(make)
    assert margins == [0, 1_000_000, 2_000_000]
    assert b"early" not in values(log)


def test_a_maker_that_fails_leaves_nothing(log: KafkaLog) -> None:
    def make(_: int) -> list[NewRecord]:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        log.append_made(make)
    assert log.append([event(b"next")]) == [0]


RACER = """
from monitor.log.kafka.tails import reached
print("ready", flush=True)
input()
chance = random.Random(NAME)
for i in range(25):
    def make(margin_us):
        floors = [max(map(reached, log.last_records(p)[1]), default=0) for p in range(4)]
        now = time.time_ns() // 1000
        if chance.random() < 0.5:
            p = chance.randrange(4)
            return [NewRecord("events", p, b"one NAME %d" % i, timestamp_us=max(now, floors[p]))]
        at = max(now, *(floor + margin_us for floor in floors))
        return [NewRecord("events", p, b"all NAME %d" % i, timestamp_us=at, holds_until_us=at) for p in range(4)]
    offsets = log.append_made(make)
    print(i, *offsets, flush=True)
"""


def test_writers_that_race_put_what_is_for_all_partitions_at_one_time_in_all(
    backend: KafkaBackend, log: KafkaLog, foreign: Callable[..., int]
) -> None:
    racers = [backend.start(RACER.replace("NAME", str(name))) for name in range(4)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    ended = threading.Event()

    def interfere() -> None:
        while not ended.is_set():
            event_ = registered(time="2026-01-01T00:00:00Z")
            foreign(json.dumps(event_).encode(), partition=1)
            time.sleep(0.03)

    thread = threading.Thread(target=interfere)
    thread.start()
    written = sum(len(racer.communicate(timeout=300)[0].splitlines()) for racer in racers)
    ended.set()
    thread.join()
    assert written == 4 * 25
    times: dict[bytes, list[int]] = defaultdict(list)
    ones: list[bytes] = []
    for partition in range(4):
        clock = EffectiveClock()
        for record in log.scan("events", partition):
            effective_us = clock.stamp(reached(record) if record.foreign else record.timestamp_us)
            if record.value.startswith(b"all"):
                times[record.value].append(effective_us)
            elif record.value.startswith(b"one"):
                ones.append(record.value)
    assert len(times) + len(ones) == len(set(ones)) + len(times) == written
    assert [name for name, found in times.items() if len(found) != 4 or len(set(found)) != 1] == []


# When a transaction breaks down


def test_a_commit_whose_outcome_got_lost_is_looked_up(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = TransactionalProducer.commit

    def commit_and_break(producer: TransactionalProducer) -> None:
        commit(producer)
        producer.usable = False
        monkeypatch.setattr(TransactionalProducer, "commit", commit)
        raise LogError("broke down after it")

    monkeypatch.setattr(TransactionalProducer, "commit", commit_and_break)
    assert log.append([event(b"once"), event(b"once", 1)]) == [0, 0]

    def break_only(producer: TransactionalProducer) -> None:
        producer.usable = False
        monkeypatch.setattr(TransactionalProducer, "commit", commit)
        raise FencedError("broke down before it")

    monkeypatch.setattr(TransactionalProducer, "commit", break_only)
    first, second = log.append([event(b"twice"), event(b"twice", 1)])
    assert (values(log), values(log, partition=1)) == ([b"once", b"twice"],) * 2
    assert [list(log.scan("events", p))[-1].offset for p in (0, 1)] == [first, second]


def test_killed_writers_leave_nothing_half(backend: KafkaBackend, log: KafkaLog) -> None:
    program = (
        "i = int(sys.stdin.readline())\n"
        "while True:\n"
        "    values = [(p, b'%d %d' % (i, k)) for p in range(4) for k in range(50)]\n"
        "    log.append([NewRecord('events', p, value, timestamp_us=0) for p, value in values])\n"
        "    print(i, flush=True)\n    i += 1\n"
    )
    writers = [backend.start(program) for _ in range(3)]
    acknowledged: set[int] = set()
    for n, writer in enumerate(writers):
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(f"{n * 1_000_000}\n")
        writer.stdin.flush()
        acknowledged.add(int(writer.stdout.readline()))
    for writer in writers:
        time.sleep(0.1)
        writer.kill()
        acknowledged.update(int(line) for line in writer.communicate()[0].splitlines())
    log.reader.settled_ends([log.place_of("events", p) for p in range(4)])  # the brokers give up what is open
    found = [[tuple(map(int, value.split())) for value in values(log, partition=p)] for p in range(4)]
    assert sorted(found[0]) == sorted(found[1]) == sorted(found[2]) == sorted(found[3])
    batches = defaultdict(list)
    for i, k in found[0]:
        batches[i].append(k)
    assert set(batches) >= acknowledged
    assert all(ks == list(range(50)) for ks in batches.values())
