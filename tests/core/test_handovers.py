"""Forwarders: who is named when what one hands over is not scanned, or delivered empty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from logs import DAILY, found_at, opened, registered, replayed, scanned

from monitor.core.facets import Facet, add, prune
from monitor.core.incidents import record
from monitor.core.vocabulary import DAY_US
from monitor.replay.driver import World

PARAMS = replace(DAILY, shadow_days=30, late_shadow_days=30)
COUNTRIES, CARRIERS, FORWARDERS = ("RU", "DE"), ("post", "wolf"), ("swift", "grey")
BEGIN, DAYS, FAULT, EACH = 106, 56, 42, 3  # in summer, when no holiday is near
Untracked = Callable[[str, str, str], bool]


def shop(untracked: Untracked, empty: Untracked = lambda *_: False) -> list[bytes]:
    """Three parcels a day of each forwarder on each of four channels; most are scanned a day later, some after two.

    ``untracked`` and ``empty`` say of whose parcels (country, carrier, forwarder) nothing is heard from day ``FAULT``
    on, and which arrive as empty boxes.
    """
    lines, number = [], 0
    for day in range(DAYS):
        for country in COUNTRIES:
            for carrier in CARRIERS:
                for forwarder in FORWARDERS:
                    fails = day >= FAULT and untracked(country, carrier, forwarder)
                    for _ in range(EACH):
                        number += 1
                        name = f"p{number}"
                        start = BEGIN + day + number % 7 / 10
                        lines.append(registered(name, start, carrier, destination=country, forwarder=forwarder))
                        if not fails:
                            lines.append(scanned(name, "accepted", start + (0.9 if number % 4 else 1.9)))
                        lines.append(scanned(name, "delivered", start + 8))
                        if number % 97 == 0 or (
                            day >= FAULT - 9 and empty(country, carrier, forwarder) and not number % 4
                        ):
                            lines.append(opened(f"e{number}", start + 9, parcel_id=name, kind="empty_box"))
    return lines


def grey(_: str, __: str, forwarder: str) -> bool:
    """Whether the parcels are those of the forwarder that is at fault."""
    return forwarder == "grey"


@cache
def unscanned() -> tuple[list[dict[str, Any]], World]:
    """What is paged while the shop is well, and the shop after two weeks without scans of the grey forwarder."""
    (before, _), (_, world) = found_at(
        (BEGIN + FAULT, BEGIN + DAYS), lambda world: (pages(world), world), shop(grey), PARAMS
    )
    return before, world


def pages(world: World) -> list[dict[str, Any]]:
    """What was paged, as the contract writes it."""
    told = [record(one) for one in world.incidents.values() if one.severity == "page"]
    return sorted(told, key=lambda one: str(one["known_by"]))


def test_a_forwarder_whose_parcels_are_not_scanned_is_named_once_and_nobody_before() -> None:
    before, world = unscanned()
    assert before == []
    (page,) = pages(world)
    assert page["scope"] == {
        "kind": "forwarder", "country": None, "product": None, "carrier": None, "forwarder": "grey"
    }  # fmt: skip
    assert page["mode"] == "no_first_scan"
    assert page["clock"] == "registered>accepted"
    assert set(page["members"]) | {one["channel"] for one in page.get("joined", ())} == {
        f"{country}|tablet|{carrier}" for country in COUNTRIES for carrier in CARRIERS
    }
    assert page["evidence"]["observed"] < page["evidence"]["expected"]
    assert "2025-08-05" < str(page["known_by"]) < "2025-08-12"  # the first parcels were handed over on 5 August


def test_a_carrier_that_does_not_scan_is_not_a_forwarder() -> None:
    world = replayed(shop(lambda _, carrier, __: carrier == "post"), BEGIN + DAYS, PARAMS)
    kinds = {page["scope"]["kind"] for page in pages(world)}
    assert "forwarder" not in kinds
    assert kinds


def test_a_fault_of_one_channel_is_not_its_forwarder() -> None:
    world = replayed(
        shop(lambda country, carrier, forwarder: (country, carrier, forwarder) == ("RU", "post", "grey")),
        BEGIN + DAYS,
        PARAMS,
    )
    assert {page["scope"]["kind"] for page in pages(world)} <= {"channel"}


def test_a_forwarder_of_empty_boxes_is_named() -> None:
    world = replayed(shop(lambda *_: False, grey), BEGIN + DAYS, PARAMS)
    told = pages(world)
    assert [(page["scope"]["kind"], page["mode"]) for page in told] == [("forwarder", "empty_box")]
    assert told[0]["scope"]["forwarder"] == "grey"
    assert told[0]["evidence"]["observed"] > told[0]["evidence"]["expected"]


def test_parcels_at_risk_of_a_pair_are_those_without_a_first_scan() -> None:
    _, world = unscanned()
    day = world.fleet.open_day
    for name, facet in world.facets.items():
        if not name.startswith("forwarder|"):
            continue
        country, _, carrier, forwarder = name.split("|")[1:]
        waiting = [
            day - parcel.registered_us // DAY_US
            for parcel in world.parcels.values()
            if parcel.channel == f"{country}|tablet|{carrier}" and parcel.forwarder == forwarder
            # entered by the open day, and not left before it
            if parcel.registered_us // DAY_US <= day
            and (min(t for t in (*parcel.times[1:5], 1 << 62) if t) // DAY_US >= day)
        ]
        expected = [0] * len(facet.risk)
        for age in waiting:
            if age < len(expected):
                expected[age] += 1
        booked = facet.booked.get(day, {})
        entered_today = sum(n for key, n in booked.items() if key >> 40 == 32)
        found = list(facet.risk)
        found[0] += entered_today
        assert found == expected, name


def test_a_facet_forgets() -> None:
    facet = Facet()
    add(facet, {13 << 40 | 100 << 20: 2, 32 << 40 | 101 << 20: 1}, 103)
    assert facet.days == {100: 2, 101: 1}
    assert facet.risk[2] == 1
    assert not prune("forwarder|RU|tablet|post|swift", facet, 100, 103)
    assert facet.days == {101: 1}
    add(facet, {32 << 40 | 101 << 20: -1}, 103)
    assert prune("forwarder|RU|tablet|post|swift", facet, 101, 103)


def test_an_incident_of_a_forwarder_that_hands_over_nothing_any_more_closes() -> None:
    lines = shop(grey)
    later = []
    for day in range(BEGIN + DAYS, BEGIN + DAYS + 78):  # only the other forwarder goes on
        for n, country in enumerate(COUNTRIES):
            for carrier in CARRIERS:
                name = f"later-{day}-{n}-{carrier}"
                later.append(registered(name, day + 0.1, carrier, destination=country, forwarder="swift"))
                later += [scanned(name, "accepted", day + 1.0), scanned(name, "delivered", day + 8.1)]
    world = replayed(lines + later, None, PARAMS)
    (page,) = [one for one in pages(world) if one["scope"]["kind"] == "forwarder"]
    assert page["closed_at"] is not None
