"""New channels: followed against their lane, with room for what is only different, until they know themselves."""

from __future__ import annotations

import json
from functools import cache

import pytest
from logs import START_DAY, registered, replayed, scanned

from monitor.core.channel import decode, encode
from monitor.core.incidents import Incident
from monitor.core.params import Params
from monitor.core.vocabulary import DAY_US
from monitor.read.explain import proven
from monitor.replay.driver import World
from monitor.replay.outputs import picture
from monitor.wire.records import Channel as ChannelRecord

PARAMS = Params(shadow_days=60)
BEGINS = 100
NEW = "RU|watch|post"
STEPS = (("accepted", 1), ("departed_origin", 3), ("arrived_destination", 8), ("delivered", 12))


def _parcels(product: str, carrier: str, days: range, pace: float, per_day: int, scans: bool = True) -> list[bytes]:
    lines = []
    for day in days:
        for i in range(per_day):
            id_, at = f"{product}-{carrier}-{day}-{i}", day + i / (per_day + 1)
            lines.append(registered(id_, at, carrier, product=product))
            for milestone, after in STEPS if scans else ():
                lines.append(scanned(id_, milestone, at + pace * (after + (day + i) % 3 * after / 8)))
    return lines


@cache
def _lane(days: int) -> tuple[bytes, ...]:
    """Three carriers with four products each, of a pace that differs by a tenth."""
    lines = []
    for carrier, slower in (("post", 1.0), ("wolf", 1.2), ("eagle", 0.9)):
        for product, pace in (("tablet", 1.0), ("shoes", 1.1), ("toy", 0.95), ("phone", 1.05)):
            lines += _parcels(product, carrier, range(days), slower * pace, 3)
    return tuple(lines)


def _with(pace: float, until: int, per_day: int = 3, scans: bool = True, carrier: str = "post") -> World:
    new = _parcels("watch", carrier, range(BEGINS, until), pace, per_day, scans)
    return replayed([*_lane(until), *new], until, PARAMS)


def _tickets(world: World) -> list[Incident]:
    return [one for one in world.incidents.values() if one.members[0].startswith("RU|watch|")]


def test_a_new_channel_without_a_first_scan_is_a_ticket_within_a_week() -> None:
    world = _with(1.0, BEGINS + 12, scans=False)
    (ticket,) = _tickets(world)
    assert (ticket.judged_by, ticket.severity, ticket.mode) == ("canary", "ticket", "no_first_scan")
    assert ticket.members == [NEW]
    assert ticket.known_us // DAY_US - START_DAY <= BEGINS + 7
    assert ticket.observed < 0.1 * ticket.expected
    at_known_by = _with(1.0, ticket.known_us // DAY_US - START_DAY, scans=False)
    told = proven(picture(at_known_by), ticket, None, None)
    assert "A new channel" in told["rule"]
    assert told["figures"]["ln_m"] == ticket.ln_m
    (first, *_) = told["figures"]["sums"]
    assert (first["clock"], first["alternative"]) == ("registered>accepted", "x0.08")
    assert (first["observed"], first["expected"]) == (ticket.observed, ticket.expected)


@pytest.mark.parametrize(("pace", "carrier"), [(1.0, "post"), (1.25, "post"), (0.8, "post"), (1.3, "new-carrier")])
def test_a_new_channel_that_is_only_different_is_none(pace: float, carrier: str) -> None:
    assert _tickets(_with(pace, BEGINS + 30, carrier=carrier)) == []


def test_a_new_channel_that_takes_three_times_as_long_is_a_ticket_before_it_is_judged_by_itself() -> None:
    (ticket,) = _tickets(_with(3.0, BEGINS + 30))
    assert ticket.judged_by == "canary"
    assert ticket.known_us // DAY_US - START_DAY < BEGINS + 25


def test_the_ticket_closes_when_the_baseline_of_the_channel_takes_over() -> None:
    world = _with(3.0, BEGINS + 45)
    canaries = [one for one in _tickets(world) if one.judged_by]
    assert [bool(one.closed_us) for one in canaries] == [True]
    assert not world.channels[NEW].canary.size


def test_a_small_channel_is_new_for_longer_and_its_record_says_how_many_parcels_it_has() -> None:
    world = _with(1.0, BEGINS + 45, per_day=1)
    records = {one["channel"]: one for one in picture(world).channel_records()}
    assert records[NEW]["canary_parcels"] == 45
    assert ChannelRecord.model_validate_json(json.dumps(records[NEW])).canary_parcels == 45
    assert "canary_parcels" not in records["RU|tablet|post"]


def test_what_is_known_of_a_new_channel_survives_being_stored() -> None:
    channel = _with(1.0, BEGINS + 12, scans=False).channels[NEW]
    again = decode(encode(channel))
    assert channel.canary.any()
    assert (again.canary == channel.canary).all()
    assert encode(again) == encode(channel)


def test_channels_as_old_as_the_log_are_not_new() -> None:
    world = replayed(list(_lane(75)), 75, PARAMS)
    assert all(not channel.canary.size for channel in world.channels.values())
