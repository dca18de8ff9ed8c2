"""A running monitor whose event time a test moves from tick to tick.

The monitor is the real program on an embedded log; only its wall clock is set by the test (:mod:`sitecustomize` in
``stepped``). A step appends what was recorded in the next 6 hours and then lets the clock tick, so what the monitor
knows at which tick does not depend on the speed of the machine.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kafka_cluster import free_ports
from killing import SOURCE, wait_until
from program import Run, has_come_to, lines_to, recorded, records_behind

from monitor.connectors.files import read_events
from monitor.core.params import DEFAULTS
from monitor.log.embedded import EmbeddedLog
from monitor.log.gateway import Gateway

TICK_US = DEFAULTS.tick_us


class Stepped:
    """A monitor on ``directory`` with what of ``world`` (lines by recorded time) was recorded up to ``begin``."""

    def __init__(self, directory: Path, world: Sequence[bytes], begin: datetime) -> None:
        directory.mkdir()
        self._directory = directory
        self._world = world
        self._next = 0
        self._clock = directory / "clock"
        self._clock.write_bytes(bytes(8))
        self.data = directory / "data"
        (self.port,) = free_ports(1)
        self.at_us = int(begin.timestamp()) * 1_000_000 // TICK_US * TICK_US
        EmbeddedLog.open(self.data).close()
        self._append()
        self._show()
        self.run: Run | None = None

    @property
    def now(self) -> datetime:
        """The tick that its clock shows."""
        return datetime.fromtimestamp(self.at_us / 1e6, UTC)

    @property
    def address(self) -> str:
        """Where it serves its metrics."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the program on what is there."""
        path = os.pathsep.join([str(Path(__file__).with_name("stepped")), SOURCE])
        self.run = Run(self.data, "--port", str(self.port), env={"PYTHONPATH": path, "CLOCK_FILE": str(self._clock)})
        assert self.run.url.endswith(str(self.port))

    def wait_ready(self) -> None:
        """Until everything is folded, the tick of its clock included."""

        def ready() -> bool:
            assert self.run is not None
            assert self.run.process.poll() is None, self.run.said()
            return has_come_to(self.data, self.at_us) and records_behind(self.data) == 0

        wait_until(ready, "everything folded and saved", 120)

    def get(self, path: str) -> Any:
        """The JSON that it answers with."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
            return json.load(answer)

    def kill(self) -> None:
        """End the program at once."""
        if self.run is not None and self.run.process.poll() is None:
            self.run.kill()

    def step(self) -> None:
        """Six hours pass."""
        self.at_us += TICK_US
        self._append()
        self._show()

    def _append(self) -> None:
        upto = datetime.fromtimestamp(self.at_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
        begin = self._next
        while self._next < len(self._world) and recorded(self._world[self._next]).encode() < upto:
            self._next += 1
        file = lines_to(self._directory / "part.jsonl", self._world[begin : self._next])
        with EmbeddedLog.open(self.data, create=False) as log:
            Gateway(log, DEFAULTS, history=True).ingest(read_events(str(file)))

    def _show(self) -> None:
        with self._clock.open("r+b") as clock:
            clock.write((self.at_us * 1_000).to_bytes(8, "little"))
