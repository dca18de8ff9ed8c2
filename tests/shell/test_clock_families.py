"""The metrics of each channel by clock."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hand_logs import CHANNEL, registered, scanned

from monitor.core.channel import new_channel
from monitor.core.evidence import ALTERNATIVES, LN_M
from monitor.core.params import Params
from monitor.read.clock_families import NAMES, clock_families
from monitor.replay.driver import Replay
from monitor.replay.outputs import picture
from monitor.wire.incoming import Incoming
from monitor.wire.times import parse_time


def test_parcels_are_counted_in_the_stage_they_wait_in() -> None:
    events = [registered(name, 0) for name in "ABCDEF"]
    events += [scanned(name, "accepted", 1) for name in "BCDE"]
    events += [scanned(name, "departed_origin", 2) for name in "CDE"]
    events += [scanned("E", "arrived_destination", 8), scanned("F", "delivered", 9), registered("G", 20)]
    work = Replay(Params(), parse_time("2026-01-26T00:00:00Z"))
    work.add(Incoming("hand", i, raw, raw) for i, raw in enumerate(json.dumps(one).encode() for one in events))
    world = work.run()
    found = {labels["clock"]: n for labels, n in clock_families(world.channels)["stage_parcels"]}
    assert found == {
        "registered>accepted": 2,
        "accepted>departed_origin": 1,
        "departed_origin>arrived_destination": 2,
        "arrived_destination>delivered": 1,
    }
    families = picture(world).families()
    (sample,) = (s for s in families["stage_parcels"] if s[0]["clock"] == "accepted>departed_origin")
    assert sample == ({"country": "RU", "product": "tablet", "carrier": "china-post", "clock": sample[0]["clock"]}, 1)
    assert families["complaints_ratio"] == [({"country": "RU", "carrier": "china-post"}, 0)]
    assert families["complaints_ratio_lower_bound"][0][1] == 0
    assert families["complaints_ratio_upper_bound"][0][1] == pytest.approx(3.668 / 7, abs=0.001)  # Byar's bound


def test_evidence_is_the_mean_over_the_alternatives_of_a_clock() -> None:
    channel = new_channel(122)
    channel.evidence[LN_M, NAMES.index("customs_hold")] = np.log(6.0)
    channel.evidence[LN_M, 2, 0] = np.log(6.0 * len(ALTERNATIVES))
    (first, second) = clock_families({CHANNEL: channel})["clock_evidence_ln"]
    assert {first[0]["clock"], second[0]["clock"]} == {"customs_hold", "departed_origin>arrived_destination"}
    assert (first[1], second[1]) == (pytest.approx(np.log(6.0)), pytest.approx(np.log(6.0)))


def test_a_stage_that_never_gets_to_95_percent_has_no_days() -> None:
    channel = new_channel(122)
    assert clock_families({CHANNEL: channel})["stage_days"] == []
    channel.p95 = [3, 121, 14, 120]
    found = {labels["clock"]: days for labels, days in clock_families({CHANNEL: channel})["stage_days"]}
    assert found == {
        "registered>accepted": 3,
        "departed_origin>arrived_destination": 14,
        "arrived_destination>delivered": 120,
    }
