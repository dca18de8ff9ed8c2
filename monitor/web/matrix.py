"""The overview's picture of all channels: countries down, carriers across, the worst status in each cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from monitor.read.views import Record
from monitor.web.lists import status_rank
from monitor.web.words import channel_parts

MAX_COUNTRIES: Final = 15
MAX_CARRIERS: Final = 7


@dataclass(frozen=True, slots=True)
class Cell:
    """The channels of one country and carrier: worst status, how many, parcels in flight, and their list."""

    status: str
    channels: int
    in_flight: int
    address: str


@dataclass(frozen=True, slots=True)
class Row:
    country: str
    cells: tuple[tuple[str, Cell | None], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """``cut`` says that some countries or carriers did not fit."""

    carriers: tuple[str, ...]
    rows: tuple[Row, ...]
    cut: bool


def health_matrix(channels: Iterable[Record]) -> Matrix:
    """The countries and carriers with the worst status and the most parcels in flight first."""
    lanes: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for channel in channels:
        country, _, carrier = channel_parts(channel["channel"])
        lanes[country, carrier].append(channel)
    every_country = _ranked(lanes, 0)
    every_carrier = _ranked(lanes, 1)
    countries, carriers = every_country[:MAX_COUNTRIES], every_carrier[:MAX_CARRIERS]
    rows = tuple(
        Row(country, tuple((carrier, _cell(country, carrier, lanes.get((country, carrier)))) for carrier in carriers))
        for country in countries
    )
    cut = len(countries) < len(every_country) or len(carriers) < len(every_carrier)
    return Matrix(tuple(carriers), rows, cut)


def _ranked(lanes: dict[tuple[str, str], list[Record]], part: int) -> list[str]:
    worst: dict[str, int] = {}
    parcels: defaultdict[str, int] = defaultdict(int)
    for names, channels in lanes.items():
        name = names[part]
        for channel in channels:
            rank = status_rank(channel["status"])
            worst[name] = min(rank, worst.get(name, rank))
            parcels[name] += channel["recent"]["in_flight"]
    return sorted(worst, key=lambda name: (worst[name], -parcels[name], name))


def _cell(country: str, carrier: str, channels: list[Record] | None) -> Cell | None:
    if not channels:
        return None
    return Cell(
        status=min((channel["status"] for channel in channels), key=status_rank),
        channels=len(channels),
        in_flight=sum(channel["recent"]["in_flight"] for channel in channels),
        address=f"/channels?{urlencode({'country': country, 'carrier': carrier})}",
    )
