"""Records that other producers write straight into the topic: folded where they are right, else dead-lettered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_events import closed, registered, scanned
from played import Played

from monitor.core.params import Params
from monitor.live.state import SavedState, saved_state
from monitor.log.appending import tick_event
from monitor.log.embedded import EmbeddedLog
from monitor.log.partition import partition_of
from monitor.log.records import LogRecord
from monitor.log.topics import EVENTS
from monitor.wire.times import parse_time

PARAMS = Params()
NOON = parse_time("2026-03-02T12:00:00Z")
Json = dict[str, Any]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(tmp_path) as opened:
        yield opened


def fold(log: EmbeddedLog, *records: tuple[int, list[Json]], foreign: bool = True) -> SavedState:
    """The state after records with these events at the front of these partitions."""
    played = Played(log, PARAMS)
    for offset, (partition, events) in enumerate(records):
        value = json.dumps(events).encode()
        played.apply(LogRecord(EVENTS, partition, offset, None, value, NOON, foreign))
    played.save()
    return saved_state(log, PARAMS)


def test_an_event_in_the_partition_of_its_parcel_is_folded(log: EmbeddedLog) -> None:
    home = partition_of("P1", 4)
    state = fold(log, (home, [registered("P1"), scanned("P1")]))
    assert list(state.parcels[home]) == ["P1"]
    assert state.letters == []


def test_an_event_in_another_partition_is_a_dead_letter_that_says_what_to_do(log: EmbeddedLog) -> None:
    home = partition_of("P1", 4)
    elsewhere = (home + 1) % 4
    state = fold(log, (elsewhere, [registered("P1")]))
    assert state.parcels == [{}, {}, {}, {}]
    (letter,) = state.letters
    assert letter["reason"] == "misplaced"
    assert f"parcel 'P1' belong into partition {home}, not {elsewhere}" in letter["detail"]
    assert "let the record's key be the parcel id" in letter["detail"]
    assert letter["position"] == {"topic": EVENTS, "partition": elsewhere, "offset": 0, "index": 0}
    assert json.loads(letter["raw"])["subject"] == "P1"


def test_an_event_for_every_partition_cannot_come_by_one_of_them(log: EmbeddedLog) -> None:
    state = fold(log, *((partition, [closed("C1")]) for partition in range(4)))
    assert [things for part in state.things for things in part] == []
    assert {letter["reason"] for letter in state.letters} == {"misplaced"}
    assert "send it through `ingest`, not to the topic" in state.letters[0]["detail"]


def test_one_misplaced_event_spoils_none_of_its_neighbours(log: EmbeddedLog) -> None:
    home = partition_of("P1", 4)
    stranger = next(name for name in (f"X{i}" for i in range(50)) if partition_of(name, 4) != home)
    state = fold(log, (home, [registered("P1"), registered(stranger), closed("C1"), registered("P1", id="again")]))
    assert [sorted(part) for part in state.parcels] == [["P1"] if p == home else [] for p in range(4)]
    assert [(letter["reason"], letter["position"]["index"]) for letter in state.letters] == [
        ("misplaced", 1),
        ("misplaced", 2),
    ]


def test_the_clock_of_another_program_is_heard(log: EmbeddedLog) -> None:
    tick = json.loads(tick_event(NOON))
    state = fold(log, *((partition, [tick]) for partition in range(4)))
    assert [header.tick for header in state.positions] == [NOON // PARAMS.tick_us] * 4
    assert state.letters == []


def test_what_the_gateway_wrote_is_taken_as_it_lies(log: EmbeddedLog) -> None:
    state = fold(log, *((partition, [closed("C1")]) for partition in range(4)), foreign=False)
    assert state.letters == []
    assert all("C1" in name for part in state.things for name in part)
    assert all(state.things)
