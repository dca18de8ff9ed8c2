"""A real Prometheus scrapes the running monitor."""

from __future__ import annotations

from pathlib import Path

import pytest
from program import Run
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.prometheus


def test_prometheus_scrapes_the_running_monitor(prometheus: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "data")
    try:
        address = run.url.removeprefix("http://")
        with PrometheusServer(tmp_path / "prometheus", {"channel-monitor": address}) as server:
            server.wait_scraped("channel-monitor")
            (build,) = server.query("channel_monitor_build_info")
            assert build[0]["instance"] == address
            assert server.firing() == set()
    finally:
        run.stop()
