"""The figures of the channels and the watchlist against the slow and obvious computation of the oracle."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import msgspec
import numpy as np
from driving import Partitions, in_order, replayed
from hypothesis import assume, event, given
from hypothesis import strategies as st
from oracle import Figures, Oracle, kaplan_meier_quantile
from worlds import SHORT, worlds

from monitor.core.cells import (
    ABROAD,
    EMPTY_BOX_DAY,
    ENTER,
    EVENT,
    EXIT,
    HELD_DAY,
    NOT_RECEIVED_DAY,
    RETURN_DAY,
    SECURITY_DAY,
    country_number,
    split,
)
from monitor.core.contribution import Contribution
from monitor.core.facets import is_facet
from monitor.core.params import Params
from monitor.replay.outputs import picture, summary
from monitor.wire.times import recorded_us

DAY = 86_400_000_000
#: Recorded times of events that are compared: nothing is forgotten within ten years.
YEARS = range(946_684_800_000_000, 1_893_456_000_000_000)
EVERYTHING_IS_REMEMBERED = (
    Params(**{**SHORT.as_dict(), "dedup_days": 3650}),  # type: ignore[arg-type]
    Params(dedup_days=3650),
)
COUNTS = ("registered", "in_flight", "delivered", "returned", "lost", "presumed_lost")
RATIOS = ("on_time_ratio", "first_scan_ratio", "loss_ratio", "hold_ratio")


def _compare(found: dict[str, Any], figures: Figures) -> None:
    assert {name: found[name] for name in COUNTS} == {name: figures[name] for name in COUNTS}
    for name in (*RATIOS, "complaints_per_1000"):
        k, n = figures[name]
        assert found[name]["n"] == n, name
        if n:
            assert math.isclose(
                found[name]["value"], (k / n) * (1000 if name == "complaints_per_1000" else 1), abs_tol=1e-6
            ), name
    for name, p in (("p50", 0.5), ("p80", 0.8), ("p95", 0.95)):
        # The folds count whole hours, so an end may change places with another one within the hour.
        earliest, latest = (
            kaplan_meier_quantile(
                [(t + shift if ended else t + 3 * shift, ended) for t, ended in figures["transit"]], p
            )
            for shift in (-1, 1)
        )
        value = found["transit_days"][name]["value"]
        hours = math.inf if value is None else value * 24
        assert (math.inf if earliest is None else earliest) - 1e-3 <= hours
        assert hours <= (math.inf if latest is None else latest) + 1e-3


@given(worlds, st.sampled_from(EVERYTHING_IS_REMEMBERED))
def test_the_risk_sets_hold_the_parcels_that_are_in_their_clocks(lines: list[bytes], settings: Params) -> None:
    """Of each clock: those at risk, less those whose leaving is known and booked for the next day to be judged."""
    lines = [line for line in lines if recorded_us(line) in YEARS and b"timeunknown" not in line]
    assume(lines)
    rows = in_order(lines)
    as_of = -(-rows[-1][0] // settings.tick_us) * settings.tick_us
    world = replayed([lines], settings, as_of)
    oldest = settings.age_cap_days + 1  # the open bucket
    expected: Counter[tuple[str, int, int]] = Counter()
    for channel, clock, entry, left in Oracle([raw for _, _, raw in rows], settings, as_of).clocks():
        if left is None:
            expected[channel, clock, min(world.fleet.open_day - entry, oldest)] += 1
    found: Counter[tuple[str, int, int]] = Counter()
    for name, channel_ in world.channels.items():
        for clock, age in np.argwhere(channel_.risk):
            found[name, int(clock), int(age)] += int(channel_.risk[clock, age])
        for cells_of_day in channel_.booked.values():
            for key, n in cells_of_day.items():
                kind, entry, _ = split(key)
                if kind >= EVENT:
                    continue
                sign = 1 if kind < EXIT else -1
                found[name, (kind - ENTER) % 8, min(world.fleet.open_day - entry, oldest)] += sign * n
    assert {key: n for key, n in found.items() if n} == dict(expected)


RARE = {
    "customs_held": HELD_DAY,
    "security_returned": SECURITY_DAY,
    "returned": RETURN_DAY,
    "not_received": NOT_RECEIVED_DAY,
    "empty_box": EMPTY_BOX_DAY,
}


@given(worlds, st.sampled_from(EVERYTHING_IS_REMEMBERED))
def test_rare_events_are_those_that_happened_to_the_parcels(lines: list[bytes], settings: Params) -> None:
    lines = [line for line in lines if recorded_us(line) in YEARS and b"timeunknown" not in line]
    assume(lines)
    rows = in_order(lines)
    run = Partitions(settings, 1)
    run.pack(0, rows)
    found: Counter[tuple[str, int, int, int]] = Counter()
    for segment in msgspec.msgpack.decode(run.sent[0], type=Contribution).segments:
        for channel, cells in segment.cells.items():
            for key, n in cells.items():
                kind, entry, day = split(key)
                if kind >= EVENT and not is_facet(channel):
                    found[channel, kind, entry, day] += n
    told = Oracle([raw for _, _, raw in rows], settings, rows[-1][0]).rare_events()
    expected = Counter(
        (channel, RARE[what] if what in RARE else ABROAD + country_number(what), entry, day)
        for channel, what, entry, day in told
        if what in RARE or len(what) == 2  # a country
    )
    assert {key: n for key, n in found.items() if n} == dict(expected)


@given(worlds, st.sampled_from(EVERYTHING_IS_REMEMBERED), st.sampled_from(["last", "tick", "later"]))
def test_the_records_say_what_the_oracle_says(lines: list[bytes], settings: Params, when: str) -> None:
    lines = [line for line in lines if recorded_us(line) in YEARS and b"timeunknown" not in line]
    assume(lines)
    rows = in_order(lines)
    last = rows[-1][0]
    as_of = {"last": last, "tick": -(-last // settings.tick_us) * settings.tick_us, "later": last + 9 * DAY + 7}[when]
    world = replayed([lines], settings, None if when == "last" else as_of)
    oracle = Oracle([raw for _, _, raw in rows], settings, as_of)
    found = {record["channel"]: record for record in picture(world).channel_records()}
    expected = oracle.channels()
    assert sorted(found) == sorted(expected)
    for name, (life, recent) in expected.items():
        _compare(found[name], life)
        _compare(found[name]["recent"], recent)
    said = summary(world)
    assert said["waiting"] >= oracle.waiting
    rows_of_watchlist = picture(world).watch_records()
    watched = oracle.watched({name: channel.p95 for name, channel in world.channels.items()})
    assert {row["parcel_id"]: row["priority"] for row in rows_of_watchlist} == {
        parcel: priority for parcel, (_, priority) in watched.items()
    }
    for row in rows_of_watchlist:
        leg, _ = watched[row["parcel_id"]]
        assert row["reason"] in (leg, "customs_held", "returning")
    event(f"watched: {bool(watched)}")
