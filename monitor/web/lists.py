"""Filtering, ordering and paging of lists: one way for the pages and the API.

Whatever the address says is checked here; :class:`BadQuery` names the parameter, the value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.read.views import Record
from monitor.web.words import channel_parts

API_DEFAULT_LIMIT: Final = 1_000
API_MAX_LIMIT: Final = 10_000
#: Longest list position the API and the pages take.
MAX_OFFSET: Final = 10**9

SEVERITIES: Final[tuple[str, ...]] = ("page", "ticket", "feed")
DECISIONS: Final[tuple[str, ...]] = ("switch", "stay", "insufficient_data", "no_alternative")
STATUSES: Final[tuple[str, ...]] = ("degraded", "watch", "ok", "insufficient_data")

Facets = Mapping[str, Callable[[Record], Iterable[str]]]
SortKey = Callable[[Record], Any]


class BadQuery(ValueError):
    """A parameter of the address that cannot be used; the message is for the reader."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list. ``first`` and ``last`` count from 1; both are 0 for an empty list."""

    rows: Sequence[Record]
    total: int
    number: int
    size: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        return (self.number - 1) * self.size + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1 if self.rows else 0


def whole(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """The whole number ``name`` of the query. Raises :class:`BadQuery` outside ``low``..``high``."""
    text = query.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high):
        raise BadQuery(f"{name} is {text[:40]!r}; it must be a whole number from {low} to {high}")
    return int(text)


def paged(rows: Sequence[Record], query: Mapping[str, str], size: int) -> Page:
    """The page ``?page=`` of ``rows``; a number beyond the end gives the last page."""
    number = whole(query, "page", 1, 1, MAX_OFFSET)
    number = min(number, max(1, -(-len(rows) // size)))
    return Page(rows[(number - 1) * size : number * size], len(rows), number, size)


def sliced(rows: Sequence[Record], query: Mapping[str, str]) -> tuple[Sequence[Record], int, int]:
    """The rows ``?offset=`` … ``+ limit`` with the limit and the offset used."""
    limit = whole(query, "limit", API_DEFAULT_LIMIT, 1, API_MAX_LIMIT)
    offset = whole(query, "offset", 0, 0, MAX_OFFSET)
    return rows[offset : offset + limit], limit, offset


def filtered(rows: Sequence[Record], query: Mapping[str, str], facets: Facets) -> list[Record]:
    """The rows that have the asked value in every facet the query names; an empty value asks for nothing."""
    wishes = [(values, query[name]) for name, values in facets.items() if query.get(name)]
    return [row for row in rows if all(wish in values(row) for values, wish in wishes)]


def choices(rows: Iterable[Record], facets: Facets, names: Iterable[str]) -> dict[str, list[str]]:
    """Per facet the values that occur, sorted."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for row in rows:
        for name, values in found.items():
            values.update(facets[name](row))
    return {name: sorted(values) for name, values in found.items()}


def ordered(
    rows: Sequence[Record], query: Mapping[str, str], keys: Mapping[str, SortKey], default: str
) -> list[Record]:
    """The rows by ``?sort=name`` (``-name`` descending); rows that lack the value come last either way.

    Raises :class:`BadQuery` for a name that is not in ``keys``.
    """
    wish = query.get("sort") or default
    name, descending = wish.removeprefix("-"), wish.startswith("-")
    if name not in keys:
        raise BadQuery(f"sort is {wish[:40]!r}; it must be one of {', '.join(keys)}, with - before it for descending")
    key = keys[name]
    known = [row for row in rows if key(row) is not None]
    return sorted(known, key=key, reverse=descending) + [row for row in rows if key(row) is None]


def _of_channel(part: int) -> Callable[[Record], Iterable[str]]:
    return lambda row: (channel_parts(row["channel"])[part],)


def _of_incident(name: str, part: int) -> Callable[[Record], Iterable[str]]:
    def values(row: Record) -> Iterable[str]:
        named = row["scope"].get(name)
        return [*([named] if named else []), *(channel_parts(member)[part] for member in row["members"])]

    return values


def _ratio(name: str) -> SortKey:
    return lambda row: row["recent"][name]["value"]


def _quantile(name: str) -> SortKey:
    return lambda row: row["recent"]["transit_days"][name]["value"]


def is_open(incident: Record) -> bool:
    """Whether the trouble goes on, also when a wider incident explains it."""
    return incident["closed_at"] is None


_COUNTRY, _PRODUCT, _CARRIER = 0, 1, 2

CHANNEL_FACETS: Final[Facets] = {
    "country": _of_channel(_COUNTRY),
    "carrier": _of_channel(_CARRIER),
    "product": _of_channel(_PRODUCT),
    "status": lambda row: (row["status"],),
}
CHANNEL_SORTS: Final[Mapping[str, SortKey]] = {
    "channel": lambda row: row["channel"],
    "status": lambda row: (status_rank(row["status"]), -row["recent"]["in_flight"], row["channel"]),
    "in_flight": lambda row: row["recent"]["in_flight"],
    "registered": lambda row: row["recent"]["registered"],
    "p50": _quantile("p50"),
    "p95": _quantile("p95"),
    "on_time": _ratio("on_time_ratio"),
    "first_scan": _ratio("first_scan_ratio"),
    "loss": _ratio("loss_ratio"),
    "hold": _ratio("hold_ratio"),
    "complaints": _ratio("complaints_per_1000"),
    "ln_m": lambda row: row["ln_m"],
}
INCIDENT_FACETS: Final[Facets] = {
    "state": lambda row: ("open" if is_open(row) else "closed",),
    "severity": lambda row: (row["severity"],),
    "mode": lambda row: (row["mode"],),
    "country": _of_incident("country", _COUNTRY),
    "carrier": _of_incident("carrier", _CARRIER),
}
WATCH_FACETS: Final[Facets] = {
    "country": _of_channel(_COUNTRY),
    "carrier": _of_channel(_CARRIER),
    "reason": lambda row: (row["reason"],),
    "channel": lambda row: (row["channel"],),
}
LANE_FACETS: Final[Facets] = {
    "country": lambda row: (row["lane"]["country"],),
    "product": lambda row: (row["lane"]["product"],),
    "carrier": lambda row: (row["from_carrier"],),
    "decision": lambda row: (row["decision"],),
}
DEAD_FACETS: Final[Facets] = {"reason": lambda row: (row["reason"],)}


def status_rank(status: str) -> int:
    """Worst first: 0 is degraded; a status from a newer version comes last."""
    return STATUSES.index(status) if status in STATUSES else len(STATUSES)


def by_saving(advised: Iterable[Record]) -> list[Record]:
    """Switches first, those that save most before others; then the rest, each in its order."""

    def place(row: Record) -> tuple[int, float]:
        known = row["decision"] in DECISIONS
        saving = row["saving_per_parcel"]
        return DECISIONS.index(row["decision"]) if known else len(DECISIONS), -(saving["value"] if saving else 0.0)

    return sorted(advised, key=place)


def by_urgency(incidents: Iterable[Record]) -> list[Record]:
    """Pages before tickets before data problems; the rest of the order stays."""
    rank = {severity: place for place, severity in enumerate(SEVERITIES)}
    return sorted(incidents, key=lambda row: rank.get(row["severity"], len(rank)))
