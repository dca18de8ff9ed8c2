"""The decision about one lane: rules, then figures, then bars, then how much."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from monitor.core.channel import Channel
from monitor.core.switch.advice import (
    BACK_DAYS,
    INSUFFICIENT,
    KEEP,
    NONE,
    STAY,
    SWITCH,
    Advice,
    Figures,
    Lane,
    advice_id,
    same,
)
from monitor.core.switch.allocation import Room
from monitor.core.switch.book import ALWAYS, Offer
from monitor.core.switch.cost import NOTHING, Cost, exact, of_beta, of_gamma
from monitor.core.switch.lane_rules import Ban, LaneRules
from monitor.core.switch.money import interval
from monitor.core.switch.posterior import Posterior, lateness
from monitor.core.switch.terms import UNITS, SwitchTerms, money
from monitor.core.switch.trouble import slowed
from monitor.core.switch.weighing import TROUBLED_HALF_LIFE, Beliefs, mean_amount, usual_promise
from monitor.core.vocabulary import DAY_US

#: A share below this is not worth an advice.
LEAST_SHARE: Final = 0.01
#: A lane that was compared goes on until fewer than this of ``min_parcels`` are known: one parcel changes no advice.
STILL_ENOUGH: Final = 0.75
_ONE: Final = Decimal(1)


@dataclass(slots=True)
class Candidate:
    """A carrier of the lane, while it is weighed. ``parcels``: of 40 days; ``seen``: of the whole look back."""

    part: str
    parcels: int
    seen: int
    offer: Offer | None
    ban: Ban | None
    trouble: str
    belief: Posterior | None = None
    postage: Decimal | None = None
    late_days: float = 0.0
    cost: Cost = NOTHING
    saving: Cost | None = None
    probability: float | None = None
    status: str = "compared"

    def may_do(self, terms: SwitchTerms) -> bool:
        """Whether it may be used, and may have had parcels enough to be compared."""
        return self.ban is None and not self.trouble and self.seen >= STILL_ENOUGH * terms.min_parcels

    def bound(self, margin: Decimal, terms: SwitchTerms) -> Decimal:
        """What its saving must exceed."""
        return margin if self.saving is None else margin + exact(terms.caution * self.saving.deviation)

    @property
    def known(self) -> float:
        """Parcels whose end is known, by their weight."""
        return 0.0 if self.belief is None else float(self.belief.known[0])

    def figures(self) -> Figures:
        """What is kept of it."""
        belief, saving, offer = self.belief, self.saving, self.offer
        shares: list[float | None] = [None] * 3
        if belief is not None:
            shares = [round(float(mean[0]), 6) for mean in belief.means()]
        subjects = [] if offer is None else [offer.subject]
        return Figures(
            self.part,
            self.parcels,
            None if belief is None else round(self.known, 3),
            shares[0],
            shares[1],
            shares[2],
            None if belief is None else round(math.exp(belief.ln_days[0]), 3),
            None if belief is None else round(self.late_days, 3),
            None if self.postage is None else money(self.postage),
            None if belief is None else interval(self.cost),
            None if saving is None else interval(saving),
            None if self.probability is None else round(self.probability, 6),
            self.status,
            [] if offer is None else offer.refuses,
            None if offer is None or offer.capacity_per_day < 0 else offer.capacity_per_day,
            ALWAYS if offer is None else offer.valid_to_us,
            sorted({*subjects, *([] if self.ban is None else self.ban.subjects)}),
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """What the lanes of one tick share. ``parcels``: channel → registered in the last 40 days, and in the whole look
    back; ``trouble(lane, part)``: the open incident on a carrier there in words, or nothing;
    ``measured_days``: how long what a switch brings is measured; ``warning``: that advice was wrong too often."""

    at_us: int
    at_day: float
    today: int
    terms: SwitchTerms
    parcels: Mapping[str, tuple[int, ...]]
    trouble: Callable[[str, str], str]
    measured_days: int
    channels: Mapping[str, Channel]
    warning: str = ""


def candidates(name: str, rules: LaneRules, offered: list[str], parts: list[str], now: Moment) -> list[Candidate]:
    """The carriers of a lane, the largest first: those in use in the last 40 days, then those that offer it."""
    used = [(part, n, seen) for part in parts for n, seen in (now.parcels[f"{name}|{part}"],)]
    used = sorted([one for one in used if one[1] > 0], key=lambda one: (-one[1], one[0]))
    served = {one[0].split("/", 1)[0] for one in used} | {one[0] for one in used}
    untried = [(part, 0, now.parcels.get(f"{name}|{part}", (0, 0))[1]) for part in offered if part not in served]
    if not used:
        return []
    present = used[0][0]
    return [
        Candidate(
            part,
            n,
            seen,
            rules.offer(part),
            rules.ban(part) if part == present else rules.bound(part, present),
            now.trouble(name, part),
        )
        for part, n, seen in (*used, *untried)
    ]


def is_comparable(found: list[Candidate], terms: SwitchTerms) -> bool:
    """Whether there may be enough parcels to compare the present carrier with any other that may be used."""
    return found[0].seen >= STILL_ENOUGH * terms.min_parcels and any(one.may_do(terms) for one in found[1:])


def price(plans: Sequence[tuple[str, Lane, list[Candidate]]], beliefs: Beliefs, now: Moment) -> dict[str, float | None]:
    """Work out what the candidates of some lanes cost; of each lane the promise (days) that they are held to."""
    terms = now.terms
    promises: dict[str, float | None] = {}
    priced: list[tuple[Candidate, Posterior, float | None, Decimal | None]] = []
    for name, lane, found in plans:
        promise = promises[name] = _promise(lane, found[0], now)
        value = mean_amount("value", [lane.carriages[part] for part in sorted(lane.carriages)], terms, now.at_day)
        by_part = {one.part: one for one in found}
        for one in found:
            one.postage = postage_of(one.part, by_part, lane, now)
            if one is found[0] or one.may_do(terms):
                one.belief = beliefs.of(name, one.part)
                if one.trouble:
                    channel = f"{name}|{one.part}"
                    one.belief = slowed(one.belief, beliefs.usual[channel], now.channels[channel])
                priced.append((one, one.belief, promise, value))
    late = lateness_of([(belief, promise) for _, belief, promise, _ in priced])
    for (one, belief, _, value), days in zip(priced, late, strict=True):
        one.cost, one.late_days = cost_of(belief, one.postage, days, value, terms), float(days.mean)
    return promises


def _promise(lane: Lane, present: Candidate, now: Moment) -> float | None:
    carried = lane.carriages
    mine = [carried[present.part]] if present.part in carried else []
    promise = usual_promise(mine, now.terms, now.at_day)
    if promise is None and present.offer is not None and present.offer.promised_days >= 0:
        promise = present.offer.promised_days
    return (
        promise
        if promise is not None
        else usual_promise([carried[part] for part in sorted(carried)], now.terms, now.at_day)
    )


def lateness_of(asked: Sequence[tuple[Posterior, float | None]]) -> list[Cost]:
    """The days that a parcel which arrives is late, of some posteriors (one row each) and promises (days); none where
    none is promised."""
    held = [(belief, promise) for belief, promise in asked if promise is not None]
    found: Iterator[tuple[float, ...]] = iter(())
    if held:
        moments = lateness(Posterior.joined([belief for belief, _ in held]), np.array([promise for _, promise in held]))
        found = zip(*(moment.tolist() for moment in moments), strict=True)
    return [NOTHING if promise is None else Cost(*map(exact, next(found))) for _, promise in asked]


def cost_of(belief: Posterior, price: Decimal | None, late: Cost, value: Decimal | None, terms: SwitchTerms) -> Cost:
    """The cost of a parcel by a posterior (one row). ``price``: postage, None where nobody knows it; ``late``: the days
    that one which arrives is late; ``value``: of the goods, None for that of the terms."""
    postage = price or Decimal(0)
    lost, returned = of_beta(belief.lost[0]), of_beta(belief.returned[0])
    arrives = max(_ONE - lost.mean - returned.mean, Decimal(0))
    return (
        Cost(postage, Decimal(0), Decimal(0))
        + returned.times(postage)
        + lost.times(terms.value if value is None else value)
        + late.times(terms.late_per_day * arrives)
        + of_gamma(belief.complained[0]).times(terms.complaint)
    )


def postage_of(part: str, found: Mapping[str, Candidate], lane: Lane, now: Moment) -> Decimal | None:
    """What a carrier asks: of the offer that holds, else the mean of its parcels. ``found``: the carriers by part."""
    offer = found[part].offer if part in found else None
    if offer is not None and offer.postage >= 0:
        rate = now.terms.rate(offer.currency, now.today)
        return None if rate is None else rate * Decimal(offer.postage) / UNITS
    mine = [lane.carriages[part]] if part in lane.carriages else []
    return mean_amount("postage", mine, now.terms, now.at_day)


def margin_of(present: Candidate, terms: SwitchTerms) -> Decimal:
    """What a carrier must save at least, for the present one to be left."""
    return max(terms.margin, exact(terms.margin_ratio) * present.cost.mean)


def weigh(lane: Lane, found: list[Candidate], now: Moment) -> Decimal:
    """Say of every candidate whether and how it compares with the present one; the margin of the lane."""
    terms, present = now.terms, found[0]
    present.status = "present"
    margin = margin_of(present, terms)
    for one in found[1:]:
        if one.ban is not None:
            one.status = "excluded"
        elif one.trouble:
            one.status = "incident"
        elif one.belief is None:
            one.status = "few_parcels" if one.seen < terms.min_parcels else "not_compared"
        elif (one.postage is None) != (present.postage is None):
            one.status = "no_price"
        else:
            one.saving = present.cost.less(one.cost)
            one.probability = one.saving.above(one.bound(margin, terms))
            if one.known < _enough(lane, present, terms):
                one.status = "few_parcels"
    return margin


def _enough(lane: Lane, present: Candidate, terms: SwitchTerms) -> float:
    """Parcels whose end is known, by their weight, that are enough to judge a carrier: fewer where the present one was
    compared the last time."""
    before = lane.advice
    compared = before is not None and before.from_carrier == present.part and before.decision in (STAY, SWITCH)
    return terms.min_parcels * (STILL_ENOUGH if compared else 1.0)


def decide(
    name: str, lane: Lane, found: list[Candidate], promise: float | None, room: Mapping[str, Room], now: Moment
) -> Advice:
    """The advice. ``room``: what each candidate can still take of the lane's parcels."""
    terms, present, before = now.terms, found[0], lane.advice
    margin = weigh(lane, found, now)
    kept = before.to_carrier if before and before.decision == SWITCH and before.from_carrier == present.part else ""
    compared = []
    for one in found[1:]:
        if one.status == "compared":
            if room[one.part].share < LEAST_SHARE:
                one.status = "no_room"
            else:
                compared.append(one)
    faster = TROUBLED_HALF_LIFE / terms.half_life_days if present.trouble else 1.0  # its parcels weigh less then
    known = present.known >= _enough(lane, present, terms) * min(faster, 1.0)
    best = _best(compared, kept, margin) if known else None
    open_ = [one for one in found[1:] if one.status in ("compared", "not_compared", "few_parcels", "no_price")]
    decision, share = NONE, 0.0
    if best is not None:
        decision = STAY
        bar = bar_of(best.part, kept, lane, present, now)
        if best.saving is not None and best.saving.mean > 0 and (best.probability or 0.0) > bar:
            decision, share = SWITCH, room[best.part].share
    elif open_:
        decision = INSUFFICIENT
    to = "" if best is None else best.part
    advice = Advice(
        "",
        present.part,
        to,
        decision,
        None if best is None or best.probability is None else round(best.probability, 6),
        None if best is None or best.saving is None else interval(best.saving),
        terms.currency,
        share,
        {one.part: one.ban.why for one in found if one.ban is not None},
        [],
        now.at_us,
        now.at_us,
        promise,
        [one.figures() for one in found],
        warning=now.warning if decision == SWITCH else "",
    )
    said = [room[one.part].why for one in found[1:] if one.part == to or one.status == "no_room"]
    advice.reasons = [*reasons(advice, found, margin, now), *(text for text in said if text)]
    return _continued(name, advice, before)


