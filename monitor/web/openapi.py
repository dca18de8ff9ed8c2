"""The description of the API (OpenAPI 3.1), made from the models of the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from monitor import __version__
from monitor.web import lists
from monitor.web.records import Health, IncidentDetail, ParcelDetail, Problem, RecommendationDetail
from monitor.wire.recommendations import Balance, Outcome, Recommendation
from monitor.wire.records import Channel, DeadLetter, Incident, WatchItem

Json = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{model}"
_CHANNEL_SORT: Final = f"one of {', '.join(lists.CHANNEL_SORTS)}; `-` before it for descending order"


def document() -> Json:
    """The OpenAPI document. Lists answer with arrays of contract records, single things with objects."""
    models: Sequence[type[BaseModel]] = (
        Balance,
        Channel,
        DeadLetter,
        Health,
        Incident,
        IncidentDetail,
        Outcome,
        ParcelDetail,
        Problem,
        Recommendation,
        RecommendationDetail,
        WatchItem,
    )
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "channel-monitor",
            "version": __version__,
            "description": "State of the monitored channels at the last closed tick. Times are RFC 3339 in UTC.",
        },
        "security": [{}, {"token": []}],
        "paths": {
            "/api/channels": _list(
                Channel,
                "All channels, by channel unless sorted.",
                lists.CHANNEL_FACETS,
                [_query("sort", _CHANNEL_SORT)],
            ),
            "/api/incidents": _list(Incident, "Incidents, open and closed, newest first.", lists.INCIDENT_FACETS),
            "/api/incidents/{id}": _one(IncidentDetail, "One incident with its explanation."),
            "/api/watchlist": _list(WatchItem, "Parcels to chase, the most urgent first.", lists.WATCH_FACETS),
            "/api/recommendations": _list(Recommendation, "What is advised for each lane, by lane.", lists.LANE_FACETS),
            "/api/recommendations/{id}": _one(RecommendationDetail, "One recommendation with its explanation."),
            "/api/outcomes": _list(Outcome, "What accepted switches brought, the latest first.", ()),
            "/api/outcomes/balance": {
                "get": {
                    "summary": "The accepted switches added up.",
                    "responses": {"200": _content("The sum.", _ref(Balance))} | _problems(401),
                }
            },
            "/api/parcels/{id}": _one(ParcelDetail, "One parcel with its timeline."),
            "/api/dead-letters": _list(DeadLetter, "Input that could not be used, newest first.", lists.DEAD_FACETS),
            "/api/health": {
                "get": {
                    "summary": "State of the monitor itself.",
                    "responses": {"200": _content("State.", _ref(Health))} | _problems(401),
                }
            },
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "The access token."}},
        },
    }


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _content(description: str, schema: Json, kind: str = "application/json") -> Json:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _problems(*statuses: int) -> Json:
    return {str(status): _content("A problem.", _ref(Problem), "application/problem+json") for status in statuses}


def _query(name: str, description: str, schema: Json | None = None) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema or {"type": "string"}}


def _list(model: type[BaseModel], summary: str, facets: Iterable[str], more: Iterable[Json] = ()) -> Json:
    limit = {"type": "integer", "minimum": 1, "maximum": lists.API_MAX_LIMIT, "default": lists.API_DEFAULT_LIMIT}
    offset = {"type": "integer", "minimum": 0, "maximum": lists.MAX_OFFSET, "default": 0}
    answer = _content("Some of the records.", {"type": "array", "items": _ref(model)})
    answer["headers"] = {
        "X-Total-Count": {"description": "Records that match, all pages.", "schema": {"type": "integer"}},
        "Link": {"description": 'The next page, `rel="next"`, when there is one.', "schema": {"type": "string"}},
    }
    return {
        "get": {
            "summary": summary,
            "parameters": [
                *(_query(name, f"Only those with this {name}.") for name in facets),
                *more,
                _query("limit", "Most records in the answer.", limit),
                _query("offset", "Records to pass over.", offset),
            ],
            "responses": {"200": answer} | _problems(400, 401),
        }
    }


def _one(model: type[BaseModel], summary: str) -> Json:
    id_ = {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "Percent-encoded.",
        "schema": {"type": "string"},
    }
    return {
        "get": {
            "summary": summary,
            "parameters": [id_],
            "responses": {"200": _content("The record.", _ref(model))} | _problems(401, 404),
        }
    }
