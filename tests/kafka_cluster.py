"""A real Apache Kafka (KRaft, each node broker and controller) of one or three nodes on loopback, for tests::

    with KafkaCluster(tmp_path, brokers=3) as kafka:
        kafka.create_topic("events", partitions=4)
        kafka.kill(kafka.leaders("events")[0])

A broker is named by its node id: 1, 2, 3. By hand, until Ctrl-C::

    PYTHONPATH=tests .venv/bin/python tests/kafka_cluster.py --brokers 3
"""

from __future__ import annotations

import argparse
import base64
import secrets
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError, TransactionalIdNotFoundError

POM = Path(__file__).parent / "kafka" / "pom.xml"
TARGET = POM.parent / "target"

HOST = "127.0.0.1"
# Below the range that outgoing connections get their ports from, so a port stays free while its broker is down.
PORTS = range(20_000, 32_000)
# The first compiler only and a plain collector: a broker starts in 2 s instead of 2.5 s and takes less memory.
JVM = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# What is asked often is asked again after this time: the broker that was asked may have been paused or killed.
ASK_AGAIN_S = 5.0
# A broker dies with the thread that started it, however that ends; this one lives as long as the process.
STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-starter")

LOG4J = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
"""


def classpath() -> list[Path]:
    """The jars Maven gathered; empty if they are missing, incomplete or older than the pom."""
    names = TARGET / "classpath"
    if not names.exists() or names.stat().st_mtime < POM.stat().st_mtime:
        return []
    jars = [TARGET / name for name in names.read_text(encoding="utf-8").strip().split(":")]
    return jars if all(jar.exists() for jar in jars) else []


def gather_jars() -> None:
    """Let Maven gather the jars."""
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(POM), "verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def java(*arguments: str) -> list[str]:
    """The command that runs a class of Kafka's; the kernel kills it when the starter's thread is gone."""
    if not (jars := classpath()):
        raise KafkaFailed("Kafka's jars are missing: run make test, which fetches them by Maven")
    return ["setpriv", "--pdeathsig", "KILL", "java", *JVM, "-cp", ":".join(map(str, jars)), *arguments]


class KafkaFailed(Exception):
    """No jars, a broker that ended, or one that was not ready in time; the message holds the end of its log."""


class Node:
    """One broker, which is a controller too: its folder, ports and process."""

    def __init__(self, number: int, directory: Path, ports: Sequence[int]) -> None:
        self.number = number
        self.directory = directory
        self.port, self.controller_port, self.secure_port = ports
        self.log_file = directory / "broker.log"
        self.settings_file = directory / "server.properties"
        self.paused = False
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the process; it is not ready yet."""
        if self.running:
            raise RuntimeError(f"broker {self.number} runs already")
        log4j = f"-Dlog4j2.configurationFile={self.directory.parent / 'log4j2.properties'}"
        command = java(log4j, "kafka.Kafka", str(self.settings_file))
        with self.log_file.open("ab") as log:
            starting = STARTER.submit(
                subprocess.Popen, command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
            self.process = starting.result()
        self.paused = False

    def signal(self, number: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"broker {self.number} does not run")
        self.process.send_signal(number)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for the end of the process."""
        if self.process is not None:
            self.process.wait(timeout_s)
            self.process = None

    def end_of_log(self, lines: int = 40) -> str:
        """The last lines of the log, for an error message."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""
        return f"--- broker {self.number}, {self.log_file}\n" + "\n".join(text.splitlines()[-lines:])


class KafkaCluster:
    """Brokers on free ports of loopback with their data below ``directory``; ends with the test process at the latest.

    ``overrides`` are settings of ``server.properties`` for every broker. ``secure`` adds a listener with SASL over TLS
    (PLAIN and SCRAM-SHA-512): :attr:`secure_bootstrap`, :attr:`username`, :attr:`password`, :attr:`ca_file`.
    """

    def __init__(
        self,
        directory: Path,
        brokers: int = 1,
        *,
        secure: bool = False,
        overrides: Mapping[str, str | int] | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self.secure = secure
        self.username = "monitor"
        self.password = secrets.token_hex(16)
        self.ca_file = self.directory / "ca.pem"
        self._overrides = dict(overrides or {})
        ports = free_ports(3 * brokers)
        self._nodes = {
            number: Node(number, self.directory / f"broker-{number}", ports[3 * number - 3 : 3 * number])
            for number in range(1, brokers + 1)
        }

    # --- addresses --------------------------------------------------------------------------------

    @property
    def bootstrap(self) -> str:
        """``host:port`` of every broker, with commas."""
        return ",".join(f"{HOST}:{node.port}" for node in self._nodes.values())

    @property
    def url(self) -> str:
        """``kafka://host:port,host:port``."""
        return f"kafka://{self.bootstrap}"

    @property
    def secure_bootstrap(self) -> str:
        """As :attr:`bootstrap`, for SASL over TLS."""
        if not self.secure:
            raise RuntimeError("this cluster was made without secure=True")
        return ",".join(f"{HOST}:{node.secure_port}" for node in self._nodes.values())

    # --- the whole cluster ------------------------------------------------------------------------

    def start(self) -> None:
        """Start all brokers and wait until they can be used; after :meth:`stop` with the data they had."""
        if not (self.directory / "log4j2.properties").exists():
            self._prepare()
        try:
            for node in self._nodes.values():
                node.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all brokers at once, without ceremony (:meth:`terminate` is the way a broker is shut down in earnest)."""
        for node in self._nodes.values():
            if node.running:
                self.kill(node.number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Wait until every running broker serves, groups and transactions have their topics, and every partition has a
        leader and all its replicas on running brokers in sync."""
        deadline = time.monotonic() + timeout_s
        while (missing := self._not_ready()) is not None:
            awaited = self._awaited()
            ended = [node.number for node in awaited if not node.running]
            if ended or time.monotonic() > deadline:
                why = f"broker {ended} ended" if ended else f"not ready after {timeout_s:g} s: {missing}"
                raise KafkaFailed("\n".join([why, *(node.end_of_log() for node in self._nodes.values())]))
            time.sleep(0.1)

    # --- one broker -------------------------------------------------------------------------------

    def kill(self, broker: int) -> None:
        """SIGKILL: the broker is gone at once, and says goodbye to nobody."""
        node = self._nodes[broker]
        node.signal(signal.SIGKILL)
        node.wait()

    def terminate(self, broker: int, timeout_s: float = 60.0) -> None:
        """SIGTERM: the broker hands over its partitions and ends."""
        node = self._nodes[broker]
        node.signal(signal.SIGTERM)
        try:
            node.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise KafkaFailed(f"broker {broker} did not end in {timeout_s:g} s\n{node.end_of_log()}") from None

    def pause(self, broker: int) -> None:
        """SIGSTOP: the broker keeps its connections but answers nothing."""
        node = self._nodes[broker]
        node.signal(signal.SIGSTOP)
        node.paused = True

    def resume(self, broker: int) -> None:
        """SIGCONT: a paused broker goes on where it stood."""
        node = self._nodes[broker]
        node.signal(signal.SIGCONT)
        node.paused = False

    def restart(self, broker: int) -> None:
        """Start an ended broker on the same ports and data, or end a running one first; then wait until it is ready."""
        node = self._nodes[broker]
        if node.running:
            self.kill(broker)
        node.start()
        self.wait_ready()

    def heal(self) -> None:
        """Bring back every broker that was killed or paused."""
        for node in self._nodes.values():
            if node.paused:
                self.resume(node.number)
            if not node.running:
                node.start()
        self.wait_ready()

    def log_file(self, broker: int) -> Path:
        """What the broker says, over all its lives."""
        return self._nodes[broker].log_file

    # --- topics -----------------------------------------------------------------------------------

    @contextmanager
    def admin(self, timeout_s: float = 30.0) -> Iterator[KafkaAdminClient]:
        """An admin client of the brokers that answer."""
        servers = [f"{HOST}:{node.port}" for node in self._nodes.values() if node.running and not node.paused]
        timeout_ms = int(1000 * timeout_s)
        with KafkaAdminClient(
            bootstrap_servers=servers, bootstrap_timeout_ms=timeout_ms, request_timeout_ms=timeout_ms
        ) as client:
            yield client

    def create_topic(self, topic: str, partitions: int = 1, **configs: str | int) -> None:
        """Make a topic with a replica on every broker; returns when it has leaders. ``configs``: cleanup_policy=…"""
        wanted = {
            "num_partitions": partitions,
            "replication_factor": len(self._nodes),
            "configs": {name.replace("_", "."): str(value) for name, value in configs.items()},
        }
        with self.admin() as admin:
            admin.create_topics({topic: wanted}, wait_for_metadata=True)

    def leaders(self, topic: str) -> dict[int, int]:
        """The broker that leads each partition, -1 where none does."""
        return {partition: found["leader_id"] for partition, found in self._describe(topic).items()}

    def in_sync(self, topic: str) -> dict[int, set[int]]:
        """The brokers that hold all of each partition."""
        return {partition: set(found["isr_nodes"]) for partition, found in self._describe(topic).items()}

    def move_leader(self, topic: str, partition: int = 0, timeout_s: float = 30.0) -> int:
        """Let another replica lead a partition while all brokers go on. Returns the new leader."""
        found = self._describe(topic)[partition]
        old, replicas = found["leader_id"], found["replica_nodes"]
        others = [broker for broker in found["isr_nodes"] if broker != old]
        if not others:
            raise RuntimeError(f"no other replica of {topic} {partition} is in sync")
        order = [others[0], *(broker for broker in replicas if broker != others[0])]
        with self.admin() as admin:
            failed = admin.alter_partition_reassignments({TopicPartition(topic, partition): order})
            if any(failed.values()):
                raise RuntimeError(f"reassignment refused: {failed}")
            admin.elect_leaders(0, {topic: [partition]})
        deadline = time.monotonic() + timeout_s
        while self.leaders(topic)[partition] != others[0]:
            if time.monotonic() > deadline:
                raise KafkaFailed(f"{topic} {partition} is still led by {old} after {timeout_s:g} s")
            time.sleep(0.1)
        return int(others[0])

    # --- inside -----------------------------------------------------------------------------------

    def _describe(self, topic: str, timeout_s: float = 30.0) -> dict[int, dict[str, Any]]:
        """The partitions of a topic; asks again when a broker that died or sleeps was asked."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with self.admin(ASK_AGAIN_S) as admin:
                    (described,) = admin.describe_topics([topic])
                return {found["partition_index"]: found for found in described["partitions"]}
            except (KafkaError, OSError):
                if time.monotonic() > deadline:
                    raise

    def _not_ready(self) -> str | None:
        """What is missing; None when the cluster can be used."""
        awaited = {node.number for node in self._awaited()}
        for number in sorted(awaited):
            node = self._nodes[number]
            for port in (node.port, node.secure_port) if self.secure else (node.port,):
                try:
                    socket.create_connection((HOST, port), timeout=1).close()
                except OSError as error:
                    return f"broker {number}, port {port}: {error}"
        try:
            with self.admin(ASK_AGAIN_S) as admin:
                there = {b["broker_id"] for b in admin.describe_cluster()["brokers"] if not b.get("is_fenced")}
                if there & awaited != awaited:
                    return f"brokers {sorted(awaited - there)} are not registered"
                admin.describe_groups(["probe"])  # to ask for a coordinator makes the topic of groups
                with suppress(TransactionalIdNotFoundError):
                    admin.describe_transactions(["probe"])
                for topic in admin.describe_topics():
                    for partition in topic["partitions"]:
                        replicas = set(partition["replica_nodes"]) & awaited
                        led = partition["leader_id"] in awaited or not replicas  # whose only brokers are away, waits
                        if not led or replicas - set(partition["isr_nodes"]):
                            return f"{topic['name']}: {partition}"
        except (KafkaError, OSError) as error:
            return repr(error)
        return None

    def _awaited(self) -> list[Node]:
        """The brokers that were started and neither ended on purpose nor paused."""
        return [node for node in self._nodes.values() if node.process is not None and not node.paused]

    def _prepare(self) -> None:
        """Write the settings and format the nodes, all at the same time."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "log4j2.properties").write_text(LOG4J, encoding="utf-8")
        if self.secure:
            self._make_certificate()
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        formatting = []
        for node in self._nodes.values():
            node.directory.mkdir()
            settings = "".join(f"{name}={value}\n" for name, value in self._settings(node).items())
            node.settings_file.write_text(settings, encoding="utf-8")
            users = ["--add-scram", f"SCRAM-SHA-512=[name={self.username},password={self.password}]"]
            what = [f"--cluster-id={cluster_id}", f"--config={node.settings_file}", *(users if self.secure else [])]
            command = java("kafka.tools.StorageTool", "format", *what)
            with node.log_file.open("ab") as log:
                formatting.append((node, subprocess.Popen(command, stdout=log, stderr=log)))
        if failed := [node for node, process in formatting if process.wait()]:
            raise KafkaFailed("formatting failed\n" + "\n".join(node.end_of_log() for node in failed))

    def _settings(self, node: Node) -> dict[str, str | int]:
        copies = min(3, len(self._nodes))
        in_sync = 2 if copies == 3 else 1
        listeners = {"PLAINTEXT": node.port, "CONTROLLER": node.controller_port}
        if self.secure:
            listeners["SASL_SSL"] = node.secure_port
        addresses = {name: f"{name}://{HOST}:{port}" for name, port in listeners.items()}
        voters = ",".join(f"{n.number}@{HOST}:{n.controller_port}" for n in self._nodes.values())
        return {
            "process.roles": "broker,controller",
            "node.id": node.number,
            "log.dirs": str(node.directory / "data"),
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": ",".join(addresses.values()),
            "listener.security.protocol.map": ",".join(
                f"{name}:{'PLAINTEXT' if name == 'CONTROLLER' else name}" for name in listeners
            ),
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            "auto.leader.rebalance.enable": "false",  # leaders move when a test says so
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "log.cleaner.backoff.ms": 1000,
            # A dead broker is noticed after this time; the default of 9 s only makes tests wait.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            **(self._secure_settings() if self.secure else {}),
            **self._overrides,
        }

    def _secure_settings(self) -> dict[str, str | int]:
        security = "org.apache.kafka.common.security"
        return {
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                f'{security}.plain.PlainLoginModule required user_{self.username}="{self.password}";'
            ),
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{security}.scram.ScramLoginModule required;",
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self._keystore),
            "ssl.keystore.password": self.password,
        }

    @property
    def _keystore(self) -> Path:
        return self.directory / "keystore.p12"

    def _make_certificate(self) -> None:
        """A certificate for loopback that is its own authority; what clients trust is :attr:`ca_file`."""
        store = ["-keystore", str(self._keystore), "-storetype", "PKCS12", "-storepass", self.password]
        made = ["-dname", "CN=localhost", "-keyalg", "EC", "-validity", "2"]
        made += ["-ext", f"SAN=ip:{HOST},dns:localhost", "-ext", "BC:critical=ca:true"]
        for command in (["-genkeypair", *made], ["-exportcert", "-rfc", "-file", str(self.ca_file)]):
            subprocess.run(["keytool", *command, "-alias", "broker", *store], check=True, capture_output=True)


def main() -> None:
    """Run a cluster until interrupted."""
    parser = argparse.ArgumentParser(description="Run an Apache Kafka on loopback until Ctrl-C.")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--dir", type=Path, help="an empty or new folder for the data (default: a temporary one)")
    options = parser.parse_args()
    if not classpath():
        gather_jars()
    with (
        tempfile.TemporaryDirectory() as temporary,
        KafkaCluster(options.dir or Path(temporary), options.brokers) as kafka,
    ):
        print(kafka.bootstrap, flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
