"""Every query of the dashboards in a real Prometheus: over an imported past, and over a monitor that runs."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from grafana import Query, queries
from made_events import write_lines
from made_lanes import BAD, GOOD, event, parcels, world
from made_lanes import time as made_time
from program import Run, lines_to, small_world, verb
from prometheus_server import PrometheusServer

from monitor.replay.outputs import picture
from monitor.replay.simulate import write_world

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]

ALL = {"country": ".*", "carrier": ".*", "product": ".*", "job": ".*", "__rate_interval": "1m"}
#: Least and greatest that a figure in a Grafana unit can be here.
SANE = {"percentunit": (0, 1), "d": (0, 366), "s": (0, 20 * 366 * 86_400), "reqps": (0, 1_000), "bytes": (1e6, 1e11)}
ASKED = [query for query in queries() if not query.expr.startswith("label_values")]


class ServerOfThePast(PrometheusServer):
    """With the options that docs/operating.md names for an imported past."""

    def command(self) -> list[str]:
        return [*super().command(), "--storage.tsdb.retention.time=100y", "--query.lookback-delta=5h59m"]


@pytest.fixture(scope="module")
def past(prometheus: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrometheusServer, int]]:
    """A Prometheus that holds what promtool made of an export, and the time of its last samples."""
    folder = tmp_path_factory.mktemp("past")
    write_world("stretch2", 1, folder / "world.jsonl", 160, 6, None, 0.5, None)
    with a_past(folder, folder / "world.jsonl", "24") as found:
        yield found


@contextmanager
def a_past(folder: Path, world: Path, step: str) -> Iterator[tuple[PrometheusServer, int]]:
    """Prometheus with the metrics of a file of events, every ``step`` hours, and the time of the last ones."""
    out, blocks = folder / "past.om", folder / "prometheus" / "tsdb"
    verb("export", "openmetrics", world, "--out", out, "--step", step)
    last = max(int(line.rsplit(" ", 1)[1]) for line in out.read_text().splitlines() if not line.startswith("#"))
    words = ["tsdb", "create-blocks-from", "--max-block-duration=486h", "openmetrics", "-q", str(out), str(blocks)]
    subprocess.run(["promtool", *words], check=True, capture_output=True, timeout=120)
    with ServerOfThePast(folder / "prometheus", {}) as server:
        yield server, last


def test_prometheus_holds_every_sample_of_the_past(past: tuple[PrometheusServer, int]) -> None:
    server, last = past
    text = (server.directory.parent / "past.om").read_text().splitlines()
    lines = [line.rsplit(" ", 2) for line in text if not line.startswith("#")]
    for name, count in Counter(series.partition("{")[0] for series, _, _ in lines).items():
        (found,) = server.get("/api/v1/query", query=f"sum(count_over_time({name}[1y]))", time=str(last))["data"][
            "result"
        ]
        assert int(found["value"][1]) == count
    for series, value, time in lines[:: len(lines) // 25]:
        (found,) = server.get("/api/v1/query", query=series, time=time)["data"]["result"]
        assert float(found["value"][1]) == float(value)
        assert server.get("/api/v1/query", query=series, time=str(int(time) + 5 * 3600))["data"]["result"]


def values(server: PrometheusServer, query: Query, values: dict[str, str], end: float, span_s: int) -> list[float]:
    """What a panel would show at ``end`` (seconds since 1970), or over the ``span_s`` before."""
    expr = query.filled(values)
    if query.instant:
        result = server.get("/api/v1/query", query=expr, time=str(end))["data"]["result"]
        return [float(one["value"][1]) for one in result]
    step = max(span_s // 500, 1)
    parameters = {"query": expr, "start": str(end - span_s), "end": str(end), "step": str(step)}
    result = server.get("/api/v1/query_range", **parameters)["data"]["result"]
    return [float(value) for one in result for _, value in one["values"]]


def assert_sane(query: Query, found: list[float]) -> None:
    if query.place.startswith("annotation Switches ") and not found:
        return  # the small world advises none; see the test of the answers
    assert found, f"{query} has no data"
    low, high = SANE.get(query.unit or "", (float("-inf"), float("inf")))
    if not query.place.startswith(("Lanes/", "annotation")):
        assert all(low <= value <= high for value in found), query


@pytest.mark.parametrize("board", ["overview", "channel"])
def test_the_past_fills_every_panel(past: tuple[PrometheusServer, int], board: str) -> None:
    server, last = past
    for query in ASKED:
        if query.board == board:
            assert_sane(query, values(server, query, ALL, last, 90 * 86_400))


def test_a_lane_that_is_chosen_is_shown_alone(past: tuple[PrometheusServer, int]) -> None:
    server, last = past
    (lane, *others) = server.get("/api/v1/query", query="channel_monitor_sample_size", time=str(last))["data"]["result"]
    assert others
    chosen = {**ALL, "country": f"({lane['metric']['country']})", "carrier": f"({lane['metric']['carrier']})"}
    for query in ASKED:
        if query.board != "channel" or query.place.startswith(("annotation", "Evidence of what")):
            continue
        assert_sane(query, values(server, query, chosen, last, 90 * 86_400))
        if query.expr.startswith("max by (country, "):
            shown = server.get("/api/v1/query", query=query.filled(chosen), time=str(last))["data"]["result"]
            assert {one["metric"]["country"] for one in shown} <= {lane["metric"]["country"]}, query


def test_answers_about_switches_are_lines_at_the_moment_they_were_given(prometheus: str, tmp_path: Path) -> None:
    lanes = [*parcels(GOOD, BAD, days=60), *parcels(GOOD, BAD, days=60, product="phone")]
    told = picture(world([one for one in lanes if one["time"] <= made_time(50)], until=50.0)).advice_records()
    ids = {one["lane"]["product"]: one["recommendation_id"] for one in told if one["decision"] == "switch"}
    answers = {"tablet": ("accept", 51.37), "phone": ("decline", 52.71)}
    lanes += [
        event("decision.recorded", ids[product], day, {"target": ids[product], "what": what})
        for product, (what, day) in answers.items()
    ]
    write_lines(tmp_path / "lanes.jsonl", lanes)
    with a_past(tmp_path, tmp_path / "lanes.jsonl", "6") as (server, last):
        for board in ("overview", "channel"):
            for product, (what, day) in answers.items():
                (query,) = (
                    one for one in ASKED if one.board == board and one.place.startswith(f"annotation Switches {what}")
                )
                shown = server.get("/api/v1/query", query=query.filled(ALL), time=str(last))["data"]["result"]
                ((labels, (_, value)),) = ((one["metric"], one["value"]) for one in shown)
                assert labels == {"country": "RU", "product": product, "carrier": "alpha", "to_carrier": "bravo"}
                assert datetime.fromtimestamp(float(value) / 1_000, UTC).isoformat() == made_time(day)


def test_a_running_monitor_fills_every_panel_of_operations(prometheus: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    verb("ingest", "--history", lines_to(tmp_path / "world.jsonl", small_world(40, 0.1)), "--data", data)
    verb("ingest", write_lines(tmp_path / "bad.jsonl", ["rubbish"]), "--data", data, exit_code=1)
    run = Run(data)
    try:
        address = run.url.removeprefix("http://")
        run.wait_folded()
        with PrometheusServer(tmp_path / "prometheus", {"channel-monitor": address}) as server:
            server.wait_scraped("channel-monitor")
            server.wait(lambda: server.query("channel_monitor_http_requests_total"), "a second scrape")
            run.stop()  # and starts again: the annotation of restarts has something to show
            run = Run(data, "--port", address.rpartition(":")[2])
            assert run.url.removeprefix("http://") == address
            server.wait(
                lambda: server.query("changes(channel_monitor_process_start_time_seconds[5m]) > 0"), "a restart"
            )
            server.wait(lambda: server.query("rate(channel_monitor_http_requests_total[1m])"), "a rate of requests")
            at = float(server.get("/api/v1/query", query="time()")["data"]["result"][1])
            for query in ASKED:
                if query.board == "operations":
                    assert_sane(query, values(server, query, ALL, at, 60))
    finally:
        run.stop()
