"""Offers and rules: which of them holds, and whom they exclude."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from monitor.core.events import EPOCH, CarrierOfferedData, Money, RegisteredData, RuleDeclaredData
from monitor.core.switch.book import Book, Index, Offer, Rule, enter_offer, enter_rule, forget, offer_of, rule_of
from monitor.core.switch.carried import Carriage, add, attributes, carried, count, prune
from monitor.core.switch.lane_rules import LaneRules
from monitor.core.switch.terms import SwitchTerms, to_units
from monitor.core.vocabulary import DAY_US

TODAY = 20_000
NOW = TODAY * DAY_US + 1


def offer(carrier: str = "post", time: int = 1, valid: tuple[int, int] = (0, 1 << 20), **more: Any) -> Offer:
    """An offer of RU; ``valid``: its first day and the day on which it ends."""
    first, last = (EPOCH + timedelta(days=day) for day in valid)
    said = CarrierOfferedData(carrier, "RU", valid_from=first, valid_to=last, **more)
    return offer_of(said, "O", time, time, f"u{time}")


def rule(rule_id: str = "R", effect: Any = "refuse", time: int = 1, **more: Any) -> Rule:
    """A rule."""
    said = RuleDeclaredData(rule_id, effect, **more)
    return rule_of(said, rule_id, time, time, f"u{time}")


def book(*entries: Offer | Rule) -> Book:
    """A book with these entries."""
    out: Book = {}
    for one in entries:
        if isinstance(one, Offer):
            enter_offer(out, one)
        else:
            enter_rule(out, one)
    return out


def rules(*entries: Offer | Rule, carries: list[Carriage] | None = None, terms: SwitchTerms | None = None) -> LaneRules:
    """What a book says of RU, tablet."""
    return LaneRules(Index(book(*entries), NOW), terms or SwitchTerms(), "RU|tablet", carries or [], NOW, TODAY)


def carriage(attributes: tuple[str, ...] = (), value: str | None = None) -> Carriage:
    """What one parcel carried."""
    money = None if value is None else Money(value, "USD")
    said = RegisteredData("P", "RU", "tablet", "post", attributes=list(attributes), declared_value=money)
    sums: dict[str, dict[int, list[int]]] = {}
    for name, amount in carried(said):
        count(sums, name, TODAY, amount)
    one = Carriage()
    add(one, sums)
    return one


def test_the_last_offer_that_holds_stands_whatever_the_order() -> None:
    first, second = offer(time=1, postage=Money("5.00", "USD")), offer(time=2, postage=Money("6.00", "USD"))
    for entries in ((first, second), (second, first), (second, first, second)):
        found = rules(*entries).offer("post")
        assert found is not None
        assert found.postage == 60_000
    later = offer(time=3, postage=Money("7.00", "USD"), valid=(TODAY + 1, TODAY + 9))
    assert rules(first, second, later).offer("post").postage == 60_000  # type: ignore[union-attr]


def test_an_offer_for_the_product_goes_before_one_for_the_country_and_a_service_before_the_carrier() -> None:
    country, product = offer(time=9), offer(time=1, product="tablet", promised_days=12.0)
    assert rules(country, product).offer("post").promised_days == 12.0  # type: ignore[union-attr]
    assert rules(country).offer("post/air") is not None
    special = offer("post/air", promised_days=7.0)
    assert rules(country, special).offer("post/air").promised_days == 7.0  # type: ignore[union-attr]
    assert rules(country, offer(time=1, product="phone")).offer("post").product == ""  # type: ignore[union-attr]


def test_a_carrier_whose_offers_do_not_hold_is_excluded_and_one_without_offers_is_not() -> None:
    assert rules(offer(valid=(0, TODAY))).ban("post").why.startswith("its offer ended on")  # type: ignore[union-attr]
    assert "only from" in rules(offer(valid=(TODAY + 5, TODAY + 9))).ban("post").why  # type: ignore[union-attr]
    assert rules(offer()).ban("post") is None
    assert rules().ban("other") is None


def test_an_offer_that_refuses_what_any_parcel_carries_excludes_its_carrier() -> None:
    refusing = offer(refuses=["battery", "liquid"])
    assert rules(refusing, carries=[carriage(("brand",))]).ban("post") is None
    said = rules(refusing, carries=[carriage(), carriage(("battery",))]).ban("post")
    assert said is not None
    assert "refuses battery" in said.why


def test_attributes_are_forgotten_after_forty_days() -> None:
    one = carriage(("battery",))
    assert not prune(one, TODAY + 39)
    assert attributes([one]) == ["battery"]
    assert prune(one, TODAY + 40)
    assert attributes([one]) == []


def test_a_rule_excludes_whom_it_is_about_and_nobody_else() -> None:
    ban = rules(rule(destination="RU", product="tablet", carrier="post", reason="banned"))
    assert ban.ban("post").why == "rule R refuses it: banned"  # type: ignore[union-attr]
    assert ban.ban("post/air") is not None
    assert ban.ban("other") is None
    for elsewhere in (rule(destination="DE"), rule(product="phone"), rule(attribute="battery")):
        assert rules(elsewhere).ban("post") is None
    assert rules(rule(attribute="battery"), carries=[carriage(("battery",))]).ban("post") is not None


def test_of_the_declarations_of_a_rule_the_last_stands() -> None:
    old, withdrawn = rule(time=1), rule(time=2, destination="DE")
    for entries in ((old, withdrawn), (withdrawn, old)):
        assert rules(*entries).ban("post") is None


def test_a_greatest_value_binds_only_parcels_above_it() -> None:
    most = rule(max_value=Money("50.00", "USD"))
    assert rules(most, carries=[carriage(value="50.00")]).ban("post") is None
    assert rules(most, carries=[carriage(value="50.01")]).ban("post") is not None
    yuan = rule(max_value=Money("100.00", "CNY"))  # 14 dollars by the built-in rate
    assert rules(yuan, carries=[carriage(value="14.50")]).ban("post") is not None
    assert rules(yuan, carries=[carriage(value="13.50")]).ban("post") is None


def test_papers_at_hand_meet_a_requirement_and_one_that_binds_both_is_no_obstacle() -> None:
    required = rule(effect="require", papers=["CE"], carrier="other")
    assert rules(required).bound("other", "post").rule_id == "R"  # type: ignore[union-attr]
    assert rules(required, terms=SwitchTerms(papers=("CE",))).bound("other", "post") is None
    everybody = rule(effect="require", papers=["CE"])
    assert rules(everybody).bound("other", "post") is None
    assert rules(everybody).ban("post") is not None


def test_what_is_long_over_is_forgotten() -> None:
    held = book(offer(valid=(0, TODAY)), offer("other"), rule())
    forget(held, TODAY + 399)
    assert len(held) == 3
    forget(held, TODAY + 402)
    assert sorted(held) == ["offer|RU|other|", "rule|R"]


def test_amounts_are_whole_ten_thousandths_and_rates_are_dated() -> None:
    assert [to_units(text) for text in ("0.00005", "0.00015", "-0.01", "1000000000.01")] == [0, 2, None, None]
    terms = SwitchTerms()
    assert terms.rate("CNY", TODAY) == Decimal("0.14")
    assert terms.rate("XTS", TODAY) is None
    assert terms.rate("USD", 0) == 1
