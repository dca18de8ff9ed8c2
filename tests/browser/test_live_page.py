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
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hand_logs import validator
from playwright.sync_api import Page, sync_playwright
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
    rows = _get(f"{at}/api/channels")
    return bool(rows) and rows[0]["as_of"] >= "2024-05-13T00:00:00Z"


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


@pytest.fixture
def page(chromium: str, address: str) -> Iterator[Page]:
    """A page that notes complaints and requests to elsewhere; any of them fails the test at its end."""
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_context(locale="en-GB").new_page()
        host = urlsplit(address).netloc
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        page.on("request", lambda asked: urlsplit(asked.url).netloc == host or faults.append(f"went to {asked.url}"))
        yield page
        browser.close()
    assert faults == []


def heading(page: Page) -> str:
    return page.get_by_role("heading", level=1).inner_text()


def test_from_the_overview_by_incident_and_channel_to_a_parcels_story(page: Page, address: str) -> None:
    (incident,) = _get(f"{address}/api/incidents")
    assert (incident["mode"], incident["closed_at"]) == ("no_first_scan", None)
    (member,) = incident["members"]
    page.goto(address)
    assert heading(page) == "Overview"
    page.get_by_role("link", name=incident["incident_id"]).click()
    assert page.url == f"{address}/incidents/{incident['incident_id']}"
    assert str(incident["parcels_at_risk"]) in page.locator("#content").inner_text()
    page.locator("#content").get_by_role("link", name=member.split("|")[1]).first.click()
    assert page.url == address + link("channels", member)
    row = page.locator("tbody tr a[href^='/parcels/']").first
    parcel = row.inner_text()
    row.click()
    assert page.url == address + link("parcels", parcel)
    assert parcel in heading(page)
    told = _get(address + "/api" + link("parcels", parcel))
    story = page.locator("#content").inner_text()
    assert "Handed over to the carrier" in story
    assert told["channel"] == member
    for event in told["events"]:
        assert f"{event['position']['topic']}/{event['position']['partition']} @ {event['position']['offset']}" in story


def test_the_watchlist_is_that_of_the_api_and_keeps_to_the_schema(page: Page, address: str) -> None:
    rows = _get(f"{address}/api/watchlist")
    assert len(rows) > 10
    for name, records in (("watch_item", rows), ("channel", _get(f"{address}/api/channels"))):
        for record in records:
            validator(name).validate(record)
    page.goto(address)
    page.get_by_role("link", name="Watchlist").click()
    shown = page.locator("tbody tr a[href^='/parcels/']").all_inner_texts()
    assert shown == [row["parcel_id"] for row in rows][: len(shown)]
    assert len(shown) > 10


def test_the_language_is_switched_and_kept(page: Page, address: str) -> None:
    page.goto(address)
    assert page.locator("html").get_attribute("lang") == "en"
    page.get_by_role("link", name="中文").click()
    assert str(page.locator("html").get_attribute("lang")).startswith("zh")
    page.goto(f"{address}/channels")
    assert str(page.locator("html").get_attribute("lang")).startswith("zh")
    page.goto(f"{address}/?lang=en")
    assert page.locator("html").get_attribute("lang") == "en"


def test_what_could_not_be_used_is_shown_counted_and_named(page: Page, address: str) -> None:
    (letter,) = _get(f"{address}/api/dead-letters")
    validator("dead_letter").validate(letter)
    page.goto(f"{address}/dead-letters")
    assert "this line is no event" in page.locator("#content").inner_text()
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    assert 'channel_monitor_dead_letters_total{reason="malformed_json"} 1.0' in metrics
    assert (
        f'channel_monitor_incident_info{{carrier="4px",country="FR",incident_id="{_first_incident(address)}"' in metrics
    )


def _first_incident(address: str) -> str:
    return str(_get(f"{address}/api/incidents")[0]["incident_id"])


def test_probes_and_description_answer(address: str) -> None:
    assert _get(f"{address}/readyz")["ready"] is True
    assert _get(f"{address}/api/openapi.json")["openapi"].startswith("3.")
    with urllib.request.urlopen(f"{address}/healthz", timeout=10) as answer:
        assert answer.status == 200
