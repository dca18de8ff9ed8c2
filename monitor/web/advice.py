"""The pages of the carrier switch: what is advised for every lane, and one lane with its carriers side by side."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from monitor.read.views import Record
from monitor.web import lists
from monitor.web.errors import NotThere
from monitor.web.render import SITE

#: Members of the explanation that the page shows otherwise.
_SHOWN: Final = ("kind", "record", "basis", "figures", "parcels", "declared_by")


_OUTCOMES_SHOWN: Final = 50


async def recommendations(request: web.Request) -> web.Response:
    """All lanes, switches that save most first."""
    site = request.app[SITE]
    rows = site.views.recommendations()
    found = lists.by_saving(lists.filtered(rows, request.query, lists.LANE_FACETS))
    wishes = {name: value for name in lists.LANE_FACETS if (value := request.query.get(name))}
    return site.page(
        request,
        "recommendations.html.j2",
        section="recommendations",
        any=bool(rows),
        page=lists.paged(found, request.query, site.settings.page_size),
        choices=lists.choices(rows, lists.LANE_FACETS, lists.LANE_FACETS),
        outcomes=site.views.outcomes()[:_OUTCOMES_SHOWN],
        balance=site.views.balance(),
        csv_address="/carriers.csv" + (f"?{urlencode(wishes)}" if wishes else ""),
    )


async def recommendation(request: web.Request) -> web.Response:
    """One lane: the advice, its carriers, the rule."""
    site = request.app[SITE]
    row = find_advice(request)
    explanation = site.views.explain(row["recommendation_id"]) or {}
    return site.page(
        request,
        "recommendation.html.j2",
        section="recommendations",
        row=row,
        explanation={name: part for name, part in explanation.items() if name not in _SHOWN},
    )


def find_advice(request: web.Request) -> Record:
    """The recommendation of the address. Raises :class:`NotThere`."""
    id_ = request.match_info["id"]
    row = next((row for row in request.app[SITE].views.recommendations() if row["recommendation_id"] == id_), None)
    if row is None:
        raise NotThere(id_)
    return row
