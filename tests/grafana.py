"""The dashboards for Grafana as data: panels, variables, queries, and what Grafana puts in place of variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.web.metrics import CATALOGUE, PREFIX

Json = dict[str, Any]
FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "grafana"
BOARDS: dict[str, Json] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("dashboards/*.json"))
}
PROCESS = {
    "process_start_time_seconds": "seconds",
    "process_resident_memory_bytes": "bytes",
    "process_cpu_seconds_total": "seconds",
    "process_open_fds": "",
}
#: Metric without prefix → its unit.
UNITS = {family.name: family.unit for family in CATALOGUE} | PROCESS
UNITS |= {name: UNITS[re.sub("_(lower|upper)_bound$", "", name)] for name in UNITS if name.endswith("_bound")}
_VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)")


@dataclass(frozen=True)
class Query:
    """One query of a panel, a variable or an annotation."""

    board: str
    place: str
    expr: str
    instant: bool = False
    unit: str | None = None

    @property
    def metrics(self) -> list[str]:
        """The monitor's metrics in it, without prefix."""
        return re.findall(rf"\b{PREFIX}(\w+)", self.expr)

    def filled(self, values: dict[str, str]) -> str:
        """As Grafana sends it."""
        return _VARIABLE.sub(lambda found: values[found[1] or found[2]], self.expr)


def panels(board: Json) -> list[Json]:
    """All but the rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """Every query of every dashboard."""
    for name, board in BOARDS.items():
        for panel in panels(board):
            unit = panel["fieldConfig"]["defaults"]["unit"]
            for target in panel["targets"]:
                place = f"{panel['title']}/{target['refId']}"
                yield Query(name, place, target["expr"], target["instant"], unit)
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield Query(name, f"variable {variable['name']}", variable["query"]["query"])
        for annotation in board["annotations"]["list"]:
            if "target" in annotation:
                yield Query(name, f"annotation {annotation['name']}", annotation["target"]["expr"])


def used(thing: Any) -> set[str]:
    """Names of all variables that appear in any text of ``thing``."""
    if isinstance(thing, dict):
        return set().union(*(used(one) for one in thing.values()))
    if isinstance(thing, list):
        return set().union(*(used(one) for one in thing))
    return {found[1] or found[2] for found in _VARIABLE.finditer(thing)} if isinstance(thing, str) else set()
