"""The JSON API, the CSV of the watchlist, the probes and the exposition of the metrics."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiohttp import web

from monitor.read.routing import FORMULA, routing_csv, routing_rows
from monitor.read.views import Record
from monitor.web import lists, openapi
from monitor.web.advice import find_advice
from monitor.web.errors import NotThere
from monitor.web.metrics import METRICS
from monitor.web.pages import find_incident
from monitor.web.render import SITE, here

_DOCUMENT: Final = web.AppKey("openapi", str)
#: What the process says of itself: ``ready`` and ``reasons`` at least.
HEALTH: Final[web.AppKey[Callable[[], Record]]] = web.AppKey("health")

_CSV_COLUMNS: Final = (
    "parcel_id",
    "channel",
    "reason",
    "since",
    "due_at",
    "days_left_in_dispute_window",
    "priority",
    "next_action",
    "incident_id",
)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.json_response(text=json.dumps(value, ensure_ascii=False, separators=(",", ":")), status=status)


def _array(request: web.Request, rows: Sequence[Record]) -> web.Response:
    part, limit, offset = lists.sliced(rows, request.query)
    response = _json(part)
    response.headers["X-Total-Count"] = str(len(rows))
    if offset + len(part) < len(rows):
        following = here(request, {"limit": limit, "offset": offset + limit})
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


async def channels(request: web.Request) -> web.Response:
    """``/api/channels``"""
    found = lists.filtered(request.app[SITE].views.channels(), request.query, lists.CHANNEL_FACETS)
    return _array(request, lists.ordered(found, request.query, lists.CHANNEL_SORTS, "channel"))


async def incidents(request: web.Request) -> web.Response:
    """``/api/incidents``"""
    return _array(request, lists.filtered(request.app[SITE].views.incidents(), request.query, lists.INCIDENT_FACETS))


async def incident(request: web.Request) -> web.Response:
    """``/api/incidents/{id}``"""
    row = find_incident(request)
    return _json({**row, "explanation": request.app[SITE].views.explain(row["incident_id"])})


async def watchlist(request: web.Request) -> web.Response:
    """``/api/watchlist``"""
    return _array(request, lists.filtered(request.app[SITE].views.watchlist(), request.query, lists.WATCH_FACETS))


async def recommendations(request: web.Request) -> web.Response:
    """``/api/recommendations``"""
    return _array(request, lists.filtered(request.app[SITE].views.recommendations(), request.query, lists.LANE_FACETS))


async def recommendation(request: web.Request) -> web.Response:
    """``/api/recommendations/{id}``"""
    row = find_advice(request)
    return _json({**row, "explanation": request.app[SITE].views.explain(row["recommendation_id"])})


async def outcomes(request: web.Request) -> web.Response:
    """``/api/outcomes``"""
    return _array(request, request.app[SITE].views.outcomes())


async def balance(request: web.Request) -> web.Response:
    """``/api/outcomes/balance``"""
    return _json(request.app[SITE].views.balance())


async def parcel(request: web.Request) -> web.Response:
    """``/api/parcels/{id}``"""
    row = await asyncio.to_thread(request.app[SITE].views.parcel, request.match_info["id"])
    if row is None:
        raise NotThere
    return _json(row)


async def dead_letters(request: web.Request) -> web.Response:
    """``/api/dead-letters``"""
    return _array(request, lists.filtered(request.app[SITE].views.dead_letters(), request.query, lists.DEAD_FACETS))


async def health(request: web.Request) -> web.Response:
    """``/api/health``"""
    return _json(request.app[SITE].views.health())


async def description(request: web.Request) -> web.Response:
    """``/api/openapi.json``"""
    return web.json_response(text=request.app[_DOCUMENT])


async def watchlist_csv(request: web.Request) -> web.Response:
    """The filtered watchlist for a spreadsheet: UTF-8 with the mark Excel needs, formulas disarmed."""
    rows = lists.filtered(request.app[SITE].views.watchlist(), request.query, lists.WATCH_FACETS)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_CSV_COLUMNS)
    writer.writerows([_cell(row.get(column)) for column in _CSV_COLUMNS] for row in rows)
    return _attachment(text.getvalue(), "watchlist.csv")


async def routing(request: web.Request) -> web.Response:
    """The filtered recommendations as a table for a shipping system, in the same form."""
    rows = lists.filtered(request.app[SITE].views.recommendations(), request.query, lists.LANE_FACETS)
    return _attachment(routing_csv(routing_rows(rows)), "carriers.csv")


def _attachment(text: str, name: str) -> web.Response:
    response = web.Response(body=text.encode("utf-8-sig"), content_type="text/csv", charset="utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


async def metrics(request: web.Request) -> web.Response:
    """``/metrics`` in the format the scraper asks for."""
    body, content_type = request.app[METRICS].exposition(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def alive(_request: web.Request) -> web.Response:
    """``/healthz``: 200 while the process answers."""
    return _json({"alive": True})


async def ready(request: web.Request) -> web.Response:
    """``/readyz``: 200 when what is shown is complete, else 503 with the reasons."""
    state = request.app[HEALTH]()
    return _json({"ready": state["ready"], "reasons": state["reasons"]}, 200 if state["ready"] else 503)


def prepare(app: web.Application) -> None:
    """Make the description of the API once. Raises when a model cannot be described."""
    app[_DOCUMENT] = json.dumps(openapi.document(), ensure_ascii=False)
