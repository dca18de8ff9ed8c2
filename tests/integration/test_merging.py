"""``run --rebuild``: history that came late is judged as if all of it had been ingested at once, or nothing changes."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from killing import start, wait_until
from made_events import all_in_log, closed, in_log, letters_in_log, registered, scanned, without_ticks
from program import Run, assert_equals_replay, lines_to, small_world, verb

from monitor.core.params import DEFAULTS
from monitor.log.appending import Appender
from monitor.log.embedded import EmbeddedLog
from monitor.log.embedded.merging import Merged, merge_history
from monitor.log.export import Exported, export_events
from monitor.log.gateway import Gateway, Outcome
from monitor.log.partition import key_hash, partition_of
from monitor.log.records import Checkpoint, LogError, LogFullError, NewRecord, Shard, TableChange
from monitor.log.topics import EVENTS
from monitor.replay.driver import Replay
from monitor.wire.decode import decode, decode_pack
from monitor.wire.incoming import Incoming
from monitor.wire.times import parse_time, recorded_us

Json = dict[str, Any]
LATER_US = parse_time("2026-06-01T00:00:00Z")


def ingest(directory: Path, events: Iterable[Json | bytes]) -> Outcome:
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in events]
    with EmbeddedLog.open(directory) as log:
        gateway = Gateway(log, DEFAULTS, history=True)
        return gateway.ingest(Incoming("f", n, line, event=line) for n, line in enumerate(lines, 1))


def tick(directory: Path, at_us: int = LATER_US) -> None:
    with EmbeddedLog.open(directory) as log:
        appender = Appender(log)
        appender.tick(at_us)
        appender.flush()


def merge(directory: Path, progress: Callable[[int, int], None] = lambda *_: None, **rest: Any) -> Merged:
    with EmbeddedLog.open(directory) as log:
        return merge_history(log, DEFAULTS, progress, **rest)


def export(directory: Path) -> list[bytes]:
    with EmbeddedLog.open(directory, create=False, read_only=True) as log:
        return list(export_events(log, Exported()))


def replay_hash(lines: Iterable[bytes]) -> str:
    replay = Replay(DEFAULTS)
    replay.add(Incoming("f", n, line, event=line) for n, line in enumerate(lines, 1))
    return replay.run().sha256()


def everything(directory: Path) -> dict[str, list[Any]]:
    """All rows of the database."""
    with closing(sqlite3.connect(directory / "log.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = ("meta", "stream", "record", "change", "header", "event_index")
        return {name: database.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in tables}


OLD = [registered("P1", "2026-03-01T00:00:00Z"), closed("C1", "2026-03-01T01:00:00Z"), scanned("P1")]
NEW = [registered("P2", "2026-04-01T00:00:00Z"), closed("C2"), scanned("P2", "delivered", "2026-04-02T00:00:00Z")]


@pytest.fixture
def late(tmp_path: Path) -> Path:
    """A log with new events, closed by a tick, then older ones; and a state that someone folded from it."""
    directory = tmp_path / "late"
    ingest(directory, NEW)
    tick(directory)
    assert ingest(directory, [*OLD, b"rubbish"]).behind == 3
    with EmbeddedLog.open(directory) as log:
        output = NewRecord("contributions", 0, b"+1", timestamp_us=0)
        changes = [TableChange("t", b"k", b"v")]
        log.checkpoint([Checkpoint(log.generation, Shard(EVENTS, 0), [output], changes, 1)])
    return directory


@pytest.fixture(scope="module")
def world() -> list[bytes]:
    """Simulated parcels, with complaints about orders, which go to every partition."""
    lines = small_world(days=40)
    orders = [json.loads(line) for line in lines if b'"order_id"' in line][::25]
    for number, one in enumerate(orders):
        name = f"desk-{number}"
        said = {"complaint_id": name, "order_id": one["data"]["order_id"], "kind": "not_received"}
        event = {"specversion": "1.0", "id": name, "source": "/desk", "subject": name, "time": one["recordedtime"]}
        lines.append(json.dumps({**event, "type": "complaint.opened.v1", "data": said}).encode())
    return sorted(lines, key=recorded_us)


def test_what_came_late_is_judged_as_if_all_had_been_ingested_in_one_call(world: list[bytes], tmp_path: Path) -> None:
    half = len(world) // 2
    ingest(tmp_path / "one", world)
    ingest(tmp_path / "late", world[half:])
    for directory in (tmp_path / "one", tmp_path / "late"):
        tick(directory)
    assert ingest(tmp_path / "late", world[:half]).behind == half
    expected = replay_hash(export(tmp_path / "one"))
    assert replay_hash(export(tmp_path / "late")) != expected
    with EmbeddedLog.open(tmp_path / "one") as log:
        ticks = sum(b"clock.ticked" in record.value for record in log.read(EVENTS, 0, 0, 1_000_000, 1 << 30))
    assert merge(tmp_path / "late") == Merged(len(world), ticks, rewritten=True)
    merged = export(tmp_path / "late")
    assert replay_hash(merged) == expected
    assert [json.loads(line) for line in merged] == [json.loads(line) for line in export(tmp_path / "one")]
    assert not any(b"statedrecordedtime" in line for line in merged)


def test_offsets_go_on_rising_and_parcels_are_found_where_their_events_now_stand(late: Path) -> None:
    with EmbeddedLog.open(late) as log:
        ends = [log.end_offset(EVENTS, p) for p in range(log.partitions)]
        merge_history(log, DEFAULTS, lambda *_: None)
        assert [log.first_offset(EVENTS, p) for p in range(log.partitions)] == ends
        assert all(log.end_offset(EVENTS, p) > ends[p] for p in range(log.partitions))
        for parcel in ("P1", "P2"):
            places = log.positions(key_hash(parcel))
            records = [record for place in places for record in log.read(EVENTS, *place, 1)]
            assert [(record.partition, record.offset) for record in records] == places
            found = [decode(raw) for record in records for raw, _ in decode_pack(record.value)]
            assert sum(event.subject == parcel for event in found) == 2
        appended = log.append([NewRecord(EVENTS, 0, b"{}", timestamp_us=0)])
        assert appended[0] > ends[0]


def test_each_event_stays_as_often_as_it_was_ingested(late: Path) -> None:
    ingest(late, [*OLD, OLD[2]])
    events = [one["id"] for one in without_ticks(json.loads(line) for line in export(late))]
    assert merge(late).events == len(events) == 10
    assert sorted(one["id"] for one in without_ticks(json.loads(line) for line in export(late))) == sorted(events)
    for partition in in_log(late):
        assert [one["subject"] for one in partition if one["subject"] in ("C1", "C2")] == ["C1", "C1", "C2"]


def test_what_goes_to_every_partition_is_noted_with_the_time_it_stated_and_the_note_stays_inside(late: Path) -> None:
    ingest(late, [closed("C3", "2026-06-05T00:00:00Z", statedrecordedtime="2026-01-01T00:00:00Z")])
    said = {one["subject"]: (one["recordedtime"], one.get("statedrecordedtime")) for one in all_in_log(late)}
    assert said["C1"] == ("2026-06-01T00:00:00.000001Z", "2026-03-01T01:00:00Z")
    assert said["C3"] == ("2026-06-05T00:00:00Z", None)  # a note from outside is none
    assert not any(b"statedrecordedtime" in line for line in export(late))
    merge(late)
    said = {one["subject"]: (one["recordedtime"], one.get("statedrecordedtime")) for one in all_in_log(late)}
    assert said["C1"] == ("2026-03-01T01:00:00Z", None)


def test_the_ticks_of_the_grid_lie_between_and_the_last_one_stays(late: Path) -> None:
    merge(late)
    for partition in in_log(late):
        ticks = [parse_time(one["data"]["at"]) for one in partition if one["type"] == "clock.ticked.v1"]
        first, last = parse_time(OLD[0]["time"]), parse_time(NEW[-1]["time"])
        assert ticks == [*range(first, last + 1, DEFAULTS.tick_us), LATER_US]
        reached = 0
        for one in partition:  # an event stands behind every tick before it, a tick behind what it closes
            at = parse_time(one["data"].get("at") or one["recordedtime"])
            assert reached <= at
            reached = at


def test_the_state_is_forgotten_in_the_same_transaction_and_other_topics_stay(late: Path) -> None:
    before, letters = everything(late), letters_in_log(late)
    assert len(letters) == 1
    merge(late, state_version="7")
    after = everything(late)
    assert (after["change"], after["header"]) == ([], [])
    assert dict(after["meta"])["generation"] != dict(before["meta"])["generation"]
    assert dict(after["meta"])["state_version"] == "7"
    assert letters_in_log(late) == letters
    kept = {id_: rest for id_, _, name, *rest in before["stream"] if name not in (EVENTS, "contributions", "t")}
    assert {id_: rest for id_, _, name, *rest in after["stream"] if id_ in kept} == kept


def test_a_log_in_order_is_left_alone_but_for_the_generation(late: Path) -> None:
    assert merge(late).rewritten
    before = everything(late)
    assert merge(late) == Merged(6, 0, rewritten=False)
    after = everything(late)
    changed = {table for table in before if before[table] != after[table]}
    assert changed == {"meta"}


def test_what_follows_live_events_of_other_clocks_is_put_in_order_too(tmp_path: Path) -> None:
    at = "2026-03-02T00:00:00Z"
    with EmbeddedLog.open(tmp_path) as log:
        for name in "zab":  # in three calls, recorded at the same instant
            line = json.dumps(scanned("P1", id=name, recordedtime=at)).encode()
            Gateway(log, DEFAULTS).ingest([Incoming("f", 1, line, event=line)])
    assert merge(tmp_path) == Merged(3, 1, rewritten=True)
    assert [one["id"] for one in without_ticks(all_in_log(tmp_path))] == ["a", "b", "z"]


def test_a_record_that_holds_no_event_keeps_its_partition_and_its_time(late: Path) -> None:
    known = scanned("P1", recordedtime="2026-03-02T00:00:00Z")
    bad = [b'{"specversion":"0.3"}', b"[1,2]", b"[%b,[3]]" % json.dumps(known).encode(), b"[broken"]
    with EmbeddedLog.open(late) as log:
        log.append(NewRecord(EVENTS, 1, value, timestamp_us=5) for value in bad)
        found = [raw for r in log.read(EVENTS, 1, 0, 1_000) for raw, one in decode_pack(r.value) if not _is_event(one)]
    ingest(late, [scanned("P1", "departed_origin", "2026-06-02T00:00:00Z")])
    assert merge(late).rewritten
    with EmbeddedLog.open(late) as log:
        pairs = [pair for record in log.read(EVENTS, 1, 0, 1_000) for pair in decode_pack(record.value)]
    assert [raw for raw, one in pairs if not _is_event(one)] == found
    assert len(found) == 5
    places = [index for index, (_, one) in enumerate(pairs) if not _is_event(one)]
    assert all(b"2026-06-0" in raw for raw, one in pairs[places[-1] + 1 :] if _is_event(one))
    assert b'"tick/2026-06-01T00:00:00Z"' in pairs[places[0] - 1][0]


def _is_event(one: Any) -> bool:
    return hasattr(one, "specversion")


# What stops it


def big(directory: Path) -> None:
    """A log whose rewriting does not fit into the cache of SQLite."""
    note = "x" * 100_000
    for month, count in (("04", 260), ("03", 260)):
        ingest(directory, [registered(f"P{i}", f"2026-{month}-01T00:00:00Z", note=note) for i in range(count)])


def test_killed_in_the_middle_it_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    big(tmp_path / "data")
    before = everything(tmp_path / "data")
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from monitor.core.params import DEFAULTS\nfrom monitor.log.embedded import EmbeddedLog\n"
        "from monitor.log.embedded.merging import merge_history\n"
        "def progress(read, written):\n"
        "    if written == 500:\n        Path(sys.argv[2]).touch()\n        time.sleep(60)\n"
        "merge_history(EmbeddedLog.open(Path(sys.argv[1])), DEFAULTS, progress, sort_bytes=4 << 20)\n"
    )
    process = start([sys.executable, "-c", program, str(tmp_path / "data"), str(tmp_path / "middle")])
    try:
        wait_until((tmp_path / "middle").exists, "the middle of the work")
        assert (tmp_path / "data" / "log.sqlite3-wal").stat().st_size > 8 << 20, "nothing was written yet"
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert sorted(file.name for file in (tmp_path / "data").iterdir() if "sqlite" not in file.name) == []
    assert everything(tmp_path / "data") == before
    assert merge(tmp_path / "data").rewritten
    months = [one["recordedtime"][:7] for one in without_ticks(json.loads(line) for line in export(tmp_path / "data"))]
    assert months == ["2026-03"] * 260 + ["2026-04"] * 260


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """As under ``ulimit -f``."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("sort_bytes", [1 << 20, 256 << 20])
def test_without_room_nothing_is_changed_and_the_message_says_what_to_do(tmp_path: Path, sort_bytes: int) -> None:
    big(tmp_path)
    before = everything(tmp_path)
    with EmbeddedLog.open(tmp_path) as log:
        room = 512 << 10 if sort_bytes == 1 << 20 else 60 << 20  # not for the sorting; not for the writing
        log._connection.execute("PRAGMA cache_size = -1000")
        if sort_bytes != 1 << 20:
            room = (tmp_path / "log.sqlite3").stat().st_size // 2
        with (
            no_file_beyond(room),
            pytest.raises(LogFullError, match=r"no room to put .* Nothing was changed. Free some"),
        ):
            merge_history(log, DEFAULTS, lambda *_: None, sort_bytes=sort_bytes)
        log.append([NewRecord("reference", 0, b"the log goes on", timestamp_us=0)])
    after = everything(tmp_path)
    assert {**after, "record": after["record"][:-1], "stream": None} == {**before, "stream": None}
    assert merge(tmp_path).rewritten


