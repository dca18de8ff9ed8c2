"""The off-policy estimate: what parcels would have cost had every advice to switch been followed.

Behaviour policy: the carriers' real shares of a lane. Target policy: on each day, the share that was advised at the
midnight before moved from one carrier to the other; nothing else. Within a lane and a week the carrier of a parcel is
taken to be chosen without regard to its fate (stratification; what speaks against it is told as an imbalance), so the
mean cost of the week's parcels of a carrier is what a moved parcel would have cost (the weighted form of Horvitz and
Thompson 1952, Hájek 1971). Where a carrier has fewer than ``LEAST`` parcels in a week, the weeks up to ``POOL`` around
it help; where that is not enough, the log cannot tell.

    saved = Σ_w m_w (c̄_old,w − c̄_new,w)        Var = Σ_w m_w² [(φ s²/n)_old,w + (φ s²/n)_new,w]

m_w: parcels that would have moved. φ ≥ 1: how much more the means of successive weeks differ than their parcels explain
(mean square successive difference: von Neumann 1941), for what the parcels of a week have in common.

The cost of a parcel is that of docs/recommendations.md, as it happened: postage, twice if it came back; the goods if it
was lost or is silent ``horizon`` days after registration; days after the promise; complaints. Parcels younger than the
horizon are left out on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import numpy as np

from monitor.core.switch.cost import Z90, Cost, exact
from monitor.core.switch.money import Money, interval
from monitor.core.switch.posterior import MOST_LATE
from monitor.core.switch.terms import SwitchTerms
from monitor.core.vocabulary import DAY_US
from monitor.replay.offpolicy.notes import Move, Notes, Seen

LEAST: Final = 8
POOL: Final = 2
HORIZON: Final = (20, 90)  # bounds of the days after which a silent parcel is lost
AFTER_DAYS: Final = 45  # parcels of so many days after an advice say whether it was right
LEAST_AFTER: Final = 20
IMBALANCE: Final = 0.25
_CHI2_MEDIAN: Final = 0.4549364


@dataclass(frozen=True, slots=True)
class Week:
    """The parcels of a carrier in a week: their number, mean cost and the variance of that mean."""

    n: int
    mean: float
    variance: float


@dataclass(slots=True)
class LaneFound:
    """A lane on which a switch was advised: its ``parcels``, and those ``left_out`` because they are too young to tell;
    ``moved`` parcels that can be told of, ``untold`` ones that cannot."""

    lane: str
    horizon_days: int
    parcels: int = 0
    left_out: int = 0
    days: int = 0
    moved: float = 0.0
    untold: float = 0.0
    saved: float = 0.0
    variance: float = 0.0
    imbalances: list[str] = field(default_factory=list)
    why_not: str = ""

    @property
    def saved_money(self) -> Money:
        """What was saved, with its 90% interval."""
        return interval(Cost(exact(self.saved), exact(self.variance), Decimal(0)))


@dataclass(frozen=True, slots=True)
class AdviceFound:
    """An advice, its forecast a parcel, and what parcels of the days after it say; None where too few do."""

    lane: str
    move: Move
    saving: Money | None
    is_as_forecast: bool | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What following the advice would have saved."""

    currency: str
    lanes: list[LaneFound]
    advice: list[AdviceFound]

    @property
    def saved(self) -> Money:
        """In all, with its 90% interval."""
        total = sum(one.saved for one in self.lanes)
        variance = sum(one.variance for one in self.lanes)
        return interval(Cost(exact(total), exact(variance), Decimal(0)))


def estimate(notes: Notes, terms: SwitchTerms, end_us: int) -> Estimate:
    """Estimate from what was noted up to ``end_us``."""
    by_lane: dict[str, list[Seen]] = {}
    for _, parcel in sorted(notes.parcels.items()):
        by_lane.setdefault(parcel.lane, []).append(parcel)
    lanes, advised = [], []
    for name in sorted(notes.moves):
        moves = notes.moves[name]
        found = LaneFound(name, horizon_of(by_lane[name]))
        last_day = end_us // DAY_US - found.horizon_days
        parcels = [one for one in by_lane[name] if one.day < last_day]
        found.parcels, found.left_out = len(parcels), len(by_lane[name]) - len(parcels)
        costs = _costs(name, parcels, notes.asked, terms, found)
        _follow(found, parcels, costs, moves)
        lanes.append(found)
        advised += [_after(name, move, costs) for move in _first_of_each(moves) if move.day + 1 < last_day]
    return Estimate(terms.currency, lanes, advised)


