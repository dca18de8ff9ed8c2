"""``channel-monitor notify`` on real brokers: from events in the log to a message in a chat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hand_logs import complained, registered
from kafka_cluster import KafkaCluster
from kafka_world import KafkaWorld, MakeWorld, wait_until
from killing import SOURCE
from made_events import write_lines
from messages import days_ago, looked
from receivers import Receiver

from monitor.notify.queue import waiting_in

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def know(world: KafkaWorld, *events: dict[str, Any]) -> None:
    world.verb("ingest", "--history", write_lines(world.folder / "events.jsonl", events))


def messenger(world: KafkaWorld, queue: Path, receiver: Receiver) -> subprocess.Popen[bytes]:
    """Start the program with one sink."""
    sinks = world.folder / "sinks"
    sinks.write_text(f"ops en json://127.0.0.1:{receiver.port}/\n")
    own = {
        "CHANNEL_MONITOR_NOTIFY__SINKS_FILE": str(sinks),
        "CHANNEL_MONITOR_NOTIFY__QUEUE": str(queue),
        "CHANNEL_MONITOR_NOTIFY__DIGEST_S": "0",
        "PYTHONPATH": SOURCE,
    }
    with (world.folder / "errors").open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "monitor", "notify", "--broker", world.cluster.url],
            env={**os.environ, **world.env, **own},
            stdout=errors,
            stderr=errors,
        )


def test_what_workers_find_is_told_once_through_a_restart(
    kafka: KafkaCluster, make_world: MakeWorld, tmp_path: Path
) -> None:
    world, queue = make_world(kafka), tmp_path / "notify.sqlite3"
    parcels = [registered(f"P{n}", days_ago(5), product=f"product {n}") for n in range(3)]
    old = complained("C0", days_ago(2.0), parcel_id="P0", kind="counterfeit")
    know(world, *parcels, old, registered("P10", days_ago(1.6)))
    world.worker("a")
    world.wait_folded()
    with Receiver(200) as receiver:
        process = messenger(world, queue, receiver)
        try:
            wait_until(lambda: looked(queue), "the first look")
            know(
                world,
                complained("C1", days_ago(1.4), parcel_id="P1", kind="counterfeit"),
                registered("P11", days_ago(1.0)),
            )
            (message,) = receiver.wait(1)
            assert "product 1" in message["message"]
            wait_until(lambda: waiting_in(queue) == {}, "nothing that waits")
            process.terminate()
            assert process.wait(30) == 0
            know(
                world,
                complained("C2", days_ago(0.9), parcel_id="P2", kind="counterfeit"),
                registered("P12", days_ago(0.5)),
            )
            process = messenger(world, queue, receiver)
            _, message = receiver.wait(2)
            assert "product 2" in message["message"]
            assert "product 0" not in json.dumps(receiver.asked)  # it was there before
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