def test_whoever_appends_meanwhile_waits_and_comes_behind_and_readers_see_the_old_log(late: Path) -> None:
    old = export(late)
    appended: list[int] = []
    started = threading.Event()

    def append() -> None:
        with EmbeddedLog.open(late) as log:
            log._connection.execute("PRAGMA busy_timeout = 20")  # far less than the rewriting takes
            started.set()
            appended.extend(log.append([NewRecord(EVENTS, 0, b"meanwhile", timestamp_us=0)]))

    thread = threading.Thread(target=append)

    def progress(_read: int, written: int) -> None:
        if written == 3:
            thread.start()
            started.wait(10)
            time.sleep(0.3)
            assert not appended
            assert export(late) == old

    merge(late, progress)
    thread.join(10)
    with EmbeddedLog.open(late) as log:
        (last,) = log.read(EVENTS, 0, log.end_offset(EVENTS, 0) - 1)
        assert (last.value, [last.offset]) == (b"meanwhile", appended)


def test_what_is_appended_while_the_log_is_read_is_merged_with_it(late: Path) -> None:
    def progress(read: int, written: int) -> None:
        if (read, written) == (1, 0):
            ingest(late, [scanned("P1", "departed_origin", "2026-03-03T00:00:00Z")])

    assert merge(late, progress).events == 7
    mine = in_log(late)[partition_of("P1", 4)]
    assert [one["data"]["milestone"] for one in mine if one["subject"] == "P1" and "milestone" in one["data"]] == [
        "accepted",
        "departed_origin",
    ]


