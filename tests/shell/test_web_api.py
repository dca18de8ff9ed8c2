"""The JSON API: arrays of contract records that match the description it gives of itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from made_views import EmptyViews, MadeViews
from web_client import Answer, Asker

Start = Callable[..., Asker]

LISTS = {
    "/api/channels": "channel_rows",
    "/api/incidents": "incident_rows",
    "/api/watchlist": "watch_rows",
    "/api/recommendations": "advice_rows",
    "/api/outcomes": "outcome_rows",
    "/api/dead-letters": "dead_rows",
}


def described(document: dict[str, Any], path: str, answer: Answer) -> None:
    """Fails unless the answer is one that the description allows for ``path``."""
    response = document["paths"][path]["get"]["responses"][str(answer.status)]
    ((kind, content),) = response["content"].items()
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    schema = {**content["schema"], "components": document["components"]}
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(answer.json)


@pytest.mark.parametrize("views", [MadeViews, EmptyViews])
def test_every_answer_matches_the_description(ask: Start, views: type[MadeViews]) -> None:
    made = views()
    asker = ask(made)
    document = asker.ask("/api/openapi.json").json
    assert document["openapi"] == "3.1.0"
    asked = set()
    for path in (*LISTS, "/api/outcomes/balance", "/api/health"):
        answer = asker.ask(path)
        assert answer.status == 200
        described(document, path, answer)
        asked.add(path)
    for row in made.incident_rows:
        described(document, "/api/incidents/{id}", asker.ask(f"/api/incidents/{_quoted(row['incident_id'])}"))
    for row in made.watch_rows[:20]:
        if row["parcel_id"] != "..":
            described(document, "/api/parcels/{id}", asker.ask(f"/api/parcels/{_quoted(row['parcel_id'])}"))
    for row in made.advice_rows:
        described(document, "/api/recommendations/{id}", asker.ask(f"/api/recommendations/{row['recommendation_id']}"))
    for path in ("/api/incidents", "/api/recommendations", "/api/parcels"):
        missing = asker.ask(f"{path}/nobody")
        assert missing.status == 404
        described(document, f"{path}/{{id}}", missing)
        asked.add(f"{path}/{{id}}")
    described(document, "/api/channels", asker.ask("/api/channels?limit=0"))
    assert asked == set(document["paths"])


def _quoted(id_: str) -> str:
    return "".join(f"%{byte:02X}" for byte in id_.encode())


def test_a_wrong_record_would_not_match_the_description(ask: Start) -> None:
    views = MadeViews()
    views.channel_rows[0]["recent"]["loss_ratio"]["value"] = "0.2"
    asker = ask(views)
    document = asker.ask("/api/openapi.json").json
    with pytest.raises(Exception, match="is not valid under any of the given schemas"):
        described(document, "/api/channels", asker.ask("/api/channels"))


@pytest.mark.parametrize("path", LISTS)
def test_a_list_is_the_array_of_the_records_in_their_order(ask: Start, path: str) -> None:
    views = MadeViews()
    asker = ask(views)
    answer = asker.ask(path)
    rows = getattr(views, LISTS[path])
    assert answer.json == rows
    assert answer.headers["X-Total-Count"] == str(len(rows))
    assert "Link" not in answer.headers


def test_the_next_links_lead_through_the_whole_list_once(ask: Start) -> None:
    views = MadeViews()
    asker = ask(views)
    path, found = "/api/watchlist?limit=7&reason=no_first_scan", []
    while path:
        answer = asker.ask(path)
        assert len(answer.json) <= 7
        found += answer.json
        following = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("Link", ""))
        path = following[1] if following else ""
    assert found == [row for row in views.watch_rows if row["reason"] == "no_first_scan"]


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "limit=x", "offset=-1", "sort=nope", "offset=1.5"])
def test_a_wrong_parameter_is_named(ask: Start, query: str) -> None:
    answer = ask().ask(f"/api/channels?{query}")
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json; charset=utf-8"
    assert answer.json["detail"].startswith(query.partition("=")[0])


def test_channels_are_sorted_and_filtered_as_on_the_page(ask: Start) -> None:
    rows = ask().ask("/api/channels?sort=-in_flight&country=RU&status=degraded").json
    flights = [row["recent"]["in_flight"] for row in rows]
    assert len(rows) > 1
    assert flights == sorted(flights, reverse=True)
    assert all(row["channel"].startswith("RU|") and row["status"] == "degraded" for row in rows)


def test_an_incident_comes_with_its_explanation(ask: Start) -> None:
    views = MadeViews()
    asker = ask(views)
    answer = asker.ask("/api/incidents/8f2c1d90a4b7e365").json
    assert {**views.incident_rows[0], "explanation": views.explain("8f2c1d90a4b7e365")} == answer
    assert asker.ask("/api/incidents/c0ffee5512aa9034").json["explanation"] is None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nope", 404),
        ("GET", "/api/parcels/nope", 404),
        ("POST", "/api/channels", 405),
        ("GET", "/api/", 404),
    ],
)
def test_errors_are_problem_objects(ask: Start, method: str, path: str, status: int) -> None:
    answer = ask().ask(path, method)
    assert answer.status == answer.json["status"] == status
    assert answer.json["title"]
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    if status == 405:
        assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}


def test_ready_tells_the_reasons_and_alive_does_not_ask_them(ask: Start) -> None:
    asker = ask(EmptyViews())
    ready = asker.ask("/readyz")
    assert ready.status == 503
    assert ready.json == {"ready": False, "reasons": ["The state is being restored: 3 of 4 partitions done."]}
    assert asker.ask("/healthz").status == 200
    assert ask().ask("/readyz").status == 200
