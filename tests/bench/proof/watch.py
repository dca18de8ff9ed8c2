"""When the evidence of a planted fault was there, whatever the rules of paging then made of it."""

from __future__ import annotations

import numpy as np

from monitor.core.channel import Channel
from monitor.core.evidence import ALTERNATIVES
from monitor.core.groups import Group
from monitor.core.incidents import mode_of
from monitor.core.params import Params
from monitor.core.scope import groups_of
from monitor.core.verdict import say
from monitor.core.vocabulary import DAY_US
from monitor.replay.driver import World
from monitor.replay.simulate.planting import Planted


class Watch:
    """Looks on while the fleet folds: when a planted channel, or a group of all of them, was first worth a page."""

    def __init__(self, item: Planted, start_us: int, params: Params) -> None:
        self.channel_us: int | None = None
        self.group_us: int | None = None
        self.what = ""
        self._params, self._start_us = params, start_us
        self._members = item.members
        of = [set(groups_of(name)) for name in item.members]
        self._groups = sorted(set.intersection(*of)) if len(of) > 1 else []
        self._day = -1

    def tick(self, tick_us: int, world: World) -> None:
        """Look at the day that was judged last."""
        day = world.fleet.open_day - 1
        if day == self._day or day * DAY_US < self._start_us:
            return
        self._day = day
        if self.channel_us is None:
            nodes = [world.channels[name] for name in self._members if name in world.channels]
            best = max(nodes, key=lambda node: node.ln_m, default=None)
            if best is not None and best.ln_m >= self._params.page_ln_m:
                self.channel_us, self.what = tick_us, strongest(best)
        if self.group_us is None:
            shared = [world.groups[scope].ln_m for scope in self._groups if scope in world.groups]
            if max(shared, default=-np.inf) >= self._params.group_page_ln_m:
                self.group_us = tick_us


def strongest(node: Channel | Group) -> str:
    """Mode and alternative that say most of a channel or group."""
    verdict = say(node.evidence, node.ln_m)
    return f"{mode_of(verdict)}/{verdict.clock}/{ALTERNATIVES[verdict.alternative]}"