def horizon_of(parcels: Iterable[Seen]) -> int:
    """Days after which hardly any parcel still arrives: the 99% quantile of the days to delivery, within bounds."""
    days = sorted(
        (one.delivered_us - one.registered_us) / DAY_US for one in parcels if one.delivered_us >= one.registered_us > 0
    )
    if not days:
        return HORIZON[1]
    return min(max(math.ceil(days[int(0.99 * (len(days) - 1))]), HORIZON[0]), HORIZON[1])


def _costs(
    lane: str, parcels: Sequence[Seen], asked: Mapping[tuple[str, str], Decimal], terms: SwitchTerms, found: LaneFound
) -> dict[str, list[tuple[int, float]]]:
    """Carrier → (day, cost) of its parcels; empty where the price of one is known and that of another is not."""
    values = [one.value for one in parcels if one.value is not None]
    value = float(sum(values) / len(values)) if values else float(terms.value)
    promises = [one.promised_days for one in parcels if one.promised_days is not None]
    promise = float(np.median(promises)) if promises else None
    postage: dict[str, float | None] = {}
    for carrier in sorted({one.carrier for one in parcels}):
        own = [one.postage for one in parcels if one.carrier == carrier and one.postage is not None]
        offered = asked.get((lane, carrier))
        postage[carrier] = float(sum(own) / len(own)) if own else None if offered is None else float(offered)
    unknown = sorted(carrier for carrier, price in postage.items() if price is None)
    if unknown and len(unknown) < len(postage):
        found.why_not = f"what {', '.join(unknown)} charges is not known"
        return {}
    out: dict[str, list[tuple[int, float]]] = {}
    for one in parcels:
        returned, lost = one.returned_us > 0, one.lost_us > 0
        cost = (postage[one.carrier] or 0.0) * (1 + returned) + one.complaints * float(terms.complaint)
        if one.delivered_us:
            if promise is not None:
                late = (one.delivered_us - one.registered_us) / DAY_US - promise
                cost += float(terms.late_per_day) * min(max(late, 0.0), MOST_LATE)
        elif lost or not returned:
            cost += value
        out.setdefault(one.carrier, []).append((one.day, cost))
    return out


def _follow(
    found: LaneFound,
    parcels: Sequence[Seen],
    costs: Mapping[str, Sequence[tuple[int, float]]],
    moves: Mapping[int, Move],
) -> None:
    """Add up a lane, week by week."""
    if not costs:
        return
    per_day: dict[int, int] = {}
    of_carrier: dict[tuple[int, str], int] = {}
    for one in parcels:
        per_day[one.day] = per_day.get(one.day, 0) + 1
        of_carrier[one.day, one.carrier] = of_carrier.get((one.day, one.carrier), 0) + 1
    moved: dict[tuple[int, str, str], float] = {}
    for day, n in sorted(per_day.items()):
        move = moves.get(day)  # advice of the midnight that begins the day
        if move is not None:
            found.days += 1
            key = day // 7, move.from_carrier, move.to_carrier
            most = of_carrier.get((day, move.from_carrier), 0)
            moved[key] = moved.get(key, 0.0) + min(move.share * n, most)
    weeks = {carrier: _weeks(pairs) for carrier, pairs in costs.items()}
    excess = {carrier: _excess(some) for carrier, some in weeks.items()}
    for (week, old, new), m in sorted(moved.items()):
        arms = [_around(costs.get(carrier, ()), week) for carrier in (old, new)]
        if m <= 0:
            continue
        if arms[0] is None or arms[1] is None:
            found.untold += m
            continue
        found.moved += m
        found.saved += m * (arms[0].mean - arms[1].mean)
        found.variance += m * m * (excess[old] * arms[0].variance + excess[new] * arms[1].variance)
    for old, new in sorted({(old, new) for _, old, new in moved}):
        found.imbalances += _imbalances(parcels, old, new)


