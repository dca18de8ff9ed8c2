"""The views of a running monitor follow what checkpoints write, and say so when they cannot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from made_events import registered, scanned
from played import Played

from monitor.core.params import Params
from monitor.core.vocabulary import DAY_US
from monitor.live.state import saved_state
from monitor.live.views import LiveViews
from monitor.log.appending import Appender
from monitor.log.embedded import EmbeddedLog
from monitor.log.gateway import Gateway
from monitor.log.records import LogBusyError
from monitor.wire.incoming import Incoming
from monitor.wire.times import parse_time

PARAMS = Params()
START_US = parse_time("2026-03-01T00:00:00Z")
WELL = {"recovered": True, "lag_records": 0, "ready": True, "reasons": []}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def views(log: EmbeddedLog) -> Iterator[LiveViews]:
    made = LiveViews(
        lambda: EmbeddedLog.open(log.directory, create=False, read_only=True),
        PARAMS,
        lambda: dict(WELL),
        lambda: {"ingest_lag_records": [({}, 0)]},
    )
    yield made
    made.stop()


def ingest(log: EmbeddedLog, *events: dict[str, Any]) -> None:
    lines = [json.dumps(event).encode() for event in events]
    Gateway(log, PARAMS, history=True).ingest(Incoming("f", i, line, line) for i, line in enumerate(lines, 1))


def tick(log: EmbeddedLog, day: int) -> None:
    appender = Appender(log)
    appender.tick(START_US + day * DAY_US)
    appender.flush()


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 5
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def parcels(count: int, day: int) -> list[dict[str, Any]]:
    times = [f"2026-03-{day + 1:02}T{i % 24:02}:00:00Z" for i in range(count)]
    return [
        event
        for i, time in enumerate(times)
        for event in (registered(f"P{day}-{i}", time), scanned(f"P{day}-{i}", time=time))
    ]


def test_before_anything_is_read_they_are_not_ready(views: LiveViews) -> None:
    assert views.health()["ready"] is False
    assert "The lists are not read yet." in views.health()["reasons"]
    views.start()
    assert views.fresh.wait(5)
    assert views.health() == {**WELL, "last_tick": None, "watermark": None}
    assert (views.as_of(), views.channels(), views.watchlist(), views.dead_letters()) == (None, [], [], [])
    assert views.explain("P1") is views.parcel("P1") is None


def test_they_show_what_the_last_checkpoint_says_at_its_last_tick(log: EmbeddedLog, views: LiveViews) -> None:
    views.start()
    played = Played(log, PARAMS)
    for day in range(5):
        ingest(log, *parcels(20, day))
        tick(log, day + 1)
        played.fold_all()
        picture = saved_state(log, PARAMS).picture()
        until(lambda: views.as_of() == f"2026-03-{day + 2:02}T00:00:00Z")  # noqa: B023
        assert views.channels() == picture.channel_records()
        assert views.channels()[0]["registered"] == 20 * (day + 1)
        assert views.watchlist() == picture.watch_records()
        assert views.incidents() == picture.incident_records()[::-1]
    assert views.health()["last_tick"] == "2026-03-06T00:00:00Z"
    (told,) = views.families()["tick_timestamp_seconds"]
    assert told == ({}, datetime(2026, 3, 6, tzinfo=UTC).timestamp())
    assert views.families()["ingest_lag_records"] == [({}, 0)]
    (told,) = views.families()["parcels_in_flight"]
    assert told == ({"country": "RU", "carrier": "china-post"}, 100)
    parcel = views.parcel("P4-3")
    assert parcel is not None
    assert [event["type"] for event in parcel["events"]] == ["parcel.registered.v1", "parcel.scanned.v1"]


def test_what_is_folded_but_not_saved_is_not_shown(log: EmbeddedLog, views: LiveViews) -> None:
    views.start()
    played = Played(log, PARAMS)
    ingest(log, *parcels(3, 0))
    tick(log, 1)
    for partition in range(log.partitions):
        played.fold("events", partition, 100)
    time.sleep(0.6)
    assert views.as_of() is None
    played.fold_all()
    until(views.channels)


def test_dead_letters_appear_with_the_newest_first(log: EmbeddedLog, views: LiveViews) -> None:
    views.start()
    played = Played(log, PARAMS)
    one = scanned("P0-0", milestone="accepted")
    ingest(log, *parcels(1, 0), one, {**one, "data": {**one["data"], "milestone": "delivered"}})
    tick(log, 3)
    played.fold_all()
    (letter,) = until(views.dead_letters)
    assert letter["reason"] == "conflicting_duplicate"
    assert set(letter) == {"position", "raw", "reason", "detail", "recordedtime"}


def test_a_state_whose_deletions_are_forgotten_is_read_again(log: EmbeddedLog, views: LiveViews) -> None:
    """As when more has changed since the last look than is remembered."""
    views.start()
    played = Played(log, PARAMS)
    for day in range(2):
        ingest(log, *parcels(20, day))
        tick(log, day + 1)
        played.fold_all()
        until(lambda: views.as_of() == f"2026-03-{day + 2:02}T00:00:00Z")  # noqa: B023
        seen = dict(views._offsets)
        for shard, offset in seen.items():
            change = "UPDATE stream SET first_offset = ? WHERE kind = 'state' AND name = ? AND partition = ?"
            log._connection.execute(change, (offset + 2, *shard))
    ingest(log, *parcels(20, 2))
    tick(log, 3)
    played.fold_all()
    until(lambda: views.as_of() == "2026-03-04T00:00:00Z")
    assert views.channels() == saved_state(log, PARAMS).picture().channel_records()
    assert views.health()["ready"]


def test_when_the_log_cannot_be_read_readiness_says_why(log: EmbeddedLog, views: LiveViews) -> None:
    views.start()
    assert views.fresh.wait(5)
    log._connection.execute("DROP TABLE stream")
    told = until(lambda: not views.health()["ready"] and views.health())
    assert any("lists are no longer renewed" in reason for reason in told["reasons"])


def test_a_log_that_does_not_answer_for_a_while_is_followed_again(log: EmbeddedLog) -> None:
    answers = iter([False, True])

    def open_log() -> EmbeddedLog:
        if not next(answers, True):
            raise LogBusyError("kafka://here does not answer")
        return EmbeddedLog.open(log.directory, create=False, read_only=True)

    views = LiveViews(open_log, PARAMS, lambda: dict(WELL), dict)
    views.start()
    try:
        told = until(lambda: "does not answer" in str(views.health()["reasons"]) and views.health())
        assert told["ready"] is False
        until(lambda: views.health()["ready"])
    finally:
        views.stop()
