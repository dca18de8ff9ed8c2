"""The events of a simulated world: valid, in order, as late and as incomplete as real feeds, and always the same."""

from __future__ import annotations

import ast
import gzip
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import zstandard
from simulated import START, Line, Seen, day_of, seen

import monitor.replay.simulate
from monitor.core.bounds import check_times
from monitor.core.events import check, to_us
from monitor.core.params import DEFAULTS
from monitor.replay.simulate import simulate, truth_path, write_world
from monitor.wire.decode import decode


def test_equal_arguments_write_equal_files_and_another_seed_does_not(tmp_path: Path) -> None:
    plain, again, packed, zst = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl.gz", "d.jsonl.zst"))
    for out in (plain, again, packed, zst):
        world = write_world("stretch", 1, out, 25, 4, START, 0.5)
        assert json.loads(truth_path(out).read_text()) == world.truth
    assert plain.read_bytes() == again.read_bytes()
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert zstandard.ZstdDecompressor().stream_reader(zst.read_bytes()).read() == plain.read_bytes()
    before = packed.read_bytes()
    write_world("stretch", 1, packed, 25, 4, START, 0.5)
    assert packed.read_bytes() == before
    assert b"".join(simulate("stretch", 2, 25, 4, START, 0.5)) != plain.read_bytes()


def test_every_event_is_one_the_monitor_takes() -> None:
    kinds = Counter()
    lateness_us = DEFAULTS.days_us("lateness_days")
    for line in seen("dispute_burst").lines:
        event = decode(line)
        check(event)
        check_times(to_us(event.time), to_us(event.recordedtime or event.time), lateness_us)
        kinds[type(event).__name__] += 1
    assert set(kinds) == {
        "CarrierOffered", "ParcelRegistered", "ParcelScanned", "ComplaintOpened", "ComplaintClosed", "RefundRequested",
        "RefundCompleted", "ClaimFiled", "ClaimSettled",
    }  # fmt: skip


def test_events_come_in_the_order_in_which_they_become_known_and_before_the_end() -> None:
    world = seen("quiet")
    known = [event.recordedtime for event in world.events]
    assert known == sorted(known)
    assert day_of(known[-1]) < 80
    assert all(event.time <= event.recordedtime for event in world.events)


def test_an_identity_that_comes_twice_is_the_same_event() -> None:
    found: dict[tuple[str, str], bytes] = {}
    repeats = 0
    without_recording = re.compile(rb'"recordedtime":"[^"]*"')
    for event, line in zip(seen("quiet").events, seen("quiet").lines, strict=True):
        body = without_recording.sub(b"", line)
        repeats += (event.source, event.id) in found
        assert found.setdefault((event.source, event.id), body) == body
    assert 0.0005 < repeats / len(found) < 0.01


def _first_times(events: list[Line]) -> dict[str, dict[str, float]]:
    times: dict[str, dict[str, float]] = defaultdict(dict)
    for event in events:
        if event.type == "parcel.registered.v1":
            times[event.subject]["registered"] = day_of(event.time)
        elif event.type == "parcel.scanned.v1" and event.id.rsplit("-", 1)[1] not in ("mis", "trn"):
            when = day_of(event.time)
            milestone = event.data.milestone or ""
            times[event.subject][milestone] = min(when, times[event.subject].get(milestone, when))
    return times


def test_scans_of_a_parcel_follow_its_journey() -> None:
    ways = (
        ("registered", "accepted", "origin_hub", "export_customs", "departed_origin", "arrived_destination"),
        ("arrived_destination", "customs_held", "customs_released", "delivery_office", "out_for_delivery", "delivered"),
        ("departed_origin", "attempt_failed", "available_for_pickup", "returning", "returned"),
        ("accepted", "origin_hub", "security_returned", "returned"),
    )
    times = _first_times(seen("quiet").events)
    for way in ways:
        for parcel, first in times.items():
            stages = [first[name] for name in way if name in first]
            assert stages == sorted(stages), (parcel, first)
    assert sum("delivered" in first for first in times.values()) > 0.5 * len(times)


