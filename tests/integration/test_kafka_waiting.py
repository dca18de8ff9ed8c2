"""Processes that are there before the brokers, and the probes of a worker without a page."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from kafka_cluster import KafkaCluster
from kafka_world import MakeWorld, Worker, events_of, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def ready(worker: Worker) -> tuple[int, str]:
    """Status and text of ``/readyz``; 0 while nothing answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/readyz", timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_workers_that_start_before_the_brokers_wait_and_then_work(
    kafka_jars: None, make_world: MakeWorld, tmp_path: Path
) -> None:
    cluster = KafkaCluster(tmp_path / "cluster")
    try:
        world = make_world(cluster, CHANNEL_MONITOR_KAFKA__TIMEOUT_S="2")
        both = [world.worker("worker"), world.worker("web", role="web")]
        for one in both:
            wait_until(lambda one=one: ready(one)[0] == 503, f"{one.name} says that it waits")
            wait_until(lambda one=one: "does not answer" in ready(one)[1], f"{one.name} says why")
            assert one.ask("/healthz") == b'{"alive":true}'
            assert "brokers_awaited" in one.said()
        cluster.start()
        wait_until(lambda: ready(both[0])[0] == 200, "the worker is ready")
        world.feed(events_of(0.05, 20)).finish()
        wait_until(lambda: (told := both[0].lag()) and not any(told[0].values()), "all is folded")
        told = (both[0].ask("/metrics") or b"").decode()
        assert 'channel_monitor_ingest_lag_records{partition="0",topic="events"} 0.0' in told
        assert "channel_monitor_sample_size{" not in told
        assert both[0].ask("/") is None  # no page
        wait_until(lambda: both[1].running and ready(both[1])[0] == 200, "the page is ready")
        wait_until(lambda: json.loads(both[1].ask("/api/channels") or b"[]"), "the page shows channels")
        for one in both:
            one.stop()
    finally:
        cluster.stop()
