"""Whatever happens to workers and brokers, every event counts once: the state that many workers leave is a replay's.

Every scenario prints its seed and what it did. ``make faults`` runs the same with more kills and longer storms;
``FAULTS_SEED=7`` repeats one, ``FAULTS_LOGS=DIR`` keeps what the workers logged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from signal import SIGCONT

import pytest
from kafka_cluster import KafkaCluster
from kafka_world import (
    LONG,
    SESSION_S,
    Feeder,
    KafkaWorld,
    MakeWorld,
    NothingLeftError,
    Worker,
    events_of,
    leader_of,
    say,
    told,
    wait_until,
)

from monitor.log.records import LogBusyError, Shard
from monitor.log.topics import CONTRIBUTIONS, EVENTS

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture(scope="module")
def own_kafka(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A broker that tests of this file may end."""
    with KafkaCluster(tmp_path_factory.mktemp("own")) as cluster:
        yield cluster


# Workers that die


@pytest.mark.parametrize("together", [1, 2], ids=["one of them", "all at once"])
def test_workers_that_are_killed_in_the_middle_of_their_work_lose_and_double_nothing(
    kafka: KafkaCluster, make_world: MakeWorld, together: int
) -> None:
    kills = {1: 40 if LONG else 6, 2: 10 if LONG else 2}[together]
    world = make_world(kafka, CHANNEL_MONITOR_LIVE__CHECKPOINT_INTERVAL_S="0.5")
    feeder = world.feed(events_of(6.0 if LONG else 1.5), rate=250)
    feeder.burst(2_000)
    feeder.wait_for(2_000)
    alone = kills // 2 if together == 1 else 0
    workers = [world.worker("a", role="all")]
    counted = 0
    for number in range(kills):
        if number == alone:
            workers.append(world.worker("b", role="all"))
        victims = world.random.sample(workers, min(together, len(workers)))
        began = time.monotonic()
        try:
            stopped = world.stop_in_the_middle(victims[0], feeder)
        except NothingLeftError as none:
            say(f"  {none}; {counted} of {kills} kills")
            break
        counted += 1
        say(f"  kill {number + 1} after {time.monotonic() - began:.1f} s, {feeder.left:,} events to come; {stopped}")
        for victim in victims:
            victim.kill()
        for victim in victims:
            victim.start()
    feeder.finish()
    told(world)
    assert counted >= 2 * kills // 3, "a kill of a worker that has nothing to do proves little"
    for worker in workers:
        worker.stop()


def test_a_worker_that_stood_still_is_refused_says_so_and_joins_again(
    kafka: KafkaCluster, make_world: MakeWorld
) -> None:
    world = make_world(kafka)
    feeder = world.feed(events_of(1.5 if LONG else 0.4))
    a, b = world.worker("a", role="all"), world.worker("b", role="all")
    for _ in range(5 if LONG else 1):
        stopped = world.stop_in_the_middle(a, feeder)
        since, began = a.logged(), time.monotonic()
        wait_until(lambda: holds_all(b, world), "the other worker holds everything", 60)
        say(f"  stood still; {stopped}; all of it was taken over after {time.monotonic() - began:.1f} s")
        time.sleep(max(0.0, SESSION_S + 1.0 - (time.monotonic() - began)))
        a.signal(SIGCONT)
        wait_until(lambda since=since: "shards_held" in a.said(since), "it joins again", 60)
        said = a.said(since)
        say(f"  back after {time.monotonic() - began:.1f} s")
        assert "another worker has taken over" in said, said
        assert "restarting" in said, said
    feeder.finish()
    told(world)
    a.stop()
    b.stop()


def holds_all(worker: Worker, world: KafkaWorld) -> bool:
    lag = worker.lag()
    return lag is not None and len(lag[0]) == world.log.partitions + 1


def test_workers_that_come_and_go_all_the_time_lose_and_double_nothing(
    kafka: KafkaCluster, make_world: MakeWorld
) -> None:
    world = make_world(kafka)
    storm_s = 300 if LONG else 30
    lines = events_of(4.0 if LONG else 0.8)
    feeder = world.feed(lines, rate=len(lines) / storm_s)
    workers = [world.worker(name) for name in "ab"]
    spare = world.worker("c")
    workers.append(spare)
    ends = time.monotonic() + storm_s
    moves = 0
    while time.monotonic() < ends:
        time.sleep(world.random.uniform(1.0, 4.0))
        running_ones = [worker for worker in workers if worker.running]
        idle = [worker for worker in workers if not worker.running]
        if idle and (len(running_ones) == 1 or world.random.random() < 0.5):
            idle[0].start()
        else:
            world.random.choice(running_ones).stop()
        moves += 1
    say(f"  {moves} times a worker came or went; {feeder.left:,} events still to come")
    for worker in workers:
        if not worker.running:
            worker.start()
    feeder.finish()
    told(world)
    for worker in workers:
        worker.stop()
        assert "restarting" not in worker.said(last=1_000_000), worker.said()


