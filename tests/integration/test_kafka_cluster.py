"""The brokers that other tests rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kafka_cluster
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka_cluster import KafkaCluster, KafkaFailed

pytestmark = pytest.mark.kafka


def send(bootstrap: str, topic: str, *values: bytes, **settings: object) -> None:
    """Write records to partition 0 and wait until they are safe."""
    with KafkaProducer(bootstrap_servers=bootstrap, acks="all", **settings) as producer:
        for value in values:
            producer.send(topic, value, partition=0).get(timeout=30)


def received(bootstrap: str, topic: str, count: int, **settings: object) -> list[bytes]:
    """The first records of a topic."""
    with KafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000, **settings
    ) as consumer:
        return [record.value for _, record in zip(range(count), consumer, strict=False)]


def test_a_record_comes_back(kafka: KafkaCluster, topic_prefix: str) -> None:
    topic = f"{topic_prefix}events"
    kafka.create_topic(topic)
    send(kafka.bootstrap, topic, b"hello")
    assert received(kafka.bootstrap, topic, 1) == [b"hello"]


def test_a_killed_broker_comes_back_on_its_address_with_its_data(kafka_jars: None, tmp_path: Path) -> None:
    with KafkaCluster(tmp_path) as kafka:
        kafka.create_topic("events")
        send(kafka.bootstrap, "events", b"before")
        kafka.kill(1)
        kafka.restart(1)
        send(kafka.bootstrap, "events", b"between")
        kafka.terminate(1)
        kafka.restart(1)
        assert received(kafka.bootstrap, "events", 2) == [b"before", b"between"]


def test_with_three_brokers_a_leader_may_die(kafka3: KafkaCluster, topic_prefix: str) -> None:
    topic = f"{topic_prefix}events"
    kafka3.create_topic(topic)
    send(kafka3.bootstrap, topic, b"before")
    dead = kafka3.leaders(topic)[0]
    kafka3.kill(dead)
    send(kafka3.bootstrap, topic, b"after")
    assert kafka3.leaders(topic)[0] != dead
    assert received(kafka3.bootstrap, topic, 2) == [b"before", b"after"]


def test_a_leader_moves_while_all_brokers_live(kafka3: KafkaCluster, topic_prefix: str) -> None:
    topic = f"{topic_prefix}events"
    kafka3.create_topic(topic)
    old = kafka3.leaders(topic)[0]
    new = kafka3.move_leader(topic)
    assert new != old
    assert kafka3.leaders(topic)[0] == new


def test_a_paused_leader_is_replaced_and_takes_part_again(kafka3: KafkaCluster, topic_prefix: str) -> None:
    topic = f"{topic_prefix}events"
    kafka3.create_topic(topic)
    paused = kafka3.leaders(topic)[0]
    kafka3.pause(paused)
    kafka3.wait_ready()
    assert kafka3.leaders(topic)[0] != paused
    kafka3.resume(paused)
    kafka3.wait_ready()
    assert kafka3.in_sync(topic)[0] == {1, 2, 3}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_client_signs_in_over_tls(secure_kafka: KafkaCluster, mechanism: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}events"
    secure_kafka.create_topic(topic)
    access = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": secure_kafka.username,
        "sasl_plain_password": secure_kafka.password,
        "ssl_cafile": str(secure_kafka.ca_file),
    }
    send(secure_kafka.secure_bootstrap, topic, b"hello", **access)
    assert received(secure_kafka.secure_bootstrap, topic, 1, **access) == [b"hello"]


@pytest.fixture(scope="module")
def secure_kafka(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    with KafkaCluster(tmp_path_factory.mktemp("secure"), secure=True) as cluster:
        yield cluster


def test_a_broker_that_cannot_start_shows_its_log(kafka_jars: None, tmp_path: Path) -> None:
    kafka = KafkaCluster(tmp_path, overrides={"log.retention.ms": "never"})
    with pytest.raises(KafkaFailed, match=r"log\.retention\.ms"):
        kafka.start()


def alive(directory: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(directory).encode() + b"/broker" in line.read_bytes():
                found.append(int(line.parent.name))
        except OSError:
            continue
    return found


@contextmanager
def by_hand(directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command line, and the address it prints."""
    command = [sys.executable, kafka_cluster.__file__, "--dir", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_started_by_hand_it_leaves_no_broker_behind(kafka_jars: None, tmp_path: Path, how: signal.Signals) -> None:
    with by_hand(tmp_path) as (process, address):
        with KafkaAdminClient(bootstrap_servers=address) as admin:
            assert len(admin.describe_cluster()["brokers"]) == 1
        assert len(alive(tmp_path)) == 1
        process.send_signal(how)
        process.wait(30)
    deadline = time.monotonic() + 10
    while alive(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(tmp_path) == []
