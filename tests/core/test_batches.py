"""Hand-over batches: one that gets no scans is named, and nothing else is paged for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from logs import DAILY, found_at, registered, replayed, scanned

from monitor.core.channel import no_evidence
from monitor.core.evidence import LN_M
from monitor.core.facets import Facet, add, prune
from monitor.core.incidents import Incident, record
from monitor.core.scope import batch_scope
from monitor.core.vocabulary import END_TO_END
from monitor.replay.driver import World

PARAMS = replace(DAILY, shadow_days=30, late_shadow_days=30)
CHANNELS = [(country, carrier) for country in ("RU", "DE") for carrier in ("post", "wolf")]
BEGIN, DAYS, FAULT = 102, 62, 46  # in summer, when no holiday is near; the fault is on 5 August
Fails = Callable[[int, str, str, int], bool]


def shop(fails: Fails, each: int = 4, scanned_by_nature: int = 1000) -> list[bytes]:
    """Parcels of two forwarders on each of four channels, one batch a day and forwarder; most are scanned a day later.

    ``fails(day, carrier, forwarder, number)`` says which are never scanned; of a thousand, ``scanned_by_nature`` are.
    """
    lines, number = [], 0
    for day in range(DAYS):
        for country, carrier in CHANNELS:
            for forwarder in ("swift", "grey"):
                for _ in range(each):
                    number += 1
                    name, start = f"p{number}", BEGIN + day + number % 7 / 10
                    lines.append(
                        registered(
                            name,
                            start,
                            carrier,
                            destination=country,
                            forwarder=forwarder,
                            batch_id=f"{forwarder}-{day}",
                        )
                    )
                    if number * 379 % 1000 < scanned_by_nature and not fails(day, carrier, forwarder, number):
                        lines.append(scanned(name, "accepted", start + (0.9 if number % 4 else 1.9)))
                        lines.append(scanned(name, "delivered", start + 8))
    return lines


def after(days: int, lines: list[bytes]) -> World:
    """The shop so many days after the fault."""
    return replayed(lines, BEGIN + FAULT + days, PARAMS)


def told(world: World, *severities: str) -> list[dict[str, Any]]:
    """Incidents with one of these severities about first scans, as the contract writes them, in the order of time."""
    found = [record(one) for one in world.incidents.values() if one.severity in severities]
    return sorted((one for one in found if one["mode"] == "no_first_scan"), key=lambda one: str(one["known_by"]))


def test_a_batch_that_nobody_scanned_is_paged_instead_of_its_channels_and_its_forwarder() -> None:
    lines = shop(lambda day, _, forwarder, __: (day, forwarder) == (FAULT, "grey"), each=8)
    (page,) = told(after(8, lines), "page", "ticket")
    assert page["severity"] == "page"
    assert page["scope"] == {
        "kind": "batch", "country": None, "product": None, "carrier": None, "batch_id": f"grey-{FAULT}"
    }  # fmt: skip
    assert page["members"] == sorted(f"{country}|tablet|{carrier}" for country, carrier in CHANNELS)
    assert page["clock"] == "registered>accepted"
    assert page["parcels_at_risk"] == 32
    assert page["evidence"]["observed"] == 0
    assert page["evidence"]["expected"] > 20
    assert page["opened_at"] == "2025-08-05T00:00:00Z"
    assert "2025-08-06" < str(page["known_by"]) < "2025-08-11"


def test_a_part_of_a_small_batch_that_is_overdue_is_a_ticket() -> None:
    lost = {10_000 + i for i in range(3)}

    def fails(day: int, carrier: str, forwarder: str, number: int) -> bool:
        if (day, forwarder) == (FAULT, "grey") and number % 3 == 0:
            lost.add(number)
        return number in lost

    world = after(16, shop(fails))
    (ticket,) = told(world, "page", "ticket")
    assert ticket["severity"] == "ticket"
    assert ticket["scope"]["batch_id"] == f"grey-{FAULT}"
    assert ticket["parcels_at_risk"] == len(lost) - 3
    assert ticket["evidence"]["ln_m"] > 6.9


def test_a_forwarder_that_hands_over_nothing_from_a_day_on_is_named_by_itself_or_after_one_batch() -> None:
    world = after(10, shop(lambda day, _, forwarder, __: day >= FAULT and forwarder == "grey"))
    pages = [one["scope"] for one in told(world, "page")]
    assert [one["kind"] for one in pages if one["kind"] != "batch"] == ["forwarder"]
    assert len(pages) <= 2


def test_a_carrier_that_does_not_scan_any_more_is_no_batch() -> None:
    world = after(10, shop(lambda day, carrier, _, __: day >= FAULT and carrier == "wolf"))
    pages = told(world, "page")
    assert pages
    assert "batch" not in {one["scope"]["kind"] for one in pages}


def test_batches_of_which_as_many_are_scanned_as_ever_are_none() -> None:
    world = after(4, shop(lambda *_: False, scanned_by_nature=600))
    assert not told(world, "page", "ticket")


def test_it_closes_when_the_batch_is_found() -> None:
    lines = shop(lambda day, _, forwarder, __: (day, forwarder) == (FAULT, "grey"))
    first = FAULT * len(CHANNELS) * 8
    grey = [first + at for at in range(1, 33) if (at - 1) // 4 % 2]
    lines += [scanned(f"p{number}", "accepted", BEGIN + FAULT + 11) for number in grey]
    (page,) = told(after(22, lines), "page", "ticket")
    assert page["scope"]["batch_id"] == f"grey-{FAULT}"
    assert page["closed_at"] is not None


def test_a_pair_forgets_when_all_are_scanned() -> None:
    name, facet = batch_scope("swift-1", "RU|tablet|post"), Facet()
    add(facet, {32 << 40 | 101 << 20: 1}, 103)
    assert not prune(name, facet, 58, 103)
    add(facet, {40 << 40 | 101 << 20 | 102: 1}, 103)
    assert not prune(name, facet, 58, 103)  # the scan is still to be judged
    facet.booked, facet.risk = {}, []
    assert prune(name, facet, 58, 104)


def everything(world: World) -> list[Incident]:
    """All incidents in the order in which they became known."""
    return sorted(world.incidents.values(), key=lambda one: one.known_us)


def test_what_a_forwarder_is_named_for_is_told_once() -> None:
    """No batch of its own is raised beside its incident, and its parcels are not overdue end to end as well."""
    world = after(15, shop(lambda day, _, forwarder, __: day >= FAULT and forwarder == "grey", each=8))
    named = [one.scope for one in everything(world)]
    assert named[named.index("forwarder||||grey") + 1 :] == []
    for channel in world.channels.values():
        assert channel.evidence[LN_M, END_TO_END].max() < PARAMS.close_ln_m
        assert channel.unseen[:15].sum() >= 60  # of eight a day since the fault


def test_channels_are_not_paged_for_a_forwarder_whose_incident_closes() -> None:
    """Not even on the day on which it does: that was weighed before what their first scans have shown is forgotten."""
    grey = "forwarder||||grey"

    def nearly_over(world: World) -> list[float]:
        (one,) = (one for one in world.incidents.values() if one.scope == grey)
        if not one.closed_us:
            one.calm_days = PARAMS.close_days - 1
            world.groups[grey].evidence[:] = no_evidence()
        return [channel.evidence[LN_M, 0].max() for channel in world.channels.values()]

    def told_of(world: World) -> tuple[list[float], list[tuple[str, bool]]]:
        return nearly_over(world), [(one.scope, bool(one.closed_us)) for one in everything(world)]

    lines = shop(lambda day, _, forwarder, __: FAULT <= day < FAULT + 4 and forwarder == "grey", each=8)
    days = [BEGIN + FAULT + days for days in (9, 10, 16)]
    (before, known), (after_it, later), (_, at_last) = found_at(days, told_of, lines, PARAMS)
    assert max(before) > PARAMS.page_ln_m > max(after_it)
    assert (grey, False) in known
    assert (grey, True) in later
    assert [scope for scope, _ in later] == [scope for scope, _ in known] == [scope for scope, _ in at_last]


def test_a_batch_of_another_forwarder_is_still_named() -> None:
    def fails(day: int, _: str, forwarder: str, __: int) -> bool:
        return (day >= FAULT and forwarder == "grey") or (day, forwarder) == (FAULT + 6, "swift")

    scopes = {one.scope for one in everything(after(15, shop(fails, each=8)))}
    assert {"forwarder||||grey", f"batch||||swift-{FAULT + 6}"} <= scopes
    assert not any(scope.startswith("batch||||grey") and scope > f"batch||||grey-{FAULT + 3}" for scope in scopes)


def test_a_lost_batch_is_not_paged_again_when_its_parcels_are_overdue_end_to_end() -> None:
    (one,) = everything(after(15, shop(lambda day, _, forwarder, __: (day, forwarder) == (FAULT, "grey"), each=20)))
    assert one.scope == f"batch||||grey-{FAULT}"
