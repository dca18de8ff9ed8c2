"""What an accepted switch brought is the same however the log is run: in any order, packs and partitions, with repeats,
and through restarts and deaths before, while and after it is measured; live and in a replay of what live has logged."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from driving import Partitions, replayed
from hypothesis import given, settings
from hypothesis import strategies as st
from made_lanes import START, Json, Made, event, parcels
from played import Played, a_log
from test_live import admitted, replay_of

from monitor.core.events import to_us
from monitor.core.params import Params
from monitor.core.switch.terms import SwitchTerms
from monitor.core.vocabulary import DAY_US
from monitor.live.state import saved_state
from monitor.log.appending import Appender
from monitor.read.lists import Picture
from monitor.replay.outputs import picture
from monitor.wire.times import recorded_us

TERMS = SwitchTerms(min_parcels=5, caution=0.0, margin_ratio=0.0, probability=0.6, max_share=1.0)
#: Parcels follow from day 30 on.
LANE = parcels(
    Made("alpha", 4, 12, 6, "5.00", last_day=30),
    Made("bravo", 3, 6, 90, "5.00", last_day=30),
    Made("alpha", 1, 12, 6, "5.00", first_day=30),
    Made("bravo", 6, 6, 90, "5.00", first_day=30),
    days=62,
)
ANSWERED_DAY = 29.5
END_US = to_us(START) + 62 * DAY_US


@dataclass(frozen=True)
class Case:
    """A log with an answer in it, and what it is run with."""

    params: Params
    lines: list[bytes]


@cache
def lane(recent_days: int, late_hours: int) -> tuple[Params, list[Json], str]:
    """The lane, its scans recorded so late, and the id of the switch that is advised when the answer is given."""
    params, events = Params(recent_days=recent_days, switch=TERMS), []
    for one in LANE:
        recorded_at = datetime.fromisoformat(one["time"]) + timedelta(hours=late_hours * ("scanned" in one["type"]))
        events.append(one | {"recordedtime": recorded_at.isoformat()})
    lines = [json.dumps(one).encode() for one in events]
    (told,) = picture(replayed([lines], params, to_us(START) + 29 * DAY_US)).advice_records()
    assert (told["decision"], told["to_carrier"]) == ("switch", "bravo")
    return params, events, str(told["recommendation_id"])


def made(recent_days: int, late_hours: int, own: Json, later: tuple[str, ...]) -> Case:
    """The switch is accepted, as advised or otherwise; maybe again, or after it was declined."""
    params, events, id_ = lane(recent_days, late_hours)
    answers = [
        event("decision.recorded", id_, ANSWERED_DAY + n / 10, {"target": id_, "what": what, **more})
        for n, (what, more) in enumerate([("accept", own), *((what, {}) for what in later)])
    ]
    return Case(params, [json.dumps(one).encode() for one in (*events, *answers)])


cases = st.builds(
    made,
    st.sampled_from([28, 42]),
    st.sampled_from([0, 30, 60]),
    st.sampled_from([{}, {"share": 0.25}, {"carrier": "bravo", "share": 0.5}]),
    st.sampled_from([(), ("accept",), ("decline", "accept")]),
)


def told(view: Picture) -> bytes:
    """What is told of advice and of accepted switches, as bytes."""
    return json.dumps([view.advice_records(), view.outcome_records()]).encode()


def measured(view: Picture) -> bytes:
    """The same of a replay, in which there must be something to tell."""
    (one,) = view.outcome_records()
    assert one["state"] == "measured"
    assert one["parcels_moved"] > 0
    return told(view)


def assert_same_in_packs(case: Case, lines: list[bytes], end_us: int, count: int, size: int, between: int) -> None:
    """A replay of ``lines`` and ``count`` partitions say the same at ``end_us``; these fold ``size`` lines at once, and
    are restarted after so many packs."""
    params = case.params
    plain = replayed([lines], params, end_us)
    run = Partitions(params, count)
    kept = [line for line in lines if recorded_us(line) <= end_us]
    queues: list[deque[Any]] = run.log(kept, range(to_us(START) + 29 * DAY_US, end_us + 1, params.tick_us))
    step = 0
    while any(queues):
        which = step % run.count
        step += 1
        if queues[which]:
            run.pack(which, [queues[which].popleft() for _ in range(min(size, len(queues[which])))])
        if step % between == 0:
            run.restart()
            run.deliver_again(step)
    view = Picture(params, {}, run.channels, run.groups, run.incidents, run.header, end_us, run.lanes)
    assert told(view) == measured(picture(plain))
    assert run.sha256() == plain.sha256()


@settings(max_examples=6)
@given(case=cases, data=st.data())
def test_packs_partitions_repeats_and_restarts_measure_the_same(case: Case, data: st.DataObject) -> None:
    draw, lines = data.draw, list(case.lines)
    end_us = END_US - draw(st.integers(0, 48), label="ticks before the end") * case.params.tick_us
    draw(st.randoms(use_true_random=False), label="order").shuffle(lines)
    count, size, between = draw(st.tuples(st.integers(1, 4), st.integers(5, 40), st.integers(1, 20)), label="packs")
    assert_same_in_packs(case, lines, end_us, count, size, between)


def test_restarts_while_the_oldest_days_that_count_are_as_old_as_reports_may_be_late() -> None:
    case = made(42, 60, {}, ())
    assert_same_in_packs(case, case.lines, to_us(START) + 57 * DAY_US, count=1, size=6, between=1)


@settings(max_examples=5)
@given(case=cases, data=st.data())
def test_live_measures_what_a_replay_of_its_log_does(case: Case, data: st.DataObject) -> None:
    draw, params = data.draw, case.params
    lines = sorted(case.lines, key=recorded_us)
    with a_log(draw(st.sampled_from([1, 3, 4]), label="partitions")) as log:
        appender, played = Appender(log), Played(log, params)
        while lines:
            size = draw(st.integers(20, 200))
            batch, lines = lines[:size], lines[size:]
            for line in batch + draw(st.sampled_from([[], batch[:9]])):
                appender.add(admitted(line))
            appender.tick(recorded_us(batch[-1]) // params.tick_us * params.tick_us)
            appender.flush()
            for topic, partition in draw(st.lists(st.sampled_from(sorted(played.next)), max_size=4)):
                played.fold(topic, partition, draw(st.integers(1, 9)))
            after = draw(st.sampled_from(["go on", "save", "save and die", "die"]))
            if "save" in after:
                played.save()
            if "die" in after:
                played = Played(log, params)
        played.fold_all()
        world = replay_of(log, params)
        state = saved_state(log, params)
        state.ended_at(world.as_of_us or 0)
        assert told(state.picture()) == measured(picture(world))
        assert state.sha256() == world.sha256()
