"""A synchronous client for tests of the page: starts the application on a loopback port and asks it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from multidict import CIMultiDictProxy
from yarl import URL

from monitor.read.views import Views
from monitor.web.app import create_web
from monitor.web.metrics import Metrics
from monitor.web.settings import WebSettings


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asker:
    """Asks one application; cookies are kept between requests. Close it when done."""

    def __init__(self, views: Views, settings: WebSettings | None = None, app: web.Application | None = None) -> None:
        self.settings = settings or WebSettings(timezone="Asia/Shanghai")
        self._loop = asyncio.new_event_loop()
        self._client = self._run(self._start(app or self._made(views)))

    def _made(self, views: Views) -> web.Application:
        return create_web(views, self.settings, Metrics(views, series_cap=self.settings.series_cap))

    async def _start(self, app: web.Application) -> TestClient[Any, Any]:
        client = TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True))  # unsafe: the server has no name
        await client.start_server()
        return client

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def ask(self, path: str, method: str = "GET", **more: Any) -> Answer:
        """``path`` goes out as it is written; redirects are not followed."""

        async def asked() -> Answer:
            url = URL(path, encoded=True)
            async with self._client.request(method, url, allow_redirects=False, **more) as response:
                return Answer(response.status, response.headers, await response.read())

        answer: Answer = self._run(asked())
        return answer

    def close(self) -> None:
        self._run(self._client.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


@contextmanager
def served(views: Views, settings: WebSettings | None = None) -> Iterator[str]:
    """Serves the application from a thread of its own, for a browser; gives its address."""
    settings = settings or WebSettings(timezone="Asia/Shanghai")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=30)

    runner = web.AppRunner(create_web(views, settings, Metrics(views)), shutdown_timeout=0)
    run(runner.setup())
    run(web.TCPSite(runner, "127.0.0.1", 0).start())
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        run(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=30)
        loop.close()


class Seen(HTMLParser):
    """The elements of a page: (tag, attributes) in order, and the text a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._words: list[str] = []
        self._muted = False
        self.feed(page)
        self.text = " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._muted = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._muted = False

    def handle_data(self, data: str) -> None:
        if not self._muted:
            self._words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def links(self) -> list[str]:
        return [attributes["href"] or "" for attributes in self.all("a")]
