"""The report of a backtest in a real browser: from a file, without a network, in both languages, on any screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_records import HOSTILE_NAME
from playwright.sync_api import Browser, Page, sync_playwright

from monitor.core.events import from_us
from monitor.core.vocabulary import DAY_US
from monitor.read.backtest import Gallery, Steps, Story, Week
from monitor.replay.backtest.facts import Facts, moment
from monitor.replay.backtest.report import assess
from monitor.web.backtest import render
from monitor.wire.backtest import Backtest, BacktestRun

pytestmark = pytest.mark.chromium

ZERO = 20_006  # 2024-10-10
CHANNEL = f"RU|{HOSTILE_NAME}{'W' * 120}|post/registered"
SIZES = [(1280, 900), (400, 800)]


def at(day: float) -> int:
    return round((ZERO + day) * DAY_US)


def incident(number: int, known: float) -> dict[str, Any]:
    country, product, carrier = CHANNEL.split("|")
    return {
        "incident_id": f"{number:016x}",
        "scope": {"kind": "channel", "country": country, "product": product, "carrier": carrier},
        "mode": "transit_slow",
        "severity": "page",
        "known_by": from_us(at(known)),
        "members": [CHANNEL],
        "evidence": {"ln_m": 13.0},
    }


def steps(scale: float) -> Steps:
    days = [float(day) for day in range(40)]
    shares = [max(0.05, 1 - day / (20 * scale)) for day in days]
    return Steps(days, shares, [0.9 * share for share in shares], shares, 120, 30)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with one wave of complaints, two pages, a comparison and pictures; names that are long and hostile."""
    complaints = [at(7 * week + 1) for week in range(5, 20)] + [at(141) + minute for minute in range(12)]
    records = [incident(1, 121.0), incident(2, 190.0)]
    log = Facts(records, {CHANNEL: complaints}, 0, {CHANNEL: (at(0), at(200))}, 900, at(90), at(200), None)
    run = assess(log, "a.toml").run
    fields = {name: getattr(run, name) for name in BacktestRun.model_fields}
    made = Backtest(**fields, as_of=moment(at(200)), dead_letters=2, compared=assess(log, "b.toml").run)
    story = Story(
        incident_id=f"{1:016x}",
        channel=CHANNEL,
        known_day=ZERO + 121.0,
        evidence=[(ZERO + day, day / 5 - 4) for day in range(60, 160)],
        page_at=12.0,
        complaints=[(ZERO + 4 + 7 * week, week % 5) for week in range(8, 23)],
        alarms=[ZERO + 141.0],
        now=steps(1.5),
        before=steps(1.0),
        shared=[(ZERO + day, day / 4 - 20) for day in range(60, 160)],
    )
    weeks = [Week(ZERO + 4 + 7 * week, week % 7 == 1, week % 5 == 0, week % 3 == 0, week % 2) for week in range(28)]
    path = tmp_path_factory.mktemp("report") / "report.html"
    gallery = Gallery(weeks, [story], {"ticket": 7.5, "group": 8.0})
    path.write_text(render(made, gallery), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


def opened(browser: Browser, report: Path, faults: list[str], size: tuple[int, int], **options: Any) -> Page:
    """The report; what it asks for besides itself, and what it complains about, goes into ``faults``."""
    page = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options).new_page()
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda asked: asked.url.startswith((report.as_uri(), "data:")) or faults.append(asked.url))
    page.goto(report.as_uri())
    return page


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
@pytest.mark.parametrize(("locale", "shown"), [("en-GB", "Backtest"), ("zh-CN", "历史回测"), ("fr-FR", "Backtest")])
def test_the_report_fits_loads_nothing_and_speaks_the_readers_language(
    browser: Browser, report: Path, size: tuple[int, int], locale: str, shown: str
) -> None:
    faults: list[str] = []
    page = opened(browser, report, faults, size, locale=locale, color_scheme="dark" if shown != "Backtest" else "light")
    assert page.locator("h1:visible").inner_text() == shown
    assert page.locator("html").get_attribute("lang") == ("zh-CN" if shown != "Backtest" else "en")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert page.locator("svg.chart:visible").count() == 3
    assert faults == []


def test_the_other_language_is_one_click_away(browser: Browser, report: Path) -> None:
    faults: list[str] = []
    page = opened(browser, report, faults, SIZES[0], locale="en-GB")
    page.get_by_text("中文").click()
    assert page.locator("h1:visible").inner_text() == "历史回测"
    assert page.title().startswith("历史回测")
    page.get_by_text("English").click()
    assert page.locator("h1:visible").inner_text() == "Backtest"
    assert faults == []


def test_without_scripts_the_report_is_in_english_and_can_be_switched(browser: Browser, report: Path) -> None:
    page = opened(browser, report, [], SIZES[0], locale="zh-CN", java_script_enabled=False)
    assert page.locator("h1:visible").inner_text() == "Backtest"
    page.get_by_text("中文").click()
    assert page.locator("h1:visible").inner_text() == "历史回测"
