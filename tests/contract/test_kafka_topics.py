"""The topics of a log on Kafka, its generations, and how brokers let it in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import SOURCE, KafkaBackend, Worker, contribution, event, values
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourceType,
)
from kafka_cluster import KafkaCluster, free_ports

from monitor.log.kafka import KafkaLog, KafkaSettings
from monitor.log.records import LogBusyError, LogError, Shard

pytestmark = pytest.mark.kafka
YEAR_US = 365 * 86_400_000_000


@pytest.fixture
def backend(kafka: KafkaCluster, topic_prefix: str) -> Iterator[KafkaBackend]:
    made = KafkaBackend(kafka, topic_prefix)
    yield made
    made.close()


def topics(backend: KafkaBackend) -> set[str]:
    """The topics behind the prefix, without it."""
    prefix = backend.settings.topic_prefix
    with backend.cluster.admin() as admin:
        return {name.removeprefix(prefix) for name in admin.list_topics() if name.startswith(prefix)}


def alter(backend: KafkaBackend, topic: str, **configs: str) -> None:
    wanted = {name.replace("_", "."): value for name, value in configs.items()}
    with backend.cluster.admin() as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, backend.settings.topic_prefix + topic, wanted)])


# Topics


def test_a_new_log_has_all_its_topics_behind_the_prefix(backend: KafkaBackend) -> None:
    log = backend.open()
    g = log.generation[:8]
    assert topics(backend) == {
        *("meta", "events", "incidents", "recommendations", "reference", "dead-letters"),
        *(f"contributions-{g}", f"state-events-{g}", f"state-contributions-{g}"),
    }
    assert log.topics()["events"] == log.partitions == 4
    assert log.findings() == []


def test_a_log_that_is_not_there_is_not_made_by_looking(backend: KafkaBackend) -> None:
    with pytest.raises(LogError, match=r"no event log at kafka://.*`run` or `ingest` creates one"):
        backend.open(create=False)
    assert topics(backend) == set()


def test_another_number_of_partitions_is_refused(backend: KafkaBackend) -> None:
    backend.open()
    with pytest.raises(LogError, match="has 4 partitions, not 6; keep 4"):
        KafkaLog.open(backend.settings, partitions=6)
    with backend.cluster.admin() as admin:
        admin.create_partitions({backend.settings.topic_prefix + "events": 5})
    with pytest.raises(LogError, match="events has 5 partitions, not 4: parcels would lie where their past is not"):
        backend.open()


@pytest.mark.parametrize(
    ("topic", "name", "value"),
    [
        ("events", "retention.ms", "604800000"),
        ("incidents", "cleanup.policy", "compact"),
        ("meta", "retention.bytes", "9"),
    ],
)
def test_a_topic_that_would_lose_records_is_refused_with_the_remedy(
    backend: KafkaBackend, topic: str, name: str, value: str
) -> None:
    backend.open()
    alter(backend, topic, **{name: value})
    with pytest.raises(LogError, match=f"{name}={value}, not .*kafka-configs --alter --topic .*{topic} --add-config"):
        backend.open()


def test_few_replicas_are_said_and_suffered(kafka3: KafkaCluster, topic_prefix: str, caplog: object) -> None:
    single = KafkaSettings.from_url(kafka3.url, topic_prefix=topic_prefix, replication=1)
    KafkaLog.open(single).close()
    with KafkaLog.open(KafkaSettings.from_url(kafka3.url, topic_prefix=topic_prefix)) as log:
        assert {finding.vital for finding in log.findings()} == {False}
        assert any("1 replica(s), not 3" in finding.text for finding in log.findings())
        assert log.append([event(b"taken all the same")]) == [0]


def test_topics_are_as_durable_as_the_cluster_allows(kafka3: KafkaCluster, topic_prefix: str) -> None:
    with KafkaLog.open(KafkaSettings.from_url(kafka3.url, topic_prefix=topic_prefix)) as log, kafka3.admin() as admin:
        name = log.layout.topic("events", "")
        (described,) = admin.describe_topics([name])
        assert {len(partition["replica_nodes"]) for partition in described["partitions"]} == {3}
        configs = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])["topic"][name]
        assert configs["min.insync.replicas"]["value"] == "2"


def test_years_of_history_and_times_to_come_are_taken_and_fill_one_segment(backend: KafkaBackend) -> None:
    log = backend.open()
    now_us = 1_790_000_000_000_000
    times = [-5, 0, *range(now_us - 20 * YEAR_US, now_us + 3 * YEAR_US, YEAR_US // 4)]
    log.append([event(b"%d" % time_us, timestamp_us=time_us) for time_us in times])
    assert [record.timestamp_us for record in log.scan("events", 0)] == times
    folder = f"{backend.settings.topic_prefix}events-0"
    assert len(list(backend.cluster.directory.glob(f"**/{folder}/*.log"))) == 1


# Generations


def test_every_version_of_the_state_has_a_generation_that_is_found_again(backend: KafkaBackend) -> None:
    old = backend.open("1")
    new = backend.open("2")
    assert old.generation != new.generation
    assert backend.open("1").generation == old.generation
    assert (old.state_version, new.state_version) == ("1", "2")
    reader = backend.open(None, create=False)
    assert (reader.generation, reader.state_version) == (new.generation, "2")


def test_a_log_without_a_generation_has_no_state(backend: KafkaBackend) -> None:
    for log in (backend.open(None), backend.open("1", create=False)):
        assert (log.generation, log.state_version, log.headers()) == ("", None, {})
        assert (values(log, "contributions"), log.ends("contributions")) == ([], [0])
        with log.snapshot():
            assert log.headers() == {}


def test_old_and_new_workers_write_side_by_side(backend: KafkaBackend) -> None:
    logs = [backend.open("1"), backend.open("2")]
    for log, value in zip(logs, (b"old", b"new"), strict=True):
        worker = Worker(log)
        worker.acquire()
        assert worker.write(outputs=[contribution(value)]) is None
        worker.close()
    assert [values(log, "contributions") for log in logs] == [[b"old"], [b"new"]]


def test_processes_that_begin_a_log_at_once_agree(backend: KafkaBackend) -> None:
    program = (
        "from monitor.log.kafka import *\nfrom monitor.log.records import *\n"
        "input()\n"
        f"s = KafkaSettings.from_url({backend.cluster.url!r}, topic_prefix={backend.settings.topic_prefix!r})\n"
        "try:\n    log = KafkaLog.open(s, partitions=PARTITIONS, state_version='1')\n"
        "    print(log.partitions, log.generation, *log.append([NewRecord('events', 0, b'x', timestamp_us=0)]))\n"
        "except LogError as error:\n    print(error)\n"
    )
    counts = [4, 6, 4, 6, 4, 6]
    started = [backend.run(program.replace("PARTITIONS", str(n))) for n in counts]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    lines = [process.communicate(timeout=120)[0].strip() for process in started]
    log = backend.open()
    winners = [line.split() for line, n in zip(lines, counts, strict=True) if n == log.partitions]
    assert {(n, generation) for n, generation, _ in winners} == {(str(log.partitions), log.generation)}
    assert len({offset for *_, offset in winners}) == 3
    losers = [line for line, n in zip(lines, counts, strict=True) if n != log.partitions]
    assert all(f"has {log.partitions} partitions, not" in line for line in losers)
    assert len(topics(backend)) == 9


def test_a_rebuild_begins_anew_and_old_generations_go(backend: KafkaBackend) -> None:
    first = backend.open("1")
    rebuilt = KafkaLog.open(backend.settings, state_version="1", rebuild=True)
    backend.opened.append(rebuilt)
    assert rebuilt.generation not in ("", first.generation)
    assert backend.open(None).generation == rebuilt.generation
    newest = backend.open("2")
    assert newest.generations.retire(newest.generation) == [first.generation]
    assert {name.rsplit("-", 1)[1] for name in topics(backend) if name.startswith("state-")} == {
        rebuilt.generation[:8],
        newest.generation[:8],
    }
    assert newest.generations.retire(newest.generation, keep=0)
    assert backend.open("1").generation not in (rebuilt.generation, newest.generation)


# Brokers that are not there, or do not let us in


def test_brokers_out_of_reach_are_named_with_the_remedy() -> None:
    (port,) = free_ports(1)
    with pytest.raises(LogBusyError, match=f"kafka://127.0.0.1:{port} does not answer .*see that the brokers run"):
        KafkaLog.open(KafkaSettings.from_url(f"kafka://127.0.0.1:{port}", timeout_s=1))
    with pytest.raises(LogError, match=r"does not answer .*no-such-host"):
        KafkaLog.open(KafkaSettings.from_url("kafka://no-such-host.invalid", timeout_s=1))


@pytest.fixture(scope="module")
def secure(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    with KafkaCluster(tmp_path_factory.mktemp("secure"), secure=True) as cluster:
        yield cluster


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_log_works_over_tls_with_a_password(secure: KafkaCluster, topic_prefix: str, mechanism: str) -> None:
    settings = KafkaSettings.from_url(
        f"kafka://{secure.secure_bootstrap}",
        topic_prefix=topic_prefix,
        security_protocol="SASL_SSL",
        sasl_mechanism=mechanism,
        username=secure.username,
        password=secure.password,
        ssl_cafile=secure.ca_file,
    )
    assert secure.password not in repr(settings) + settings.name
    with KafkaLog.open(settings, state_version="1") as log:
        assert log.append([event(b"secret")]) == [0]
        assert values(log) == [b"secret"]
        worker = Worker(log)
        assert worker.acquire() == 0
        assert worker.write(1) is None
        worker.close()


def test_what_keeps_a_log_out_is_said(secure: KafkaCluster, tmp_path: Path) -> None:
    url = f"kafka://{secure.secure_bootstrap}"
    login = {"security_protocol": "SASL_SSL", "username": secure.username, "password": secure.password, "timeout_s": 5}
    right = KafkaSettings.from_url(url, **login, ssl_cafile=secure.ca_file)
    foreign = tmp_path / "other.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {tmp_path}/key -out {foreign} -days 1 -subj /CN=other",
        shell=True,
        check=True,
        capture_output=True,
        cwd=SOURCE,
    )
    cases = [
        (
            {**login, "password": "wrong", "ssl_cafile": secure.ca_file},
            "does not let this program in, PLAIN over SASL_SSL",
        ),
        ({**login, "ssl_cafile": foreign}, "TLS failed .*ssl_cafile"),
        ({"timeout_s": 2}, "does not answer"),
    ]
    for fields, message in cases:
        with pytest.raises(LogError, match=message) as raised:
            KafkaLog.open(KafkaSettings.from_url(url, **fields))
        assert secure.password not in str(raised.value)
    KafkaLog.open(right).close()


#: What an administrator grants to the user of a log, for names that begin with its prefix.
RIGHTS = {
    ResourceType.TOPIC: ("DESCRIBE", "DESCRIBE_CONFIGS", "CREATE", "DELETE", "READ", "WRITE"),
    ResourceType.TRANSACTIONAL_ID: ("WRITE",),
    ResourceType.GROUP: ("READ", "DELETE"),
}


def test_rights_are_asked_for_by_name_and_the_documented_ones_suffice(kafka_jars: None, tmp_path: Path) -> None:
    guard = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    with KafkaCluster(tmp_path / "guarded", secure=True, overrides=guard) as cluster:
        settings = KafkaSettings.from_url(
            f"kafka://{cluster.secure_bootstrap}",
            topic_prefix="eu.",
            security_protocol="SASL_SSL",
            username=cluster.username,
            password=cluster.password,
            ssl_cafile=cluster.ca_file,
        )
        with pytest.raises(LogError, match=r"forbids this to monitor .*that begin with 'eu\.'"):
            KafkaLog.open(settings)
        granted = [
            ACL(
                f"User:{cluster.username}",
                "*",
                ACLOperation[operation],
                ACLPermissionType.ALLOW,
                ResourcePattern(kind, "eu.", ACLResourcePatternType.PREFIXED),
            )
            for kind, operations in RIGHTS.items()
            for operation in operations
        ]
        with cluster.admin() as admin:
            admin.create_acls(granted)
        with KafkaLog.open(settings, state_version="1") as log:
            assert log.findings() == []
            log.append([event(b"x")])
            worker = Worker(log)
            worker.acquire()
            assert worker.write(1, outputs=[contribution(b"+1")]) is None
            worker.trim(Shard("contributions", 0), 1)
            worker.close()
            assert (values(log), log.headers()) == ([b"x"], {Shard("events", 0): 1})
            with KafkaLog.open(settings, state_version="2") as newer:
                assert newer.generations.retire(newer.generation, keep=0) == [log.generation]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("kafka://user:secret@host:9092", "must not hold a user name and password"),
        ("kafka://a,user:secret@b", "must not hold a user name and password"),
        ("http://host:9092", "as kafka://host:port,host2:port, not as http://"),
        ("kafka://", "a host is missing"),
        ("kafka://host:port", "kafka://host:port,host2:port"),
        ("kafka://host:9092/prefix", "the prefix of the topics is a setting of its own"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused(url: str, message: str) -> None:
    with pytest.raises(LogError, match=message) as raised:
        KafkaSettings.from_url(url)
    assert "secret" not in str(raised.value)


def test_a_url_may_leave_the_port_out() -> None:
    settings = KafkaSettings.from_url("kafka://one,two:9093,[::1]:9094", topic_prefix="eu.")
    assert settings.bootstrap == ("one:9092", "two:9093", "[::1]:9094")
    assert settings.name == "kafka://one:9092,two:9093,[::1]:9094/eu."


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"username": "u", "password": "p"}, "PLAINTEXT knows no user name"),
        ({"security_protocol": "SASL_SSL"}, "SASL_SSL needs a user name and a password"),
        ({"security_protocol": "TLS"}, "use PLAINTEXT, SSL"),
        ({"ssl_cafile": Path("ca.pem")}, "PLAINTEXT knows no certificates"),
        ({"security_protocol": "SSL", "ssl_cafile": Path("missing.pem")}, "no certificate or key missing.pem"),
        ({"topic_prefix": "a/b"}, "letters, digits"),
        ({"replication": 40}, "replication = 40"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(LogError, match=message):
        KafkaSettings(("host:9092",), **fields)  # type: ignore[arg-type]
