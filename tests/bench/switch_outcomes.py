"""How often the interval of what an accepted switch brought holds the truth, and how far its middle is off.

.venv/bin/python tests/bench/switch_outcomes.py --seeds 1-10            # for tuning
.venv/bin/python tests/bench/switch_outcomes.py --seeds 9361-9380       # the proof; nobody looks at these while tuning

In worlds whose carriers stay as they are somebody accepts a switch, and parcels follow from the next day on:
``advised`` takes the first advice from day 45 on as it stands, ``part`` moves half of what the carrier in use has, so
that both are measured on the same days, ``equal`` moves parcels between carriers that are alike. The real folds measure
it; the truth is the difference of the true costs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from switch_policies import Lane, Shares
from switch_worlds import WEEK_SHOCK, World, _event, equal, planted
from switching import TERMS

from monitor.core.switch.advice import SWITCH
from monitor.core.switch.outcomes import MEASURED

FIRST_DAY, LAST_DAY = 45, 80
LOOKS: Final = (28, 42, 63, 91)  # days after the answer
PER_DAY: Final = 25.0


@dataclass(frozen=True)
class Look:
    """What was measured some days after an answer. Amounts in dollars a parcel."""

    kind: str
    days: int
    against: str
    low: float
    value: float
    high: float
    truth: float

    @property
    def holds(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high


def run(world: World, kind: str) -> list[Look]:
    """One world: what was measured at each look."""
    used = {one.name: 0.05 if one.name in world.excluded else one.share for one in world.carriers}
    lane = Lane(world, TERMS, used)
    carriers = {one.name: one for one in world.carriers}
    rng = np.random.default_rng([world.seed, 8])
    answered, out = None, []
    for day in range(LAST_DAY + LOOKS[-1] + 1):
        if day % 7 == 0:
            shocks = {one: float(rng.normal(0.0, WEEK_SHOCK)) for one in sorted(carriers)}
        lane.day(day, carriers, shocks)
        if answered is None:
            if day > LAST_DAY:
                break
            if day >= FIRST_DAY and answer(lane, kind, day + 1.01):
                answered = day + 1
        elif day - answered in LOOKS:
            (taken,) = next(iter(lane.state.lanes.values())).accepted
            if taken.state == MEASURED and taken.saving is not None:
                truth = world.costs[taken.from_carrier] - world.costs[taken.to_carrier]
                against = "same_days" if taken.same_days else "before"
                saving = [float(one) for one in (taken.saving.low, taken.saving.value, taken.saving.high)]
                out.append(Look(kind, day - answered, against, *saving, truth))
    return out


def answer(lane: Lane, kind: str, at: float) -> bool:
    """Accept what the kind of world asks for, if it is advised, and let parcels follow."""
    advice = lane.advice
    if advice is None or (kind != "equal" and advice.decision != SWITCH):
        return False
    present = advice.from_carrier
    to = advice.to_carrier if kind != "equal" else min(one for one in lane.shares if one != present)
    share = advice.share if kind == "advised" else lane.shares[present] / 2
    said = {"target": advice.advice_id, "what": "accept"}
    own = {} if kind == "advised" else {"carrier": to, "share": round(share, 3)}
    lane._push(_event("decision.recorded.v1", advice.advice_id, at, {**said, **own}))
    lane.shares = _moved(lane.shares, present, to, share)
    return True


def _moved(shares: Shares, present: str, to: str, share: float) -> Shares:
    step = min(share, shares[present])
    return {name: one + step * ((name == to) - (name == present)) for name, one in shares.items()}


KINDS: dict[str, Callable[[int], World]] = {
    "advised": lambda seed: planted(seed, PER_DAY, 0.1),
    "part": lambda seed: planted(seed, PER_DAY, 0.1),
    "equal": lambda seed: equal(seed, PER_DAY),
}


def proof(seeds: list[int]) -> dict[str, Any]:
    """The figures by kind of world, by what the old carrier was measured on, and by days since the answer."""
    looks = [look for kind, make in KINDS.items() for seed in seeds for look in run(make(seed), kind)]
    groups: dict[str, list[Look]] = {"all": looks}
    for look in looks:
        for name in (look.kind, look.against, f"{look.days} days"):
            groups.setdefault(name, []).append(look)
    return {name: _told(some) for name, some in groups.items()}


def _told(looks: list[Look]) -> dict[str, Any]:
    off = np.array([one.value - one.truth for one in looks])
    return {
        "looks": len(looks),
        "covered": round(float(np.mean([one.holds for one in looks])), 3),
        "bias": round(float(off.mean()), 3),
        "deviation": round(float(off.std()), 3),
        "half_width": round(float(np.mean([(one.high - one.low) / 2 for one in looks])), 3),
        "true_saving": round(float(np.mean([one.truth for one in looks])), 3),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-5", help="first-last")
    first, _, last = parser.parse_args().seeds.partition("-")
    json.dump(proof(list(range(int(first), int(last or first) + 1))), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