def _best(compared: list[Candidate], kept: str, margin: Decimal) -> Candidate | None:
    """The one that saves most; that of the advice before, unless another saves more than the margin beyond it."""
    if not compared:
        return None
    best = max(compared, key=lambda one: (one.saving.mean if one.saving else Decimal(0), one.part))
    held = next((one for one in compared if one.part == kept), None)
    if held is not None and held.saving and best.saving and best.saving.mean - held.saving.mean <= margin:
        return held
    return best


def bar_of(part: str, kept: str, lane: Lane, present: Candidate, now: Moment) -> float:
    """How probable it must be that the carrier is better."""
    if present.ban is not None:
        return 0.5  # what is used now may not be used
    if part == kept:
        return KEEP
    left = lane.left.get(part)
    if now.warning or (left is not None and now.at_us - left <= BACK_DAYS * DAY_US):
        return now.terms.back_probability
    return now.terms.probability


def _continued(name: str, advice: Advice, before: Advice | None) -> Advice:
    """The advice with the id, the answers and the revision of the one before where it says the same."""
    if before is not None and same(advice, before):
        advice.advice_id, advice.since_us, advice.notes = before.advice_id, before.since_us, before.notes
        changed = abs(advice.share - before.share) >= LEAST_SHARE
        advice.revision = before.revision + changed
        return advice
    advice.advice_id = advice_id(name, advice.decision, advice.from_carrier, advice.to_carrier, advice.since_us)
    return advice


