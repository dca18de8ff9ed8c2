"""The pages: what a reader finds on them, in both languages, on a busy and on an empty monitor."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from decimal import Decimal
from urllib.parse import quote

import pytest
from made_accepted import made_accepted
from made_records import HOSTILE_IDS, HOSTILE_NAME
from made_views import EmptyViews, MadeViews
from msgspec.structs import replace
from web_client import Asker, Seen

from monitor.core.switch.money import Money
from monitor.web.words import link

Start = Callable[..., Asker]

PAGE = "8f2c1d90a4b7e365"
CHANNEL = "RU|tablet|china-post/registered"
PAGES = {
    "/": ("Overview", "概览"),
    "/incidents": ("Incidents", "事件"),
    f"/incidents/{PAGE}": ("Transit slower than usual: RU × tablet", "RU × tablet：运输变慢"),
    "/channels": ("Channels", "渠道"),
    link("channels", CHANNEL): ("Degraded", "恶化"),
    "/watchlist": ("Watchlist", "跟进清单"),
    "/recommendations": ("Which carrier to use", "选用哪家承运商"),
    "/recommendations/0000000000000001": ("move 25% from china-post", "将 25% 从 china-post 转到"),
    "/parcels": ("Find a parcel", "查找包裹"),
    link("parcels", "a/b/c"): ("Held by customs", "海关扣留"),
    "/dead-letters": ("Dead letters", "死信"),
}
LISTS = ("/", "/incidents", "/channels", "/watchlist", "/recommendations", "/parcels", "/dead-letters")
#: Elements our templates use; anything else came out of a record.
OURS = {
    *("html", "head", "meta", "title", "link", "script", "body", "header", "nav", "main", "footer", "section"),
    *("article", "h1", "h2", "h3", "p", "div", "span", "a", "b", "strong", "small", "code", "pre", "time", "ul", "li"),
    *("dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary"),
    *("form", "label", "select", "option", "input", "button"),
    *("svg", "g", "rect", "path", "circle", "line", "text"),
}


@pytest.mark.parametrize("place", [0, 1], ids=["en", "zh"])
@pytest.mark.parametrize("path", PAGES)
def test_every_page_reads_in_both_languages(ask: Start, path: str, place: int) -> None:
    language = ("en", "zh")[place]
    answer = ask().ask(f"{path}?lang={language}")
    page = Seen(answer.text)
    assert answer.status == 200
    assert str(page.all("html")[0]["lang"]).startswith(language)
    assert PAGES[path][place] in page.text
    assert len(page.all("h1")) == 1
    assert page.all("main")
    assert page.all("nav")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", LISTS)
def test_every_list_reads_well_on_an_empty_monitor(ask: Start, path: str, language: str) -> None:
    answer = ask(EmptyViews()).ask(f"{path}?lang={language}")
    page = Seen(answer.text)
    assert answer.status == 200
    assert page.all("table") == []
    assert "0%" not in page.text
    if path == "/":
        assert "3 of 4 partitions" in page.text
        assert "channel-monitor ingest" in page.text


def test_the_overview_links_every_open_incident_and_says_what_it_means(ask: Start) -> None:
    views = MadeViews()
    page = Seen(ask(views).ask("/").text)
    for incident in views.incident_rows:
        assert (link("incidents", incident["incident_id"]) in page.links) == (incident["closed_at"] is None)
    assert "31 parcels moved on where 74.2 were expected (41.8%)" in page.text
    assert "Act today" in page.text
    assert re.search(r"Parcels at risk 412", page.text)
    assert re.search(r"Complaints, 14 days 37 25–52", page.text)
    assert page.text.index("More losses than usual") < page.text.index("A stage has stalled")


def test_an_incident_explained_by_a_wider_one_is_told_with_it(ask: Start) -> None:
    page = Seen(ask().ask("/").text)
    assert "Explains also: A stage has stalled: US × phone × yanwen" in page.text


def test_more_incidents_than_cards_are_all_linked(ask: Start) -> None:
    views = MadeViews()
    views.incident_rows = [{**views.incident_rows[0], "incident_id": f"id{number}"} for number in range(30)]
    page = Seen(ask(views).ask("/").text)
    assert {link("incidents", f"id{number}") for number in range(30)} <= set(page.links)
    assert len(page.all("article")) == 8


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_a_record_says_becomes_markup(ask: Start, path: str, language: str) -> None:
    asker = ask(page_size=1_000)
    hostile = [link("incidents", "<svg onload=alert(1)>/..%2f"), link("channels", f"XX|{HOSTILE_NAME}|a/b%2F<i>")]
    for address in (path, *hostile, *(link("parcels", id_) for id_ in HOSTILE_IDS)):
        answer = asker.ask(f"{address}{'&' if '?' in address else '?'}lang={language}")
        page = Seen(answer.text)
        assert answer.status == 200, address
        for tag, attributes in page.elements:
            assert tag in OURS, (address, tag)
            assert not [name for name in attributes if name.startswith("on") or name == "style"], (address, tag)
        assert all(attributes.get("src", "").startswith("/static/") for attributes in page.all("script"))
        assert all(re.match(r"/(?!/)|#", target) for target in page.links), address


@pytest.mark.parametrize("id_", HOSTILE_IDS)
def test_a_parcel_with_any_id_is_reached_by_its_link_and_by_the_search(ask: Start, id_: str) -> None:
    asker = ask()
    found = asker.ask(link("parcels", id_))
    assert found.status == 200
    if id_ != "..":  # clients resolve it away before they send it
        assert asker.ask(f"/api/parcels/{quote(id_, safe='')}").json["parcel_id"] == id_
    searched = asker.ask(f"/parcels?id={quote(id_, safe='')}")
    if id_ == "..":
        assert searched.status == 200
    elif id_ == id_.strip():  # the search forgives blanks around what was pasted
        assert (searched.status, searched.headers["Location"]) == (303, link("parcels", id_))
    heading = re.search(r"<h1>(.*?)</h1>", found.text, re.S)
    assert heading is not None
    assert Seen(heading[1]).text == " ".join(f"Parcel {id_}".split())


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", ["/nowhere", "/incidents/nope", "/channels/nope", "/parcels/nope", "/static/no.css"])
def test_what_is_not_there_is_told_in_the_readers_language(ask: Start, path: str, language: str) -> None:
    answer = ask().ask(path, headers={"Accept-Language": language})
    page = Seen(answer.text)
    assert answer.status == 404
    assert {"en": "Nothing here", "zh": "找不到内容"}[language] in page.text or {
        "en": "No parcel has the id “nope”",
        "zh": "没有编号为“nope”的包裹",
    }[language] in page.text
    assert page.all("nav")


def test_a_fault_of_ours_is_a_page_that_tells_no_secrets(ask: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: MadeViews) -> list[dict[str, object]]:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(MadeViews, "channels", broken)
    asker = ask()
    page, problem = asker.ask("/channels"), asker.ask("/api/channels")
    assert (page.status, problem.status) == (500, 500)
    assert "Something went wrong in the monitor" in page.text
    assert problem.json["status"] == 500
    assert "hunter2" not in page.text + problem.text


def test_the_address_wins_over_the_cookie_and_the_cookie_over_the_browser(ask: Start) -> None:
    asker = ask()

    def language(path: str, accept: str) -> str:
        return str(Seen(asker.ask(path, headers={"Accept-Language": accept}).text).all("html")[0]["lang"])

    assert language("/", "fr;q=1, zh-TW;q=0.9, en;q=0.8") == "zh-CN"
    assert language("/", "fr, en-GB;q=0.7, zh;q=0.2") == "en"
    assert language("/", "fr") == "en"
    assert language("/?lang=xx", "zh") == "zh-CN"
    assert language("/channels?lang=zh", "en") == "zh-CN"
    assert language("/", "en") == "zh-CN"
    assert language("/?lang=en", "zh") == "en"
    assert language("/", "zh") == "en"


def test_a_set_language_stands_for_readers_who_chose_none(ask: Start) -> None:
    asker = ask(language="zh")
    assert 'lang="zh-CN"' in asker.ask("/", headers={"Accept-Language": "en"}).text
    assert '<html lang="en">' in asker.ask("/?lang=en").text


def test_the_language_switch_keeps_the_filter(ask: Start) -> None:
    page = Seen(ask().ask("/channels?country=RU&status=degraded").text)
    assert "/channels?country=RU&status=degraded&lang=zh" in page.links


def test_times_are_in_the_operators_zone_and_marked_in_utc(ask: Start) -> None:
    text = ask().ask("/").text
    assert '<time datetime="2026-03-12T06:00:00Z">2026-03-12 14:00</time>' in text
    assert "Times in Asia/Shanghai" in text
    assert '<time datetime="2026-03-12T06:00:00Z">2026-03-12 06:00</time>' in ask(timezone="UTC").ask("/").text


def test_a_ratio_without_parcels_is_insufficient_data_and_never_nought(ask: Start) -> None:
    page = Seen(ask().ask(link("channels", f"XX|{HOSTILE_NAME}|a/b%2F<i>")).text)
    assert page.text.count("insufficient data") >= 10
    assert not re.search(r"(?<!\d)0%", page.text.replace("from 0 to 100%", ""))


def test_a_ratio_of_few_parcels_shows_its_interval_but_no_value(ask: Start) -> None:
    views = MadeViews()
    row = views.channel_rows[0]
    row["recent"]["loss_ratio"] = {"value": 0.0, "low": 0.0, "high": 0.354, "n": 7}
    page = Seen(ask(views).ask(link("channels", row["channel"])).text)
    assert "insufficient data n = 7 0–35.4%" in page.text
    assert " 0% " not in page.text


def test_every_ratio_stands_with_its_interval_and_n(ask: Start) -> None:
    page = Seen(ask().ask(link("channels", CHANNEL)).text)
    assert "On time 34.1% n = 750 30.8–37.6% 67.5% n = 3,001 65.8–69.2%" in page.text
    assert "not reached" in page.text


def test_a_new_channel_says_that_it_is_followed_against_its_lane(ask: Start) -> None:
    views = MadeViews()
    row = views.channel_rows[0]
    plain = ask(views).ask(link("channels", row["channel"])).text
    row["canary_parcels"] = 12
    asker = ask(views)
    said = "New: followed against its lane (12 of 50 parcels)"
    assert said not in plain
    assert said in asker.ask(link("channels", row["channel"])).text
    assert "12 件" in asker.ask(link("channels", row["channel"]) + "?lang=zh").text


def test_channels_come_worst_first_and_sort_both_ways_with_the_unknown_last(ask: Start) -> None:
    views = MadeViews()
    asker = ask(views, page_size=1_000)

    def rows(query: str) -> list[str]:
        return re.findall(r'<th scope="row"><a class="channel" href="([^"]+)"', asker.ask(f"/channels{query}").text)

    assert rows("")[:4] == rows("?status=degraded")
    evidence = {link("channels", row["channel"]): row["ln_m"] for row in views.channel_rows}
    up, down = rows("?sort=ln_m"), rows("?sort=-ln_m")
    assert [evidence[target] for target in up] == [*sorted(e for e in evidence.values() if e is not None), None]
    assert [evidence[target] for target in down][::-1][1:] == [evidence[target] for target in up][:-1]
    assert down[-1] == up[-1]
    assert asker.ask("/channels?sort=nonsense").status == 400


def test_the_pages_of_a_list_hold_every_row_once(ask: Start) -> None:
    views = MadeViews()
    asker = ask(views, page_size=20)
    path, found = "/channels?sort=channel", []
    while path:
        text = asker.ask(path.replace("&amp;", "&")).text
        found += re.findall(r'<th scope="row"><a class="channel" href="([^"]+)"', text)
        following = re.search(r'<a rel="next" href="([^"]+)"', text)
        path = following[1] if following else ""
    assert found == [link("channels", row["channel"]) for row in views.channel_rows]
    assert asker.ask("/channels?page=99999").status == 200
    for wrong in ("0", "-1", "x", "1e9", "٣", "9" * 40):
        assert asker.ask(f"/channels?page={quote(wrong)}").status == 400, wrong


def test_lists_are_filtered_by_what_the_form_offers(ask: Start) -> None:
    asker = ask(page_size=1_000)
    page = Seen(asker.ask("/watchlist?country=RU&reason=no_first_scan").text)
    lanes = [target for target in page.links if target.startswith("/channels/")]
    assert page.text.count("Verify the pick-up") == len(lanes) > 0
    assert all(target.startswith("/channels/RU%7C") for target in lanes)
    assert "Stuck in transit" not in page.text.split("Apply")[1]
    closed = Seen(asker.ask("/incidents?state=closed").text)
    assert link("incidents", "10b2d7fe98c3a645") in closed.links
    assert link("incidents", PAGE) not in closed.links
    assert "Nothing matches this filter" in asker.ask("/incidents?carrier=nobody").text


def test_the_incident_page_shows_members_those_that_joined_and_how_we_know(ask: Start) -> None:
    page = Seen(ask().ask(f"/incidents/{PAGE}").text)
    assert link("channels", CHANNEL) in page.links
    assert "2026-03-11 08:00" in page.text
    assert "page when ln M reaches 12.0" in page.text
    assert "figures as stored" in page.text
    assert f"channel-monitor explain {PAGE}" in page.text
    assert "events/1 @ 0 #3" in page.text
    assert {link("parcels", id_) for id_ in HOSTILE_IDS} <= set(page.links)
    assert "hidden on the page" not in page.text
    assert "… and 10 more" in page.text
    assert "Acknowledged by Lin" in page.text
    assert "flights to Moscow are cut" in page.text


def test_a_parcels_timeline_has_the_carriers_own_words_and_the_place_in_the_log(ask: Start) -> None:
    page = Seen(ask().ask("/parcels/a%2Fb%2Fc").text)
    assert "Accepted CN · Shenzhen PCK 揽收" in page.text
    assert "events/1 @ 310 #2" in page.text
    assert "Complaint opened: not received" in page.text
    assert "On the watchlist" in page.text


def test_the_csv_is_the_filtered_list_and_holds_no_formula(ask: Start) -> None:
    views = MadeViews()
    views.watch_rows[0]["parcel_id"] = "=HYPERLINK(1)"
    asker = ask(views)
    answer = asker.ask("/watchlist.csv")
    assert answer.body.startswith(b"\xef\xbb\xbf")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert [row["parcel_id"] for row in rows] == ["'=HYPERLINK(1)", *(row["parcel_id"] for row in views.watch_rows[1:])]
    few = list(csv.DictReader(io.StringIO(asker.ask("/watchlist.csv?country=RU").body.decode("utf-8-sig"))))
    assert 0 < len(few) < len(rows)
    assert all(row["channel"].startswith("RU|") for row in few)
    assert "/watchlist.csv?country=RU" in Seen(asker.ask("/watchlist?country=RU").text).links


def test_dead_letters_say_why_in_words_and_cut_long_records(ask: Start) -> None:
    answer = ask().ask("/dead-letters")
    page = Seen(answer.text)
    assert "Unknown milestone unknown_milestone" in page.text
    assert "events/2 @ 1841 #17" in page.text
    assert "march/tracking.jsonl:17" in page.text
    assert len(answer.body) < 20_000


def test_pages_name_their_columns_rows_and_fields(ask: Start) -> None:
    asker = ask()
    for path in PAGES:
        page = Seen(asker.ask(path).text)
        assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th")), path
        fields = page.all("select") + [field for field in page.all("input") if field.get("type") != "hidden"]
        assert len(page.all("label")) == len(fields), path


def test_the_style_is_served_once_and_by_its_content(ask: Start) -> None:
    asker = ask()
    page = Seen(asker.ask("/").text)
    for address in [str(a["href"]) for a in page.all("link")] + [str(a["src"]) for a in page.all("script")]:
        answer = asker.ask(address)
        assert answer.status == 200
        assert re.fullmatch(r"/static/[a-z.]+\?v=[0-9a-f]{12}", address)
        assert "immutable" in answer.headers["Cache-Control"]


def test_what_accepted_switches_brought_stands_below_the_advice(ask: Start) -> None:
    views = MadeViews()
    asker = ask(views)
    text = asker.ask("/recommendations").text
    assert "Of 3 accepted switches 1 could be measured and 1 paid; 1 were as forecast." in text
    assert 'Saved so far: <span class="ratio"><strong>126.45 USD' in text
    assert "not followed" in text
    assert "Advice was wrong too often" not in text
    assert HOSTILE_NAME not in text
    loss = Money(Decimal(-1), Decimal(-2), Decimal(0))
    views.accepted = [("RU|tablet", replace(made_accepted()[0][1], advice_id=f"{n}", saving=loss)) for n in range(6)]
    assert "Advice was wrong too often: of 6 measured switches only 0 paid." in asker.ask("/recommendations").text
    assert "已采纳 6 次转换" in asker.ask("/recommendations?lang=zh").text


def test_the_carriers_are_downloaded_as_a_table_filtered_as_the_page_is(ask: Start) -> None:
    asker = ask()
    rows = list(csv.DictReader(io.StringIO(asker.ask("/carriers.csv?decision=switch").body.decode("utf-8-sig"))))
    assert {row["recommendation_id"] for row in rows} == {"0000000000000001"}
    assert [row["allowed"] for row in rows if row["attribute"] == "battery"] == ["0"]
    assert "/carriers.csv?decision=stay" in Seen(asker.ask("/recommendations?decision=stay").text).links
    switches_first = Seen(asker.ask("/recommendations").text).links
    places = [switches_first.index(f"/recommendations/{number:016x}") for number in (1, 0, 2, 3)]
    assert places == sorted(places)
