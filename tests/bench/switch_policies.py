"""What it brings to follow the advice for months, in worlds in which parcels go where a policy sends them.

.venv/bin/python tests/bench/switch_policies.py --seeds 1-10            # for tuning
.venv/bin/python tests/bench/switch_policies.py --seeds 9401-9430       # the proof; nobody looks at these while tuning

Every midnight a policy says which shares the carriers of a lane get, from the next day on. ``ours`` is the real advice
of the real folds, applied as the export says it; ``plain`` the same with a fixed margin and no caution (P > 0.85);
``greedy`` looks at the parcels delivered in the last 40 days alone (postage and days late) and always turns to the
cheapest; all under the same caps on shares. Regret is what a parcel costs in the mean more than with the policy that
knows the truth. In ``worse`` worlds the carrier in use gets slower (× 1.8) and loses 6% more on day 100.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
from switch_worlds import LATE_PER_DAY, START, WEEK_SHOCK, Carrier, World, _parcel, equal, planted, true_cost
from switching import TERMS

from monitor.core.events import from_us
from monitor.core.fleet_fold import FleetFold
from monitor.core.ledger import Header
from monitor.core.params import Params
from monitor.core.parcel_fold import ParcelFold
from monitor.core.switch.advice import SWITCH
from monitor.core.switch.terms import SwitchTerms
from monitor.core.vocabulary import DAY_US
from monitor.read.routing import routing_rows
from monitor.replay.driver import World as State
from monitor.replay.outputs import picture
from monitor.wire.decode import decode
from monitor.wire.times import recorded_us

DAYS, WORSE_DAY, WARM_DAYS = 170, 100, 30
PLAIN = replace(TERMS, caution=0.0, margin_ratio=0.0, margin=Decimal("0.10"))
LOOKS = (45, 60, 99, 125, 155)  # days on which intervals are compared with the truth
Shares = dict[str, float]


@dataclass
class Lane:
    """A lane under way: folds that are fed day by day, and what was true."""

    world: World
    terms: SwitchTerms
    shares: Shares
    state: State = field(init=False)

    def __post_init__(self) -> None:
        params = replace(Params(), switch=self.terms, tick_hours=24)
        self.state = world = State(params)
        self._parcels = ParcelFold(params, world.parcels, world.things, Header())
        self._fleet = FleetFold(
            params,
            world.channels,
            world.groups,
            world.facets,
            world.incidents,
            world.held,
            world.unresolved,
            world.fleet,
            world.lanes,
            world.book,
            partitions=1,
        )
        self._rng = np.random.default_rng([self.world.seed, 7])
        self._coming: list[tuple[int, int, bytes]] = []
        self._number = 0
        self._carrier_of: dict[str, str] = {}
        self.delivered: list[tuple[float, str, float]] = []  # day known, carrier, cost that shows
        self.sent: list[tuple[int, str]] = []
        for one in self.world.events:
            self._push(one)

    def _push(self, document: dict[str, Any]) -> None:
        self._number += 1
        raw = json.dumps(document).encode()
        heapq.heappush(self._coming, (recorded_us(raw), self._number, raw))

    def slow_down(self, day: int, carrier: str, factor: float) -> None:
        """What is under way with a carrier takes so many times as long from now on."""
        start = round(START.timestamp() * 1e6) + day * DAY_US
        slowed = []
        for recorded, number, raw in self._coming:
            told = json.loads(raw)
            if self._carrier_of.get(told["data"].get("parcel_id")) == carrier and "milestone" in told["data"]:
                for name in ("time", "recordedtime"):
                    at = round(datetime.fromisoformat(told[name]).timestamp() * 1e6)
                    told[name] = from_us(round(start + (at - start) * factor) if at > start else at)
                raw = json.dumps(told).encode()
                recorded = recorded_us(raw)
            slowed.append((recorded, number, raw))
        heapq.heapify(slowed)
        self._coming = slowed

    def day(self, day: int, carriers: dict[str, Carrier], shocks: dict[str, float]) -> None:
        """A day of registrations by the shares, and all that becomes known in it."""
        names = sorted(self.shares)
        weights = np.array([self.shares[name] for name in names])
        for which in self._rng.choice(len(names), self._rng.poisson(self.world.per_day), p=weights / weights.sum()):
            name = names[which]
            self.sent.append((day, name))
            start = None
            id_ = f"P{day}-{len(self.sent)}"
            self._carrier_of[id_] = name
            for told in _parcel(self.world, carriers[name], id_, day, shocks[name], self._rng):
                self._push(told)
                at = recorded_us(json.dumps(told).encode()) / DAY_US
                start = at if start is None else start
                if told["data"].get("milestone") == "delivered":
                    late = max(at - start - self.world.promise, 0.0)
                    self.delivered.append((at, name, carriers[name].postage + LATE_PER_DAY * late))
        end = round(START.timestamp() * 1e6) + (day + 1) * DAY_US
        while self._coming and self._coming[0][0] < end:
            recorded, number, raw = heapq.heappop(self._coming)
            self._parcels.apply(decode(raw), recorded, raw, (number,))
        self._parcels.tick(end)
        self._fleet.step(self._parcels.take("bench", 0, day + 1))

    @property
    def advice(self) -> Any:
        """What is advised now."""
        return next((lane.advice for lane in self.state.lanes.values() if lane.advice is not None), None)


def lately(lane: Lane, day: int) -> Shares:
    """The carriers' shares of the last 40 days."""
    some = [name for sent, name in lane.sent if sent > day - 40]
    return {name: some.count(name) / len(some) for name in lane.shares}


