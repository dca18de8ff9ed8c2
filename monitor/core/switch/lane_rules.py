"""Hard constraints: which carriers may not be used on a lane, and by which rule. They come before any figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from monitor.core.switch.book import NONE, Index, Offer, Rule, lapsed
from monitor.core.switch.carried import Carriage, attributes
from monitor.core.switch.terms import UNITS, SwitchTerms


@dataclass(frozen=True, slots=True)
class Ban:
    """A carrier may not be used: why, as a sentence, and the subjects of the events that say so."""

    why: str
    subjects: list[str]
    rule_id: str = ""
    is_requirement: bool = False


class LaneRules:
    """What the book says of one lane at a moment, given what its parcels of the last 40 days carried."""

    def __init__(
        self, index: Index, terms: SwitchTerms, lane: str, carriages: Iterable[Carriage], at_us: int, today: int
    ) -> None:
        self.country, self.product = lane.split("|")
        self._index, self._terms, self._at_us, self._today = index, terms, at_us, today
        self._carriages = list(carriages)
        self.attributes = attributes(self._carriages)
        self._offers: dict[str, tuple[list[Offer], Offer | None]] = {}

    @cached_property
    def _greatest(self) -> dict[str, int]:
        return _greatest(self._carriages)

    def offer(self, part: str) -> Offer | None:
        """The offer that holds for a carrier part."""
        return self._offered(part)[1]

    def _offered(self, part: str) -> tuple[list[Offer], Offer | None]:
        """The offers that speak for a carrier part, and the one that holds."""
        found = self._offers.get(part)
        if found is None:
            offers = self._index.offers(self.country, self.product, part)
            found = self._offers[part] = offers, self._index.holding(offers)
        return found

    def ban(self, part: str) -> Ban | None:
        """Why a carrier part may not be used; None if it may. A refusal goes before a requirement."""
        offers, offer = self._offered(part)
        if offers and offer is None:
            return Ban(lapsed(offers, self._at_us), sorted({one.subject for one in offers}))
        if offer is not None:
            refused = [name for name in self.attributes if name in offer.refuses]
            if refused:
                return Ban(f"it refuses {', '.join(refused)}, which parcels of the lane carry", [offer.subject])
        broken = [rule for rule in self._index.rules if self._is_broken(rule, part)]
        broken.sort(key=lambda rule: (rule.effect != "refuse", rule.rule_id))
        return None if not broken else self._said(broken[0])

    def unmet(self, part: str) -> list[str]:
        """The ids of the requirements that a carrier part does not meet."""
        broken = [rule for rule in self._index.rules if rule.effect == "require" and self._is_broken(rule, part)]
        return sorted(rule.rule_id for rule in broken)

    def bound(self, part: str, present: str) -> Ban | None:
        """As :meth:`ban`, for an alternative to ``present``: a requirement that binds the present carrier, too, is
        none against a change."""
        ban = self.ban(part)
        if ban is None or not ban.is_requirement:
            return ban
        more = [one for one in self.unmet(part) if one not in self.unmet(present)]
        if not more:
            return None
        return self._said(next(rule for rule in self._index.rules if rule.rule_id == more[0]))

    def _is_broken(self, rule: Rule, part: str) -> bool:
        if not rule.is_about(self.country, self.product, part):
            return False
        if rule.attribute and rule.attribute not in self.attributes:
            return False
        if rule.max_value != NONE and not self._exceeds(rule):
            return False
        return rule.effect == "refuse" or any(paper not in self._terms.papers for paper in rule.papers)

    def _exceeds(self, rule: Rule) -> bool:
        """Whether any declared value is greater; one of another currency counts where both have a rate."""
        if self._greatest.get(rule.currency, 0) > rule.max_value:
            return True
        bound = self._terms.rate(rule.currency, self._today)
        for currency, units in sorted(self._greatest.items()):
            rate = self._terms.rate(currency, self._today)
            if bound is not None and rate is not None and rate * units > bound * rule.max_value:
                return True
        return False

    def _said(self, rule: Rule) -> Ban:
        missing = [paper for paper in rule.papers if paper not in self._terms.papers]
        what = "refuses it" if rule.effect == "refuse" else f"requires {', '.join(missing)}"
        about = f" for {rule.attribute}" if rule.attribute else ""
        above = f" above {Decimal(rule.max_value) / UNITS:f} {rule.currency}" if rule.max_value != NONE else ""
        why = f": {rule.reason}" if rule.reason else ""
        return Ban(
            f"rule {rule.rule_id} {what}{about}{above}{why}", [rule.subject], rule.rule_id, rule.effect == "require"
        )


def _greatest(carriages: list[Carriage]) -> dict[str, int]:
    """The greatest declared value of the last 40 days by currency, in ten-thousandths."""
    found: dict[str, int] = {}
    for one in carriages:
        for name, days in one.days.items():
            if name.startswith("value|"):
                currency = name.split("|", 1)[1]
                found[currency] = max(found.get(currency, 0), *(entry[2] for entry in days.values()))
    return found
