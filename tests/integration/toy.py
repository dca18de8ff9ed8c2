"""A small program on the live engine, for tests of the engine: it counts.

Run as ``python toy.py DIRECTORY [CHECKPOINT_INTERVAL_S]``. Records of ``events`` are numbers. Per partition it keeps
how often each number came, forgets a number when it has come seven times (so that keys are deleted too), and folds
all of them in order into one checksum; each record gives one contribution. The second stage adds the contributions
up, per partition they came from, and notes their last offset.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from pathlib import Path

import structlog

from monitor.live.checkpoint import Checkpointer, CheckpointSettings
from monitor.live.engine import Engine, EngineError, EngineSettings
from monitor.live.tables import FoldTable
from monitor.log.embedded import EmbeddedLog
from monitor.log.records import LogError
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

    def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes) -> None:
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
        self.checkpointer.emit(CONTRIBUTIONS, 0, None, contribution, timestamp_us)


class Add:
    def __init__(self, table: FoldTable[Numbers]) -> None:
        self.table = table

    def recovered(self, partition: int) -> None:
        pass

    def apply(self, partition: int, offset: int, timestamp_us: int, value: bytes) -> None:
        source, source_offset, checksum = decode(value)
        state = self.table.partition(0)
        last, total = state.get(f"p{source}", (-1, 0))
        if source_offset != last + 1:
            raise ValueError(f"contribution {source}/{source_offset} came after {source}/{last}")
        state[f"p{source}"] = (source_offset, total + checksum)


def build(log: EmbeddedLog, settings: EngineSettings | None = None) -> Engine:
    engine = Engine(log, settings, name="toy")
    counts = engine.table("counts", topic=EVENTS, encode=encode, decode=decode)
    sums = engine.table("sums", topic=CONTRIBUTIONS, encode=encode, decode=decode)
    engine.handle(EVENTS, Count(counts, engine.checkpointer))
    engine.handle(CONTRIBUTIONS, Add(sums))
    return engine


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
