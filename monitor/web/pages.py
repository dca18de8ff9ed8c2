"""The pages. Each handler asks the views, picks and orders, and leaves the showing to its template."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from monitor.read.views import Record
from monitor.web import lists
from monitor.web.errors import NotThere
from monitor.web.matrix import health_matrix
from monitor.web.pictures import nice_ceiling
from monitor.web.render import SITE
from monitor.web.words import link

#: Incidents drawn large on the overview; the rest follow as a table.
OVERVIEW_CARDS: Final = 8
OVERVIEW_PARCELS: Final = 8
CHANNEL_PARCELS: Final = 10
#: Characters of a raw record shown on the page; the API has the whole.
RAW_LIMIT: Final = 4_000

_COUNTS: Final = ("registered", "in_flight", "delivered", "returned", "lost", "presumed_lost")
_RATIOS: Final = (
    ("on_time_ratio", "on_time"),
    ("first_scan_ratio", "first_scan"),
    ("loss_ratio", "loss"),
    ("hold_ratio", "hold"),
    ("complaints_per_1000", "complaints"),
)
#: Ratios drawn from 0 to 1; the others are small, so their pictures end at the largest bound that is shown.
_WHOLE_SCALE: Final = frozenset({"on_time_ratio", "first_scan_ratio"})


def _scale(name: str, figures: list[Record]) -> float:
    if name in _WHOLE_SCALE:
        return 1.0
    highest = nice_ceiling(max((figure[name]["high"] or 0.0 for figure in figures), default=0.0))
    return highest if name == "complaints_per_1000" else min(highest, 1.0)


async def overview(request: web.Request) -> web.Response:
    """State, open incidents, channel health, the first parcels to chase."""
    site = request.app[SITE]
    views = site.views
    channels, watchlist = views.channels(), views.watchlist()
    going_on = lists.by_urgency(filter(lists.is_open, views.incidents()))
    cards = [row for row in going_on if not row.get("absorbed_by")][:OVERVIEW_CARDS]
    absorbed: dict[str, list[Record]] = {row["incident_id"]: [] for row in cards}
    others = []
    for row in going_on:
        if row.get("absorbed_by") in absorbed:
            absorbed[row["absorbed_by"]].append(row)
        elif row["incident_id"] not in absorbed:
            others.append(row)
    return site.page(
        request,
        "overview.html.j2",
        section="overview",
        as_of=views.as_of(),
        health=views.health(),
        in_flight=sum(channel["in_flight"] for channel in channels),
        going_on=len(going_on),
        cards=cards,
        absorbed=absorbed,
        others=others,
        statuses=[(code, n) for code in lists.STATUSES if (n := sum(row["status"] == code for row in channels))],
        matrix=health_matrix(channels),
        chase=watchlist[:OVERVIEW_PARCELS],
        watching=len(watchlist),
    )


async def channels(request: web.Request) -> web.Response:
    """All channels with their recent figures, worst first."""
    site = request.app[SITE]
    rows = site.views.channels()
    found = lists.filtered(rows, request.query, lists.CHANNEL_FACETS)
    sort = request.query.get("sort") or "status"
    page = lists.paged(lists.ordered(found, request.query, lists.CHANNEL_SORTS, sort), request.query, _size(request))
    figures = [row["recent"] for row in page.rows]
    return site.page(
        request,
        "channels.html.j2",
        section="channels",
        any=bool(rows),
        page=page,
        sort=sort,
        choices=lists.choices(rows, lists.CHANNEL_FACETS, lists.CHANNEL_FACETS),
        scales={name: _scale(name, figures) for name, _ in _RATIOS},
    )


async def channel(request: web.Request) -> web.Response:
    """One channel: recent beside lifetime, its incidents, its parcels to chase."""
    site = request.app[SITE]
    id_ = request.match_info["id"]
    row = next((row for row in site.views.channels() if row["channel"] == id_), None)
    if row is None:
        raise NotThere(id_)
    t = site.translator(request)
    watch = [item for item in site.views.watchlist() if item["channel"] == id_]
    return site.page(
        request,
        "channel.html.j2",
        section="channels",
        row=row,
        counts=_COUNTS,
        ratios=[
            (name, t(f"channels.{label}"), _scale(name, [row, row["recent"]]), name == "complaints_per_1000")
            for name, label in _RATIOS
        ],
        incidents=[incident for incident in site.views.incidents() if id_ in dict(_members(incident))],
        watch=watch[:CHANNEL_PARCELS],
        watching=len(watch),
        watch_address=f"/watchlist?{urlencode({'channel': id_})}",
    )


async def incidents(request: web.Request) -> web.Response:
    """All incidents, newest first."""
    site = request.app[SITE]
    rows = site.views.incidents()
    found = lists.filtered(rows, request.query, lists.INCIDENT_FACETS)
    return site.page(
        request,
        "incidents.html.j2",
        section="incidents",
        any=bool(rows),
        page=lists.paged(found, request.query, _size(request)),
        choices=lists.choices(rows, lists.INCIDENT_FACETS, ("severity", "mode", "country", "carrier")),
    )


async def incident(request: web.Request) -> web.Response:
    """One incident: the record, the channels in it and how we know."""
    site = request.app[SITE]
    row = find_incident(request)
    by_name = {channel["channel"]: channel for channel in site.views.channels()}
    members = [(name, joined, by_name.get(name)) for name, joined in _members(row)]
    explanation = site.views.explain(row["incident_id"]) or {}
    return site.page(
        request,
        "incident.html.j2",
        section="incidents",
        row=row,
        members=members,
        scale=_scale("loss_ratio", [channel["recent"] for _, _, channel in members if channel]),
        explanation=_beside(explanation),
        verify=explanation.get("verify"),
    )


def _beside(explanation: Record) -> Record:
    """The explanation without what the page shows otherwise: the record, the figures of its channels, how to verify."""
    rest = {name: part for name, part in explanation.items() if name not in ("kind", "record", "basis", "verify")}
    if isinstance(rest.get("figures"), dict):
        rest["figures"] = {name: part for name, part in rest["figures"].items() if name != "channel"}
    return rest


def find_incident(request: web.Request) -> Record:
    """The incident of the address. Raises :class:`NotThere`."""
    id_ = request.match_info["id"]
    row = next((row for row in request.app[SITE].views.incidents() if row["incident_id"] == id_), None)
    if row is None:
        raise NotThere(id_)
    return row


def _members(incident: Record) -> list[tuple[str, str | None]]:
    """(channel, when it joined; ``None`` for those of the beginning)."""
    later = [(joined["channel"], joined["known_by"]) for joined in incident.get("joined") or ()]
    return [*((name, None) for name in incident["members"]), *later]


async def watchlist(request: web.Request) -> web.Response:
    """The parcels to chase, most urgent first."""
    site = request.app[SITE]
    rows = site.views.watchlist()
    found = lists.filtered(rows, request.query, lists.WATCH_FACETS)
    wishes = {name: value for name in lists.WATCH_FACETS if (value := request.query.get(name))}
    return site.page(
        request,
        "watchlist.html.j2",
        section="watchlist",
        any=bool(rows),
        page=lists.paged(found, request.query, _size(request)),
        choices=lists.choices(rows, lists.WATCH_FACETS, ("country", "carrier", "reason")),
        csv_address="/watchlist.csv" + (f"?{urlencode(wishes)}" if wishes else ""),
    )


async def parcels(request: web.Request) -> web.Response:
    """The search for a parcel: ``?id=`` leads to the parcel's own page."""
    id_ = request.query.get("id", "").strip()
    site = request.app[SITE]
    if not id_:
        return site.page(request, "parcels.html.j2", section="parcels", sought="", missing=None)
    row = await asyncio.to_thread(site.views.parcel, id_)
    if row is None:
        return site.page(request, "parcels.html.j2", section="parcels", status=404, sought=id_, missing=id_)
    address = link("parcels", id_)
    if address.startswith("/parcels?"):  # an id no path can carry
        return _parcel(request, row)
    return web.Response(status=303, headers={"Location": address})


