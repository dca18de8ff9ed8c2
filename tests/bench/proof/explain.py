"""The story of a planted fault: the evidence of its channels and groups day by day, and the incidents that touch it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.core.baseline import Floats
from monitor.core.channel import Channel
from monitor.core.evidence import LN_M
from monitor.core.groups import Group
from monitor.core.scope import groups_of
from monitor.core.spread import cv2_of, tempering_of_all
from monitor.core.vocabulary import DAY_US
from monitor.replay.backtest.facts import Facts
from monitor.replay.driver import World
from monitor.replay.simulate.planting import instant
from monitor.replay.simulate.world import Plan
from monitor.wire.times import parse_time
from proof.scores import Fault, Score, scope_text
from proof.watch import strongest
from proof.worlds import Case

MOST_CHANNELS = 4
MOST_GROUPS = 3
#: Days shown, counted from the start.
FIRST, LAST = -3, 45
EVERY = 1


@dataclass
class Story:
    """Looks on while the fleet folds. ``members`` are all planted channels of the fault, ``channels`` the largest."""

    members: Sequence[str]
    channels: list[str]
    start_us: int
    told: dict[int, str] = field(default_factory=dict)

    def tick(self, tick_us: int, world: World) -> None:
        """Note the day that was judged last, if the story is about it."""
        day = world.fleet.open_day - 1
        since = day - self.start_us // DAY_US
        if day in self.told or not FIRST <= since <= LAST:
            return
        names = [name for name in self.channels if name in world.channels]
        nodes, cv2 = list(world.channels), cv2_of(np.stack([node.spread for node in world.channels.values()]))
        weights = [_tempering(world.channels[name], cv2[nodes.index(name)]) for name in names]
        cells = [
            f"{name} {_evidence(world.channels[name])}, phi {phi:.1f}" for name, phi in zip(names, weights, strict=True)
        ]
        scopes = {scope for name in self.channels for scope in groups_of(name) if scope in world.groups}
        groups = sorted(scopes, key=lambda scope: -world.groups[scope].ln_m)[:MOST_GROUPS]
        cells += [f"[{scope} {_evidence(world.groups[scope])} fit {world.groups[scope].fit:.1f}]" for scope in groups]
        known = round(tick_us / DAY_US - self.start_us / DAY_US, 2)
        self.told[day] = f"    day {since:>3} (known {known:>5}): " + "; ".join(cells)

    def lines(self, fault: Fault, known: Facts) -> list[str]:
        """The whole story."""
        days = sorted(self.told)
        out = [f"  {fault}", *(self.told[day] for day in days[::EVERY])]
        mine = set(self.members)
        for record in known.records:
            since = (parse_time(record["known_by"]) - self.start_us) / DAY_US
            if mine & set(record["members"]) and since > FIRST * 10:
                covered = f"{len(mine & set(record['members']))} of {len(record['members'])} members planted"
                out.append(
                    f"  {record['severity']:6} day {since:6.2f} {scope_text(record['scope'])} {record['mode']} "
                    f"{record['clock']} ln M {record['evidence']['ln_m']:.1f} since {record['evidence']['since']}, "
                    f"{covered}{', absorbed' if record.get('absorbed_by') else ''}, closed {record['closed_at']}"
                )
        return out


def _evidence(node: Channel | Group) -> str:
    """ln M, and the mode, clock and alternative that say most."""
    return f"{node.ln_m:.1f} {strongest(node)}"


def _tempering(node: Channel, cv2: Floats) -> float:
    """φ of the clock that says most: the weight of its evidence is 1/φ (holiday windows left out)."""
    clock = int(np.argmax(node.evidence[LN_M])) // node.evidence.shape[-1]
    return float(tempering_of_all(cv2[None], node.trail.sum(axis=-1)[None])[0, clock])


def stories(plan: Plan) -> list[Story]:
    """A story of each fault of a plan."""
    volume = {channel.id: channel.volume for channel in plan.channels}
    return [
        Story(
            item.members,
            sorted(item.members, key=lambda name: -volume[name])[:MOST_CHANNELS],
            parse_time(instant(plan.setting.start, item.first)),
        )
        for item in plan.planted
        if item.plant.alarm
    ]


def told(case: Case, score: Score, known: Facts, all_: Sequence[Story]) -> list[str]:
    """What happened in a world."""
    out = [f"== {case.scenario} seed {case.seed} number {case.number} {' '.join(case.strata)}"]
    out += [line for fault, story in zip(score.faults, all_, strict=True) for line in story.lines(fault, known)]
    return out + [f"  wrong: {text}" for text in score.wrong]
