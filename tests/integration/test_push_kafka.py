"""``channel-monitor push`` on real brokers: from events in the log to the table of a shipping system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hand_logs import event, registered
from kafka_cluster import KafkaCluster
from kafka_world import KafkaWorld, MakeWorld, wait_until
from killing import SOURCE
from made_events import write_lines
from messages import days_ago
from receivers import Receiver

from monitor.push.pusher import known

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def know(world: KafkaWorld, *events: dict[str, Any]) -> None:
    world.verb("ingest", "--history", write_lines(world.folder / "events.jsonl", events))


def offered(carrier: str, days: float, **more: Any) -> dict[str, Any]:
    """An offer of the lane, made so many days ago."""
    data = {"carrier": carrier, "destination": "RU", **more}
    return event("carrier.offered", f"offer-{carrier}", days_ago(days), data)


@contextmanager
def pushing(world: KafkaWorld) -> Iterator[None]:
    """The program, until it is told to end; it must end well."""
    with (world.folder / "errors").open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "push", "--broker", world.cluster.url],
            env={**os.environ, **world.env, "PYTHONPATH": SOURCE},
            stdout=errors,
            stderr=errors,
        )
    try:
        yield
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def check(world: KafkaWorld, exit_code: int) -> str:
    """What ``check`` says of the push."""
    found = json.loads(world.verb("check", "--json", exit_code=exit_code))
    return " ".join(one["detail"] for one in found if one["what"] == "push")


def test_what_workers_advise_is_pushed_once_through_restarts_and_a_refusal(
    kafka: KafkaCluster, make_world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, state = make_world(kafka), tmp_path / "push.json"
    know(world, *(registered(f"P{n}", days_ago(5)) for n in range(4)), registered("P10", days_ago(2.2)))
    world.worker("a")
    world.wait_folded()
    with Receiver(200) as receiver:
        monkeypatch.setenv("CHANNEL_MONITOR_PUSH__URL", f"http://127.0.0.1:{receiver.port}/carriers")
        monkeypatch.setenv("CHANNEL_MONITOR_PUSH__SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        monkeypatch.setenv("CHANNEL_MONITOR_PUSH__STATE", str(state))
        with pushing(world):
            (first,) = receiver.wait(1)
        assert {(row["country"], row["carrier"]) for row in first["data"]["rows"]} == {("RU", "china-post")}
        with pushing(world):
            know(world, offered("yanwen", 2.0), registered("P11", days_ago(1.5)))
            _, second = receiver.wait(2)
            assert {row["carrier"] for row in second["data"]["rows"]} == {"china-post", "yanwen"}
            receiver.answers = [403]
            know(world, offered("yunexpress", 1.4), registered("P12", days_ago(1.0)))
            wait_until(lambda: known(state).waiting is not None, "a table that is refused")
        assert "it answered with status 403" in check(world, exit_code=1)
        receiver.answers = [200]
        with pushing(world):
            *_, third = receiver.wait(3)
        assert {row["carrier"] for row in third["data"]["rows"]} == {"china-post", "yanwen", "yunexpress"}
        assert "arrived on" in check(world, exit_code=0)
        assert len(receiver.asked) == 4  # nothing twice but what was refused