# Brokers that die


def test_a_broker_that_restarts_loses_and_doubles_nothing(own_kafka: KafkaCluster, make_world: MakeWorld) -> None:
    world = make_world(own_kafka)
    feeder = world.feed(events_of(3.0 if LONG else 0.4), rate=600)
    workers = working(world, feeder)
    for end in (own_kafka.terminate, own_kafka.kill) * (8 if LONG else 1):
        time.sleep(world.random.uniform(0.5, 2.0))
        before, at, began = world.log.headers(), feeder.done, time.monotonic()
        end(1)
        time.sleep(world.random.uniform(0.0, 4.0))
        if end == own_kafka.kill:
            asked = time.monotonic()
            workers[1].stop(30)
            say(f"  a worker that was stopped meanwhile ended after {time.monotonic() - asked:.1f} s")
            workers[1].start()
        own_kafka.restart(1)
        say(f"  {end.__name__}, back after {time.monotonic() - began:.1f} s")
        goes_on(world, feeder, at, before, began)
    finished(world, feeder, workers)


def test_the_leader_of_anything_among_three_brokers_may_die(kafka3: KafkaCluster, make_world: MakeWorld) -> None:
    world = make_world(kafka3)
    feeder = world.feed(events_of(3.0 if LONG else 0.8), rate=800)
    workers = working(world, feeder)
    layout, generation = world.log.layout, world.log.generation
    for what in ("events", "state", "group", "transactions") * (4 if LONG else 1):
        shard = Shard(EVENTS, world.random.randrange(world.log.partitions))
        if what == "events":
            victim = kafka3.leaders(layout.topic(EVENTS, generation))[shard.partition]
        elif what == "state":
            victim = kafka3.leaders(layout.state(CONTRIBUTIONS, generation))[0]
        elif what == "group":
            victim = leader_of(kafka3, "__consumer_offsets", layout.group(generation))
        else:
            victim = leader_of(kafka3, "__transaction_state", layout.owner(shard, generation))
        before, at, began = world.log.headers(), feeder.done, time.monotonic()
        kafka3.kill(victim)
        say(f"  broker {victim}, leader of {what}, killed")
        goes_on(world, feeder, at, before, began)
        kafka3.restart(victim)
    finished(world, feeder, workers)


def working(world: KafkaWorld, feeder: Feeder) -> list[Worker]:
    """Two workers that have begun to work."""
    workers = [world.worker("a", role="all"), world.worker("b")]
    feeder.burst(2_000)
    feeder.wait_for(2_000)
    wait_until(lambda: len(world.log.headers()) == world.log.partitions + 1, "every shard has been saved")
    return workers


def goes_on(world: KafkaWorld, feeder: Feeder, fed: int, before: dict[Shard, int], began: float) -> None:
    """Until the gateway has appended more, and every shard has been folded further."""
    wait_until(lambda: feeder.done > fed or not feeder.left, "the gateway goes on", 90)
    appended_s = time.monotonic() - began

    def folded() -> bool:
        with suppress(LogBusyError):
            after = world.log.headers()
            return all(after[shard] > before[shard] for shard in before)
        return False

    wait_until(lambda: folded() or not feeder.left, "every shard is folded further", 90)
    say(
        f"    the gateway went on after {appended_s:.1f} s, at event {fed:,}; all folds after "
        f"{time.monotonic() - began:.1f} s"
    )


def finished(world: KafkaWorld, feeder: Feeder, workers: list[Worker]) -> None:
    """Feed the rest, prove it, and tell how it was told."""
    feeder.finish()
    told(world)
    say(f"  the gateway was refused {len(feeder.refusals)} times: {set(feeder.refusals)}")
    say(f"  lines logged: {[worker.said(last=10_000_000).count(chr(10)) for worker in workers]}")
    for worker in workers:
        worker.stop()
