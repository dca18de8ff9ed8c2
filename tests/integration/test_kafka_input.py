"""Whatever comes in beside a gateway, and from many gateways and tickers at once, counts once or is set aside once.

As :mod:`test_kafka_faults`, it prints its seed and what it did.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka_cluster import KafkaCluster
from kafka_world import LONG, KafkaWorld, MakeWorld, Worker, events_of, running, say, still, told, wait_until
from program import lines_to, of_type, recorded

from monitor.core.events import ClockTicked, to_us
from monitor.core.params import DEFAULTS
from monitor.log.partition import partition_of
from monitor.log.topics import EVENTS
from monitor.wire.decode import decode_pack

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

Json = dict[str, Any]


def test_whatever_is_written_into_the_topic_by_others_stops_nobody_and_is_counted_or_set_aside_once(
    kafka: KafkaCluster, make_world: MakeWorld
) -> None:
    world = make_world(kafka)
    lines = events_of(0.4)
    late, lines = lines[1_000:1_300], lines[:1_000] + lines[1_300:]
    world.feed(lines[:-5_000]).finish()
    a, b = world.worker("a"), world.worker("b")
    scans, complaints = of_type(lines, "parcel.scanned.v1"), of_type(lines, "complaint.opened.v1")
    partitions = world.log.partitions
    at = recorded(lines[-1])
    misplaced = [changed(line, id=f"misplaced-{i}") for i, line in enumerate(scans[100:104])]
    complaint = changed(complaints[0], {"complaint_id": "C-1", "parcel_id": None, "order_id": "O-1"}, id="no-parcel")
    there = [line for line in scans if home_of(line, partitions) == 0][:900]
    bulky = [changed(line, id=f"bulky-{i}", filler="x" * 8_800) for i, line in enumerate(there)]
    pack = b"[%b]" % b",".join(bulky)
    good = [changed(line, id=f"foreign-{i}") for i, line in enumerate(scans[200:240])]
    giant = b"\xff" * (8 * 1024 * 1024 - 4_096)
    poison = [(b"no json", 0), (b'{"specversion":"1.0"}', 1), (b"", 2), (None, 3), (b"[1,2", 0), (giant, 1)]
    poison += [(line, (home_of(line, partitions) + 1) % partitions) for line in misplaced]
    poison += [(complaint, p) for p in range(partitions)]
    welcome = [(line, home_of(line, partitions)) for line in good] + [(pack, 0)]
    records = poison + welcome
    world.random.shuffle(records)
    foreign(world, records, at)
    again = lines_to(world.folder / "again.jsonl", lines[2_000:4_000])
    rest = lines_to(world.folder / "rest.jsonl", lines[-5_000:])
    beside = [world.beside("ingest", file, "--history") for file in (again, rest, again)]
    assert [process.wait(120) for process in beside] == [0, 0, 0]
    world.feed(late).finish()
    world.acknowledged += 2 * lines[2_000:4_000] + lines[-5_000:] + good + bulky
    world.tick_behind_everything()
    world.wait_folded()
    reasons = Counter(letter["reason"] for letter in json.loads(world.verb("dead-letters", "list", "--json")))
    say(f"  {len(records)} foreign records, a pack of {len(pack):,} bytes; dead letters: {reasons}")
    told(world, in_order=False, refused=[(value or b"")[:1_000] for value, _ in poison])
    assert reasons["misplaced"] == len(misplaced) + 1  # the same complaint four times is one letter
    for worker in (a, b):
        worker.stop()
        assert "restarting" not in worker.said(last=1_000_000), worker.said()


def home_of(line: bytes, partitions: int) -> int:
    return partition_of(json.loads(line)["data"]["parcel_id"], partitions)


def changed(line: bytes, data: Json | None = None, **members: Any) -> bytes:
    """An event with other members; ``None`` takes one away."""
    event = json.loads(line) | members
    event["data"] = {name: value for name, value in (event["data"] | (data or {})).items() if value is not None}
    return json.dumps(event, separators=(",", ":")).encode()


def foreign(world: KafkaWorld, records: list[tuple[bytes | None, int]], at: str) -> None:
    """Write records into the topic ``events`` as a producer does that knows nothing of a gateway."""
    producer = Producer({"bootstrap.servers": ",".join(world.settings.bootstrap), "message.max.bytes": 16 << 20})
    failed: list[object] = []
    topic = world.log.layout.topic(EVENTS, "")
    time_ms = round(datetime.fromisoformat(at).timestamp() * 1_000)
    for value, partition in records:
        producer.produce(
            topic, value, partition=partition, timestamp=time_ms, on_delivery=lambda error, _: failed.append(error)
        )
    assert producer.flush(60) == 0
    assert set(failed) == {None}


def test_gateways_that_append_at_once_agree_on_the_time_of_what_concerns_every_partition(
    kafka: KafkaCluster, make_world: MakeWorld
) -> None:
    world = make_world(kafka)
    lines = events_of(1.0 if LONG else 0.4)
    everywhere = [line for kind in ("refund.completed.v1", "complaint.closed.v1") for line in of_type(lines, kind)]
    about_orders = [
        changed(line, {"complaint_id": f"order-{i}", "parcel_id": None, "order_id": f"O-{i}"}, id=f"order-{i}")
        for i, line in enumerate(of_type(lines, "complaint.opened.v1"))
    ]
    lines = sorted([*lines, *about_orders], key=recorded)
    half = len(lines) // 2
    # The tickers' clock goes through the first half of the world while it is fed.
    begin, until = (datetime.fromisoformat(recorded(lines[i])) for i in (0, half))
    clock = running(begin - timedelta(days=4), round((until - begin) / timedelta(seconds=30)))
    workers = [world.worker(name, clock=clock) for name in "ab"]
    feeders = [world.feed(lines[i:half:3], rate=half / 3 / 12, part=100) for i in range(3)]
    for feeder in feeders:
        feeder.wait_for(half // 3)
    for worker in workers:
        worker.stop()
    say(f"  {half:,} events by three gateways, in parts, and {ticks_said(world)}, some of them by two tickers")
    workers = [world.worker(name) for name in "cd"]
    files = [lines_to(world.folder / f"{i}.jsonl", lines[half + i :: 3]) for i in range(3)]
    beside = [world.beside("ingest", file, "--history") for file in files]
    assert [process.wait(180) for process in beside] == [0, 0, 0]
    world.acknowledged += lines[half:]
    say(f"  {len(lines) - half:,} events by three processes, and now {ticks_said(world)}")
    say(f"  {len(everywhere) + len(about_orders)} events concern every partition")
    told(world, in_order=False)
    for worker in workers:
        worker.stop()


def ticks_said(world: KafkaWorld) -> str:
    """How many ticks there are, after a look that they are the same everywhere and none is there twice."""
    ticks = ticks_in(world)
    for partition, there in ticks.items():
        assert there == sorted(set(there)), f"partition {partition} has a tick twice, or one behind a later one"
        assert there == ticks[0], f"partition {partition} has other ticks than partition 0"
    return f"{len(ticks[0])} ticks once in every partition"


def test_every_tick_of_two_tickers_is_in_every_partition_once(kafka: KafkaCluster, make_world: MakeWorld) -> None:
    world = make_world(kafka)
    lines = events_of(0.2)
    world.feed(lines).finish()
    begin = datetime.fromisoformat(recorded(lines[-1])).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    tick_s = DEFAULTS.tick_us / 1e6
    clock = running(begin, round(tick_s / 2))  # a tick every two seconds
    a, b = world.worker("a", clock=clock), world.worker("b", clock=clock)
    wanted = 40 if LONG else 6
    fed = max(len(ticks) for ticks in ticks_in(world).values())
    wait_until(lambda: len(ticks_in(world)[0]) >= fed + wanted, "the tickers tick", 300)
    for worker in (a, b):
        worker.stop()
    said = ticks_said(world)
    ticked = ticks_in(world)[0][fed:]
    distances = Counter((after - before) // DEFAULTS.tick_us for before, after in pairwise(ticked))
    say(f"  {said}, {len(ticked)} of them by two clocks; grid points from one to the next: {dict(distances)}")
    world.worker("c", clock=still(begin))
    told(world)


def ticks_in(world: KafkaWorld) -> dict[int, list[int]]:
    """The ticks in every partition of the topic, in their order, each as often as it stands there."""
    found: dict[int, list[int]] = {}
    for partition in range(world.log.partitions):
        values = (record.value for record in world.log.scan(EVENTS, partition) if b"clock.ticked" in record.value)
        events = (event for value in values for _, event in decode_pack(value))
        found[partition] = [to_us(event.data.at) for event in events if isinstance(event, ClockTicked)]
    return found


def test_every_web_process_shows_the_same_whole_lists(kafka: KafkaCluster, make_world: MakeWorld) -> None:
    world = make_world(kafka)
    lines = events_of(0.4)
    feeder = world.feed(lines)
    workers = [world.worker(name) for name in "ab"]
    pages = [world.worker(name, role="web") for name in ("page", "second page")]
    feeder.finish()
    foreign(world, [(b"no json", 1)], recorded(lines[-1]))
    world.tick_behind_everything()
    world.wait_folded()
    for name in ("channels", "incidents", "watchlist", "dead-letters"):
        verb = ("dead-letters", "list", "--json") if name == "dead-letters" else (name, "--json")
        ours = {json.dumps(row, sort_keys=True) for row in json.loads(world.verb(*verb))}
        for page in pages:
            wait_until(lambda page=page, name=name, ours=ours: shown(page, name) == ours, f"{name} on the page")
        say(f"  {name}: {len(ours)} on both pages and in the terminal")
    told(world, refused=[b"no json"])
    for worker in (*workers, *pages):
        worker.stop()


def shown(page: Worker, name: str) -> set[str]:
    """All rows of a list, page by page."""
    rows: list[Json] = []
    while part := json.loads(page.ask(f"/api/{name}?limit=200&offset={len(rows)}") or b"[]"):
        rows += part
    return {json.dumps(row, sort_keys=True) for row in rows}