def moved(shares: Shares, to: str, terms: SwitchTerms) -> Shares:
    """Shares once the largest carrier has given ``to`` what the caps allow."""
    present = max(shares, key=lambda name: (shares[name], name))
    if to == present:
        return shares
    step = max(min(shares[present], terms.max_step, terms.max_share - shares[to]), 0.0)
    return {name: share + step * ((name == to) - (name == present)) for name, share in shares.items()}


def as_advised(lane: Lane, _day: int, _best: str) -> Shares:
    """The shares of the export."""
    rows = [row for row in routing_rows(picture(lane.state).advice_records()) if not row["attribute"]]
    told = {row["carrier"]: max(row["share"], 0.0) for row in rows}
    return {name: told.get(name, 0.0) for name in lane.shares} if rows else lane.shares


def greedy(lane: Lane, day: int, _best: str) -> Shares:
    """To the carrier whose parcels delivered lately look cheapest."""
    costs: dict[str, list[float]] = {}
    start = START.timestamp() / 86_400
    for at, name, cost in lane.delivered:
        if day - 40 < at - start <= day + 1 and name not in lane.world.excluded:
            costs.setdefault(name, []).append(cost)
    known = {name: float(np.mean(some)) for name, some in costs.items() if len(some) >= 10}
    shares = lately(lane, day)
    return moved(shares, min(known, key=lambda name: (known[name], name)), lane.terms) if known else shares


def knowing(lane: Lane, day: int, best: str) -> Shares:
    """To the carrier that is best in truth."""
    return moved(lately(lane, day), best, lane.terms)


POLICIES: dict[str, tuple[Callable[[Lane, int, str], Shares], SwitchTerms]] = {
    "ours": (as_advised, TERMS),
    "plain": (as_advised, PLAIN),
    "greedy": (greedy, TERMS),
    "knowing": (knowing, TERMS),
}