def reasons(advice: Advice, found: list[Candidate], margin: Decimal, now: Moment) -> list[str]:
    """Why, in sentences."""
    terms, present = now.terms, found[0]
    out = [advice.warning] if advice.warning else []
    if present.ban is not None:
        out.append(f"{present.part}, in use now, may not be used: {present.ban.why}.")
    if present.trouble:
        out.append(f"{present.part} has an open incident ({present.trouble}).")
    best = next((one for one in found if one.part == advice.to_carrier), None)
    if best is not None and best.saving is not None:
        out.append(
            f"{best.part} costs {_amount(best.cost.mean)} {terms.currency} a parcel, {present.part} "
            f"{_amount(present.cost.mean)}; that it saves more than {_amount(best.bound(margin, terms))} has a "
            f"probability of {best.probability or 0.0:.1%}."
        )
        out += _differences(present, best)
        if advice.decision == SWITCH:
            out.append(f"Move {advice.share:.0%} of the lane's parcels to {best.part}.")
    elif advice.decision == INSUFFICIENT:
        out += _few(present, terms)
    elif advice.decision == NONE:
        out.append("No other carrier that may be used now is known on this lane.")
    untried = [one.part for one in found if one.status == "few_parcels" and not one.seen]
    for one in found[1:]:
        if one.part not in untried:
            out += _left_out(one, terms)
    return [*out, f"Not tried lately: {', '.join(untried)}."] if untried else out


