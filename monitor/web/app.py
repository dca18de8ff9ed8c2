"""The web application: routes, and what every request passes through."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from monitor.read.views import Views
from monitor.web import advice, api, pages
from monitor.web.errors import answer
from monitor.web.metrics import METRICS, Metrics
from monitor.web.probes import OPEN
from monitor.web.render import SITE, Site, static
from monitor.web.security import OPEN_ROUTES, SETTINGS, authenticate, guard, login, login_page, logout, protect
from monitor.web.settings import WebSettings

#: Answers larger than this many bytes are compressed when the reader takes it.
COMPRESS_FROM_BYTES: Final = 1_024

#: An id of any characters, slashes and line breaks too.
_ID: Final = r"{id:[\s\S]+}"

_OPEN: Final = (*OPEN, "/login")


def create_web(views: Views, settings: WebSettings, metrics: Metrics) -> web.Application:
    """The application over ``views``; run it with an :class:`aiohttp.web.AppRunner`.

    Routes added later (webhooks) need the access token unless their pattern is put into ``app[OPEN_ROUTES]``.
    """
    app = web.Application(middlewares=[answer, guard, authenticate], client_max_size=settings.max_request_bytes)
    app[SITE] = Site(views, settings)
    app[SETTINGS] = settings
    app[METRICS] = metrics
    app[api.HEALTH] = views.health
    app[OPEN_ROUTES] = set(_OPEN)
    api.prepare(app)
    app.add_routes(
        [
            web.get("/", pages.overview),
            web.get("/channels", pages.channels),
            web.get(f"/channels/{_ID}", pages.channel),
            web.get("/incidents", pages.incidents),
            web.get(f"/incidents/{_ID}", pages.incident),
            web.get("/watchlist", pages.watchlist),
            web.get("/watchlist.csv", api.watchlist_csv),
            web.get("/recommendations", advice.recommendations),
            web.get("/carriers.csv", api.routing),
            web.get(f"/recommendations/{_ID}", advice.recommendation),
            web.get("/parcels", pages.parcels),
            web.get(f"/parcels/{_ID}", pages.parcel),
            web.get("/dead-letters", pages.dead_letters),
            web.get("/static/{name}", static),
            web.get("/metrics", api.metrics),
            web.get("/healthz", api.alive),
            web.get("/readyz", api.ready),
            web.get("/login", login_page),
            web.post("/login", login),
            web.post("/logout", logout),
            web.get("/api/openapi.json", api.description),
            web.get("/api/channels", api.channels),
            web.get("/api/incidents", api.incidents),
            web.get(f"/api/incidents/{_ID}", api.incident),
            web.get("/api/watchlist", api.watchlist),
            web.get("/api/recommendations", api.recommendations),
            web.get(f"/api/recommendations/{_ID}", api.recommendation),
            web.get("/api/outcomes", api.outcomes),
            web.get("/api/outcomes/balance", api.balance),
            web.get(f"/api/parcels/{_ID}", api.parcel),
            web.get("/api/dead-letters", api.dead_letters),
            web.get("/api/health", api.health),
        ]
    )
    app.on_response_prepare.append(protect)
    app.on_response_prepare.append(_compress)
    return app


async def _compress(_request: web.Request, response: web.StreamResponse) -> None:
    body = response.body if isinstance(response, web.Response) else None
    if isinstance(body, bytes | bytearray) and len(body) >= COMPRESS_FROM_BYTES:
        response.enable_compression()
