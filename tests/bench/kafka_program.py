"""The program on Kafka, for benchmarks: a log behind a prefix, what is put into it, and a worker that folds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka_cluster import KafkaCluster

import monitor
from monitor.connectors.files import read_events
from monitor.core.events import ClockTicked
from monitor.core.params import DEFAULTS
from monitor.live.state import unfolded
from monitor.live.version import state_version
from monitor.log.gateway import Gateway
from monitor.log.kafka import KafkaLog, KafkaSettings
from monitor.log.records import NewRecord, Shard
from monitor.log.topics import CONTRIBUTIONS, EVENTS
from monitor.wire.decode import decode_pack

SOURCE = str(Path(monitor.__file__).parents[1])
_AT_ONCE = 5_000
_LONGEST_S = 900
_NEAR = 100  # records, or marks of transactions, from the end


@dataclass
class Place:
    """A log behind ``prefix``; a worker's log lines go to ``folder``."""

    cluster: KafkaCluster
    prefix: str
    folder: Path
    events: int = 0  # in the topic, copies in several partitions counted, ticks not
    records: int = 0
    event_bytes: int = 0
    settings: dict[str, str] = field(default_factory=dict)  # more environment of the worker

    def open(self, *, create: bool = False, kind: type[KafkaLog] = KafkaLog) -> KafkaLog:
        """The log, as a worker of this version sees it."""
        settings = KafkaSettings.from_url(self.cluster.url, topic_prefix=self.prefix)
        return kind.open(settings, create=create, state_version=state_version(DEFAULTS))

    def forget(self) -> None:
        """Let the next worker fold all of it anew."""
        settings = KafkaSettings.from_url(self.cluster.url, topic_prefix=self.prefix)
        KafkaLog.open(settings, state_version=state_version(DEFAULTS), rebuild=True).close()

    def fill(self, file: Path) -> float:
        """Ingest a file of history; the seconds it took."""
        began = time.perf_counter()
        with self.open(create=True) as log:
            outcome = Gateway(log, DEFAULTS, history=True).ingest(read_events(str(file)))
            assert not outcome.dead_letters
            took = time.perf_counter() - began
            for partition in range(log.partitions):
                for record in log.scan(EVENTS, partition):
                    self.records += 1
                    self.event_bytes += len(record.value)
                    self.events += sum(not isinstance(event, ClockTicked) for _, event in decode_pack(record.value))
        return took

    def fill_singly(self, other: Place) -> None:
        """Take over the events of another log, each as a record of its own, in the same partitions and order."""
        self.events = other.events
        with other.open() as source, self.open(create=True) as log:
            for partition in range(source.partitions):
                events = _singly(source, partition)
                while part := list(islice(events, _AT_ONCE)):
                    log.append(part)
                    self.records += len(part)
                    self.event_bytes += sum(len(record.value) for record in part)

    def sizes(self, log: KafkaLog) -> dict[str, int]:
        """Bytes on the broker's disk, by topic of :meth:`places` and ``events``; batches lie there packed."""
        with KafkaAdminClient(bootstrap_servers=self.cluster.bootstrap) as admin:
            described = admin.describe_log_dirs()
        topics = [topic for broker in described for folder in broker["log_dirs"] for topic in folder["topics"]]
        size_of = {topic["name"]: sum(part["partition_size"] for part in topic["partitions"]) for topic in topics}
        sizes = {name: size_of.get(places[0][0], 0) for name, places in self.places(log).items()}
        return {EVENTS: size_of[log.place_of(EVENTS, 0)[0]], **sizes}

    def places(self, log: KafkaLog) -> dict[str, list[tuple[str, int]]]:
        """Where the folds write, by what it is; none before there is a generation."""
        if not (generation := log.generation):
            return {}
        return {
            "contributions": [log.place_of(CONTRIBUTIONS, 0)],
            "state of the parcel fold": [log.state_of(Shard(EVENTS, p), generation) for p in range(log.partitions)],
            "state of the fleet fold": [log.state_of(Shard(CONTRIBUTIONS, 0), generation)],
        }

    def written(self, log: KafkaLog, since: dict[tuple[str, int], int] | None = None) -> dict[str, tuple[int, int]]:
        """What the folds wrote there since some offsets and is not compacted yet: records, bytes of keys and values."""
        found = {}
        for name, places in self.places(log).items():
            sizes = [
                len(message.key() or b"") + len(message.value() or b"")
                for place in places
                for message in log.reader.read(place, (since or {}).get(place, 0), log.reader.end(place))
            ]
            found[name] = len(sizes), sum(sizes)
        return found

    def ends(self, log: KafkaLog) -> dict[tuple[str, int], int]:
        """The ends of all :meth:`places`."""
        return log.reader.ends(place for places in self.places(log).values() for place in places)


