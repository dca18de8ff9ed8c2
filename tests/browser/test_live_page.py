"""The real monitor, fed with a small world in which one channel fails, read in a real browser.

The monitor's wall clock is moved to the end of that world, so the incident is still open when the page is read,
whatever the day the test runs on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hand_logs import validator
from playwright.sync_api import Browser, Page, sync_playwright
from test_pages import ARGUMENTS

from monitor.replay.simulate import write_world
from monitor.web.words import link

pytestmark = pytest.mark.chromium

ROOT = Path(__file__).resolve().parents[2]
START, DAYS = date(2024, 3, 4), 70
END_S = 1_715_558_400  # 2024-05-13T00:00:00Z, the end of that world
#: The program with a wall clock that stood at the given Unix time when it started.
PROGRAM = """
import sys, time
real, moved = time.time_ns, time.time_ns() - int(sys.argv.pop(1)) * 10**9
time.time_ns = lambda: real() - moved
from monitor.cli.main import main
main(prog_name="channel-monitor")
"""
WAIT_S = 60.0

Read = Callable[[str], Any]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A monitor that was fed and has caught up; it must end in order."""
    directory = tmp_path_factory.mktemp("live")
    world = directory / "world.jsonl"
    write_world("no_tracking", 3, world, DAYS, 1, START, 0.5, None)
    with world.open("a") as file:
        file.write("this line is no event\n")
    command = [sys.executable, "-c", PROGRAM, str(END_S), "run", "--port", "0", "--feed", str(world)]
    command += ["--data", str(directory / "data")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (directory / "told").open("wb") as told:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, env=environment, text=True)
    try:
        assert running.stdout is not None
        started = running.stdout.readline()
        assert started.startswith("The page is at http://127.0.0.1:"), (directory / "told").read_text()
        at = started.split()[-1].rstrip("/")
        deadline = time.monotonic() + WAIT_S
        while not _is_caught_up(at, directory / "told"):
            assert running.poll() is None, (directory / "told").read_text()
            assert time.monotonic() < deadline, (directory / "told").read_text()
            time.sleep(0.2)
        yield at
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
        assert "Stopped; everything is saved." in (directory / "told").read_text()
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def _is_caught_up(at: str, told: Path) -> bool:
    """Whether all was streamed in, and the lists are those of the tick at the end of the world."""
    if "the monitor is live now" not in told.read_text():
        return False
    channels = _get(f"{at}/api/channels")
    rows = channels["channels"] if isinstance(channels, dict) and "channels" in channels else channels
    rows = rows["items"] if isinstance(rows, dict) else rows
    return bool(rows) and rows[0]["as_of"] >= "2024-05-13T00:00:00Z"


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())
