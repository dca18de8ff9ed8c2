"""How tests open one and the same log, from their own process and from others, whichever log it is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from kafka_cluster import KafkaCluster

import monitor
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.state import EmbeddedState
from monitor.log.kafka import KafkaLog, KafkaSettings, KafkaState
from monitor.log.protocol import Log
from monitor.log.records import Change, Checkpoint, LogError, NewRecord, Shard, TableChange

SOURCE = str(Path(monitor.__file__).parents[1])
VERSION = "1"
PARCELS = Shard("events", 0)
TIME_US = 1_700_000_000_000_001


class Backend(Protocol):
    """One log with four partitions."""

    def open(self) -> Log: ...

    def start(self, program: str) -> subprocess.Popen[str]:
        """Start another process that has this log open as ``log``, its state as ``store``, and runs ``program``."""
        ...

    def close(self) -> None: ...


class EmbeddedBackend:
    """The log in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.opened: list[EmbeddedLog] = []
        self.started: list[subprocess.Popen[str]] = []

    def open(self) -> EmbeddedLog:
        log = EmbeddedLog.open(self.directory)
        self.opened.append(log)
        return log

    def start(self, program: str) -> subprocess.Popen[str]:
        prelude = (
            "import asyncio, os, random, sys, time\n"
            "from pathlib import Path\n"
            "from monitor.log.embedded import *\n"
            "from monitor.log.embedded.state import EmbeddedState\n"
            "from monitor.log.records import *\n"
            f"log = EmbeddedLog.open(Path({str(self.directory)!r}))\n"
            "store = EmbeddedState(log)\n"
        )
        self.started.append(started(prelude + program))
        return self.started[-1]

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()
        for log in self.opened:
            log.close()


def started(program: str) -> subprocess.Popen[str]:
    """Another process that runs ``program``."""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )


class KafkaBackend:
    """The log behind ``topic_prefix``, with four partitions."""

    def __init__(self, cluster: KafkaCluster, topic_prefix: str) -> None:
        self.cluster = cluster
        self.settings = KafkaSettings.from_url(cluster.url, topic_prefix=topic_prefix)
        self.opened: list[KafkaLog] = []
        self.started: list[subprocess.Popen[str]] = []

    def open(self, version: str | None = VERSION, *, create: bool = True) -> KafkaLog:
        log = KafkaLog.open(self.settings, create=create, state_version=version)
        self.opened.append(log)
        return log

    def start(self, program: str) -> subprocess.Popen[str]:
        prelude = (
            "import asyncio, random, sys, time\n"
            "from monitor.log.kafka import *\n"
            "from monitor.log.records import *\n"
            f"settings = KafkaSettings.from_url({self.cluster.url!r}, topic_prefix={self.settings.topic_prefix!r})\n"
            f"log = KafkaLog.open(settings, state_version={VERSION!r})\n"
            "store = KafkaState(log)\n"
        )
        return self.run(prelude + program)

    def run(self, program: str) -> subprocess.Popen[str]:
        """Start another process that runs ``program``."""
        process = started(program)
        self.started.append(process)
        return process

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()
        for log in self.opened:
            log.close()


class Worker:
    """A worker's state store, whose calls wait for their end."""

    def __init__(self, log: Any) -> None:
        self.log = log
        self.store: Any = KafkaState(log) if isinstance(log, KafkaLog) else EmbeddedState(log)

    def acquire(self, shard: Shard = PARCELS) -> int:
        return asyncio.run(self.store.acquire(shard))

    def write(
        self,
        next_offset: int = 0,
        *,
        shard: Shard = PARCELS,
        outputs: Sequence[NewRecord] = (),
        changes: Sequence[TableChange] = (),
        generation: str | None = None,
    ) -> LogError | None:
        """Write one checkpoint, and give back why it could not be written."""
        checkpoint = Checkpoint(generation or self.store.generation, shard, outputs, changes, next_offset)
        failed = asyncio.run(self.store.write([checkpoint]))
        assert [one for one, _ in failed] in ([], [checkpoint])
        return failed[0][1] if failed else None

    def restore(self, shard: Shard = PARCELS) -> list[Change]:
        async def restore() -> list[Change]:
            return [change async for part in self.store.restore(shard) for change in part]

        return asyncio.run(restore())

    def trim(self, shard: Shard, before_offset: int) -> None:
        asyncio.run(self.store.trim(shard, before_offset))

    def close(self) -> None:
        if isinstance(self.store, KafkaState):
            asyncio.run(self.store.close())


def event(value: bytes, partition: int = 0, *, timestamp_us: int = TIME_US, **fields: object) -> NewRecord:
    return NewRecord("events", partition, value, timestamp_us=timestamp_us, **fields)  # type: ignore[arg-type]


def contribution(value: bytes) -> NewRecord:
    return NewRecord("contributions", 0, value, timestamp_us=TIME_US)


def values(log: Log, topic: str = "events", partition: int = 0, start: int = 0) -> list[bytes]:
    return [record.value for record in log.scan(topic, partition, start)]


def table(changes: Sequence[Change]) -> dict[tuple[str, bytes], bytes]:
    """The last value of every key."""
    last = {(change.table, change.key): change.value for change in changes}
    return {key: value for key, value in last.items() if value is not None}
