"""What the appender writes: one tick for all, and what must hold in every partition where others write too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_events import closed, registered, scanned

from monitor.core.events import route
from monitor.log.appending import Appender, tick_event
from monitor.log.embedded import EmbeddedLog
from monitor.log.partition import partition_of
from monitor.log.protocol import Make
from monitor.log.records import NewRecord
from monitor.log.sorting import Admitted
from monitor.log.topics import EVENTS
from monitor.wire.decode import decode, with_recorded
from monitor.wire.times import parse_time

Json = dict[str, Any]
MARGIN_US = 1_000_000


def us(time: str) -> int:
    return parse_time(time)


NINE, TEN, ELEVEN, NOON = (us(f"2026-03-09T{hour:02}:00:00Z") for hour in (9, 10, 11, 12))


class Recorded(EmbeddedLog):
    """Keeps what is made for it, with the margin it asks for."""

    margin_us = 0
    made: list[NewRecord]

    def append_made(self, make: Make) -> list[int]:
        def recorded(_: int) -> list[NewRecord]:
            self.made = make(self.margin_us)
            return self.made

        return super().append_made(recorded)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Recorded]:
    with EmbeddedLog.open(tmp_path):
        pass
    opened = Recorded.open(tmp_path)
    assert isinstance(opened, Recorded)
    with opened:
        yield opened


def admitted(event: Json, at_us: int) -> Admitted:
    """As the gateway hands it on."""
    line = json.dumps(event).encode()
    found = decode(line)
    return Admitted(at_us, "", found.source, found.id, route(found) or "", with_recorded(line, at_us))


def parcel_in(partition: int) -> str:
    """A parcel that lives there."""
    return next(name for name in (f"P{i}" for i in range(100)) if partition_of(name, 4) == partition)


def add(log: EmbeddedLog, *events: tuple[Json, int]) -> None:
    appender = Appender(log)
    for event, at_us in events:
        appender.add(admitted(event, at_us))
    appender.flush()


def tick(log: EmbeddedLog, at_us: int) -> None:
    appender = Appender(log)
    appender.tick(at_us)
    appender.flush()


# Ticks


def test_a_tick_that_every_partition_has_passed_is_not_written_again(log: Recorded) -> None:
    tick(log, NOON)
    assert log.ends(EVENTS) == [1] * 4
    tick(log, NOON)
    tick(log, ELEVEN)
    assert log.ends(EVENTS) == [1] * 4
    tick(log, NOON + 1)
    assert log.ends(EVENTS) == [2] * 4


def test_of_several_tickers_that_did_not_see_each_other_one_writes(log: Recorded) -> None:
    with EmbeddedLog.open(log.directory) as theirs:
        ours, other = Appender(log), Appender(theirs)
        for appender in (ours, other):
            appender.tick(NOON)
        for appender in (ours, other):
            appender.flush()
    assert [[r.value for r in log.scan(EVENTS, p)] for p in range(4)] == [[tick_event(NOON)]] * 4


def test_a_tick_that_one_partition_has_not_passed_enters_all(log: Recorded) -> None:
    add(log, *((registered(parcel_in(p)), NOON + 1) for p in (0, 1, 2)))
    tick(log, NOON)
    ends = log.ends(EVENTS)
    assert ends == [2, 2, 2, 1]
    assert [record.holds_until_us for record in log.made] == [None, None, None, NOON]
    # Where it comes too late it changes nothing, the time of the record included.
    assert [record.timestamp_us for record in log.made] == [NOON + 1] * 3 + [NOON]


def test_an_event_recorded_at_the_instant_of_a_tick_comes_before_it(log: Recorded) -> None:
    add(log, (registered(parcel_in(1)), NOON))
    tick(log, NOON)
    assert [record.holds_until_us for record in log.made] == [NOON] * 4
    add(log, (scanned(parcel_in(1)), NOON))
    assert log.made[0].timestamp_us == NOON + 1  # behind the tick


# What must hold in every partition


def test_a_pack_holds_until_the_least_stamp_of_its_events_for_every_partition(log: Recorded) -> None:
    here, there = parcel_in(0), parcel_in(1)
    add(
        log,
        (registered(here), NINE),
        (closed("C1"), TEN),
        (registered(there), TEN),
        (closed("C2"), ELEVEN),
        (scanned(here), NOON),
    )
    assert [record.partition for record in log.made] == [0, 1, 2, 3]
    assert [record.holds_until_us for record in log.made] == [TEN] * 4
    assert [record.timestamp_us for record in log.made] == [NOON, ELEVEN, ELEVEN, ELEVEN]


def test_a_pack_without_such_an_event_holds_wherever_it_is(log: Recorded) -> None:
    add(log, (registered(parcel_in(0)), NINE), (registered(parcel_in(2)), TEN))
    assert [(record.partition, record.holds_until_us) for record in log.made] == [(0, None), (2, None)]
    add(
        log,
        (closed("C1"), ELEVEN),
        *((scanned(parcel_in(0), time=f"2026-03-09T{i % 24:02}:00:00Z", id=f"{i}"), NOON) for i in range(250)),
    )
    packs = [record for record in log.made if record.partition == 0]
    assert [record.holds_until_us for record in packs] == [ELEVEN, None]


def test_such_an_event_comes_behind_what_every_partition_has(log: Recorded) -> None:
    add(log, (registered(parcel_in(2)), NOON))
    add(log, (closed("C1"), NINE))
    assert [(record.timestamp_us, record.holds_until_us) for record in log.made] == [(NOON, NOON)] * 4


def test_a_margin_moves_such_events_ahead_and_no_others(log: Recorded) -> None:
    add(log, *((registered(parcel_in(p)), at) for p, at in ((0, NINE), (1, TEN), (2, NOON))))
    log.margin_us = MARGIN_US
    here, empty = parcel_in(0), parcel_in(3)
    add(log, (scanned(here), TEN), (closed("C1"), ELEVEN), (registered(empty), NINE))
    # Ahead of the one that has come furthest; what comes behind it in a partition cannot be recorded before it.
    ahead = NOON + MARGIN_US
    assert [record.timestamp_us for record in log.made] == [ahead] * 4
    assert [record.holds_until_us for record in log.made] == [ahead] * 4
    stated = [json.loads(event)["recordedtime"] for event in events_of(log.made[0])]
    assert stated == ["2026-03-09T10:00:00Z", "2026-03-09T12:00:01Z"]


def test_a_margin_moves_neither_events_of_one_parcel_nor_ticks(log: Recorded) -> None:
    add(log, (registered(parcel_in(0)), NINE))
    log.margin_us = MARGIN_US
    add(log, (scanned(parcel_in(0)), TEN), (registered(parcel_in(1)), NINE))
    assert [(record.timestamp_us, record.holds_until_us) for record in log.made] == [(TEN, None), (NINE, None)]
    tick(log, ELEVEN)
    assert [(record.timestamp_us, record.holds_until_us) for record in log.made] == [(ELEVEN, ELEVEN)] * 4


def test_a_margin_does_not_move_what_is_ahead_already(log: Recorded) -> None:
    add(log, (registered(parcel_in(0)), NINE))
    log.margin_us = MARGIN_US
    add(log, (closed("C1"), NOON))
    assert [record.timestamp_us for record in log.made] == [NOON] * 4


def events_of(record: NewRecord) -> list[bytes]:
    """The events of a pack, as text."""
    return [json.dumps(one).encode() for one in json.loads(record.value)]
