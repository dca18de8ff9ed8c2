"""A small application for a process without a page: is it alive, is it ready, its own metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from monitor.read.views import Record
from monitor.web import api
from monitor.web.errors import answer
from monitor.web.metrics import METRICS, Metrics
from monitor.web.security import OPEN_ROUTES, SETTINGS, authenticate, guard, protect
from monitor.web.settings import WebSettings

#: Answered without the access token: they say nothing secret.
OPEN: Final = ("/healthz", "/readyz")


def create_probes(health: Callable[[], Record], settings: WebSettings, metrics: Metrics) -> web.Application:
    """``/healthz``, ``/readyz`` and ``/metrics``; ``health`` gives ``ready`` and ``reasons`` (sentences)."""
    app = web.Application(middlewares=[answer, guard, authenticate], client_max_size=settings.max_request_bytes)
    app[SETTINGS] = settings
    app[METRICS] = metrics
    app[OPEN_ROUTES] = set(OPEN)
    app[api.HEALTH] = health
    app.add_routes(
        [web.get("/healthz", api.alive), web.get("/readyz", api.ready), web.get("/metrics", api.metrics)],
    )
    app.on_response_prepare.append(protect)
    return app
