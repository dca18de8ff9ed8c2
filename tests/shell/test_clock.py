"""What the live monitor itself appends: ticks by the wall clock, and history in fast-forward."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_events import in_log, registered
from structlog.testing import capture_logs

from monitor.core.params import Params
from monitor.live import clock
from monitor.live.clock import Feed, Ticker
from monitor.log.embedded import EmbeddedLog
from monitor.log.records import LogFullError
from monitor.wire.incoming import Incoming
from monitor.wire.times import parse_time

PARAMS = Params()
TEN_PAST = parse_time("2026-03-09T12:10:00Z")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def full_once(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first transaction finds the disk full."""
    happened: list[str] = []
    real = EmbeddedLog.append_made

    def append_made(self: EmbeddedLog, make: Any) -> list[int]:
        if not happened:
            happened.append("full")
            raise LogFullError("the disk is full")
        return real(self, make)

    monkeypatch.setattr(EmbeddedLog, "append_made", append_made)
    return happened


def opener(log: EmbeddedLog) -> Callable[[], EmbeddedLog]:
    """Opens the log for another thread."""
    return lambda: EmbeddedLog.open(log.directory, create=False)


def folds(*ticks: int | None) -> list[Any]:
    return [SimpleNamespace(header=SimpleNamespace(tick=tick)) for tick in ticks]


async def ticking(ticker: Ticker, seconds: float) -> None:
    ready = asyncio.Event()
    ready.set()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ticker.run(ready), seconds)


def ticks(log: EmbeddedLog) -> list[list[str]]:
    return [[one["data"]["at"] for one in events] for events in in_log(log.directory)]


def test_a_tick_enters_every_partition_once(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_us", lambda: TEN_PAST)
    monkeypatch.setattr(clock, "_LOOK_S", 0.01)
    asyncio.run(ticking(Ticker(opener(log), PARAMS, lambda: folds(None, None)), 0.2))
    assert ticks(log) == [["2026-03-09T12:00:00Z"]] * 4


def test_a_tick_that_all_partitions_have_passed_is_not_repeated(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now_us", lambda: TEN_PAST)
    known = TEN_PAST // PARAMS.tick_us
    asyncio.run(ticking(Ticker(opener(log), PARAMS, lambda: folds(known, known)), 0.1))
    assert ticks(log) == [[]] * 4
    asyncio.run(ticking(Ticker(opener(log), PARAMS, lambda: folds(known, known - 1)), 0.1))
    assert ticks(log) == [["2026-03-09T12:00:00Z"]] * 4


def test_a_tick_that_finds_the_disk_full_is_tried_again(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch, full_once: list[str]
) -> None:
    monkeypatch.setattr(clock, "now_us", lambda: TEN_PAST)
    monkeypatch.setattr(clock, "_LOOK_S", 0.01)
    with capture_logs() as lines:
        asyncio.run(ticking(Ticker(opener(log), PARAMS, lambda: folds(None)), 0.2))
    assert full_once
    assert [line["event"] for line in lines] == ["tick_not_appended"]
    assert ticks(log) == [["2026-03-09T12:00:00Z"]] * 4


def test_a_feed_that_finds_the_disk_full_waits_and_loses_nothing(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch, full_once: list[str]
) -> None:
    monkeypatch.setattr(clock, "_FIRST_RETRY_S", 0.05)
    lines = [json.dumps(registered(f"P{i}")).encode() for i in range(10)] + [b"rubbish"]
    rows = [Incoming("f", i, line, line) for i, line in enumerate(lines, 1)]
    feed = Feed(opener(log), PARAMS, rows, part=4)
    told: list[int] = []
    ready = asyncio.Event()
    ready.set()
    with capture_logs() as said:
        asyncio.run(feed.run(ready, lambda: 0, told.append))
    assert full_once
    assert [line["event"] for line in said] == ["feed_blocked", "feed_done"]
    assert told[-1] == feed.appended == 10
    parcels = [one["subject"] for events in in_log(log.directory) for one in events if one["type"] != "clock.ticked.v1"]
    assert sorted(parcels) == sorted(f"P{i}" for i in range(10))
    assert log.end_offset("dead-letters", 0) == 1
