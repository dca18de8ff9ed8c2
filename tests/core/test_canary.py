"""New channels: followed against their lane, with room for what is only different, until they know themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from logs import DAILY, START_DAY, found_at, registered, replayed, scanned

from monitor.core.channel import decode, encode
from monitor.core.incidents import Incident
from monitor.core.vocabulary import DAY_US
from monitor.read.explain import proven
from monitor.replay.driver import World
from monitor.replay.outputs import picture
from monitor.wire.records import Channel as ChannelRecord

PARAMS = replace(DAILY, shadow_days=40)
FIRST, BEGINS, END = 55, 100, 145
STEPS = (("accepted", 1), ("departed_origin", 3), ("arrived_destination", 8), ("delivered", 12))
#: What is new: product → carrier, pace, parcels a day. Of the watches nothing is heard.
NEW = {
    "watch": ("post", 1.0, 3),
    "lamp": ("post", 1.0, 3),
    "vase": ("post", 1.25, 3),
    "doll": ("post", 0.8, 3),
    "comb": ("new-carrier", 1.3, 3),
    "boat": ("post", 3.0, 3),
    "ring": ("post", 1.0, 1),
}


def _parcels(product: str, carrier: str, days: range, pace: float, per_day: int) -> list[bytes]:
    lines = []
    for day in days:
        for i in range(per_day):
            id_, at = f"{product}-{carrier}-{day}-{i}", day + i / (per_day + 1)
            lines.append(registered(id_, at, carrier, product=product))
            for milestone, after in STEPS if product != "watch" else ():
                lines.append(scanned(id_, milestone, at + pace * (after + (day + i) % 3 * after / 8)))
    return lines


def _established(until: int) -> list[bytes]:
    """Three carriers with four products each, of a pace that differs by a tenth."""
    lines = []
    for carrier, slower in (("post", 1.0), ("wolf", 1.2), ("eagle", 0.9)):
        for product, pace in (("tablet", 1.0), ("shoes", 1.1), ("toy", 0.95), ("phone", 1.05)):
            lines += _parcels(product, carrier, range(FIRST, until), slower * pace, 2)
    return lines


@cache
def _world() -> tuple[World, list[dict[str, Any]]]:
    """The world at the end, and what is told of the ticket of the watches on each of its first days."""
    lines = _established(END)
    for product, (carrier, pace, per_day) in NEW.items():
        lines += _parcels(product, carrier, range(BEGINS, END), pace, per_day)
    told: list[dict[str, Any]] = []

    def look(world: World) -> World:
        told.extend(proven(picture(world), one, None, None) for one in _tickets(world, "watch"))
        return world

    worlds = found_at((*range(BEGINS, BEGINS + 8), END), look, lines, PARAMS)
    return worlds[-1], told


def _tickets(world: World, product: str) -> list[Incident]:
    return [one for one in world.incidents.values() if one.members[0].startswith(f"RU|{product}|")]


def test_a_new_channel_without_a_first_scan_is_a_ticket_within_a_week() -> None:
    world, tellings = _world()
    (ticket,) = _tickets(world, "watch")
    assert (ticket.judged_by, ticket.severity, ticket.mode) == ("canary", "ticket", "no_first_scan")
    assert ticket.members == ["RU|watch|post"]
    assert ticket.known_us // DAY_US - START_DAY <= BEGINS + 7
    assert ticket.observed < 0.1 * ticket.expected
    told = tellings[0]
    assert "A new channel" in told["rule"]
    assert told["figures"]["ln_m"] == ticket.ln_m
    (first, *_) = told["figures"]["sums"]
    assert (first["clock"], first["alternative"]) == ("registered>accepted", "x0.08")
    assert (first["observed"], first["expected"]) == (ticket.observed, ticket.expected)


@pytest.mark.parametrize("product", ["lamp", "vase", "doll", "comb"])
def test_a_new_channel_that_is_only_different_is_none(product: str) -> None:
    world, _ = _world()
    assert _tickets(world, product) == []
    assert sum(name.startswith(f"RU|{product}|") for name in world.channels) == 1


def test_a_new_channel_that_takes_three_times_as_long_is_a_ticket_before_it_is_judged_by_itself() -> None:
    (ticket,) = _tickets(_world()[0], "boat")
    assert ticket.judged_by == "canary"
    assert ticket.known_us // DAY_US - START_DAY < BEGINS + 25


def test_the_ticket_closes_when_the_baseline_of_the_channel_takes_over() -> None:
    world, _ = _world()
    assert [bool(one.closed_us) for one in _tickets(world, "boat")] == [True]
    assert not world.channels["RU|boat|post"].canary.size


def test_a_small_channel_is_new_for_longer_and_its_record_says_how_many_parcels_it_has() -> None:
    records = {one["channel"]: one for one in picture(_world()[0]).channel_records()}
    assert records["RU|ring|post"]["canary_parcels"] == END - BEGINS
    assert ChannelRecord.model_validate_json(json.dumps(records["RU|ring|post"])).canary_parcels == END - BEGINS
    assert not {"canary_parcels"} & {*records["RU|tablet|post"], *records["RU|lamp|post"]}


def test_what_is_known_of_a_new_channel_survives_being_stored() -> None:
    channel = _world()[0].channels["RU|ring|post"]
    again = decode(encode(channel))
    assert channel.canary.any()
    assert (again.canary == channel.canary).all()
    assert encode(again) == encode(channel)


def test_channels_as_old_as_the_log_are_not_new() -> None:
    world = replayed(_established(FIRST + 30), FIRST + 30, replace(PARAMS, shadow_days=20))
    assert all(not channel.canary.size for channel in world.channels.values())
