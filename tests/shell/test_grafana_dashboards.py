"""The dashboards hold together: ids, data source, units, texts, places and variables."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
import yaml
from grafana import BOARDS, FOLDER, UNITS, Json, panels, queries, used
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitor.core.params import Params

register_default_plugins()
UIDS = {"channel-monitor-overview", "channel-monitor-channel", "channel-monitor-operations"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
#: What the unit of a metric is to Grafana.
GRAFANA_UNITS = {
    "days": {"d"},
    "ratio": {"percentunit"},
    "seconds": {"s"},
    "bytes": {"bytes"},
    "records": {"short"},
    "": {"none", "short"},
}
BUILT_IN = {"__rate_interval", "__interval", "__url_time_range", "__data", "__all"}

every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))


def test_the_three_dashboards_have_their_fixed_uids() -> None:
    assert {board["uid"] for board in BOARDS.values()} == UIDS
    assert len({board["title"] for board in BOARDS.values()}) == len(UIDS)


@every_board
def test_ids_are_unique_and_panels_do_not_overlap(board: Json) -> None:
    for name in ("id", "title"):
        found = [panel[name] for panel in board["panels"]]
        assert len(set(found)) == len(found), found
    for one, two in itertools.combinations([panel["gridPos"] for panel in board["panels"]], 2):
        apart = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"], (one, two)
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in (p["gridPos"] for p in board["panels"]))


@every_board
def test_every_panel_says_what_it_shows_and_asks_the_chosen_data_source(board: Json) -> None:
    for panel in panels(board):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == SOURCE, panel["title"]
        assert panel["targets"], panel["title"]
        assert [target["datasource"] for target in panel["targets"]] == [SOURCE] * len(panel["targets"])
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None, panel["title"]


def kept(ours: Any, theirs: Any, place: str = "") -> list[str]:
    """Places of what is not in ``theirs`` as it is in ``ours``; what was added counts for nothing."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [lost for key in ours for lost in kept(ours[key], theirs.get(key), f"{place}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [lost for i, (one, two) in pairs for lost in kept(one, two, f"{place}[{i}]")]
    return [] if ours == theirs else [place]


@every_board
def test_grafanas_own_schema_knows_every_field(board: Json) -> None:
    lost = kept(board, json.loads(JSONEncoder().encode(Dashboard.from_json(board))))
    # What a query of the data source is to an annotation or a variable, its schema leaves open.
    assert [
        place for place in lost if not re.match(r"\.annotations\.list|\.templating\.list\[\d\]\.definition", place)
    ] == []


@every_board
def test_variables_that_are_used_are_defined_and_the_other_way_round(board: Json) -> None:
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert used(board) - BUILT_IN == set(variables)
    assert all(variable["label"] and variable["description"].endswith(".") for variable in variables.values())
    assert variables["datasource"]["current"]["value"] == "channel-monitor-prometheus"


@every_board
def test_links_lead_to_dashboards_that_are_there(board: Json) -> None:
    def links(thing: Any) -> set[str]:
        if isinstance(thing, dict):
            own = {thing["url"]} if isinstance(thing.get("url"), str) else set()
            return own.union(*(links(one) for one in thing.values()))
        return set().union(*(links(one) for one in thing)) if isinstance(thing, list) else set()

    found = links(board)
    assert {f"/d/{uid}" for uid in UIDS - {board["uid"]}} <= found
    for url in found:
        if url.startswith("/d/"):
            assert url.removeprefix("/d/").split("?")[0] in UIDS
            target = next(one for one in BOARDS.values() if one["uid"] == url.removeprefix("/d/").split("?")[0])
            names = {variable["name"] for variable in target["templating"]["list"]}
            assert set(re.findall(r"var-(\w+)=", url)) <= names
        else:
            assert url.startswith("${page}/incidents/")


def test_queries_ask_for_metrics_that_exist_and_never_twice_for_one_of_several_processes() -> None:
    for query in queries():
        assert query.metrics, query
        assert set(query.metrics) <= set(UNITS), query
        # Every process with a page has all metrics: sums without an aggregation beneath would count them twice.
        whole = re.sub(r"or vector\(0\)", "", query.expr)
        if re.search(r"\bsum\b", whole) and not re.search(r"\b(rate|changes|increase)\(", whole):
            assert re.search(r"\bmax by\b", whole), query


def test_units_are_those_of_the_metrics() -> None:
    for query in queries():
        if query.unit is None:
            continue
        if "rate(" in query.expr:
            right = {"none"} if "cpu" in query.expr else {"reqps"}
        elif re.search(r"\b(increase|changes|count|count by \(\w+\)) ?\(", query.expr):
            right = {"none", "short"}
        else:
            right = set.intersection(*(GRAFANA_UNITS[UNITS[name]] for name in query.metrics))
        if query.place.startswith("Lanes/"):  # a table of several figures, each with its own unit below
            continue
        assert query.unit in right, query


def test_each_column_of_the_table_of_lanes_has_the_unit_of_its_metric() -> None:
    (panel,) = (panel for panel in BOARDS["overview"]["panels"] if panel["title"] == "Lanes")
    (organize,) = (step["options"] for step in panel["transformations"] if step["id"] == "organize")
    units = {
        override["matcher"]["options"]: property_["value"]
        for override in panel["fieldConfig"]["overrides"]
        for property_ in override["properties"]
        if property_["id"] == "unit"
    }
    for query in queries():
        if query.place.startswith("Lanes/"):
            column = organize["renameByName"][f"Value #{query.place[-1]}"]
            assert units[column] in GRAFANA_UNITS[UNITS[query.metrics[0]]], column


def test_provisioning_names_the_source_and_the_folder_of_the_dashboards() -> None:
    sources = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yml").read_text())
    assert [source["uid"] for source in sources["datasources"]] == ["channel-monitor-prometheus"]
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/channel-monitor.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


def test_panels_of_evidence_name_and_mark_the_default_levels() -> None:
    found = [p for board in BOARDS.values() for p in panels(board) if "pages, by the default" in p["description"]]
    params = Params()
    channel = f"{params.ticket_ln_m:g} opens a ticket, {params.page_ln_m:g} pages, by"
    levels = {
        channel: [params.ticket_ln_m, params.page_ln_m],
        f"; {params.group_page_ln_m:g} pages, by": [params.group_page_ln_m],
    }
    assert len(found) > 3
    for panel in found:
        (said,) = (marks for text, marks in levels.items() if text in panel["description"])
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [step["value"] for step in steps[1:]] == said, panel["title"]
