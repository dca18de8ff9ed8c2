"""Complaints that come in a burst, the customer behind one, and kinds of which one is enough."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import DAILY, made, opened, registered, replayed

from monitor.core.bursts import find_burst, ln_upper_tail
from monitor.core.incidents import Incident, record
from monitor.replay.driver import World

DAYS = 49
PARAMS = replace(DAILY, tick_hours=6, shadow_days=30)
CARRIERS = ("post", "wolf", "fox", "yak")


def shop(until: int = DAYS, each: int = 6) -> list[bytes]:
    """A shop: every day a parcel on each channel, and two complaints about parcels that are 12 days old."""
    lines = []
    for day in range(until):
        for i, carrier in enumerate(CARRIERS * each):
            parcel = f"{day}-{i}"
            lines.append(registered(parcel, day + i / 100, carrier, customer_id=f"c{parcel}"))
        if day >= 12:
            lines += [opened(f"{day}-{i}", day + 0.3, parcel_id=f"{day - 12}-{i}", kind="quality") for i in (0, 1)]
    return lines


def burst(day: float, parcels: list[str], **more: Any) -> list[bytes]:
    """A complaint about each of the parcels within one hour."""
    return [opened(f"burst-{day}-{p}", day + i / 1000, parcel_id=p, **more) for i, p in enumerate(parcels)]


@cache
def loud() -> World:
    """The shop in which a burst of disputes comes on day 40."""
    return replayed(shop() + burst(40.1, many(40, 22)), None, PARAMS)


def found(lines: list[bytes], until: float | None = None) -> list[dict[str, Any]]:
    """The incidents about complaints, in the order of ``known_by``."""
    return about_complaints(replayed(lines, until, PARAMS))


def about_complaints(world: World) -> list[dict[str, Any]]:
    """The incidents about complaints, in the order of ``known_by``."""
    told = [record(one) for one in world.incidents.values() if one.mode in ("complaints", "sentinel")]
    return sorted(told, key=lambda one: str(one["known_by"]))


def many(day: int, n: int, first: int = 2) -> list[str]:
    """Parcels of a day that nobody has complained about."""
    return [f"{day - 5}-{i}" for i in range(first, first + n)]


def test_a_burst_of_disputes_is_a_page_of_all_on_the_same_day() -> None:
    (one,) = about_complaints(loud())
    assert (one["scope"]["kind"], one["mode"], one["severity"]) == ("all", "complaints", "page")
    assert one["known_by"] == "2025-04-19T06:00:00Z"  # the first tick after the 22nd complaint of day 40
    assert one["opened_at"] == "2025-04-19T00:00:00Z"
    assert one["evidence"]["observed"] == 22
    assert one["evidence"]["expected"] == pytest.approx(2.0, abs=0.1)
    assert one["members"] == sorted(f"RU|tablet|{carrier}" for carrier in CARRIERS)
    assert one["closed_at"] == "2025-04-27T06:00:00Z"  # seven days without


def test_what_the_shop_is_used_to_is_no_burst() -> None:
    assert found(shop() + burst(40.1, many(40, 5))) == []


def test_a_customer_who_alone_explains_a_burst_is_named_and_the_channels_stay_green() -> None:
    mine = [f"{day}-4" for day in range(20, 40)]
    lines = [re.sub(rb'"c[0-9]+-4"', b'"bulk"', line) for line in shop()]
    world = replayed(lines + burst(40.2, mine), None, PARAMS)
    (one,) = [record(incident) for incident in world.incidents.values()]
    assert one["scope"] == {
        "kind": "customer", "country": None, "product": None, "carrier": None, "customer_id": "bulk"
    }  # fmt: skip
    assert (one["mode"], one["severity"], one["members"]) == ("complaints", "page", ["RU|tablet|post"])
    assert world.channels["RU|tablet|post"].ln_m < 1.5


def test_a_customer_among_many_who_complain_is_not_named() -> None:
    told = found([_owned(line) for line in shop()] + burst(40.2, many(40, 22)))
    assert [one["scope"]["kind"] for one in told] == ["all"]


def _owned(line: bytes) -> bytes:
    """A third of the parcels of day 35, on all channels, belong to one customer."""
    for i in (2, 3, 8, 9, 14, 15, 20, 21):
        line = line.replace(f'"c35-{i}"'.encode(), b'"big"')
    return line


def test_complaints_of_a_customer_that_name_no_parcel_count_too() -> None:
    bare = [
        made("complaint.opened.v1", 41 + i / 500, {"complaint_id": f"b{i}", "kind": "other", "customer_id": "bulk"})
        for i in range(12)
    ]
    (one,) = found(shop() + bare)
    assert (one["scope"]["kind"], one["scope"]["customer_id"], one["members"]) == ("customer", "bulk", [])


@pytest.mark.parametrize("kind", ["counterfeit", "intellectual_property"])
def test_of_some_kinds_one_is_enough_even_in_the_first_days_and_it_stays_until_acknowledged(kind: str) -> None:
    lines = [*shop(30), opened("one", 9.1, parcel_id="3-1", kind=kind), opened("two", 10.1, parcel_id="4-1", kind=kind)]
    (one,) = found(lines)
    assert (one["mode"], one["severity"], one["closed_at"]) == ("sentinel", "page", None)
    assert one["scope"]["kind"] == "channel"
    assert one["members"] == ["RU|tablet|wolf"]
    assert one["known_by"] == "2025-03-19T06:00:00Z"
    ack = made("decision.recorded.v1", 20.1, {"target": one["incident_id"], "what": "ack", "by": "Li"})
    (acknowledged,) = found([*lines, ack])
    assert acknowledged["closed_at"] == "2025-03-30T06:00:00Z"
    again = opened("three", 22.1, parcel_id="5-1", kind=kind)
    first, second = found([*lines, ack, again])
    assert first["closed_at"] is not None
    assert second["closed_at"] is None


def test_a_sentinel_about_an_order_is_told_of_its_channel() -> None:
    lines = [*shop(20), registered("p", 2.5, "fox", order_id="o"), opened("one", 9.1, order_id="o", kind="counterfeit")]
    (one,) = found(lines)
    assert one["members"] == ["RU|tablet|fox"]


def test_complaints_say_nothing_of_a_channel_while_all_complain() -> None:
    quiet = replayed(shop(), None, PARAMS)
    for name, channel in loud().channels.items():
        assert channel.ln_m < max(quiet.channels[name].ln_m, 1.0) + 1.0


@given(st.integers(1, 60), st.floats(0.05, 40), st.floats(0.02, 3))
def test_the_tail_of_the_negative_binomial(n: int, mean: float, cv2: float) -> None:
    size = 1 / cv2
    p = size / (size + mean)
    term, below = size * math.log(p), 0.0
    for x in range(n):
        below += math.exp(term)
        term += math.log((size + x) / (x + 1)) + math.log1p(-p)
    tail = math.exp(ln_upper_tail(n, mean, cv2))
    assert tail == pytest.approx(1 - below, abs=1e-9)


@given(st.lists(st.integers(0, 9), min_size=7, max_size=28), st.integers(8, 400))
def test_more_complaints_are_more_surprising(history: list[int], seen: int) -> None:
    low, high = (find_burst(5, n, history, 0.05, 0.0) for n in (seen, seen + 20))
    if low is not None:
        assert high is not None
        assert high.surprise >= low.surprise
        assert (low.seen, low.day) == (seen, 5)


def test_an_incident_is_kept_once() -> None:
    ids: list[Incident] = [one for one in loud().incidents.values() if one.scope == "all|||"]
    assert len(ids) == 1
    assert ids[0].revision == 2  # raised, closed


def test_a_customer_whose_disputes_come_over_some_days_is_named_too() -> None:
    lines = [re.sub(rb'"c[0-9]+-4"', b'"bulk"', line) for line in shop()]
    some = [opened(f"slow-{i}", 40.2 + i / 2, parcel_id=f"{20 + i}-4", kind="not_received") for i in range(10)]
    (one,) = found(lines + some)
    assert (one["scope"]["kind"], one["scope"]["customer_id"], one["mode"]) == ("customer", "bulk", "complaints")
    assert one["evidence"]["observed"] >= 8
    assert one["evidence"]["since"] < "2025-04-20"
