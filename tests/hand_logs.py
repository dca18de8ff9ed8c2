"""Small logs written by hand, replayed in this process, and what came out of them.

Days are counted from 2026-01-01 UTC: ``day(0)`` is its midnight, ``day(1.5)`` noon of the day after.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator, FormatChecker
from made_events import Json, write_lines

from monitor.cli.replay import replay

SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"
RU = {"destination": "RU", "product": "tablet", "carrier": "china-post"}
CHANNEL = "RU|tablet|china-post"
FILES = {
    "incidents": "incident",
    "channels": "channel",
    "watchlist": "watch_item",
    "recommendations": "recommendation",
    "dead_letters": "dead_letter",
}


def day(number: float) -> str:
    """RFC 3339 of a day of the hand-written logs."""
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)).isoformat().replace("+00:00", "Z")


def event(kind: str, subject: str, at: float | str, data: Json, **members: Any) -> Json:
    """An event ``kind`` (without ``.v1``); its id is made of what it says."""
    time = at if isinstance(at, str) else day(at)
    name = "/".join([kind, subject, time, str(data.get("milestone", ""))])
    base = {"specversion": "1.0", "id": name, "source": "hand", "type": kind + ".v1", "subject": subject, "time": time}
    return base | {"data": data} | members


def registered(parcel: str, at: float, **more: Any) -> Json:
    """A registration on RU|tablet|china-post, unless ``more`` says otherwise. Envelope members go by ``_name``."""
    members = {name[1:]: more.pop(name) for name in list(more) if name.startswith("_")}
    return event("parcel.registered", parcel, at, {"parcel_id": parcel, **RU, **more}, **members)


def scanned(parcel: str, milestone: str, at: float | str, **more: Any) -> Json:
    """A scan. Envelope members go by ``_name``."""
    members = {name[1:]: more.pop(name) for name in list(more) if name.startswith("_")}
    return event("parcel.scanned", parcel, at, {"parcel_id": parcel, "milestone": milestone, **more}, **members)


def complained(complaint: str, at: float, **more: Any) -> Json:
    """An opened complaint about what ``more`` names."""
    members = {name[1:]: more.pop(name) for name in list(more) if name.startswith("_")}
    data = {"complaint_id": complaint, "kind": "not_received", **more}
    return event("complaint.opened", more.get("parcel_id", complaint), at, data, **members)


@dataclass(frozen=True)
class Out:
    """The files of one replay."""

    directory: Path
    result: Result

    def lines(self, name: str) -> list[Json]:
        """The records of ``name.jsonl``, in order; each is checked against its schema."""
        records = [json.loads(line) for line in (self.directory / f"{name}.jsonl").read_bytes().splitlines()]
        for record in records:
            validator(FILES[name]).validate(record)
        return records

    @property
    def summary(self) -> Json:
        """``summary.json``, checked against its schema."""
        told: Json = json.loads((self.directory / "summary.json").read_bytes())
        validator("summary").validate(told)
        return told

    def channel(self, name: str = CHANNEL) -> Json:
        """One channel's record."""
        return next(record for record in self.lines("channels") if record["channel"] == name)

    def letters(self) -> list[tuple[str, int]]:
        """Reason and line of every dead letter, by line."""
        found = [(letter["reason"], letter["position"]["line"]) for letter in self.lines("dead_letters")]
        return sorted(found, key=lambda pair: pair[1])

    def bytes(self) -> dict[str, bytes]:
        """Every file as it was written."""
        return {path.name: path.read_bytes() for path in sorted(self.directory.iterdir())}


@cache
def validator(name: str) -> Draft202012Validator:
    """A checker against the published schema."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    return Draft202012Validator(schema, format_checker=FormatChecker())


def replayed(
    tmp_path: Path,
    events: Iterable[Json | str | bytes] | None = None,
    *arguments: str,
    files: Iterable[Path | str] | None = None,
    until: float | str | None = None,
) -> Out:
    """Replay ``events`` (or ``files``) into a fresh directory."""
    number = len(list(tmp_path.glob("out*")))
    out = tmp_path / f"out{number}"
    if files is None:
        files = [write_lines(tmp_path / "log.jsonl", events or [])]
    limit = [] if until is None else ["--until", until if isinstance(until, str) else day(until)]
    result = CliRunner().invoke(replay, [*map(str, files), "--out", str(out), *limit, *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Out(out, result)
