"""Offers of carriers and the rule book: what may be used, from when to when, and at what price.

Rules it keeps:

1. Of the declarations of one ``rule_id`` the last stands; of the offers of one carrier for one lane that hold at a
   moment, too. Last is the one with the latest ``time``, of equal ones the one recorded last: so neither the order
   of the log nor a repeat can matter.
2. An offer for the product goes before one for the country, one for ``carrier/service`` before one for the
   carrier.
3. What is long over is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Final

from msgspec import Struct

from monitor.core.events import CarrierOfferedData, Money, RuleDeclaredData, day_text, to_us
from monitor.core.switch.terms import to_units
from monitor.core.vocabulary import DAY_US

KEPT_DAYS: Final = 400  # how long an offer or a rule is remembered after its end
ALWAYS: Final = 1 << 62
NONE: Final = -1


class Offer(Struct, array_like=True, frozen=True, gc=False, order=True):
    """A carrier's offer of a lane. Times in µs, money in ten-thousandths; ``NONE`` where the offer is silent.

    The order of offers is that in which they replace each other.
    """

    time_us: int
    recorded_us: int
    uid: str
    subject: str
    carrier: str
    country: str
    product: str  # empty: any
    postage: int
    currency: str
    promised_days: float
    refuses: list[str]
    capacity_per_day: float
    valid_from_us: int
    valid_to_us: int

    @property
    def key(self) -> str:
        """The page of the book it stands on."""
        return f"offer|{self.country}|{self.carrier}|{self.product}"

    def holds(self, at_us: int) -> bool:
        """Whether it is valid at a moment."""
        return self.valid_from_us <= at_us < self.valid_to_us


class Rule(Struct, array_like=True, frozen=True, gc=False, order=True):
    """A rule of the book; empty texts where it is not confined. ``max_value`` as in :class:`Offer`."""

    time_us: int
    recorded_us: int
    uid: str
    subject: str
    rule_id: str
    effect: str
    country: str
    product: str
    attribute: str
    carrier: str
    papers: list[str]
    max_value: int
    currency: str
    valid_from_us: int
    valid_to_us: int
    reason: str

    def holds(self, at_us: int) -> bool:
        """Whether it is in force at a moment."""
        return self.valid_from_us <= at_us < self.valid_to_us

    def is_about(self, country: str, product: str, part: str) -> bool:
        """Whether it speaks of a lane and a carrier part (its carrier stands for all its services)."""
        return (
            self.country in ("", country)
            and self.product in ("", product)
            and self.carrier in ("", part, part.split("/", 1)[0])
        )


class Page(Struct, array_like=True):
    """A page of the book: offers of one carrier for one lane or country, or one rule."""

    offers: list[Offer] = []
    rule: Rule | None = None


Book = MutableMapping[str, Page]


def _span(said: CarrierOfferedData | RuleDeclaredData) -> tuple[int, int]:
    first = 0 if said.valid_from is None else to_us(said.valid_from)
    return first, ALWAYS if said.valid_to is None else to_us(said.valid_to)


def _amount(amount: Money | None) -> tuple[int, str]:
    units = None if amount is None else to_units(amount.amount)
    return (NONE, "") if amount is None or units is None else (units, amount.currency)


def offer_of(said: CarrierOfferedData, subject: str, time_us: int, recorded_us: int, uid: str) -> Offer:
    """The offer in an event; ``uid`` is the identity of the event."""
    postage, currency = _amount(said.postage)
    return Offer(
        time_us,
        recorded_us,
        uid,
        subject,
        said.carrier,
        said.destination,
        said.product or "",
        postage,
        currency,
        float(NONE if said.promised_days is None else said.promised_days),
        sorted(set(said.refuses or ())),
        float(NONE if said.capacity_per_day is None else said.capacity_per_day),
        *_span(said),
    )


def rule_of(said: RuleDeclaredData, subject: str, time_us: int, recorded_us: int, uid: str) -> Rule:
    """The rule in an event."""
    most, currency = _amount(said.max_value)
    return Rule(
        time_us,
        recorded_us,
        uid,
        subject,
        said.rule_id,
        said.effect,
        said.destination or "",
        said.product or "",
        said.attribute or "",
        said.carrier or "",
        sorted(set(said.papers or ())),
        most,
        currency,
        *_span(said),
        said.reason or "",
    )


def enter_offer(book: Book, one: Offer) -> None:
    """Enter an offer; those that it replaces wherever they hold are left out."""
    page = book.get(one.key) or Page()
    standing: list[Offer] = []
    for offer in sorted({offer.uid: offer for offer in (*page.offers, one)}.values(), reverse=True):
        if not any(n.valid_from_us <= offer.valid_from_us and offer.valid_to_us <= n.valid_to_us for n in standing):
            standing.append(offer)
    page.offers = standing
    book[one.key] = page


def enter_rule(book: Book, one: Rule) -> None:
    """Enter a rule, unless a later declaration of it stands there."""
    key = f"rule|{one.rule_id}"
    known = book.get(key)
    if known is None or known.rule is None or known.rule < one:
        book[key] = Page(rule=one)


def forget(book: Book, today: int) -> None:
    """Leave out what is long over on ``today`` (UTC day number)."""
    bound = (today - KEPT_DAYS) * DAY_US
    for key in sorted(book):
        page = book[key]
        if page.rule is not None:
            if page.rule.valid_to_us < bound:
                del book[key]
            continue
        kept = [offer for offer in page.offers if offer.valid_to_us >= bound]
        if not kept:
            del book[key]
        elif len(kept) < len(page.offers):
            book[key] = Page(kept)


class Index:
    """The book by country, for one moment."""

    def __init__(self, book: Book, at_us: int) -> None:
        self.rules: list[Rule] = []
        self._at_us = at_us
        self._offers: dict[str, dict[tuple[str, str], list[Offer]]] = {}
        for key in sorted(book):
            page = book[key]
            if page.rule is not None:
                self.rules += [page.rule] if page.rule.holds(at_us) else []
            for offer in page.offers:
                place = self._offers.setdefault(offer.country, {}).setdefault((offer.carrier, offer.product), [])
                place.append(offer)

    def carriers(self, country: str, product: str) -> list[str]:
        """Carriers that have offered the lane, at any time, sorted."""
        return sorted({c for c, about in self._offers.get(country, {}) if about in ("", product)})

    def offers(self, country: str, product: str, part: str) -> list[Offer]:
        """The offers that speak for a carrier part on a lane, whether they hold or not; the most special ones only."""
        known = self._offers.get(country, {})
        for carrier in dict.fromkeys((part, part.split("/", 1)[0])):
            found = [*known.get((carrier, product), ()), *known.get((carrier, ""), ())]
            if found:
                return found
        return []

    def holding(self, offers: Iterable[Offer]) -> Offer | None:
        """The one that stands now: of those for the product the last, else of those for the country."""
        held = [offer for offer in offers if offer.holds(self._at_us)]
        return max(held, key=lambda offer: (bool(offer.product), offer)) if held else None


def lapsed(offers: Iterable[Offer], at_us: int) -> str:
    """Why none of some offers holds, as a sentence."""
    ends = [offer.valid_to_us for offer in offers if offer.valid_to_us <= at_us]
    if ends:
        return f"its offer ended on {day_text(max(ends) // DAY_US)}"
    return f"its offer holds only from {day_text(min(offer.valid_from_us for offer in offers) // DAY_US)} on"
