"""The alert rules as tests need them: read, and with shorter durations for a test that cannot wait."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES = DEPLOY / "prometheus" / "rules"
_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(?<=\[)(\d+)(ms|s|m|h|d)(?=\])|(?<=offset )(\d+)(ms|s|m|h|d)\b")
_ONE = re.compile(r"(\d+)(ms|s|m|h|d)")


def rules(path: Path) -> list[dict[str, Any]]:
    """All rules of a file."""
    return [rule for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """All alerts."""
    return [rule for path in sorted(RULES.glob("*.yml")) for rule in rules(path) if "alert" in rule]


def hastened(directory: Path, times: int) -> list[Path]:
    """Copies of the rule files in which every duration is so many times shorter; thresholds stay as they are."""
    directory.mkdir()
    written = []
    for path in sorted(RULES.glob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in content["groups"]:
            group["interval"] = _shorter(group["interval"], times)
            for rule in group["rules"]:
                rule["expr"] = _DURATION.sub(lambda found: _shorter(found[0], times), rule["expr"])
                for name in ("for", "keep_firing_for"):
                    if name in rule:
                        rule[name] = _shorter(rule[name], times)
        written.append(directory / path.name)
        written[-1].write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return written


def _shorter(duration: str, times: int) -> str:
    """The duration, shorter.

    >>> _shorter("1h", 120), _shorter("2m", 120)
    ('30000ms', '1000ms')
    """
    found = _ONE.fullmatch(duration)
    assert found is not None, duration
    return f"{int(found[1]) * _MS[found[2]] // times}ms"
