"""The claim: state and outputs of the live monitor equal a replay of its exported log, byte for byte.

Here it is put to the real program: `run` in one process, `ingest` in others at the same time, and everything that can
happen to an event: repeated, late, in conflict, about nobody, about an order, without a recorded time.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from killing import SOURCE, wait_until
from program import (
    PROGRAM,
    Run,
    assert_equals_replay,
    assert_equals_replay_at_the_last_tick,
    lines_to,
    of_type,
    recorded,
    saved,
    small_world,
    verb,
)

from monitor.core.params import DEFAULTS
from monitor.log.embedded import EmbeddedLog

CLOCKED = (sys.executable, str(Path(__file__).with_name("clocked.py")))
Json = dict[str, Any]


@pytest.fixture(scope="module")
def world() -> list[bytes]:
    return small_world()


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        if run.process.poll() is None:
            run.kill()


def start(runs: list[Run], data: Path, *args: str, **kwargs: Any) -> Run:
    runs.append(Run(data, *args, **kwargs))
    return runs[-1]


def beside(*args: object, **env: str) -> subprocess.Popen[bytes]:
    """A verb that runs beside the others."""
    return subprocess.Popen(
        [*PROGRAM, *map(str, args)],
        env={**os.environ, "PYTHONPATH": SOURCE, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def changed(line: bytes, data: Json | None = None, **members: Any) -> bytes:
    """An event with other members; ``None`` takes one away."""
    event = json.loads(line) | members
    event["data"] = event["data"] | (data or {})
    return to_line({name: value for name, value in event.items() if value is not None})


def to_tick(moment: datetime) -> int:
    """The number of the grid point at this moment."""
    return int(moment.timestamp()) * 1_000_000 // DEFAULTS.tick_us


def to_line(event: Json) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def trouble(lines: list[bytes], now: datetime, seed: int) -> list[bytes]:
    """What goes wrong in real feeds, about parcels of ``lines``; ``now`` is when it is ingested."""
    random_ = random.Random(seed)
    registered, scans = of_type(lines, "parcel.registered.v1"), of_type(lines, "parcel.scanned.v1")
    orders = [line for line in registered if b'"order_id"' in line]
    at = now.isoformat()
    out = random_.sample(lines, 400)  # repeats
    out += [changed(one, {"place": "elsewhere"}) for one in random_.sample(scans, 40)]  # conflicting duplicates
    out += [
        changed(one, {"product": "other"}, id=f"second-{i}") for i, one in enumerate(random_.sample(registered, 20))
    ]
    for i, one in enumerate(random_.sample(scans, 300)):  # corrections: an earlier time becomes known, late
        moment = datetime.fromisoformat(json.loads(one)["time"]) - timedelta(hours=random_.randrange(1, 70))
        out.append(changed(one, id=f"correction-{seed}-{i}", time=moment.isoformat(), history=True))
    for i, one in enumerate(random_.sample(orders, 40)):  # about an order, or about nothing that is known
        order = json.loads(one)["data"]["order_id"] if i % 4 else f"nobody-{seed}-{i}"
        about = {"specversion": "1.0", "source": "/desk", "time": at}
        complaint = f"desk-{seed}-{i}"
        opened = {"complaint_id": complaint, "order_id": order, "kind": "not_received"}
        closed = {"complaint_id": complaint, "outcome": "refunded"}
        asked = {"refund_id": complaint, "order_id": order, "stage": "in_transit"}
        done = {"refund_id": complaint, "by": "merchant"}
        for kind, data in (
            ("complaint.opened.v1", opened),
            ("complaint.closed.v1", closed),
            ("refund.requested.v1", asked),
            ("refund.completed.v1", done),
        ):
            event = {**about, "id": f"{kind}-{complaint}", "type": kind, "subject": complaint, "data": data}
            out.append(to_line(event))
    for i, one in enumerate(random_.sample(registered, 150)):  # what happens now, without a recorded time
        new = f"NEW-{seed}-{i}"
        out.append(changed(one, {"parcel_id": new}, id=new, subject=new, time=at, recordedtime=None))
        scan = {"parcel_id": new if i % 10 else f"UNKNOWN-{seed}-{i}", "milestone": "accepted"}
        out.append(changed(one, id=f"scan-{new}", type="parcel.scanned.v1", time=at, recordedtime=None))
        out[-1] = to_line({**json.loads(out[-1]), "subject": scan["parcel_id"], "data": scan})
    random_.shuffle(out)
    return out


def test_live_equals_replay_while_others_append(world: list[bytes], tmp_path: Path, runs: list[Run]) -> None:
    data = tmp_path / "data"
    env = {"CHANNEL_MONITOR_LOG__PARTITIONS": "5"}
    cut = len(world) * 4 // 5
    parts = [world[:cut], world[cut:]]
    files = [lines_to(tmp_path / f"{i}.jsonl", part) for i, part in enumerate(parts)]
    now = datetime.now(UTC)
    extra = [lines_to(tmp_path / f"extra{i}.jsonl", trouble(parts[0], now, i)) for i in range(2)]
    verb("ingest", files[0], "--history", "--data", data, env=env)
    with EmbeddedLog.open(data, read_only=True) as log:
        end = log.end_offset("events", 0)
        run = start(runs, data, env=env)
        wait_until(lambda: log.end_offset("events", 0) > end, "the tick of now; what comes after it is recorded now")
    beside_it = [
        beside("ingest", files[1], "--history", "--data", data),
        beside("ingest", extra[0], "--history", "--data", data),
        beside("ingest", extra[1], "--data", data),
    ]
    assert [process.wait(60) for process in beside_it] == [0, 0, 0]
    run.wait_folded()
    incidents = json.loads(verb("incidents", "--json", "--data", data))
    assert incidents, "a world without an incident proves little"
    verb("act", incidents[0]["incident_id"], "ack", "--by", "Li", "--data", data)
    parcel = json.loads(parts[0][-1])["subject"]
    verb("act", parcel, "mute", "--data", data)
    run.wait_folded()
    told = verb("check", "--replay", "--json", "--data", data, exit_code=1)  # beside the run; 1: there are dead letters
    (compared,) = [one for one in json.loads(told) if one["what"] == "replay"]
    assert compared["ok"], compared
    run.stop()
    summary = assert_equals_replay(data, tmp_path / "first")
    assert summary["state_sha256"] in compared["detail"]
    least = {"incidents": 1, "duplicates": 400, "dead_letters": 30, "waiting": 10, "parcels": 1_500}
    assert all(summary[name] >= n for name, n in least.items()), summary
    assert_equals_replay_at_the_last_tick(data, tmp_path / "first")
    with EmbeddedLog.open(data, read_only=True) as log:
        assert log.partitions == 5
        assert all(log.end_offset("events", p) > 50 for p in range(5))

    # The same file again changes nothing but the count of duplicates.
    run = start(runs, data, env=env)
    run.wait_folded()
    verb("ingest", files[1], "--history", "--data", data)
    run.wait_folded()
    run.stop()
    again = assert_equals_replay(data, tmp_path / "again")
    changed_by_it = {name for name in summary if summary[name] != again[name]}
    assert changed_by_it <= {"duplicates", "as_of"}
    assert again["duplicates"] - summary["duplicates"] == len(parts[1])

    # Without the state, but with the log, the same comes out again.
    with EmbeddedLog.open(data) as log:
        generation = log.new_generation()
    run = start(runs, data, env=env)
    run.wait_folded()
    run.stop()
    assert _generation(data) != generation
    assert assert_equals_replay(data, tmp_path / "folded again") == again

    # A rebuild merges the history that came late into its place: another log, and again what a replay of it says.
    run = start(runs, data, "--rebuild", env=env)
    run.wait_folded()
    run.stop()
    merged = assert_equals_replay(data, tmp_path / "rebuilt")
    assert merged["parcels"] == again["parcels"]
    assert merged["state_sha256"] != again["state_sha256"]


def _generation(data: Path) -> str:
    with EmbeddedLog.open(data, read_only=True) as log:
        return log.generation


def test_other_settings_rebuild_the_state_by_themselves(world: list[bytes], tmp_path: Path, runs: list[Run]) -> None:
    data = tmp_path / "data"
    verb("ingest", lines_to(tmp_path / "w.jsonl", world[:4_000]), "--history", "--data", data)
    for key, value in (("first_scan_days", "5"), ("first_scan_days", "2"), ("first_scan_days", "5")):
        before = _generation(data)
        run = start(runs, data, env={f"CHANNEL_MONITOR_DETECTION__{key.upper()}": value})
        run.wait_folded()
        run.stop()
        assert _generation(data) != before
    run = start(runs, data)
    run.wait_folded()
    run.stop()
    assert_equals_replay(data, tmp_path / "compared")


@pytest.mark.slow
def test_live_equals_replay_under_a_ticking_clock(world: list[bytes], tmp_path: Path, runs: list[Run]) -> None:
    """Forty days of history, then twelve at two seconds a day, with a tick at every grid point."""
    data = tmp_path / "data"
    random_ = random.Random(5)
    history = [line for line in world if recorded(line) < "2024-04-13"]
    ahead = [line for line in world if "2024-04-13" <= recorded(line) < "2024-04-25"]
    begin = datetime(2024, 4, 13, tzinfo=UTC)
    speed = 43_200  # two seconds a day, half a second a tick
    real_us = time.time_ns() // 1_000
    clock = {"CLOCK": f"{int(begin.timestamp()) * 1_000_000} {real_us} {speed}"}
    verb("ingest", lines_to(tmp_path / "h.jsonl", history), "--history", "--data", data)
    run = start(runs, data, command=CLOCKED, env=clock)
    pipes = [
        subprocess.Popen(
            [*CLOCKED, "ingest", "-", "--data", str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": SOURCE, **clock},
        )
        for _ in range(2)
    ]
    sent: list[bytes] = []
    extra = [line for line in trouble(history, begin + timedelta(days=1), 7) if b"NEW-" not in line]
    ahead += random_.sample(extra, 300)
    ahead.sort(key=lambda line: recorded(line) or "2024-04-18")
    for line in ahead:
        if at := recorded(line):
            due = real_us / 1e6 + (datetime.fromisoformat(at) - begin).total_seconds() / speed
            time.sleep(max(0.0, min(due - time.time(), 2.0)))
        late = random_.random()
        if late < 0.1:
            sent.append(line)  # comes later, with an old recorded time
            continue
        pipe = pipes[random_.randrange(2)]
        assert pipe.stdin is not None
        one = changed(line, recordedtime=None) if late < 0.3 else line
        pipe.stdin.write(one.rstrip(b"\n") + b"\n" + (line.rstrip(b"\n") + b"\n" if late > 0.95 else b""))
        pipe.stdin.flush()
        if sent and late > 0.9:
            pipe.stdin.write(sent.pop(0).rstrip(b"\n") + b"\n")
    for pipe in pipes:
        pipe.communicate(timeout=30)
    time.sleep(1.5)  # some ticks more
    run.stop()
    # A last tick may have come in between; it is folded by a run whose clock stands still.
    still = int(clock["CLOCK"].split()[0]) + (time.time_ns() // 1_000 - real_us) * speed
    run = start(runs, data, command=CLOCKED, env={"CLOCK": f"{still - speed * 1_000_000} 0 0"})
    run.wait_folded()
    run.stop()
    with EmbeddedLog.open(data, read_only=True) as log:
        ticks = sum(b"clock.ticked" in r.value for r in log.read("events", 0, 0, 1_000_000, 1 << 30))
    # A tick that events have overtaken in every partition is left out; all of them are passed nevertheless.
    passed = min(header.tick or 0 for header in saved(data).positions) - to_tick(begin)
    assert ticks > 40 * 4, "the clock of the test did not tick"
    assert passed >= 12 * 4
    assert_equals_replay(data, tmp_path / "compared")
    assert_equals_replay_at_the_last_tick(data, tmp_path / "compared")
    assert max(channel.judged_days for channel in saved(data).channels.values()) > 45
