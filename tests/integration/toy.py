"""A small program on the live engine, for tests of the engine: it counts.

Run as ``python toy.py DIRECTORY [CHECKPOINT_INTERVAL_S]``. Records of ``events`` are numbers. Per partition it keeps
how often each number came, forgets a number when it has come seven times (so that keys are deleted too), and folds
all of them in order into one checksum; each record gives one contribution. The second stage adds the contributions
up, per partition they came from, and notes their last offset.
"""

from __future__ import annotations

import asyncio
import random
import sys
import zlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog

from monitor.live.checkpoint import Checkpointer, CheckpointSettings
from monitor.live.engine import Engine, EngineError, EngineSettings
from monitor.live.tables import FoldTable
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.transport import EmbeddedBackend
from monitor.log.records import LogError, NewRecord, Shard
from monitor.log.topics import CONTRIBUTIONS, EVENTS

Numbers = tuple[int, ...]


def encode(value: Numbers) -> bytes:
    return b" ".join(b"%d" % number for number in value)


def decode(value: bytes) -> Numbers:
    return tuple(map(int, value.split()))


class Count:
    def __init__(self, table: FoldTable[Numbers], checkpointer: Checkpointer) -> None:
        self.table = table
        self.checkpointer = checkpointer
        self.recovered_partitions: list[int] = []

    def recovered(self, partition: int) -> None:
        self.recovered_partitions.append(partition)

    def released(self, partition: int) -> None:
        self.recovered_partitions.remove(partition)

    def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes, foreign: bool) -> None:
        state = self.table.partition(partition)
        (checksum,) = state.get("checksum", (0,))
        checksum = zlib.crc32(value, checksum)
        state["checksum"] = (checksum,)
        key = f"n{int(value)}"  # what is no number raises in the middle of the work
        (count,) = state.get(key, (0,))
        if count == 6:
            del state[key]
        else:
            state[key] = (count + 1,)
        contribution = encode((partition, offset, checksum))
        self.checkpointer.emit(Shard(EVENTS, partition), CONTRIBUTIONS, 0, None, contribution, timestamp_us)


class Add:
    def __init__(self, table: FoldTable[Numbers]) -> None:
        self.table = table

    def recovered(self, partition: int) -> None:
        pass

    def released(self, partition: int) -> None:
        pass

    def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes, foreign: bool) -> None:
        source, source_offset, checksum = decode(value)
        state = self.table.partition(0)
        last, total = state.get(f"p{source}", (-1, 0))
        if source_offset != last + 1:
            raise ValueError(f"contribution {source}/{source_offset} came after {source}/{last}")
        state[f"p{source}"] = (source_offset, total + checksum)


def build(log: EmbeddedLog, settings: EngineSettings | None = None) -> Engine:
    engine = Engine(EmbeddedBackend(log), settings)
    counts = engine.table("counts", topic=EVENTS, encode=encode, decode=decode)
    sums = engine.table("sums", topic=CONTRIBUTIONS, encode=encode, decode=decode)
    engine.handle(EVENTS, Count(counts, engine.checkpointer))
    engine.handle(CONTRIBUTIONS, Add(sums))
    return engine


def run(engine: Engine, *companions: Callable[[], Awaitable[None]], timeout_s: float = 30.0) -> None:
    """Run ``engine`` with ``companions`` until one of them stops it."""
    asyncio.run(asyncio.wait_for(engine.run(*companions), timeout_s))


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
    """Wait for it while other tasks run."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def fill(directory: Path, records: int, seed: int = 0) -> None:
    """Append numbers to all partitions."""
    random_ = random.Random(seed)
    with EmbeddedLog.open(directory) as log:
        log.append(
            [
                NewRecord("events", random_.randrange(4), b"%d" % random_.randrange(500), timestamp_us=i)
                for i in range(records)
            ]
        )


def results(directory: Path) -> dict[str, Any]:
    """Tables, outputs and positions; outputs by the partition they came from, whose interleaving is free."""
    with EmbeddedLog.open(directory, read_only=True) as log:
        outputs: dict[bytes, list[bytes]] = defaultdict(list)
        for record in log.scan("contributions", 0):
            source, rest = record.value.split(b" ", 1)
            outputs[source].append(rest)
        tables: dict[tuple[str, int], dict[bytes, bytes]] = {
            **{("counts", p): {} for p in range(4)},
            ("sums", 0): {},
        }
        for shard in (*(Shard("events", p) for p in range(4)), Shard("contributions", 0)):
            for _, table, key, value in log.changes(shard):
                if value is not None:
                    tables[table, shard.partition][key] = value
        return {"outputs": outputs, "tables": tables, "headers": log.headers()}


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    interval_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.5
    with EmbeddedLog.open(Path(sys.argv[1])) as log:
        engine = build(log, EngineSettings(checkpoint=CheckpointSettings(interval_s=interval_s)))
        try:
            asyncio.run(engine.run())
        except (EngineError, LogError) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
