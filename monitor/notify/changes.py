"""What of an incident is worth a message: the changes between what was told of it and how it is now.

An incident only ever goes forward: opened, raised to a page, grown, absorbed, closed. What a rebuild shows of its
earlier states is no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct

Record = Mapping[str, Any]
Change = Literal["opened", "raised", "grew", "absorbed", "closed"]
_WEIGHT: Final = {"feed": 0, "ticket": 1, "page": 2}


class Told(Struct, frozen=True):
    """What was told of an incident."""

    severity: str
    joined: int = 0  # channels that joined later
    absorbed: bool = False
    closed: bool = False


def state_of(incident: Record) -> Told:
    """What there is to tell of an incident (a record of ``incidents.jsonl``)."""
    return Told(
        incident["severity"],
        len(incident.get("joined", ())),
        incident.get("absorbed_by") is not None,
        incident["closed_at"] is not None,
    )


def merged(told: Told, now: Told) -> Told:
    """Both together: nothing that was told is taken back."""
    return Told(
        max(told.severity, now.severity, key=lambda severity: _WEIGHT[severity]),
        max(told.joined, now.joined),
        told.absorbed or now.absorbed,
        told.closed or now.closed,
    )


def changes(told: Told | None, now: Told) -> list[Change]:
    """What happened since ``told``, in order. An incident that was over when it was first seen has only closed."""
    if told is None:
        return ["closed"] if now.closed else ["opened"]
    if told.closed:
        return []
    found: list[Change] = []
    if _WEIGHT[now.severity] > _WEIGHT[told.severity]:
        found.append("raised")
    if now.joined > told.joined:
        found.append("grew")
    if now.absorbed and not told.absorbed:
        found.append("absorbed")
    if now.closed:
        found.append("closed")
    return found
