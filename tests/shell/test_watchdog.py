"""Standing still is an error only when there is something to do and nothing known stands in the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.live.status import Status
from monitor.live.watchdog import StalledError, Watchdog

WORKING = Status(
    recovered=True,
    lag_records=5,
    applied_records=7,
    pending_records=0,
    pending_outputs=0,
    checkpoints=0,
    blocked=None,
)


class Watched:
    def __init__(self) -> None:
        self.now = WORKING
        self.done = 0
        self.now_s = 0.0

    def status(self) -> Status:
        return self.now

    def progress(self) -> int:
        return self.done


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def watchdog(watched: Watched) -> Watchdog:
    return Watchdog(watched, 60, clock=lambda: watched.now_s)


def look_for(watched: Watched, watchdog: Watchdog, seconds: int, done_per_second: int = 0) -> None:
    for _ in range(seconds):
        watched.now_s += 1
        watched.done += done_per_second
        watchdog.look()


def test_it_bites_after_its_limit_and_not_before(watched: Watched, watchdog: Watchdog) -> None:
    look_for(watched, watchdog, 60)
    with pytest.raises(StalledError, match=r"5 records wait, and nothing has happened for 60 s \(7 records folded"):
        look_for(watched, watchdog, 2)


@pytest.mark.parametrize(
    "state",
    [replace(WORKING, lag_records=0), replace(WORKING, blocked="the disk is full")],
    ids=["nothing to do", "waiting for the disk"],
)
def test_it_stays_quiet_while_standing_still_is_right(watched: Watched, watchdog: Watchdog, state: Status) -> None:
    watched.now = state
    look_for(watched, watchdog, 600)
    watched.now = WORKING
    look_for(watched, watchdog, 59)  # the full limit counts from here


def test_slow_progress_is_progress(watched: Watched, watchdog: Watchdog) -> None:
    look_for(watched, watchdog, 600, done_per_second=1)


def test_tables_that_are_never_restored_are_a_stall_too(watched: Watched, watchdog: Watchdog) -> None:
    watched.now = replace(WORKING, recovered=False, lag_records=0)
    look_for(watched, watchdog, 300, done_per_second=1000)
    with pytest.raises(StalledError, match="the tables are being restored"):
        look_for(watched, watchdog, 62)
