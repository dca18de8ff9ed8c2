"""Probes and metrics of a process without a page, and the wait for brokers at the start."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from kafka_cluster import free_ports
from made_views import MadeViews
from structlog.testing import capture_logs
from web_client import Asker

from monitor.cli import listening
from monitor.cli.listening import Waiting
from monitor.log.records import LogBusyError, LogError
from monitor.web.metrics import Metrics
from monitor.web.probes import create_probes
from monitor.web.settings import WebSettings


class Shards:
    """The metrics of a worker."""

    def families(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        return {"pending_records": [({}, 7)]}


class Told:
    """What the process says of itself."""

    def __init__(self) -> None:
        self.ready = False

    def __call__(self) -> dict[str, Any]:
        return {"ready": self.ready, "reasons": [] if self.ready else ["The state is not recovered yet."]}


TOLD = Told()


def asker_of(settings: WebSettings) -> Asker:
    return Asker(MadeViews(), settings, create_probes(TOLD, settings, Metrics(Shards())))


@pytest.fixture
def asker() -> Iterator[Asker]:
    TOLD.ready = False
    made = asker_of(WebSettings())
    yield made
    made.close()


def test_it_is_ready_when_the_process_says_so(asker: Asker) -> None:
    assert asker.ask("/healthz").status == 200
    answer = asker.ask("/readyz")
    assert answer.status == 503
    assert answer.json == {"ready": False, "reasons": ["The state is not recovered yet."]}
    TOLD.ready = True
    assert asker.ask("/readyz").status == 200


def test_its_metrics_are_its_own(asker: Asker) -> None:
    asker.ask("/healthz")
    lines = asker.ask("/metrics").text.splitlines()
    assert "channel_monitor_pending_records 7.0" in lines
    assert 'channel_monitor_http_requests_total{route="/healthz",status="200"} 1.0' in lines
    assert any(line.startswith("channel_monitor_process_resident_memory_bytes") for line in lines)
    assert not any(line.startswith("channel_monitor_sample_size{") for line in lines)


@pytest.mark.parametrize("path", ["/", "/channels", "/api/channels", "/login"])
def test_there_is_no_page(asker: Asker, path: str) -> None:
    answer = asker.ask(path)
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_a_foreign_name_of_the_host_is_refused(asker: Asker) -> None:
    assert asker.ask("/metrics", headers={"Host": "evil.example"}).status == 421


def test_with_a_token_the_metrics_need_it_and_the_probes_do_not() -> None:
    asker = asker_of(WebSettings(host="0.0.0.0", access_token="secret"))
    try:
        TOLD.ready = True
        assert asker.ask("/readyz").status == asker.ask("/healthz").status == 200
        assert asker.ask("/metrics").status == asker.ask("/").status == 401
        assert asker.ask("/metrics", headers={"Authorization": "Bearer secret"}).status == 200
    finally:
        asker.close()


def get(port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_brokers_that_are_away_are_waited_for_and_the_port_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_PATIENCE_S", 0.05)
    (port,) = free_ports(1)
    seen: list[tuple[int, Any]] = []
    tries: list[int] = []

    def attempt() -> str:
        tries.append(1)
        if len(tries) == 2:
            seen.extend([get(port, "/healthz"), get(port, "/readyz")])
        if len(tries) < 3:
            raise LogBusyError("kafka://here does not answer")
        return "the log"

    with capture_logs() as lines, Waiting(WebSettings(port=port)) as waiting:
        assert waiting.until(attempt) == "the log"
    (_, alive), (ready, told) = seen
    assert alive == {"alive": True}
    assert (ready, told["reasons"]) == (503, ["kafka://here does not answer"])
    assert [line["again_in_s"] for line in lines if line["event"] == "brokers_awaited"] == [1, 2]
    with pytest.raises(urllib.error.URLError):  # the port is free again, for the page
        get(port, "/healthz")


def test_what_waiting_does_not_mend_ends_the_start_at_once() -> None:
    tries: list[int] = []

    def attempt() -> None:
        tries.append(1)
        raise LogError("wrong password")

    with pytest.raises(LogError, match="wrong password"), Waiting(WebSettings(port=0)) as waiting:
        waiting.until(attempt)
    assert len(tries) == 1