def _differences(present: Candidate, best: Candidate) -> list[str]:
    lost = [0.0 if one.belief is None else 100 * float(one.belief.means()[0][0]) for one in (present, best)]
    said = [
        f"Lost: {lost[1]:.1f}% with {best.part}, {lost[0]:.1f}% with {present.part}; days late per parcel: "
        f"{best.late_days:.1f} and {present.late_days:.1f}."
    ]
    if best.postage is not None and present.postage is not None:
        said.append(f"Postage: {_amount(best.postage)} and {_amount(present.postage)}.")
    return said


def _left_out(one: Candidate, terms: SwitchTerms) -> list[str]:
    if one.status == "excluded" and one.ban is not None:
        return [f"{one.part} is excluded: {one.ban.why}."]
    if one.status == "incident":
        return [f"{one.part} is no alternative while an incident is open on it ({one.trouble})."]
    if one.status == "few_parcels":
        return _few(one, terms)
    if one.status == "no_price":
        return [f"What {one.part} charges, or the carrier in use, is not known in {terms.currency}."]
    return [f"{one.part} has no room for more parcels of this lane."] if one.status == "no_room" else []


def _few(one: Candidate, terms: SwitchTerms) -> list[str]:
    """That too little is known of a carrier, if that is so."""
    if one.belief is None:
        short = one.seen < terms.min_parcels
        return [f"{one.part} had {one.seen} parcels lately; {terms.min_parcels} are needed."] if short else []
    short = one.known < terms.min_parcels
    return [f"Of {one.part} the end of {one.known:.0f} parcels is known; {terms.min_parcels} are needed."] * short


def _amount(value: Decimal) -> str:
    return f"{value:.2f}"