def test_events_are_forgotten_only_to_be_rewritten(late: Path) -> None:
    with EmbeddedLog.open(late) as log, pytest.raises(LogError, match="only to be rewritten"):
        log.forget_events()


# The real program


@pytest.mark.slow
def test_run_rebuild_judges_the_merged_history_anew(world: list[bytes], tmp_path: Path) -> None:
    data, half = tmp_path / "data", len(world) // 2
    verb("ingest", lines_to(tmp_path / "new.jsonl", world[half:]), "--history", "--data", data)
    run = Run(data)
    try:
        run.wait_folded()
        told = verb("ingest", lines_to(tmp_path / "old.jsonl", world[:half]), "--history", "--data", data)
        assert "start it with: channel-monitor run --rebuild" in told
        run.wait_folded()
        run.stop()
        assert_equals_replay(data, tmp_path / "before")
        run = Run(data, "--rebuild")
        run.wait_folded()
        run.stop()
        assert f"events={len(world)} rewritten=True" in run.errors.read_text()
        summary = assert_equals_replay(data, tmp_path / "after")
        run = Run(data)  # no second rebuild
        run.wait_folded()
        run.stop()
        assert run.errors.read_text().count("state_rebuilt") == 2
    finally:
        if run.process.poll() is None:
            run.kill()
    last = [json.loads(line) for line in export(data)][-1]
    assert last["type"] == "clock.ticked.v1"
    ingest(tmp_path / "one", world)
    tick(tmp_path / "one", parse_time(last["data"]["at"]))
    assert replay_hash(export(tmp_path / "one")) == summary["state_sha256"]


@pytest.mark.slow
def test_ingest_beside_a_rebuild_loses_nothing(world: list[bytes], tmp_path: Path) -> None:
    data, third = tmp_path / "data", len(world) // 3
    for number in (1, 0):
        ingest(data, world[number * third : (number + 1) * third])
    run = Run(data, "--rebuild")
    try:
        rest = lines_to(tmp_path / "rest.jsonl", world[2 * third :])
        beside = [subprocess.Popen(_ingest(rest, data), stdout=subprocess.DEVNULL) for _ in range(2)]
        assert [process.wait(60) for process in beside] == [0, 0]
        run.wait_folded()
        run.stop()
    finally:
        if run.process.poll() is None:
            run.kill()
    summary = assert_equals_replay(data, tmp_path / "compared")
    repeated = len(world) - len({(one["source"], one["id"]) for one in map(json.loads, world)})
    assert summary["duplicates"] == repeated + len(world) - 2 * third


def _ingest(file: Path, data: Path) -> list[str]:
    return [sys.executable, "-m", "monitor", "ingest", str(file), "--history", "--data", str(data)]