async def parcel(request: web.Request) -> web.Response:
    """One parcel's timeline."""
    id_ = request.match_info["id"]
    site = request.app[SITE]
    row = await asyncio.to_thread(site.views.parcel, id_)
    if row is None:
        return site.page(request, "parcels.html.j2", section="parcels", status=404, sought=id_, missing=id_)
    return _parcel(request, row)


def _parcel(request: web.Request, row: Record) -> web.Response:
    site = request.app[SITE]
    return site.page(
        request,
        "parcel.html.j2",
        section="parcels",
        row=row,
        watch=[item for item in site.views.watchlist() if item["parcel_id"] == row["parcel_id"]],
        sought="",
    )


async def dead_letters(request: web.Request) -> web.Response:
    """What could not be used, and why."""
    site = request.app[SITE]
    rows = site.views.dead_letters()
    found = lists.filtered(rows, request.query, lists.DEAD_FACETS)
    return site.page(
        request,
        "dead_letters.html.j2",
        section="dead_letters",
        any=bool(rows),
        page=lists.paged(found, request.query, _size(request)),
        choices=lists.choices(rows, lists.DEAD_FACETS, ("reason",)),
        raw_limit=RAW_LIMIT,
    )


def _size(request: web.Request) -> int:
    return request.app[SITE].settings.page_size