def run(world: World, name: str, is_worse: bool, terms: SwitchTerms | None) -> dict[str, Any]:
    """One policy in one world: what parcels cost in the mean, and what was advised."""
    policy, usual = POLICIES[name]
    used = {one.name: one.share for one in world.carriers}
    for excluded in world.excluded:
        used[excluded] = min(used[excluded], 0.05)
    lane = Lane(world, usual if terms is None or name != "ours" else terms, used)
    carriers = {one.name: one for one in world.carriers}
    costs = dict(world.costs)
    rng = np.random.default_rng([world.seed, 8])
    total, counted = 0.0, 0
    turned, bad, changes, before = None, "", 0, None
    looks: list[bool] = []
    for day in range(DAYS):
        if is_worse and day == WORSE_DAY:
            shares = lately(lane, day)
            bad = max(shares, key=lambda one: (shares[one], one))
            one = carriers[bad]
            carriers[bad] = worse = replace(one, days=1.8 * one.days, lost=one.lost + 0.06)
            costs[bad] = true_cost(worse, world.promise)
            lane.slow_down(day, bad, 1.8)
        if day % 7 == 0:
            shocks = {one: float(rng.normal(0.0, WEEK_SHOCK)) for one in sorted(carriers)}
        lane.day(day, carriers, shocks)
        today = [one for sent, one in lane.sent[-400:] if sent == day]
        if day >= WARM_DAYS:
            total += sum(costs[one] for one in today)
            counted += len(today)
        advice = lane.advice
        if name == "ours" and advice is not None:
            said = (advice.decision, advice.to_carrier) if advice.decision == SWITCH else None
            changes += before is not None and said is not None and said != before
            before = said or before
            if bad and turned is None and (advice.from_carrier != bad or advice.decision == SWITCH):
                turned = day - WORSE_DAY
            if day in LOOKS:
                present = costs[advice.from_carrier]
                looks += [
                    float(one.saving.low) <= present - costs[one.carrier] <= float(one.saving.high)
                    for one in advice.carriers
                    if one.saving is not None and one.known is not None and one.known >= lane.terms.min_parcels
                ]
        if day >= WARM_DAYS or name == "knowing":
            allowed = [one for one in costs if one not in world.excluded]
            lane.shares = policy(lane, day, min(allowed, key=lambda one: costs[one]))
    return {"cost": total / max(counted, 1), "turned": turned, "changes": changes, "looks": looks}


def proof(seeds: list[int], terms: SwitchTerms | None) -> dict[str, Any]:
    """The figures by kind of world."""
    out: dict[str, Any] = {}
    kinds: dict[str, tuple[Callable[[int], World], bool]] = {
        "stable": (lambda seed: replace(planted(seed, 25.0, 0.1)), False),
        "worse": (lambda seed: planted(seed, 25.0, 0.1), True),
        "equal": (equal, False),
    }
    for kind, (make, is_worse) in kinds.items():
        names = ("ours",) if kind == "equal" else tuple(POLICIES)
        found = [{name: run(make(seed), name, is_worse, terms) for name in names} for seed in seeds]
        looks = [look for one in found for look in one["ours"]["looks"]]
        told: dict[str, Any] = {"worlds": len(found), "intervals": len(looks), "covered": float(np.mean(looks))}
        if kind != "equal":
            for name in ("ours", "plain", "greedy"):
                told[f"regret_{name}"] = round(
                    float(np.mean([o[name]["cost"] - o["knowing"]["cost"] for o in found])), 4
                )
        if is_worse:
            days = [DAYS if one["ours"]["turned"] is None else one["ours"]["turned"] for one in found]
            told["median_days_to_turn"] = float(np.median(days))
            told["not_turned_by_30_days"] = float(np.mean([one > 30 for one in days]))
        else:
            told["changes_a_lane_and_30_days"] = round(
                float(np.mean([one["ours"]["changes"] for one in found])) * 30 / (DAYS - WARM_DAYS), 3
            )
        out[kind] = told
    return out


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-5", help="first-last")
    parser.add_argument("--set", action="append", default=[], metavar="TERM=VALUE", help="terms of `ours`")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    wished = {name: type(getattr(TERMS, name))(value) for name, _, value in (o.partition("=") for o in options.set)}
    terms = replace(TERMS, **wished) if wished else None
    json.dump(proof(list(range(int(first), int(last or first) + 1)), terms), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
