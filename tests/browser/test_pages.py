"""The pages in a real browser: they fit, they load nothing from elsewhere, and they complain about nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from made_records import HOSTILE_IDS, HOSTILE_NAME
from made_views import EmptyViews, MadeViews
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from web_client import served

from monitor.web.settings import WebSettings
from monitor.web.words import link

pytestmark = pytest.mark.chromium

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LISTS = ["/", "/incidents", "/channels", "/watchlist", "/recommendations", "/parcels", "/dead-letters"]
DETAILS = [
    "/incidents/8f2c1d90a4b7e365",
    "/recommendations/0000000000000001",
    link("incidents", "<svg onload=alert(1)>/..%2f"),
    link("channels", "RU|tablet|china-post/registered"),
    link("channels", f"XX|{HOSTILE_NAME}|a/b%2F<i>"),
]
SIZES = [(1280, 900), (375, 812)]

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(MadeViews()) as started:
        yield started


@pytest.fixture
def new(browser: Browser) -> Iterator[Open]:
    """Opens pages that note complaints, dialogs and requests to elsewhere; any of them fails the test at its end."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def opened(address: str, width: int = 1280, height: int = 900, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        host = urlsplit(address).netloc
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda asked: urlsplit(asked.url).netloc == host or faults.append(f"went to {asked.url}"))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_every_page_fits_and_complains_about_nothing(
    new: Open, address: str, size: tuple[int, int], locale: str
) -> None:
    page = new(address, *size, locale=locale, color_scheme="dark" if locale == "zh-CN" else "light")
    for path in [*LISTS, *DETAILS, *(link("parcels", id_) for id_ in HOSTILE_IDS)]:
        answer = page.goto(address + path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.locator("html").get_attribute("lang") == {"en-GB": "en", "zh-CN": "zh-CN"}[locale]
        assert page.locator("h1").is_visible()
        assert overflow(page) <= 0, path


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_the_longest_names_and_ids_do_not_widen_a_page(new: Open, size: tuple[int, int]) -> None:
    views = MadeViews()
    name = f"RU|{'產' * 200}|{'W' * 200}/{'i' * 200}"
    for row in views.channel_rows:
        if row["status"] == "degraded":
            row["channel"] = name
    views.incident_rows[0] |= {"members": [name], "joined": [], "scope": {"kind": "carrier", "carrier": "W" * 200}}
    views.watch_rows[0] |= {"parcel_id": "8" * 512, "channel": name}
    with served(views) as address:
        page = new(address, *size)
        for path in [*LISTS, "/incidents/8f2c1d90a4b7e365", link("channels", name), link("parcels", "8" * 512)]:
            page.goto(address + path)
            assert overflow(page) <= 0, path


def test_every_link_leads_somewhere(new: Open, address: str) -> None:
    page = new(address)
    found: set[str] = set()
    for path in [*LISTS, *DETAILS]:
        page.goto(address + path)
        found |= set(page.eval_on_selector_all("a", "links => links.map(link => link.href)"))
    assert len(found) > 100
    for target in sorted(found):
        assert page.request.get(target).status == 200, target


def test_the_language_is_switched_and_stays(new: Open, address: str) -> None:
    page = new(address, locale="en-GB")
    page.goto(f"{address}/channels?country=RU")
    page.get_by_role("link", name="中文").click()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert page.get_by_label("国家").input_value() == "RU"
    page.get_by_role("link", name="跟进清单").click()
    assert page.get_by_role("heading", level=1).inner_text() == "跟进清单"
    page.get_by_role("link", name="English").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Watchlist"


def test_everything_works_without_scripts(new: Open, address: str) -> None:
    page = new(address, java_script_enabled=False, locale="en-GB")
    page.goto(f"{address}/channels")
    page.get_by_label("Status").select_option("degraded")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("link", name="Loss", exact=True).click()
    assert page.url == f"{address}/channels?country=&carrier=&product=&status=degraded&sort=-loss"
    first = page.locator("tbody tr").first
    assert "TR" in first.inner_text()
    page.goto(f"{address}/parcels")
    page.get_by_label("Parcel id").fill("a/b/c")
    page.get_by_role("button", name="Search").click()
    assert page.url == f"{address}/parcels/a%2Fb%2Fc"
    assert "a/b/c" in page.get_by_role("heading", level=1).inner_text()


def test_the_keyboard_reaches_the_content_first(new: Open, address: str) -> None:
    page = new(address, locale="en-GB")
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_an_open_page_keeps_itself_fresh_but_not_under_the_readers_hands(new: Open) -> None:
    views = MadeViews()
    with served(views, WebSettings(refresh_s=1)) as address:
        page = new(address, locale="en-GB")
        page.goto(address)
        views.state["lag_records"] = 4321
        page.get_by_text("4,321").wait_for(timeout=5_000)
        page.goto(f"{address}/channels")
        page.get_by_label("Country").focus()
        views.channel_rows = []
        page.wait_for_timeout(1_500)
        assert page.locator("tbody tr").count() > 0
        page.get_by_role("heading", level=1).click()
        page.evaluate("document.activeElement.blur()")
        page.get_by_text("No channel yet").wait_for(timeout=5_000)


def test_a_monitor_that_does_not_answer_is_told_on_the_open_page(new: Open, browser: Browser) -> None:
    views = MadeViews()
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    with served(views, WebSettings(refresh_s=1)) as address:
        page.goto(address)
        assert not page.get_by_role("status").is_visible()
    page.get_by_text("The monitor does not answer").wait_for(timeout=5_000)
    assert page.get_by_role("heading", name="Open incidents").is_visible()
    context.close()


def test_a_reader_signs_in_and_out(browser: Browser) -> None:
    with served(MadeViews(), WebSettings(access_token="let me in")) as address:
        context = browser.new_context(locale="en-GB")
        page = context.new_page()
        page.goto(f"{address}/watchlist?country=RU")
        page.get_by_label("Access token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        assert page.get_by_role("alert").inner_text() == "That is not the token."
        page.get_by_label("Access token").fill("let me in")
        page.get_by_role("button", name="Sign in").click()
        assert page.url == f"{address}/watchlist?country=RU"
        assert page.get_by_role("heading", level=1).inner_text() == "Watchlist"
        page.get_by_role("button", name="Sign out").click()
        assert page.get_by_role("heading", level=1).inner_text() == "Sign in"
        context.close()


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_an_empty_monitor_says_what_to_do(new: Open, size: tuple[int, int]) -> None:
    with served(EmptyViews()) as address:
        page = new(address, *size, locale="en-GB")
        for path in LISTS:
            page.goto(address + path)
            assert overflow(page) <= 0, path
        page.goto(address)
        assert page.get_by_text("channel-monitor ingest").is_visible()
        assert page.get_by_text("3 of 4 partitions").is_visible()
