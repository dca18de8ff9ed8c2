"""In whatever pieces and order a past is ingested: once merged, it is what one ingest of all of it gives."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from worlds import SHORT, worlds

from monitor.log.appending import Appender
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.merging import merge_history
from monitor.log.export import Exported, export_events
from monitor.log.gateway import Gateway
from monitor.log.topics import EVENTS
from monitor.wire.incoming import Incoming
from monitor.wire.times import recorded_us

YEAR_2026_US = 1_767_225_600_000_000
NOW_US = 1_798_761_600_000_000  # 2027-01-01
LATER_US = NOW_US // SHORT.tick_us * SHORT.tick_us


def ingest(log: EmbeddedLog, lines: list[bytes]) -> None:
    gateway = Gateway(log, SHORT, history=True, clock=lambda: NOW_US)
    gateway.ingest(Incoming("f", n, line, event=line) for n, line in enumerate(lines))


def tick(log: EmbeddedLog) -> None:
    appender = Appender(log)
    appender.tick(LATER_US)
    appender.flush()


def exported(log: EmbeddedLog) -> list[bytes]:
    return list(export_events(log, Exported()))


def records(log: EmbeddedLog) -> list[tuple[int, int, bytes]]:
    return [(p, r.offset, r.value) for p in range(log.partitions) for r in log.read(EVENTS, p, 0, 10_000, 1 << 30)]


def none(_read: int, _written: int) -> None:
    """No progress is shown."""


@given(worlds, st.lists(st.integers(0, 3), max_size=70), st.integers(1, 5), st.sampled_from([0, 1, 2]))
def test_history_in_pieces_merges_into_what_one_ingest_gives(
    lines: list[bytes], pieces: list[int], partitions: int, ticked: int
) -> None:
    lines = [line for line in lines if recorded_us(line) > YEAR_2026_US]  # else many thousands of ticks
    with tempfile.TemporaryDirectory() as folder:
        with EmbeddedLog.open(Path(folder) / "one", partitions=partitions) as log:
            ingest(log, lines)
            if ticked:
                tick(log)
            expected = exported(log)
        with EmbeddedLog.open(Path(folder) / "pieces", partitions=partitions) as log:
            of_line = (pieces + [0] * len(lines))[: len(lines)]
            for piece in range(4):
                ingest(log, [line for line, number in zip(lines, of_line, strict=True) if number == piece])
                if ticked == 2 or (ticked and piece == 3):
                    tick(log)
            merge_history(log, SHORT, none)
            assert exported(log) == expected
            before = records(log)
            assert not merge_history(log, SHORT, none).rewritten
            assert records(log) == before
