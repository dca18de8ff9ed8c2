"""Measures accepted switches by the parcels of the whole weeks since they were accepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from monitor.core.switch import posterior as pos
from monitor.core.switch.advice import Lane
from monitor.core.switch.counts import Counts
from monitor.core.switch.deciding import Candidate, Moment, cost_of, lateness_of, postage_of
from monitor.core.switch.outcomes import STRENGTH, Accepted, Arm, settle
from monitor.core.switch.terms import SwitchTerms
from monitor.core.switch.weighing import Beliefs, mean_amount
from monitor.core.vocabulary import DAY_US

_NOTHING: Final = Arm(0, None)


def is_open(lane: Lane) -> bool:
    """Whether a switch of the lane is still to be measured."""
    return any(not one.is_final for one in lane.accepted)


def measure(
    name: str,
    lane: Lane,
    found: Sequence[Candidate],
    parts: Iterable[str],
    counts: Counts,
    beliefs: Beliefs,
    now: Moment,
) -> None:
    """Measure the switches of a lane that are not final. ``found``: its carriers now; ``parts``: all it ever had."""
    for one in lane.accepted:
        if one.is_final:
            continue
        arms = _arms(name, lane, found, sorted(parts), one, counts, beliefs, now)
        lane_parcels = sum(arm.parcels for arm in arms.values())
        allowed = {each.part for each in found if each.ban is None}
        others = [arm.cost for part, arm in sorted(arms.items()) if part in allowed and arm.cost is not None]
        old, new = arms.get(one.from_carrier, _NOTHING), arms.get(one.to_carrier, _NOTHING)
        settle(one, old, new, others, lane_parcels, now.at_us)
        one.is_final = now.at_us - one.at_us >= now.measured_days * DAY_US


def _arms(
    name: str,
    lane: Lane,
    found: Sequence[Candidate],
    parts: list[str],
    one: Accepted,
    counts: Counts,
    beliefs: Beliefs,
    now: Moment,
) -> dict[str, Arm]:
    """The carriers of the lane since the answer."""
    terms: SwitchTerms = now.terms
    since = int(now.at_day) - one.at_us // DAY_US
    if since < 7:
        return {}
    names = [f"{name}|{part}" for part in parts]
    order = np.array([counts.rows[channel] for channel in names], dtype=np.int64)
    seen = counts.weigh(order, now.at_day, since, np.full(len(names), np.inf))
    prior = beliefs.countries.take(np.array([beliefs.rows[channel] for channel in names]))
    exposed = (seen.registered * beliefs.complaint_share).sum(axis=1)
    belief = pos.update(prior, seen, exposed, strength=STRENGTH)
    value = mean_amount("value", [lane.carriages[part] for part in sorted(lane.carriages)], terms, now.at_day)
    candidate = {each.part: each for each in found}
    postage = {part: postage_of(part, candidate, lane, now) for part in parts}
    is_priced = postage.get(one.from_carrier) is not None
    out = {}
    for i, part in enumerate(parts):
        known, price, cost = float(belief.known[i]), postage[part], None
        if known >= terms.min_parcels and (price is not None) == is_priced:
            mine = belief.take(np.array([i]))
            cost = cost_of(mine, price, lateness_of([(mine, one.promised_days)])[0], value, terms)
        out[part] = Arm(int(seen.registered[i].sum()), cost)
    return out
