"""Advice under any book and any way of running the log: rules hold, money is decimal, the same log says the same."""

from __future__ import annotations

import json
from collections import deque
from decimal import Decimal
from typing import Any

import pytest
from driving import Partitions, replayed
from hypothesis import given, settings
from hypothesis import strategies as st
from made_lanes import START, Made, offered, parcels, ruled, time

from monitor.core.events import to_us
from monitor.core.params import Params
from monitor.core.switch.advice import Advice, Figures
from monitor.core.switch.book import Index, Offer, Rule, enter_offer, enter_rule
from monitor.core.switch.lane_rules import LaneRules
from monitor.core.switch.terms import SwitchTerms
from monitor.replay.driver import World
from monitor.replay.outputs import picture

CARRIERS = ("alpha", "bravo", "charlie")
LANE = parcels(
    Made("alpha", 4, 20, 10, "5.00", ("battery",)),
    Made("bravo", 3, 11, 90, "5.00"),
    Made("charlie", 3, 13, 90, "4.50"),
    days=42,
)


def validity() -> st.SearchStrategy[dict[str, str]]:
    """From when to when something holds."""
    days = st.floats(-5, 60)
    return st.fixed_dictionaries({}, optional={"valid_from": days.map(time), "valid_to": days.map(time)})


def offers() -> st.SearchStrategy[dict[str, Any]]:
    """Offers of the lane, good or not."""
    more = st.fixed_dictionaries(
        {},
        optional={
            "product": st.sampled_from(["tablet", "phone"]),
            "postage": st.sampled_from([{"amount": "3.00", "currency": c} for c in ("USD", "EUR", "XTS")]),
            "refuses": st.sampled_from([["battery"], ["liquid"]]),
            "capacity_per_day": st.floats(0, 9),
        },
    )
    named = st.sampled_from((*CARRIERS, "delta"))
    return st.builds(lambda c, day, a, b: offered(c, day, **a, **b), named, st.floats(0, 41), more, validity())


def rules() -> st.SearchStrategy[dict[str, Any]]:
    """Rules about some of the carriers."""
    more = st.fixed_dictionaries(
        {"effect": st.sampled_from(["refuse", "require"])},
        optional={
            "carrier": st.sampled_from(CARRIERS),
            "destination": st.sampled_from(["RU", "DE"]),
            "attribute": st.sampled_from(["battery", "liquid"]),
            "papers": st.just(["CE"]),
            "max_value": st.sampled_from([{"amount": a, "currency": "USD"} for a in ("39.99", "40.00")]),
        },
    )
    return st.builds(
        lambda id_, day, a, b: ruled(id_, day, **a, **b), st.sampled_from("RST"), st.floats(0, 41), more, validity()
    )


@pytest.fixture(scope="module")
def terms() -> Params:
    """Parameters under which the lane is compared."""
    return Params(switch=SwitchTerms(min_parcels=5, caution=0.0, margin_ratio=0.0))


def lines_of(events: list[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(one | {"id": f"{number}"}).encode() for number, one in enumerate(events)]


def every_amount(advice: Advice) -> list[object]:
    """All amounts of money in an advice."""
    spans = [advice.saving, *(span for one in advice.carriers for span in (one.cost, one.saving))]
    amounts: list[object] = [one.postage for one in advice.carriers if one.postage is not None]
    return amounts + [amount for span in spans if span is not None for amount in (span.value, span.low, span.high)]


@settings(max_examples=12, deadline=None)
@given(book=st.lists(st.one_of(offers(), rules()), max_size=6))
def test_whom_the_book_excludes_is_never_advised_and_money_is_decimal(
    terms: Params, book: list[dict[str, Any]]
) -> None:
    world = replayed([lines_of([*LANE, *book])], terms)
    (lane,) = world.lanes.values()
    advice = lane.advice
    assert advice is not None
    by_carrier = {one.carrier: one for one in advice.carriers}
    checker = LaneRules(
        Index(world.book, advice.as_of_us),
        terms.switch,
        "RU|tablet",
        list(lane.carriages.values()),
        advice.as_of_us,
        (advice.as_of_us - 1) // 86_400_000_000,
    )
    for carrier, one in by_carrier.items():
        ban = checker.ban(carrier) if carrier == advice.from_carrier else checker.bound(carrier, advice.from_carrier)
        assert (ban is not None) == (carrier in advice.excluded)
        if ban is not None and carrier != advice.from_carrier:
            assert (one.status, one.saving, one.probability) == ("excluded", None, None)
    if advice.to_carrier:
        assert advice.to_carrier not in advice.excluded
        assert by_carrier[advice.to_carrier].status == "compared"
    if advice.decision == "switch":
        assert 0.01 <= advice.share <= 0.5
        to: Figures = by_carrier[advice.to_carrier]
        total = sum(one.parcels for one in advice.carriers)
        assert to.parcels / total + advice.share <= 0.7
        if to.capacity_per_day is not None:
            assert to.parcels / 40 + advice.share * total / 40 <= to.capacity_per_day + 1e-9
    else:
        assert advice.share == 0
    assert all(isinstance(amount, Decimal) for amount in every_amount(advice))


@settings(max_examples=6, deadline=None)
@given(data=st.data(), book=st.lists(st.one_of(offers(), rules()), max_size=4))
def test_partitions_packs_and_restarts_give_the_same_advice(
    terms: Params, data: st.DataObject, book: list[dict[str, Any]]
) -> None:
    lines = lines_of([*LANE, *book])
    grid = terms.tick_us
    end = to_us(START) + 42 * 86_400_000_000
    plain = replayed([data.draw(st.permutations(lines), label="order")], terms, until_us=end)
    run = Partitions(terms, data.draw(st.integers(1, 3), label="partitions"))
    queues: list[deque[Any]] = run.log(lines, range(end - 20 * grid, end + 1, grid))
    restarts = data.draw(st.sets(st.integers(0, 40), max_size=3), label="restarts")
    step = 0
    while any(queues):
        which = step % run.count
        step += 1
        if queues[which]:
            run.pack(which, [queues[which].popleft() for _ in range(min(50, len(queues[which])))])
        if step in restarts:
            run.restart()
    assert run.told(end)["recommendations"] == advised(plain) != []
    assert run.sha256() == plain.sha256()


def advised(world: World) -> list[dict[str, Any]]:
    return picture(world).advice_records()


@given(data=st.data())
def test_the_order_of_declarations_does_not_matter(data: st.DataObject) -> None:
    spans = st.tuples(st.integers(0, 9), st.integers(0, 9))
    some = data.draw(st.lists(st.tuples(st.integers(0, 3), spans), min_size=1, max_size=8), label="offers")
    entries: list[Offer | Rule] = []
    for number, (at, (first, last)) in enumerate(some):
        uid = f"u{number}"
        entries.append(Offer(at, at, uid, "O", "post", "RU", "", number, "USD", -1, [], -1, first, last))
        entries.append(Rule(at, at, uid, "R", "R", "refuse", "", "", "", "", [], -1, "", first, last, ""))
    found = []
    for order in (entries, data.draw(st.permutations(entries), label="order")):
        book: Any = {}
        for one in order:
            if isinstance(one, Offer):
                enter_offer(book, one)
            else:
                enter_rule(book, one)
        indexes = [Index(book, moment) for moment in range(10)]
        found.append(
            [
                (index.holding(index.offers("RU", "tablet", "post")), [rule.uid for rule in index.rules])
                for index in indexes
            ]
        )
    assert found[0] == found[1]
