"""The advice as a table that a shipping system can import: which carrier may take what, where, and how much of it.

One row for each carrier of a lane, and one for each attribute that its offer refuses. A row holds until the next advice
is due, or its offer ends.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from monitor.core.events import from_us, to_us
from monitor.core.vocabulary import DAY_US

Record = dict[str, Any]
COLUMNS: Final = (
    "country",
    "product",
    "attribute",
    "carrier",
    "allowed",
    "share",
    "valid_from",
    "valid_to",
    "recommendation_id",
    "why",
)
VALID_DAYS: Final = 7
#: A cell that begins like this is a formula to spreadsheet programs.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def routing_rows(advised: Iterable[Record]) -> list[Record]:
    """The rows of some recommendations, by country, product, carrier and attribute (empty: any).

    ``share``: of the lane's parcels, 0 to 1, once the advice is followed; as it is now where advice was wrong too often
    and nobody accepted this one.
    """
    rows = []
    for record in advised:
        for one in sorted(record["carriers"], key=lambda one: str(one["carrier"])):
            rows += _rows_of(record, one)
    return rows


def _rows_of(record: Record, one: Record) -> list[Record]:
    carrier = one["carrier"]
    share = one["parcels"] / sum(each["parcels"] for each in record["carriers"])
    to, moved = record["to_carrier"], record["share_to_move"]
    if record["answer"] == "accept" and record["override"]:
        own = record["override"]
        to, moved = own["carrier"] or to, moved if own["share"] is None else own["share"]
    if to not in record["excluded"] and (not record["warning"] or record["answer"] == "accept"):
        share += moved * ((carrier == to) - (carrier == record["from_carrier"]))
    until = from_us(to_us(datetime.fromisoformat(record["as_of"])) + VALID_DAYS * DAY_US)
    row = {
        **record["lane"],
        "attribute": "",
        "carrier": carrier,
        "allowed": carrier not in record["excluded"],
        "share": round(share, 4),
        "valid_from": record["as_of"],
        "valid_to": until if one["valid_to"] is None else min(until, one["valid_to"]),
        "recommendation_id": record["recommendation_id"],
        "why": record["excluded"].get(carrier, ""),
    }
    refused = {"allowed": False, "share": 0.0, "why": "its offer refuses it"}
    return [row, *({**row, **refused, "attribute": name} for name in one["refuses"])]


def routing_csv(rows: list[Record]) -> str:
    """The rows as CSV, formulas disarmed; ``allowed`` as 1 or 0."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row[column]) for column in COLUMNS] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
