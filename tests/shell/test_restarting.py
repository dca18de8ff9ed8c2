"""A worker that begins again: with the arguments it had, after ever longer waits, and not for ever."""

from __future__ import annotations

import os
import sys
import time
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from monitor.cli.restarting import OPTION, may_restart, restart

BEGAN_S = 1_800_000_000.0


class Replaced(Exception):
    """The process is another program now."""


class Process:
    """What the process would do; nothing of it is done."""

    def __init__(self) -> None:
        self.now_s = BEGAN_S
        self.waits: list[float] = []
        self.commands: list[list[str]] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds

    def execv(self, program: str, command: list[str]) -> NoReturn:
        assert program == command[0] == sys.executable
        self.commands.append(command[1:])
        raise Replaced


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    made = Process()
    monkeypatch.setattr(time, "time", lambda: made.now_s)
    monkeypatch.setattr(time, "sleep", made.sleep)
    monkeypatch.setattr(os, "execv", made.execv)
    monkeypatch.setattr(sys, "argv", ["channel-monitor", "run", "--broker", "kafka://one:9092", "--port", "0"])
    return made


def restarted(process: Process, monkeypatch: pytest.MonkeyPatch, restarts: str) -> str:
    """Begin again; what the new program is told about it, which has the arguments it was given."""
    with pytest.raises(Replaced):
        restart("a worker was shut out", restarts)
    monkeypatch.setattr(sys, "argv", ["channel-monitor", *process.commands[-1][2:]])
    name, _, told = process.commands[-1][-1].partition("=")
    assert name == OPTION
    return told


def test_it_begins_again_with_the_arguments_it_had_and_counts(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["run", "--broker", "kafka://one:9092", "--port", "0"]
    told = restarted(process, monkeypatch, "")
    assert process.commands == [["-m", "monitor", *arguments, f"--restarts=1/{BEGAN_S:.0f}"]]
    restarted(process, monkeypatch, told)
    assert process.commands[1] == ["-m", "monitor", *arguments, f"--restarts=2/{BEGAN_S:.0f}"]


def test_it_says_why_and_what_it_waits_for(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as lines:
        restarted(process, monkeypatch, "")
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("restarting", "error")
    assert (line["reason"], line["restarts"], line["wait_s"]) == ("a worker was shut out", 1, 0.5)


def test_a_rebuild_that_was_asked_for_is_not_begun_once_more(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["channel-monitor", "run", "--rebuild", "--broker", "kafka://one:9092"])
    restarted(process, monkeypatch, "")
    assert process.commands[0][2:-1] == ["run", "--broker", "kafka://one:9092"]


def test_it_waits_longer_each_time_and_gives_up_after_ten_times_in_ten_minutes(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ""
    while may_restart(told):
        told = restarted(process, monkeypatch, told)
        process.now_s += 5  # it fails again after a while
    assert process.waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert process.now_s - BEGAN_S < 600


def test_after_ten_minutes_it_counts_anew(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    told = f"10/{BEGAN_S:.0f}"
    process.now_s += 600
    assert not may_restart(told)
    process.now_s += 1
    assert may_restart(told)
    assert restarted(process, monkeypatch, told) == f"1/{process.now_s - 0.5:.0f}"
    assert process.waits == [0.5]


def test_a_worker_that_fails_now_and_then_begins_again_for_ever(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ""
    for _ in range(100):
        assert may_restart(told)
        told = restarted(process, monkeypatch, told)
        process.now_s += 120
    assert max(process.waits) < 20
