"""How much of each lane may move to each carrier, and who gets the room of an offer that several lanes share.

Without capacities each lane decides alone. Where the lanes that would switch ask more of an offer than it takes a day,
the room is given by a small optimisation over these lanes (a mixed-integer programme, solved by HiGHS through SciPy):

    maximise    Σ saving_lk · x_lk                 x_lk: parcels a day of lane l that move to carrier k
    subject to  0 ≤ x_lk ≤ most_lk · y_lk,  Σ_k y_lk ≤ 1          one carrier a lane
                Σ x_lk ≤ free_o                    over the lanes and carriers of an offer o

What a lane is advised already counts the margin more, so that equal plans do not take turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.core.baseline import Floats
from monitor.core.switch.carried import LANE_DAYS

_ENOUGH: Final = 1e-9
NAMED: Final = 3  # lanes that an explanation names


@dataclass(frozen=True, slots=True)
class Room:
    """The share of a lane's parcels that a carrier can take of the present one, and what is to be said of it."""

    share: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """A carrier that a lane may be advised: ``most`` parcels a day, each saving so much (``bonus`` more if it is
    advised already); ``offer``: the offer whose capacity it uses, empty for none."""

    lane: str
    carrier: str
    most: float
    saving: float
    offer: str = ""
    bonus: float = 0.0


def whole(share: float) -> float:
    """A share in whole hundredths, none below zero.

    >>> whole(0.2999999999999), whole(-0.1)
    (0.3, 0.0)
    """
    return max(int(100 * share + 1e-6) / 100, 0.0)


def asked(wishes: Iterable[Wish]) -> dict[str, float]:
    """Parcels a day asked of each offer, if every lane gets the one that saves most."""
    best: dict[str, Wish] = {}
    for wish in wishes:
        known = best.get(wish.lane)
        if known is None or (wish.saving + wish.bonus, wish.carrier) > (known.saving + known.bonus, known.carrier):
            best[wish.lane] = wish
    out: dict[str, float] = {}
    for wish in best.values():
        if wish.offer:
            out[wish.offer] = out.get(wish.offer, 0.0) + wish.most
    return out


def allocate(wishes: Sequence[Wish], free: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """(lane, carrier) → parcels a day, above 0 for one carrier of a lane at most. ``free``: parcels a day by offer.

    Raises :class:`RuntimeError` if the solver finds no optimum, which a feasible and bounded programme always has.
    """
    ranked = sorted(
        (one for one in wishes if one.most > 0 and one.saving + one.bonus > 0), key=lambda one: (one.lane, one.carrier)
    )
    if not ranked:
        return {}
    from scipy.optimize import Bounds, LinearConstraint, milp  # only where a capacity binds: it loads slowly

    n = len(ranked)
    lanes, offers = sorted({one.lane for one in ranked}), sorted({one.offer for one in ranked if one.offer})
    most = np.array([one.most for one in ranked])
    worth = np.array([one.saving + one.bonus for one in ranked])
    worth *= 1 - 1e-9 * np.arange(n)  # of equal plans always the same
    linked = np.hstack((np.eye(n), -np.diag(most)))
    one_each, shared = np.zeros((len(lanes), 2 * n)), np.zeros((len(offers), 2 * n))
    for i, one in enumerate(ranked):
        one_each[lanes.index(one.lane), n + i] = 1
        if one.offer:
            shared[offers.index(one.offer), i] = 1
    room: Floats = np.array([max(free[offer], 0.0) for offer in offers])
    constraints = [LinearConstraint(linked, -np.inf, 0.0), LinearConstraint(one_each, -np.inf, 1.0)]
    if offers:
        constraints.append(LinearConstraint(shared, -np.inf, room))
    found = milp(
        np.concatenate((-worth, np.zeros(n))),
        integrality=np.repeat([0, 1], n),
        bounds=Bounds(np.zeros(2 * n), np.concatenate((most, np.ones(n)))),
        constraints=constraints,
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        raise RuntimeError(f"the capacities of offers could not be given: {found.message}")
    moved = np.round(found.x[:n], 9)
    return {(one.lane, one.carrier): float(x) for one, x in zip(ranked, moved, strict=True) if x > _ENOUGH}


def rooms(
    wishes: Sequence[Wish],
    given: Mapping[tuple[str, str], float],
    per_day: Mapping[str, float],
    free: Mapping[str, float],
) -> dict[tuple[str, str], Room]:
    """The rooms of carriers whose offers are short, in words: whole hundredths of the lane's ``per_day`` parcels."""
    by_offer: dict[str, list[Wish]] = {}
    for wish in sorted(wishes, key=lambda one: (-one.saving, one.lane)):
        if wish.offer and (wish.lane, wish.carrier) in given:
            by_offer.setdefault(wish.offer, []).append(wish)
    out = {}
    for wish in wishes:
        if not wish.offer:
            continue
        x = given.get((wish.lane, wish.carrier), 0.0)
        others = [one for one in by_offer.get(wish.offer, []) if one.lane != wish.lane]
        names = ", ".join(f"{one.lane.replace('|', ' ')} ({one.saving:.2f} a parcel)" for one in others[:NAMED])
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        text = f"The offer of {wish.carrier} has room for {max(free[wish.offer], 0.0):.1f} parcels a day more"
        if x:
            text += f"; {x:.1f} of them go to this lane"
        if names:
            text += f"{', the rest' if x else '; it goes'} to {names}{more}: that saves most in all"
        out[wish.lane, wish.carrier] = Room(whole(x / per_day[wish.lane]), text + ".")
    return out


def parcels_a_day(parcels: int) -> float:
    """Of parcels of the last ``LANE_DAYS``."""
    return parcels / LANE_DAYS
