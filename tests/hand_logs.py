"""Small logs written by hand, replayed in this process, and what came out of them.

Days are counted from 2026-01-01 UTC: ``day(0)`` is its midnight, ``day(1.5)`` noon of the day after.

``HAND_LOG``, to be judged as of day 40: one channel, promise of 20 days where one is given:

======  ====  ========  =================================================  =========================
parcel  reg.  promise   what became of it                                  days it was watched
======  ====  ========  =================================================  =========================
A       0     20        accepted 1, arrived 8, delivered 10: on time       10, delivered
B       0     20        accepted 2, arrived 20, delivered 25: late         25, delivered
C       0     20        held 12, delivered 20: on time on the last day     20, delivered
D       5     20        accepted 10, after exactly 5 days; returned 30     25, censored
E       10    20        no scan at all: on its way, past its promise       30, censored
F       20    20        accepted 22, lost 35; its promise ends on day 40   15, censored
G       36    20        accepted 37; too young for a first-scan verdict    4, censored
H       1     none      a claim settled on day 33 says lost                32, censored
I       2     20        accepted 3, arrived 15, delivered 24: late         22, delivered
======  ====  ========  =================================================  =========================

Kaplan–Meier: 9 at risk; G leaves at 4; at 10 one of 8 is delivered, S = 0.875; F leaves at 15; at 20 one of 6,
S = 0.7292; at 22 one of 5, S = 0.5833; at 25 one of 4, S = 0.4375. So the median is 25 days, and the curve comes
neither to 80% nor to 95%. Greenwood's interval on the scale log(-log S) has its lower curve at 0.387 from day 10 and
at 0.1802 from day 22.
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
from monitor.core.incidents import Incident
from monitor.core.vocabulary import DAY_US
from monitor.wire.times import parse_time

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


PROMISE = {"promised_days": 20}
HAND_LOG: list[Json] = [
    registered("A", 0, order_id="O-A", **PROMISE),
    scanned("A", "accepted", 1),
    scanned("A", "arrived_destination", 8),
    scanned("A", "delivered", 10),
    registered("B", 0, **PROMISE),
    scanned("B", "accepted", 2),
    scanned("B", "arrived_destination", 20),
    scanned("B", "delivered", 25),
    registered("C", 0, **PROMISE),
    scanned("C", "customs_held", 12),
    scanned("C", "delivered", 20),
    registered("D", 5, **PROMISE),
    scanned("D", "accepted", 10),
    scanned("D", "returned", 30),
    registered("E", 10, **PROMISE),
    registered("F", 20, **PROMISE),
    scanned("F", "accepted", 22),
    scanned("F", "lost", 35),
    registered("G", 36, **PROMISE),
    scanned("G", "accepted", 37),
    registered("H", 1),
    event("claim.settled", "H", 33, {"claim_id": "CL1", "parcel_id": "H", "outcome": "lost"}),
    registered("I", 2, **PROMISE),
    scanned("I", "accepted", 3),
    scanned("I", "arrived_destination", 15),
    scanned("I", "delivered", 24),
    complained("K1", 26, parcel_id="B"),
    complained("K2", 12, order_id="O-A"),
    complained("K3", 30, **RU),
]


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


def accounted(out: Out, lines: int) -> Json:
    """The summary, once every line of the input is an event, a duplicate or a dead letter."""
    told = out.summary
    assert told["events"] + told["duplicates"] + told["dead_letters"] == lines
    assert told["dead_letters"] == len(out.lines("dead_letters"))
    assert out.result.exit_code == (1 if told["dead_letters"] else 0)
    return told


def incident(
    mode: str, known: float, *, since: float = 0, clock: str = "", scope: str = f"channel|{CHANNEL}"
) -> Incident:
    """An incident that became known on a day."""
    known_us, since_us = parse_time(day(known)), parse_time(day(since))
    return Incident(
        incident_id="i1",
        scope=scope,
        mode=mode,
        clock=clock,
        severity="page",
        opened_us=since_us,
        known_us=known_us,
        closed_us=0,
        members=[CHANNEL],
        parcels_at_risk=3,
        ln_m=9.8,
        observed=1.0,
        expected=4.0,
        since_day=since_us // DAY_US,
        complaints_expected=1.0,
        complaints_low=0.0,
        complaints_high=3.0,
    )