def _singly(log: KafkaLog, partition: int) -> Iterator[NewRecord]:
    for record in log.scan(EVENTS, partition):
        for raw, event in decode_pack(record.value):
            name = getattr(getattr(event, "data", None), "parcel_id", None)
            key = None if name is None else name.encode()
            yield NewRecord(EVENTS, partition, bytes(raw), timestamp_us=record.timestamp_us, key=key)


class Worker:
    """``channel-monitor run --role worker`` as a process; use it as a context. ``startup_s``: until it was ready, that
    is, until it held all shards with their state; ``entries`` restored.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._log_file = place.folder / f"worker-{time.time_ns()}.log"
        self._command = [sys.executable, "-m", "monitor", "run", "--broker", place.cluster.url, "--role", "worker"]
        self._env = {
            **os.environ,
            "PYTHONPATH": SOURCE,
            "PYTHONFAULTHANDLER": "1",
            "CHANNEL_MONITOR_KAFKA__TOPIC_PREFIX": place.prefix,
            "CHANNEL_MONITOR_LOGGING__JSON": "true",
            **place.settings,
        }
        self.startup_s = 0.0
        self.entries = 0

    def __enter__(self) -> Worker:
        """Start it and wait until it is ready."""
        began_s = time.time()
        with self._log_file.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, cwd=self.place.folder
            )
        while (held := self._held()) is None:
            assert self.process.poll() is None, self.said()
            time.sleep(0.005)
        self.ready_at_s = datetime.fromisoformat(held["timestamp"]).timestamp()
        self.startup_s = self.ready_at_s - began_s
        self.entries = held["entries"]
        self.used_s, self.main_used_s = self.cpu_s(), self.main_thread_s()
        return self

    def _held(self) -> dict[str, Any] | None:
        for line in self._log_file.read_bytes().splitlines():
            if b'"shards_held"' in line and line.endswith(b"}"):
                said: dict[str, Any] = json.loads(line)
                return said
        return None

    def __exit__(self, *_: object) -> None:
        """End it; it must end well."""
        self.process.terminate()
        try:
            code = self.process.wait(60)
        finally:
            self.process.kill()
        assert code == 0, f"the worker ended with {code}:\n{self.said()}"

    def said(self) -> str:
        """The last of its log lines."""
        return self._log_file.read_text(encoding="utf-8", errors="replace")[-4_000:]

    def cpu_s(self) -> float:
        """CPU seconds it has used."""
        return _cpu_s(Path(f"/proc/{self.process.pid}/stat"))

    def main_thread_s(self) -> float:
        """CPU seconds that its main thread has used, which folds: the bound on speed where nothing else runs."""
        return _cpu_s(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/stat"))

    def peak_bytes(self) -> int:
        """The most memory it has had."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (kb,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
        return int(kb) * 1024

    def wait_folded(self, log: KafkaLog) -> tuple[float, float, float]:
        """Until the last record is folded and in a checkpoint. Seconds since it was ready: by the wall, of CPU, and of
        CPU of its main thread."""
        while not _is_folded(log):
            assert self.process.poll() is None, self.said()
            assert time.time() - self.ready_at_s < _LONGEST_S, self.said()
            time.sleep(0.1)
        took_s = time.time() - self.ready_at_s
        return took_s, self.cpu_s() - self.used_s, self.main_thread_s() - self.main_used_s


def _cpu_s(stat: Path) -> float:
    user, system = stat.read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _is_folded(log: KafkaLog) -> bool:
    """Whether nothing is to be folded. Far from there the brokers are asked for positions only, not for records."""
    headers = log.headers()
    ends = {Shard(EVENTS, p): end for p, end in enumerate(log.ends(EVENTS))}
    ends[Shard(CONTRIBUTIONS, 0)] = log.end_offset(CONTRIBUTIONS, 0)
    if any(end - headers.get(shard, 0) > _NEAR for shard, end in ends.items()):
        return False
    return not any(unfolded(log, headers).values())
