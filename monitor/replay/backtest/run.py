"""A backtest from the lines of a log: replay it under the eyes of an observation, then judge what was alerted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.core.params import Params
from monitor.read.backtest import Gallery
from monitor.replay.backtest.facts import facts_of, moment
from monitor.replay.backtest.gallery import gallery
from monitor.replay.backtest.observation import Observation
from monitor.replay.backtest.report import assess
from monitor.replay.driver import Observers, Progress, Replay
from monitor.replay.offpolicy.estimate import estimate
from monitor.replay.offpolicy.notes import Notes
from monitor.replay.offpolicy.told import told
from monitor.replay.outputs import picture
from monitor.wire.backtest import Backtest, Planted


@dataclass(frozen=True, slots=True)
class Tested:
    """A finished backtest: its record and what its pictures show."""

    record: Backtest
    gallery: Gallery


def backtest(
    params: Params,
    fill: Callable[[Replay], None],
    *,
    until_us: int | None = None,
    planted: Sequence[Planted] | None = None,
    config: str | None = None,
    switch: bool = False,
    progress: Progress | None = None,
) -> Tested:
    """Replay the lines that ``fill`` adds, and judge the incidents against ``planted``, or against the complaints.

    ``config`` is only told in the record; ``switch``: also estimate what the advice about carriers would have saved.
    Raises what ``fill`` raises.
    """
    seen, notes = Observation(), Notes(params.switch) if switch else None
    work = Replay(params, until_us, seen if notes is None else Observers(seen, notes))
    fill(work)
    world = work.run(progress)
    facts = facts_of(picture(world).incident_records(), seen, params.shadow_days, world.as_of_us or 0, planted)
    assessed = assess(facts, config)
    record = Backtest(
        **{name: getattr(assessed.run, name) for name in type(assessed.run).model_fields},
        as_of=None if world.as_of_us is None else moment(world.as_of_us),
        dead_letters=len(world.dead_letters),
        switch=None if notes is None else told(estimate(notes, params.switch, world.as_of_us or 0)),
    )
    return Tested(record, gallery(facts, assessed, seen, params))
