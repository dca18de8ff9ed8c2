"""Ingest and export: what enters in whatever order and portions comes out once, in the one order of the log."""

from __future__ import annotations

import json
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from made_events import closed, in_log, scanned

from monitor.core.events import from_us, to_us
from monitor.core.ordering import EffectiveClock
from monitor.core.params import Params
from monitor.log.embedded import EmbeddedLog
from monitor.log.export import Exported, export_events
from monitor.log.gateway import Gateway
from monitor.wire.incoming import Incoming

Json = dict[str, Any]
START = to_us(datetime(2026, 3, 1, tzinfo=UTC))
MINUTE = 60_000_000
NOW = START + 20 * 24 * 60 * MINUTE


@st.composite
def some_events(draw: st.DrawFn) -> list[Json]:
    made = []
    for number in range(draw(st.integers(0, 25))):
        time = from_us(START + draw(st.integers(0, 48 * 60)) * MINUTE)
        name = f"e{number}"
        if draw(st.integers(0, 5)) == 0:
            made.append(closed(f"C{number}", time, id=name))
        else:
            made.append(scanned(f"P{draw(st.integers(0, 6))}", "accepted", time, id=name))
    return made


def put(log: EmbeddedLog, events: list[Json], *, history: bool) -> None:
    raw = [json.dumps(one).encode() for one in events]
    rows = [Incoming("f", i, one, event=one) for i, one in enumerate(raw, 1)]
    Gateway(log, Params(), history=history, clock=lambda: NOW, sort_bytes=3_000).ingest(rows)


def exported(log: EmbeddedLog) -> list[Json]:
    return [json.loads(line) for line in export_events(log, Exported())]


@settings(max_examples=25, deadline=None)
@given(some_events(), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_does_not_matter(events: list[Json], rng: random.Random) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        for directory in (one, two):
            with EmbeddedLog.open(Path(directory)) as log:
                put(log, events, history=True)
            rng.shuffle(events)
        assert in_log(Path(one)) == in_log(Path(two))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(some_events(), st.booleans()), max_size=3))
def test_an_export_has_each_event_once_and_keeps_the_order_of_every_partition(
    portions: list[tuple[list[Json], bool]],
) -> None:
    with tempfile.TemporaryDirectory() as directory, EmbeddedLog.open(Path(directory)) as log:
        for number, (events, history) in enumerate(portions):
            put(log, [one | {"id": f"{number}/{one['id']}"} for one in events], history=history)
        lines = exported(log)
        partitions = in_log(Path(directory))
    keys = [(to_us(datetime.fromisoformat(one["recordedtime"])), one["sequence"]) for one in lines]
    assert keys == sorted(keys)
    happened = [one["id"] for one in lines if one["subject"] != "clock"]
    assert sorted(happened) == sorted(f"{n}/{one['id']}" for n, (events, _) in enumerate(portions) for one in events)
    place = {name: i for i, name in enumerate(happened)}
    for events in partitions:
        mine = [place[one["id"]] for one in events if one["type"] == "parcel.scanned.v1"]
        assert mine == sorted(mine)
    ticks = [one["data"]["at"] for one in lines if one["subject"] == "clock"]
    assert ticks == sorted(set(ticks))


@settings(max_examples=25, deadline=None)
@given(some_events(), some_events())
def test_a_tick_stands_behind_all_that_was_recorded_up_to_it(first: list[Json], second: list[Json]) -> None:
    with tempfile.TemporaryDirectory() as directory, EmbeddedLog.open(Path(directory)) as log:
        put(log, first, history=True)
        put(log, [one | {"id": "2/" + one["id"]} for one in second], history=True)
        lines = exported(log)
    last_tick = 0
    for one in lines:
        recorded = to_us(datetime.fromisoformat(one["recordedtime"]))
        if one["subject"] == "clock":
            last_tick = recorded
        assert recorded >= last_tick
        assert one["subject"] == "clock" or recorded > last_tick


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1_000))))
def test_effective_time_never_goes_back_and_never_stands_before_a_tick_that_counted(
    steps: list[tuple[bool, int]],
) -> None:
    clock = EffectiveClock()
    last, tick = -1, -1
    for is_tick, us in steps:
        if is_tick:
            if clock.tick(us):
                assert us >= last
                tick = us
        else:
            stamped = clock.stamp(us)
            assert stamped >= max(us, last)
            assert stamped > tick
            last = stamped
