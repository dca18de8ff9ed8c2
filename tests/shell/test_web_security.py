"""Who may read, and what a page may load."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from made_views import MadeViews
from web_client import Asker, Seen

from monitor.web.security import SESSION_COOKIE, SESSION_S
from monitor.web.settings import WebSettings

Start = Callable[..., Asker]

TOKEN = "a long 秘密 token"
PROTECTED = (
    "/",
    "/channels",
    "/incidents/8f2c1d90a4b7e365",
    "/watchlist",
    "/watchlist.csv",
    "/recommendations",
    "/carriers.csv",
    "/parcels/nope",
    "/dead-letters",
    "/static/style.css",
    "/metrics",
    "/api/channels",
    "/api/openapi.json",
    "/api/parcels/nope",
    "/nowhere",
)


@pytest.mark.parametrize("path", [*PROTECTED, "/healthz", "/readyz", "/login"])
def test_every_answer_carries_the_security_headers(ask: Start, path: str) -> None:
    for asker in (ask(), ask(access_token=TOKEN)):
        headers = asker.ask(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "script-src" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert not [name for name in headers if name.lower().startswith("access-control-")]
        assert "aiohttp" not in headers["Server"]
        assert headers["Cache-Control"] == "no-store" or path.startswith("/static/")


@pytest.mark.parametrize("path", PROTECTED)
def test_without_the_token_nothing_is_shown(ask: Start, path: str) -> None:
    asker = ask(access_token=TOKEN)
    answer = asker.ask(path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert ">RU<" not in answer.text
    assert "RU|" not in answer.text
    wrong = asker.ask(path, headers={"Authorization": "Bearer nonsense"})
    assert wrong.status == 401
    if path.startswith("/api/") or path == "/metrics":
        assert answer.json["title"] == "Please sign in"


def test_the_probes_need_no_token(ask: Start) -> None:
    asker = ask(access_token=TOKEN)
    assert asker.ask("/healthz").status == 200
    assert asker.ask("/readyz").status == 200
    assert asker.ask("/healthz/").status == 401


@pytest.mark.parametrize("path", ["/", "/api/channels", "/metrics", "/static/style.css"])
def test_the_bearer_token_opens(ask: Start, path: str) -> None:
    asker = ask(access_token="plain-token")
    assert asker.ask(path, headers={"Authorization": "Bearer plain-token"}).status == 200
    assert asker.ask(path, headers={"Authorization": "bearer  plain-token"}).status == 200
    assert asker.ask(path, headers={"Authorization": "Basic plain-token"}).status == 401
    assert asker.ask(path, headers={"Authorization": "Bearer plain-token2"}).status == 401


def test_the_form_signs_in_and_leads_back(ask: Start) -> None:
    asker = ask(access_token=TOKEN)
    form = asker.ask("/channels?country=RU")
    page = Seen(form.text)
    (target,) = [field["value"] for field in page.all("input") if field.get("name") == "next"]
    assert target == "/channels?country=RU"
    wrong = asker.ask("/login", "POST", data={"token": "guess", "next": target})
    assert wrong.status == 401
    assert "That is not the token" in wrong.text
    answer = asker.ask("/login", "POST", data={"token": TOKEN, "next": target})
    assert (answer.status, answer.headers["Location"]) == (303, target)
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert TOKEN not in cookie
    assert asker.ask("/channels").status == 200
    asker.ask("/logout", "POST")
    assert asker.ask("/channels").status == 401


def test_the_form_has_an_address_of_its_own(ask: Start) -> None:
    asker = ask(access_token=TOKEN)
    page = Seen(asker.ask("/login?lang=zh").text)
    assert "登录" in page.text
    assert [field["value"] for field in page.all("input") if field.get("name") == "next"] == ["/"]
    assert ask().ask("/login").headers["Location"] == "/"


def test_the_session_ends_and_cannot_be_made_longer(ask: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    asker = ask(access_token=TOKEN)
    cookie = asker.ask("/login", "POST", data={"token": TOKEN}).headers["Set-Cookie"]
    value = re.match(rf"{SESSION_COOKIE}=([^;]+)", cookie)
    assert value is not None
    expires, mark = value[1].strip('"').split(".")
    fresh = ask(access_token=TOKEN)

    def status(content: str) -> int:
        return fresh.ask("/", headers={"Cookie": f"{SESSION_COOKIE}={content}"}).status

    assert status(f"{expires}.{mark}") == 200
    assert status(f"{int(expires) + 1}.{mark}") == 401
    assert status(f"{expires}.{'0' * 64}") == 401
    assert status(f"{expires}.") == 401
    assert status("x.y") == 401
    other = ask(access_token="another token")
    assert other.ask("/", headers={"Cookie": f"{SESSION_COOKIE}={expires}.{mark}"}).status == 401
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SESSION_S + 5)
    assert status(f"{expires}.{mark}") == 401


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "x", "/a\r\nX: y"])
def test_signing_in_never_leads_elsewhere(ask: Start, target: str) -> None:
    answer = ask(access_token=TOKEN).ask("/login", "POST", data={"token": TOKEN, "next": target})
    assert answer.headers["Location"] == "/"


def test_a_form_of_another_site_does_not_sign_in(ask: Start) -> None:
    asker = ask(access_token=TOKEN)
    answer = asker.ask("/login", "POST", data={"token": TOKEN}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers


def test_a_reader_who_comes_by_a_link_can_go_on_with_one_click(ask: Start) -> None:
    asker = ask(access_token=TOKEN)
    assert "/incidents/x" in Seen(asker.ask("/incidents/x", headers={"Sec-Fetch-Site": "cross-site"}).text).links
    assert "/incidents/x" not in Seen(asker.ask("/incidents/x").text).links


def test_the_form_brings_its_style_with_a_nonce(ask: Start) -> None:
    asker = ask(access_token=TOKEN)
    first, second = (asker.ask("/") for _ in range(2))
    nonces = [Seen(answer.text).all("style")[0]["nonce"] for answer in (first, second)]
    assert f"style-src 'nonce-{nonces[0]}'" in first.headers["Content-Security-Policy"]
    assert nonces[0] != nonces[1]
    assert Seen(first.text).all("script") == []


@pytest.fixture
def local(ask: Start) -> Asker:
    return ask()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.9.9.9", "[::1]:8080", "monitor.localhost", "localhost."]
)
def test_on_loopback_loopback_names_are_answered(local: Asker, host: str) -> None:
    assert local.ask("/", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "a@localhost",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/channels", "/metrics", "/readyz", "/nowhere"])
def test_on_loopback_a_rebound_name_gets_nothing(local: Asker, host: str, path: str) -> None:
    answer = local.ask(path, headers={"Host": host})
    assert answer.status == 421
    assert ">RU<" not in answer.text
    assert "RU|" not in answer.text


def test_with_a_token_any_name_is_answered(ask: Start) -> None:
    asker = ask(access_token="t", host="0.0.0.0")
    headers = {"Host": "monitor.example", "Authorization": "Bearer t"}
    assert asker.ask("/", headers=headers).status == 200


def test_large_requests_are_refused_before_they_are_read(ask: Start) -> None:
    asker = ask(access_token=TOKEN, max_request_bytes=2_048)

    async def chunks() -> object:
        for _ in range(100):
            yield b"token=" + b"x" * 1_000

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert asker.ask("/login", "POST", data=b"token=" + b"x" * 4_096, headers=form).status == 413
    assert asker.ask("/login", "POST", data=chunks(), headers=form).status == 413


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("country=" + "x" * 513, 400),
        ("x" * 600 + "=1", 400),
        ("&".join(f"a{number}=1" for number in range(21)), 400),
        ("id=" + "%F0%9F%93%A6" * 512, 404),
        ("a=" + "%41" * 2_700, 414),
    ],
)
def test_queries_are_bounded(ask: Start, query: str, status: int) -> None:
    assert ask().ask(f"/parcels?{query}").status == status


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"host": "0.0.0.0"}, "access_token"),
        ({"host": "monitor.example"}, "access_token"),
        ({"access_token": " "}, "access_token"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"language": "fr"}, "language"),
        ({"port": 65_536}, "port"),
        ({"page_size": 0}, "page_size"),
        ({"series_cap": 0}, "series_cap"),
        ({"max_request_bytes": 1}, "max_request_bytes"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        WebSettings(**given)  # type: ignore[arg-type]


def test_the_token_is_not_in_the_settings_text() -> None:
    assert TOKEN not in repr(WebSettings(access_token=TOKEN))


def test_what_was_asked_is_counted_by_route_and_never_by_id(ask: Start) -> None:
    asker = ask(MadeViews())
    asker.ask("/parcels/secret-parcel")
    asker.ask("/nowhere/secret-path")
    metrics = asker.ask("/metrics").text
    assert re.search(r'http_requests_total\{route="/parcels/\{id\}",status="404"\} 1', metrics)
    assert re.search(r'http_requests_total\{route="unmatched",status="404"\} 1', metrics)
    assert "secret" not in metrics
