"""The gateway: what enters the log, in which order, with which ticks, and what goes to the dead letters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from made_events import all_in_log, closed, event, in_log, letters_in_log, registered, scanned, without_ticks

from monitor.core.events import Rejected, to_us
from monitor.core.params import Params
from monitor.log import gateway
from monitor.log.embedded import EmbeddedLog
from monitor.log.gateway import Gateway, Outcome, Refused, refuse_history
from monitor.log.partition import key_hash, partition_of
from monitor.log.records import LogError, LogRecord
from monitor.log.sorting import Admitted
from monitor.log.topics import EVENTS
from monitor.wire.decode import decode_pack
from monitor.wire.incoming import Incoming

NOW = "2026-03-10T12:00:00Z"
Json = dict[str, Any]


def us(time: str) -> int:
    return to_us(datetime.fromisoformat(time))


def rows(events: Iterable[Json | bytes | Rejected], file: str = "f.jsonl") -> Iterator[Incoming]:
    for line, one in enumerate(events, 1):
        if isinstance(one, Rejected):
            yield Incoming(file, line, b"raw bytes", fault=one)
        else:
            raw = one if isinstance(one, bytes) else json.dumps(one).encode()
            yield Incoming(file, line, raw, event=raw)


def ingest(
    directory: Path, events: Iterable[Json | bytes | Rejected], *, now: str = NOW, history: bool = False, **rest: Any
) -> Outcome:
    with EmbeddedLog.open(directory) as log:
        return Gateway(log, Params(), history=history, clock=lambda: us(now), **rest).ingest(rows(events))


def records(directory: Path) -> list[LogRecord]:
    with EmbeddedLog.open(directory, create=False) as log:
        return [one for p in range(log.partitions) for one in log.read(EVENTS, p, 0, 1_000_000, 1 << 30)]


def test_live_an_event_is_recorded_when_it_is_ingested_unless_it_says_otherwise(tmp_path: Path) -> None:
    ingest(tmp_path, [registered("P1"), registered("P2", recordedtime="2026-03-02T08:00:00+08:00")])
    found = {one["subject"]: one["recordedtime"] for one in all_in_log(tmp_path)}
    assert found == {"P1": NOW, "P2": "2026-03-02T08:00:00+08:00"}


def test_history_is_recorded_when_it_happened_and_marked_as_history(tmp_path: Path) -> None:
    old = registered("P1", time="2019-03-01T00:00:00Z", history=False)
    ingest(tmp_path, [old], history=True)
    (found,) = without_ticks(all_in_log(tmp_path))
    assert (found["recordedtime"], found["history"]) == ("2019-03-01T00:00:00Z", True)


def test_what_an_event_says_beyond_the_contract_is_kept(tmp_path: Path) -> None:
    ingest(tmp_path, [registered("P1", warehouse="Shenzhen")])
    assert all_in_log(tmp_path)[0]["warehouse"] == "Shenzhen"


def test_each_parcel_has_its_partition_and_what_names_no_parcel_enters_all(tmp_path: Path) -> None:
    outcome = ingest(tmp_path, [registered(f"P{i}") for i in range(40)] + [closed("C1")])
    partitions = in_log(tmp_path)
    assert outcome.accepted == 41
    for number, events in enumerate(partitions):
        parcels = [one["subject"] for one in events if one["subject"] != "C1"]
        assert parcels
        assert {partition_of(parcel, 4) for parcel in parcels} == {number}
        assert [one["subject"] for one in events].count("C1") == 1


def test_events_are_packed_by_partition_and_found_by_their_parcel(tmp_path: Path) -> None:
    ingest(tmp_path, [registered(f"P{i}") for i in range(2_000)])
    found = records(tmp_path)
    assert len(found) <= 16
    assert max(len(decode_pack(one.value)) for one in found) == 200
    with EmbeddedLog.open(tmp_path) as log:
        ((partition, offset),) = log.positions(key_hash("P7"))
        (record,) = log.read(EVENTS, partition, offset, 1)
    assert '"P7"' in record.value.decode()


def test_a_pack_stays_below_its_size_and_one_event_is_no_array(tmp_path: Path) -> None:
    big = [scanned("P1", time=f"2026-03-02T00:00:{i:02d}Z", note="x" * 200_000) for i in range(5)]
    ingest(tmp_path, big)
    sizes = [(len(decode_pack(one.value)), len(one.value)) for one in records(tmp_path)]
    assert [count for count, _ in sizes] == [2, 2, 1]
    assert all(size < 600_000 for _, size in sizes)
    assert records(tmp_path)[-1].value.startswith(b"{")


def test_events_enter_in_the_order_of_recorded_time_sequence_source_and_id(tmp_path: Path) -> None:
    at = "2026-03-02T00:00:00Z"
    events = [
        scanned("P1", id="d", recordedtime=at, source="b"),
        scanned("P1", id="c", recordedtime=at, source="a"),
        scanned("P1", id="b", recordedtime=at, sequence=10),
        scanned("P1", id="a", recordedtime=at, sequence="9"),
        scanned("P1", id="z", recordedtime="2026-03-01T23:59:59Z"),
        scanned("P1", id="b", recordedtime=at, source="a", milestone="delivered"),
        scanned("P1", id="b", recordedtime=at, source="a", milestone="attempt_failed"),
    ]
    for order in (events, events[::-1]):
        directory = tmp_path / str(len(list(tmp_path.iterdir())))
        ingest(directory, order)
        found = [(one["id"], one["data"]["milestone"]) for one in all_in_log(directory)]
        assert [name for name, _ in found] == ["z", "b", "b", "c", "d", "a", "b"]
        # Equal keys go by the canonical bytes of the body.
        assert [milestone for _, milestone in found[1:3]] == ["attempt_failed", "delivered"]


def test_history_enters_with_the_ticks_of_the_grid_between(tmp_path: Path) -> None:
    times = ["2026-03-01T05:00:00Z", "2026-03-01T06:00:00Z", "2026-03-01T06:00:01Z", "2026-03-02T00:00:00Z"]
    outcome = ingest(tmp_path, [scanned("P1", time=time) for time in times], history=True)
    mine = partition_of("P1", 4)
    for number, events in enumerate(in_log(tmp_path)):
        said = [one["data"].get("at", one["time"])[8:16] for one in events if number == mine or "at" in one["data"]]
        ticks = ["01T06:00", "01T12:00", "01T18:00", "02T00:00"]
        expected = ["01T05:00", "01T06:00", "01T06:00", "01T06:00", "01T12:00", "01T18:00", "02T00:00", "02T00:00"]
        assert said == (expected if number == mine else ticks)
    kinds = [one["type"] for one in in_log(tmp_path)[mine]]
    assert [i for i, kind in enumerate(kinds) if kind == "clock.ticked.v1"] == [2, 4, 5, 7]
    assert (outcome.ticks, outcome.accepted, outcome.behind) == (4, 4, 0)


def test_history_goes_on_where_the_log_ends_and_closed_ticks_stay_closed(tmp_path: Path) -> None:
    ingest(
        tmp_path, [scanned("P1", time="2026-03-01T05:00:00Z"), scanned("P2", time="2026-03-01T13:00:00Z")], history=True
    )
    more = [
        scanned("P3", time="2026-02-01T00:00:00Z"),
        scanned("P3", time="2026-03-01T12:30:00Z"),
        scanned("P3", time="2026-03-01T19:00:00Z"),
    ]
    outcome = ingest(tmp_path, more, history=True)
    assert (outcome.behind, outcome.ticks) == (2, 1)
    assert outcome.frontier_us == us("2026-03-01T13:00:00Z")
    ticks = [one["data"]["at"] for one in in_log(tmp_path)[0] if one["type"] == "clock.ticked.v1"]
    assert ticks == ["2026-03-01T06:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T18:00:00Z"]


def test_live_events_bring_no_ticks(tmp_path: Path) -> None:
    assert ingest(tmp_path, [registered("P1"), registered("P2", recordedtime="2026-03-01T00:00:00Z")]).ticks == 0


def test_the_ticks_of_an_exported_log_are_kept_live_and_made_anew_for_history(tmp_path: Path) -> None:
    tick = event("clock.ticked.v1", "clock", "2026-03-01T06:00:00Z", {"at": "2026-03-01T06:00:00Z"})
    events = [tick, scanned("P1", time="2026-03-01T06:00:00Z", recordedtime="2026-03-01T06:00:00Z")]
    live = ingest(tmp_path / "live", events)
    past = ingest(tmp_path / "past", events, history=True)
    assert (live.accepted, live.ticks, past.accepted, past.ticks) == (1, 1, 1, 1)
    for directory in ("live", "past"):
        for partition in in_log(tmp_path / directory):
            assert [one["type"] for one in partition][-1] == "clock.ticked.v1"


def test_a_clock_may_not_run_ahead(tmp_path: Path) -> None:
    tick = event("clock.ticked.v1", "clock", "2026-03-01T06:00:00Z", {"at": "2026-03-11T06:00:00Z"})
    assert ingest(tmp_path, [tick]).dead_letters == {"time_in_future": 1}


def test_a_recorded_time_slightly_ahead_of_our_clock_is_taken_as_now(tmp_path: Path) -> None:
    ingest(tmp_path, [scanned("P1", recordedtime="2026-03-10T12:05:00Z")])
    assert all_in_log(tmp_path)[0]["recordedtime"] == NOW


LONG = "P" * 10_000
BAD = {
    "broken JSON": (b'{"specversion":"1.0","id":', "malformed_json"),
    "no object": (b"[1,2]", "not_an_event"),
    "not text": (b"\xff\xfe\xfd", "not_text"),
    "wrong types": (registered() | {"time": 5}, "invalid_event"),
    "an unknown type": (registered() | {"type": "parcel.lost.v9"}, "unknown_type"),
    "an unknown milestone": (scanned(milestone="teleported"), "unknown_milestone"),
    "another subject": (scanned() | {"subject": "P2"}, "subject_mismatch"),
    "an id of 10,000 characters": (scanned(LONG), "invalid_event"),
    "before 2000": (scanned(time="1999-12-31T23:59:59Z"), "time_before_2000"),
    "more than a day ahead": (scanned(time="2026-03-11T12:00:01Z"), "time_in_future"),
    "more than a day after it was recorded": (scanned(recordedtime="2026-02-28T00:00:00Z"), "time_in_future"),
    "recorded in days to come": (scanned(recordedtime="2026-03-12T00:00:00Z"), "time_in_future"),
    "more than 60 days late": (scanned(time="2026-01-01T00:00:00Z"), "too_late"),
    "a fault of the reader": (Rejected("too_large", "the line is too long"), "too_large"),
}


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_input_goes_to_the_dead_letters_and_its_neighbours_into_the_log(
    tmp_path: Path, bad: Json | bytes | Rejected, reason: str
) -> None:
    outcome = ingest(tmp_path, [registered("P1"), bad, registered("P2")])
    assert (outcome.accepted, outcome.dead_letters) == (2, {reason: 1})
    assert len(all_in_log(tmp_path)) == 2
    (letter,) = letters_in_log(tmp_path)
    assert letter["position"] == {"file": "f.jsonl", "line": 2}
    assert (letter["reason"], letter["recordedtime"]) == (reason, NOW)
    assert len(letter["detail"].split()) > 3
    if isinstance(bad, dict):
        assert json.loads(letter["raw"]) == bad


def test_a_day_ahead_and_60_days_late_are_still_good(tmp_path: Path) -> None:
    edge = [scanned(time="2026-03-11T12:00:00Z"), scanned(time="2026-01-09T12:00:00Z")]
    assert ingest(tmp_path, edge).accepted == 2


def test_history_may_be_as_old_as_it_is_but_not_of_the_future(tmp_path: Path) -> None:
    events = [
        scanned(time="2001-01-01T00:00:00Z", recordedtime="2009-01-01T00:00:00Z"),
        scanned(time="2026-03-12T00:00:00Z"),
    ]
    outcome = ingest(tmp_path, events, history=True)
    assert (outcome.accepted, outcome.dead_letters) == (1, {"time_in_future": 1})


def test_the_same_dead_letter_is_kept_once(tmp_path: Path) -> None:
    bad = [b"rubbish", b"rubbish", scanned(time="1999-01-01T00:00:00Z")]
    first = ingest(tmp_path, bad)
    again = ingest(tmp_path, bad)
    assert (first.dead_letters.total(), first.known_dead_letters) == (3, 1)
    assert (again.dead_letters.total(), again.known_dead_letters) == (3, 3)
    assert len(letters_in_log(tmp_path)) == 2


def test_a_million_events_need_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [scanned(f"P{i % 7}", time=f"2026-03-02T{i % 24:02d}:{i % 60:02d}:00Z", id=f"e{i}") for i in range(5_000)]
    spilled = []
    plain = gateway.EventSorter.in_order

    def note(sorter: gateway.EventSorter) -> Any:
        spilled.append(sorter.runs)
        return plain(sorter)

    monkeypatch.setattr(gateway.EventSorter, "in_order", note)
    ingest(tmp_path / "a", events, history=True)
    ingest(tmp_path / "b", events, history=True, sort_bytes=200_000)
    assert spilled[0] == 0
    assert spilled[1] > 10
    assert in_log(tmp_path / "a") == in_log(tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == sorted(
        path.name for path in (tmp_path / "a").iterdir()
    )


def test_without_room_to_sort_nothing_is_appended_and_the_remedy_is_named(tmp_path: Path) -> None:
    with (
        gateway.EventSorter(tmp_path / "gone", max_bytes=1) as sorter,
        pytest.raises(LogError, match=r"gone: .*Free some space, or ingest fewer files at once"),
    ):
        sorter.add(Admitted(0, "", "s", "i", "P1", b"{}"))


def test_a_pipe_is_appended_whenever_it_pauses(tmp_path: Path) -> None:
    seen: list[int] = []

    def pausing(log: EmbeddedLog) -> Iterator[Incoming | None]:
        for row in rows(registered(f"P{i}") for i in range(3)):
            yield row
            yield None
            seen.append(sum(log.end_offset(EVENTS, p) for p in range(4)))

    with EmbeddedLog.open(tmp_path) as log:
        outcome = Gateway(log, Params(), clock=lambda: us(NOW)).stream(pausing(log))
    assert seen == [1, 2, 3]
    assert outcome.accepted == 3


def test_a_pipe_that_never_pauses_is_appended_within_half_a_second(tmp_path: Path) -> None:
    clock = iter(range(us(NOW), us(NOW) + 10**9, 200_000))  # a fifth of a second from row to row
    seen: list[int] = []

    def busy(log: EmbeddedLog) -> Iterator[Incoming | None]:
        yield None
        for row in rows(registered(f"P{i}") for i in range(12)):
            yield row
            seen.append(sum(log.end_offset(EVENTS, p) for p in range(4)))

    with EmbeddedLog.open(tmp_path) as log:
        Gateway(log, Params(), clock=lambda: next(clock)).stream(busy(log))
    assert seen[4] > 0
    assert len(all_in_log(tmp_path)) == 12


OLD = "2025-12-01T00:00:00Z"


def test_a_file_that_is_mostly_history_is_refused_by_name_with_the_remedy() -> None:
    for old, new in ((600, 400), (1, 0), (2, 1)):
        events = [scanned(f"P{i}", time=OLD) for i in range(old)] + [scanned(f"Q{i}") for i in range(new)]
        with pytest.raises(Refused, match=r"f\.jsonl: .* Nothing was appended\. .* --history"):
            refuse_history(rows(events), Params(), us(NOW))


def test_a_file_with_some_late_events_or_with_recorded_times_is_not_refused() -> None:
    half = [scanned(f"P{i}", time=OLD) for i in range(500)] + [scanned(f"Q{i}") for i in range(500)]
    told = [scanned(f"P{i}", time=OLD, recordedtime=OLD) for i in range(10)]
    marked = [scanned(f"P{i}", time=OLD, history=True) for i in range(10)]
    for events in (half, told, marked, [], [b"rubbish"]):
        refuse_history(rows(events), Params(), us(NOW))


def test_a_pipe_that_begins_with_history_is_refused_before_anything_is_appended(tmp_path: Path) -> None:
    with EmbeddedLog.open(tmp_path) as log:
        gate = Gateway(log, Params(), clock=lambda: us(NOW))
        with pytest.raises(Refused):
            gate.stream(rows(scanned(f"P{i}", time=OLD) for i in range(5_000)))
    assert all_in_log(tmp_path) == []
    assert letters_in_log(tmp_path) == []


def test_one_late_event_on_an_open_pipe_is_only_a_dead_letter(tmp_path: Path) -> None:
    def pausing() -> Iterator[Incoming | None]:
        yield from rows([scanned("P1", time=OLD)])
        yield None
        yield from rows([scanned("P2")])

    with EmbeddedLog.open(tmp_path) as log:
        outcome = Gateway(log, Params(), clock=lambda: us(NOW)).stream(pausing())
    assert (outcome.accepted, outcome.dead_letters) == (1, {"too_late": 1})
