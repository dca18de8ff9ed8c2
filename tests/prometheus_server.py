"""A real Prometheus and a real Alertmanager on loopback, for tests::

    with PrometheusServer(tmp_path, scrape={"channel-monitor": "127.0.0.1:8080"}, rules=[Path("rules.yml")]) as server:
        server.wait_scraped("channel-monitor")
        server.query("channel_monitor_incidents_open")

Both keep their data below ``directory`` and end with the ``with`` block, or with the thread that started them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kafka_cluster import HOST, free_ports

Json = Any


class ServerFailed(Exception):
    """A server that ended, or was not ready in time; the message holds the end of its log."""


class Server:
    """A program that listens on a port of loopback and says at ``/-/ready`` when it is ready."""

    name = ""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        self.address = f"{HOST}:{self.port}"
        self.url = f"http://{self.address}"
        self.log_file = directory / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The command line."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command()], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.wait(self._ready, "readiness")

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
        """The first true value of ``condition``; raises :class:`ServerFailed` when it takes longer."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise ServerFailed(f"{self.name} ended\n{self.said()}")
            if value := condition():
                return value
            time.sleep(0.1)
        raise ServerFailed(f"{self.name}: waited {timeout_s:g} s in vain for {what}\n{self.said()}")

    def said(self) -> str:
        """The end of its log."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""
        return text[-4_000:]

    def get(self, path: str, **parameters: str) -> Json:
        """The JSON it answers with; a mistake raises :class:`urllib.error.HTTPError`."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(self.url + path + query, timeout=10) as answer:
            return json.load(answer)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class PrometheusServer(Server):
    """``scrape``: address by job; ``rules``: rule files; ``alertmanager``: address to send alerts to, if any.

    ``interval`` is that of scrapes and of rules, as Prometheus writes durations.
    """

    name = "prometheus"

    def __init__(
        self,
        directory: Path,
        scrape: Mapping[str, str],
        rules: Sequence[Path] = (),
        *,
        alertmanager: str | None = None,
        interval: str = "1s",
    ) -> None:
        super().__init__(directory)
        self.config_file = directory / "prometheus.yml"
        config: dict[str, Json] = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "rule_files": [str(file.resolve()) for file in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in scrape.items()
            ],
        }
        if alertmanager is not None:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        self.config_file.write_text(json.dumps(config, indent=1), encoding="utf-8")  # JSON is YAML

    def command(self) -> list[str]:
        """See :class:`Server`."""
        return [
            "prometheus",
            f"--config.file={self.config_file}",
            f"--storage.tsdb.path={self.directory / 'tsdb'}",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
            "--rules.alert.resend-delay=2s",
        ]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The instant vector of an expression: labels and value of each series."""
        data = self.get("/api/v1/query", query=expression)["data"]
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def alerts(self) -> list[Json]:
        """Pending and firing alerts with their ``labels``, ``annotations`` and ``state``."""
        found: list[Json] = self.get("/api/v1/alerts")["data"]["alerts"]
        return found

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self.alerts() if alert["state"] == "firing"}

    def wait_scraped(self, job: str, timeout_s: float = 30.0) -> None:
        """Until a scrape of this job has succeeded."""
        self.wait(lambda: self.query(f'up{{job="{job}"}} == 1'), f"a scrape of {job}", timeout_s)


class AlertmanagerServer(Server):
    """``config``: its configuration file."""

    name = "alertmanager"

    def __init__(self, directory: Path, config: Path) -> None:
        super().__init__(directory)
        self.config_file = config

    def command(self) -> list[str]:
        """See :class:`Server`."""
        program = shutil.which("alertmanager") or "prometheus-alertmanager"
        return [
            program,
            f"--config.file={self.config_file}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]

    def send(self, *alerts: Json) -> None:
        """Give it alerts: objects with ``labels``, ``annotations``, ``startsAt``, ``endsAt``."""
        request = urllib.request.Request(
            self.url + "/api/v2/alerts",
            json.dumps(alerts).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def alerts(self) -> list[Json]:
        """Its alerts with ``labels`` and ``status`` (``state``, ``inhibitedBy``, ``silencedBy``)."""
        found: list[Json] = self.get("/api/v2/alerts")
        return found
