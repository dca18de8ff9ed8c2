"""How good the advice about carriers is, on worlds whose truth is known.

.venv/bin/python tests/bench/switching.py --seeds 1-50            # for tuning
.venv/bin/python tests/bench/switching.py --seeds 9001-9200       # the proof; nobody looks at these while tuning
.venv/bin/python tests/bench/switching.py --seeds 1-20 --only equal --set margin_ratio=0.05
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

import numpy as np
from switch_worlds import LATE_PER_DAY, World, equal, events, planted

from monitor.core.events import Event
from monitor.core.params import Params
from monitor.core.switch.advice import Advice
from monitor.core.switch.terms import SwitchTerms
from monitor.replay.driver import Replay
from monitor.replay.driver import World as State
from monitor.wire.incoming import Incoming

FIND_DAYS, EQUAL_DAYS, SMALL_DAYS, SMALL_PER_DAY = 45, 120, 30, 1.0
CLEAR = 0.25  # from this gap on the best carrier is clearly the best
_REGRETS = ("regret", "least_regret", "greedy_regret")
TERMS = SwitchTerms(value=Decimal(40), late_per_day=Decimal("0.5"), complaint=Decimal(8))


class _Watch:
    """Notes what was advised at every tick."""

    def __init__(self) -> None:
        self.advised: list[tuple[int, Advice]] = []

    def saw(self, event: Event, recorded_us: int, refused: bool) -> None:
        """Do nothing."""

    def closed(self, tick_us: int, world: State) -> None:
        """Note the advice of each lane."""
        self.advised += [(tick_us, lane.advice) for lane in world.lanes.values() if lane.advice is not None]


def advised(world: World, days: int, terms: SwitchTerms) -> list[Advice]:
    """All advice of a world, tick by tick."""
    watch = _Watch()
    run = Replay(replace(Params(), switch=terms), observer=watch)
    run.add(Incoming("world", i, line, line) for i, line in enumerate(events(world, days), 1))
    run.run()
    return [advice for _, advice in watch.advised]


@dataclass(frozen=True)
class Found:
    """A planted world: by what share the best is cheaper than the next, the advice at the end, whether an excluded
    carrier was ever named, regrets per parcel: of the advice, of the least expected cost, of what was delivered."""

    seed: int
    gap: float
    decision: str
    is_best: bool
    named_excluded: bool
    regret: float
    least_regret: float
    greedy_regret: float


def find(seed: int, terms: SwitchTerms) -> Found:
    """Whether the best carrier of a planted world is found."""
    world = planted(seed)
    said = advised(world, FIND_DAYS, terms)
    last = said[-1]
    chosen = last.to_carrier if last.decision == "switch" else last.from_carrier
    best = world.costs[world.best]
    usable = sorted(cost for name, cost in world.costs.items() if name not in world.excluded)
    weighed = [one for one in last.carriers if one.cost is not None and one.carrier not in world.excluded]
    least = min(weighed, key=lambda one: one.cost.value if one.cost else 0).carrier if weighed else last.from_carrier
    return Found(
        seed,
        1 - usable[0] / usable[1],
        last.decision,
        chosen == world.best,
        any(one.to_carrier in world.excluded for one in said),
        world.costs[chosen] - best,
        world.costs[least] - best,
        world.costs[greedy(world, FIND_DAYS)] - best,
    )


def greedy(world: World, days: int) -> str:
    """The carrier that looks cheapest by its delivered parcels alone: postage and their mean days late."""
    registered: dict[str, tuple[str, float]] = {}
    late: dict[str, list[float]] = {}
    postage: dict[str, float] = {}
    for line in events(world, days):
        event = json.loads(line)
        data, time = event["data"], np.datetime64(event["time"][:19])
        if event["type"] == "parcel.registered.v1":
            registered[data["parcel_id"]] = data["carrier"], time
            postage[data["carrier"]] = float(data["postage"]["amount"])
        elif data.get("milestone") == "delivered":
            carrier, start = registered[data["parcel_id"]]
            took = (time - start) / np.timedelta64(1, "D")
            late.setdefault(carrier, []).append(max(float(took) - world.promise, 0.0))
    usable = {name: days for name, days in late.items() if name not in world.excluded and len(days) >= 10}
    return min(usable, key=lambda name: postage[name] + LATE_PER_DAY * float(np.mean(usable[name])))


def proof(seeds: list[int], terms: SwitchTerms, only: str) -> dict[str, Any]:
    """The figures, by kind of world."""
    out: dict[str, Any] = {}
    if only in ("", "planted"):
        found = [find(seed, terms) for seed in seeds]
        clear = [one for one in found if one.gap >= CLEAR]
        regrets = {name: float(np.mean([getattr(one, name) for one in found])) for name in _REGRETS}
        out["planted"] = {
            "worlds": len(found),
            "found_ratio": sum(one.is_best for one in found) / len(found),
            "clear_worlds": len(clear),
            "found_ratio_of_clear": sum(one.is_best for one in clear) / max(len(clear), 1),
            "excluded_named": sum(one.named_excluded for one in found),
            **{name: round(value, 4) for name, value in regrets.items()},
            "missed": [(one.seed, one.decision, round(one.regret, 2)) for one in found if not one.is_best],
        }
    if only in ("", "equal"):
        said = [advised(equal(seed), EQUAL_DAYS, terms) for seed in seeds]
        wrong = [seed for seed, one in zip(seeds, said, strict=True) if any(a.decision == "switch" for a in one)]
        out["equal"] = {"worlds": len(seeds), "quiet_ratio": 1 - len(wrong) / len(seeds), "switched": wrong}
    if only in ("", "small"):
        said = [advised(planted(seed, SMALL_PER_DAY), SMALL_DAYS, terms) for seed in seeds]
        bold = [seed for seed, one in zip(seeds, said, strict=True) if any(a.decision == "switch" for a in one)]
        out["small"] = {"worlds": len(seeds), "abstained_ratio": 1 - len(bold) / len(seeds)}
    return out


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-20", help="first-last")
    parser.add_argument("--only", default="", choices=["", "planted", "equal", "small"])
    parser.add_argument("--set", action="append", default=[], metavar="TERM=VALUE")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    kinds = {spec.name: type(spec.default) for spec in fields(SwitchTerms)}
    wished = {name: kinds[name](value) for name, _, value in (one.partition("=") for one in options.set)}
    json.dump(
        proof(list(range(int(first), int(last or first) + 1)), replace(TERMS, **wished), options.only),
        sys.stdout,
        indent=1,
    )
    print()


if __name__ == "__main__":
    main()
