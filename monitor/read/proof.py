"""Whether an incident says what the log says: its figures as stored beside those of a refold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from monitor.core.incidents import Incident, record

Record = dict[str, Any]
#: What never changes once the incident is known, in the names of its record. Notes, closing and joining come later.
FIXED: Final = (
    "scope",
    "mode",
    "clock",
    "severity",
    "opened_at",
    "known_by",
    "members",
    "parcels_at_risk",
    "evidence",
    "forecast",
)


def differences(stored: Incident, refolded: Incident | None) -> list[Record]:
    """Every figure that differs, by its name (``evidence.ln_m``), with both values. Where the refold has no such
    incident, that alone is told."""
    ours = record(stored)
    if refolded is None:
        return [{"figure": "incident_id", "stored": ours["incident_id"], "refolded": None}]
    theirs = record(refolded)
    found = []
    for name in FIXED:
        before, after = dict(_leaves(name, ours.get(name))), dict(_leaves(name, theirs.get(name)))
        found += [
            {"figure": path, "stored": before.get(path), "refolded": after.get(path)}
            for path in dict.fromkeys((*before, *after))
            if before.get(path) != after.get(path)
        ]
    return found


def compared(stored: Incident) -> list[str]:
    """The names of the figures that are compared."""
    ours = record(stored)
    return [path for name in FIXED for path, _ in _leaves(name, ours.get(name))]


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(f"{name}.{key}", part)
    else:
        yield name, value
