"""What carriers can take: by the rules of one lane, and by the capacity that lanes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitor.core.switch.advice import SWITCH, Advice, Lane
from monitor.core.switch.allocation import Room, Wish, allocate, asked, parcels_a_day, rooms, whole
from monitor.core.switch.deciding import Candidate, Moment, bar_of, margin_of
from monitor.core.switch.terms import SwitchTerms

#: A lane, its state, its carriers, the present one first.
Plan = tuple[str, Lane, list[Candidate]]


def alone(found: Sequence[Candidate], terms: SwitchTerms) -> dict[str, Room]:
    """The share of the lane's parcels that each other carrier can take of the present one, capacities left aside."""
    total = sum(each.parcels for each in found)
    present = found[0].parcels / total
    return {
        one.part: Room(whole(min(present, terms.max_step, terms.max_share - one.parcels / total))) for one in found[1:]
    }


def free_capacity(plans: Sequence[Plan]) -> dict[str, float]:
    """Offer → parcels a day that it takes beyond what it carries on all lanes."""
    free: dict[str, float] = {}
    for _, _, found in plans:
        for one in found:
            if one.offer is not None and one.offer.capacity_per_day >= 0:
                known = free.get(one.offer.uid, one.offer.capacity_per_day)
                free[one.offer.uid] = known - parcels_a_day(one.parcels)
    return free


def share_capacity(
    plans: Sequence[Plan], advised: Mapping[str, Advice], able: Mapping[str, Mapping[str, Room]], now: Moment
) -> dict[str, dict[str, Room]]:
    """Lane → rooms of its carriers, of the lanes that ask for an offer which is short; empty if none is.

    ``advised``: what each lane would be advised by itself, ``able``: the rooms it was given.
    """
    free = free_capacity(plans)
    if not free:
        return {}
    wishes = [
        wish
        for name, lane, found in plans
        if advised[name].decision == SWITCH
        for wish in _wishes(name, lane, found, able[name], free, now)
    ]
    short = {offer for offer, parcels in asked(wishes).items() if parcels > free[offer]}
    touched = {one.lane for one in wishes if one.offer in short}
    while True:  # lanes that may turn to another offer bring in those that ask for that one
        offers = {one.offer for one in wishes if one.lane in touched and one.offer}
        more = {one.lane for one in wishes if one.offer in offers}
        if more <= touched:
            break
        touched |= more
    some = [one for one in wishes if one.lane in touched]
    given = allocate(some, free)
    per_day = {name: parcels_a_day(sum(one.parcels for one in found)) for name, _, found in plans}
    told = rooms(some, given, per_day, free)
    return {name: {part: told.get((name, part), room) for part, room in able[name].items()} for name in sorted(touched)}


def _wishes(
    name: str, lane: Lane, found: Sequence[Candidate], able: Mapping[str, Room], free: Mapping[str, float], now: Moment
) -> list[Wish]:
    """The carriers that a lane may be advised: those that pass its bar."""
    before, present = lane.advice, found[0]
    per_day = parcels_a_day(sum(one.parcels for one in found))
    kept = before.to_carrier if before and before.decision == SWITCH and before.from_carrier == present.part else ""
    out = []
    for one in found[1:]:
        if one.status != "compared" or one.saving is None or one.saving.mean <= 0:
            continue
        if (one.probability or 0.0) <= bar_of(one.part, kept, lane, present, now):
            continue
        offer = one.offer.uid if one.offer is not None and one.offer.uid in free else ""
        bonus = float(margin_of(present, now.terms)) if one.part == kept else 0.0
        most = able[one.part].share * per_day
        out.append(Wish(name, one.part, most, float(one.saving.mean), offer, bonus))
    return out