def _weeks(pairs: Sequence[tuple[int, float]]) -> dict[int, Week]:
    """The weeks of a carrier with at least two parcels."""
    by_week: dict[int, list[float]] = {}
    for day, cost in pairs:
        by_week.setdefault(day // 7, []).append(cost)
    return {week: _mean(some) for week, some in sorted(by_week.items()) if len(some) > 1}


def _mean(costs: Sequence[float]) -> Week:
    return Week(len(costs), float(np.mean(costs)), float(np.var(costs, ddof=1)) / len(costs))


def _around(pairs: Sequence[tuple[int, float]], week: int) -> Week | None:
    """The parcels of a week, and of as few weeks around it as are needed; None where the log cannot tell."""
    for wide in range(POOL + 1):
        some = [cost for day, cost in pairs if abs(day // 7 - week) <= wide]
        if len(some) >= LEAST:
            return _mean(some)
    return None


def _excess(weeks: Mapping[int, Week]) -> float:
    """φ: by how much the means of successive weeks differ beyond what their parcels explain; a median, so that a
    lasting change counts for nothing."""
    ratios = [
        (weeks[week + 1].mean - one.mean) ** 2 / (one.variance + weeks[week + 1].variance)
        for week, one in weeks.items()
        if week + 1 in weeks and one.variance + weeks[week + 1].variance > 0
    ]
    return max(float(np.median(ratios)) / _CHI2_MEDIAN, 1.0) if len(ratios) >= 4 else 1.5


def _imbalances(parcels: Sequence[Seen], old: str, new: str) -> list[str]:
    """What the carriers were given that differs by more than ``IMBALANCE`` standard deviations."""
    sides = [[one for one in parcels if one.carrier == carrier] for carrier in (old, new)]
    if not all(sides):
        return []
    what: dict[str, list[list[float]]] = {}
    if all(any(one.value is not None for one in side) for side in sides):
        what["declared value"] = [[float(one.value) for one in side if one.value is not None] for side in sides]
    for name in sorted(set().union(*(one.attributes for side in sides for one in side))):
        what[f"share with {name}"] = [[float(name in one.attributes) for one in side] for side in sides]
    out = []
    for name, (left, right) in what.items():
        sd = math.sqrt((np.var(left) + np.var(right)) / 2)
        difference = float(np.mean(right) - np.mean(left))
        if sd > 0 and abs(difference) > IMBALANCE * sd:
            out.append(f"{name}: {np.mean(left):.3g} with {old}, {np.mean(right):.3g} with {new}")
    return out


def _first_of_each(moves: Mapping[int, Move]) -> list[Move]:
    """Each advice as it was first given, in the order of time."""
    first: dict[str, Move] = {}
    for _, move in sorted(moves.items()):
        first.setdefault(move.advice_id, move)
    return list(first.values())


def _after(lane: str, move: Move, costs: Mapping[str, Sequence[tuple[int, float]]]) -> AdviceFound:
    """Whether what was forecast came true for the parcels of the days after an advice."""
    sides = [
        [cost for day, cost in costs.get(carrier, ()) if move.day <= day < move.day + AFTER_DAYS]
        for carrier in (move.from_carrier, move.to_carrier)
    ]
    if min(map(len, sides)) < LEAST_AFTER:
        return AdviceFound(lane, move, None, None)
    old, new = (_mean(side) for side in sides)
    excess = [_excess(_weeks(costs[carrier])) for carrier in (move.from_carrier, move.to_carrier)]
    variance = excess[0] * old.variance + excess[1] * new.variance
    saving = old.mean - new.mean
    doubt = math.hypot(math.sqrt(variance), float(move.forecast.high - move.forecast.low) / (2 * Z90))
    is_near = abs(saving - float(move.forecast.value)) <= Z90 * doubt
    return AdviceFound(lane, move, interval(Cost(exact(saving), exact(variance), Decimal(0))), is_near)
