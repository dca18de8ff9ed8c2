"""kill -9 of the real `run` under load, again and again: what it then says is what an undisturbed replay says."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from killing import Killer
from program import PROGRAM, assert_equals_replay, lines_to, small_world, verb

from monitor.core.contribution import Contribution
from monitor.log.embedded import EmbeddedLog
from monitor.log.topics import CONTRIBUTIONS, EVENTS, INCIDENTS

KILLS = 25
MUST_COUNT = 20


class Feeder(threading.Thread):
    """Ingests slices of a world into the log, one process after the other, until it is told to stop."""

    def __init__(self, data: Path, files: list[Path]) -> None:
        super().__init__(daemon=True)
        self._data = data
        self._files = files
        self._enough = threading.Event()
        self.ingested = 0

    def run(self) -> None:
        """Ingest."""
        for file in itertools.cycle(self._files):
            if self._enough.wait(4.0):
                return
            verb("ingest", file, "--history", "--data", self._data)
            self.ingested += 1

    def stop(self) -> None:
        """Finish the file at hand."""
        self._enough.set()
        self.join(60)


@pytest.fixture
def killer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Killer]:
    monkeypatch.setenv("CHANNEL_MONITOR_LIVE__CHECKPOINT_INTERVAL_S", "0.3")
    data = tmp_path / "data"
    made = Killer([*PROGRAM, "run", "--data", str(data), "--port", "0"], data, seed=20_260_309, max_delay_s=0.3)
    yield made
    made.close()


@pytest.mark.slow
def test_after_twenty_five_kills_state_and_outputs_equal_a_replay(tmp_path: Path, killer: Killer) -> None:
    data = tmp_path / "data"
    world = small_world(days=75, volume=0.8)
    cut = len(world) * 3 // 4
    verb("ingest", lines_to(tmp_path / "history.jsonl", world[:cut]), "--history", "--data", data)
    rest = [world[i : i + 2_000] for i in range(cut, len(world), 2_000)]
    feeder = Feeder(data, [lines_to(tmp_path / f"{i}.jsonl", lines) for i, lines in enumerate(rest)])
    feeder.start()
    try:
        killer.kill_and_restart(times=KILLS)
    finally:
        feeder.stop()
    killer.finish()
    counting = [point for point in killer.points if point.lost_records > 0 and point.lag_records > 0]
    print(f"\n{len(counting)} of {KILLS} kills count; {feeder.ingested} files ingested meanwhile", file=sys.stderr)
    for point in killer.points:
        print(f"  {point.lost_records:>6} records lost, {point.lag_records:>6} waiting", file=sys.stderr)
    assert len(counting) >= MUST_COUNT
    summary = assert_equals_replay(data, tmp_path / "compared")
    assert summary["incidents"]
    assert summary["parcels"] > 4_000
    _assert_each_effect_once(data)


def _assert_each_effect_once(data: Path) -> None:
    """No contribution and no revision of an incident stands twice in the log, and no contribution is missing."""
    decode = msgspec.msgpack.Decoder(Contribution).decode
    with EmbeddedLog.open(data, read_only=True) as log:
        sent = [decode(record.value) for record in _all(log, CONTRIBUTIONS)]
        said = [json.loads(record.value) for record in _all(log, INCIDENTS)]
        records = sum(log.end_offset(EVENTS, p) for p in range(log.partitions))
        assert {one.generation for one in sent} == {log.generation}
    places = Counter((one.partition, one.offset) for one in sent)
    assert max(places.values()) == 1
    assert records * 0.5 < len(places) <= records
    revisions = Counter((one["incident_id"], one["revision"]) for one in said)
    assert max(revisions.values()) == 1
    for incident_id in {one["incident_id"] for one in said}:
        known = [one["revision"] for one in said if one["incident_id"] == incident_id]
        assert known == sorted(known)


def _all(log: EmbeddedLog, topic: str) -> Iterator[object]:
    offset = 0
    while records := log.read(topic, 0, offset):
        yield from records
        offset = records[-1].offset + 1
