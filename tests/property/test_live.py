"""The live driver's own code over a real log, in one process: whatever is appended in whatever order, packs and calls,
wherever checkpoints fall and the process dies, it ends where a replay of the export ends.

Real are the log, the appender, the tables, the checkpointer and the handlers; only Faust's loop is played here.
"""

from __future__ import annotations

from typing import Any

from driving import replayed, told
from hypothesis import assume, given
from hypothesis import strategies as st
from played import Played, a_log
from worlds import SHORT, worlds

from monitor.core.events import ClockTicked, Rejected, route
from monitor.core.params import Params
from monitor.core.vocabulary import YEAR_2000_US, YEAR_2089_US
from monitor.live.state import saved_state
from monitor.log.appending import Appender
from monitor.log.embedded import EmbeddedLog
from monitor.log.export import Exported, export_events
from monitor.log.sorting import Admitted
from monitor.log.topics import EVENTS
from monitor.replay.driver import World
from monitor.wire.decode import decode, with_recorded
from monitor.wire.times import recorded_us


def admitted(line: bytes) -> Admitted:
    """An event as the gateway hands it on, without its checks: a foreign producer makes none."""
    event = decode(line)
    at_us = recorded_us(line)
    return Admitted(at_us, "", event.source, event.id, route(event) or "", with_recorded(line, at_us))


def replay_of(log: EmbeddedLog, params: Params) -> World:
    lines = list(export_events(log, Exported()))
    assert not any(isinstance(decode(line), Rejected) for line in lines)
    return replayed([lines], params)


def without_position(letters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(({**letter, "position": None} for letter in letters), key=lambda one: (one["raw"], one["reason"]))


def assert_equal(log: EmbeddedLog, params: Params) -> None:
    """What is saved, ended as a replay ends, is what a replay of the export gives."""
    world = replay_of(log, params)
    expected = told(world)
    state = saved_state(log, params)
    assert state.behind == 0
    state.ended_at(world.as_of_us or 0)
    assert without_position(state.letters) == expected["dead_letters"]
    things: dict[str, Any] = {}
    for part in state.things:
        for name, thing in part.items():
            assert things.setdefault(name, thing) == thing, f"partitions do not agree on {name}"
    parcels = {name: parcel for part in state.parcels for name, parcel in part.items()}
    live = World(
        params,
        parcels,
        things,
        state.channels,
        state.groups,
        state.facets,
        state.incidents,
        state.held,
        state.unresolved,
        state.fleet,
        state.lanes,
        state.book,
        world.dead_letters,
        as_of_us=world.as_of_us,
    )
    assert told(live) == expected
    assert state.fleet.counts.get("duplicates", 0) == world.fleet.counts.get("duplicates", 0)
    assert state.sha256() == world.sha256()


@given(worlds, st.sampled_from([4, 4, 7, 1]), st.data())
def test_live_ends_where_a_replay_of_its_export_ends(lines: list[bytes], partitions: int, data: st.DataObject) -> None:
    draw = data.draw
    params = SHORT
    lines = [line for line in lines if YEAR_2000_US <= recorded_us(line) < YEAR_2089_US]  # no others pass the gateway
    assume(lines)
    order = draw(st.permutations(lines)) if draw(st.booleans()) else sorted(lines, key=recorded_us)
    with a_log(partitions) as log:
        appenders = [Appender(log), Appender(log)]  # two programs; neither knows what the other appends
        played = Played(log, params)
        while order:
            size = draw(st.integers(1, 12))
            batch, order = order[:size], order[size:]
            appender = draw(st.sampled_from(appenders))
            for line in batch:
                appender.add(admitted(line))
            if draw(st.integers(0, 3)) == 0:  # the wall clock, wherever it stands
                appender.tick(recorded_us(batch[-1]) // params.tick_us * params.tick_us)
            appender.flush()
            for topic, partition in draw(st.lists(st.sampled_from(sorted(played.next)), max_size=6)):
                played.fold(topic, partition, draw(st.integers(1, 4)))
            after = draw(st.sampled_from(["go on", "go on", "save", "save and die", "die"]))
            if "save" in after:
                played.save()
            if "die" in after:
                played = Played(log, params)
        played.fold_all()
        assert_equal(log, params)
        generation = log.new_generation("again")
        assert generation != played.checkpointer.generation
        Played(log, params).fold_all()
        assert_equal(log, params)


def test_an_event_for_every_partition_is_recorded_at_one_time_in_all_of_them() -> None:
    line = b'{"specversion":"1.0","id":"%b","source":"a","type":"%b","subject":"%b","time":"%b","data":{%b}}'
    with a_log(4) as log:
        ahead = Appender(log)
        behind = Appender(log)
        data = b'"parcel_id":"P0","destination":"RU","product":"tablet","carrier":"post"'
        ahead.add(admitted(line % (b"1", b"parcel.registered.v1", b"P0", b"2026-03-09T05:00:00Z", data)))
        ahead.flush()
        closed = b'"complaint_id":"C0"'
        behind.add(admitted(line % (b"2", b"complaint.closed.v1", b"C0", b"2026-03-02T00:00:00Z", closed)))
        behind.flush()
        stated = set()
        for partition in range(4):
            (*_, record) = log.read(EVENTS, partition, 0)
            event = decode(record.value)
            assert not isinstance(event, ClockTicked)
            stated.add((event.recordedtime, record.timestamp_us))
        assert len(stated) == 1