def test_feeds_are_as_late_as_the_truth_says_and_miss_some_scans() -> None:
    world = seen("quiet")
    lags: dict[str, list[float]] = defaultdict(list)
    for event in world.events:
        if event.type == "parcel.scanned.v1":
            lags[event.source.removeprefix("/tracking/")].append(day_of(event.recordedtime) - day_of(event.time))
    stated = {
        entry["channel"].split("|")[2]: entry["reporting_lag_median_h"] for entry in world.truth["world"]["channels"]
    }
    assert set(lags) == set(stated)
    for carrier, values in lags.items():
        if len(values) > 1000:
            assert 24 * np.median(values) == pytest.approx(stated[carrier], rel=0.25)
    assert sum(len(values) > 1000 for values in lags.values()) >= 2
    assert max(max(values) for values in lags.values()) > 4
    times = _first_times(world.events)
    delivered = [first for first in times.values() if "delivered" in first]
    assert 0.02 < sum("departed_origin" not in first for first in delivered) / len(delivered) < 0.15


def test_other_channels_write_the_same_lines_whatever_is_planted_beside_them() -> None:
    quiet, planted = seen("quiet"), seen("stretch")
    touched = set(planted.truth["planted"][0]["channels"])

    def others(world: Seen) -> list[bytes]:
        mine = set()
        for event in world.events:
            data = event.data
            part = f"{data.carrier}/{data.service}" if data.service else data.carrier
            if event.type == "parcel.registered.v1" and f"{data.destination}|{data.product}|{part}" in touched:
                mine.add(event.subject)
        pattern = re.compile(rb'"subject":"(?:[CRL]-)?([A-Z0-9]+)')
        return [line for line in world.lines if (m := pattern.search(line)) is None or m[1].decode() not in mine]

    kept = others(quiet)
    assert 0.3 * len(quiet.lines) < len(kept) < len(quiet.lines)
    assert kept == others(planted)
    assert quiet.lines != planted.lines


def test_an_outage_loses_a_carriers_scans_and_a_backlog_only_delays_them() -> None:
    quiet = {event.id: event for event in seen("quiet").events}
    for scenario in ("feed_outage", "backlog_upload"):
        world = seen(scenario)
        (item,) = world.truth["planted"]
        source = f"/tracking/{item['scope']['carrier']}"
        inside = [
            event
            for event in world.events
            if event.source == source and item["start"] <= f"{event.recordedtime:%Y-%m-%dT%H:%M:%SZ}" < item["end"]
        ]
        missing = [quiet[name] for name in set(quiet) - {event.id for event in world.events}]
        assert inside == []
        if scenario == "feed_outage":
            assert len(missing) > 10
            assert {event.source for event in missing} == {source}
        else:
            assert missing == []
            moved = [e for e in world.events if e.recordedtime > quiet[e.id].recordedtime and e.source == source]
            assert len(moved) > 10


def test_postal_tracking_numbers_carry_their_check_digit() -> None:
    postal = {e.subject for e in seen("quiet").events if re.fullmatch(r"[A-Z]{2}\d{9}[A-Z]{2}", e.subject)}
    assert postal
    for number in sorted(postal)[:200]:
        digits = [int(digit) for digit in number[2:11]]
        total = sum(weight * digit for weight, digit in zip((8, 6, 4, 2, 3, 5, 9, 7), digits, strict=False))
        assert digits[8] == {10: 0, 11: 5}.get(11 - total % 11, 11 - total % 11)


def test_the_simulator_shares_no_code_with_the_core_it_tests() -> None:
    folder = Path(monitor.replay.simulate.__file__).parent
    for file in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            own = [name for name in names if name.startswith("monitor.")]
            assert all(name.startswith("monitor.replay.simulate.") for name in own), file.name
