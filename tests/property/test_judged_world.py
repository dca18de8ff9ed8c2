"""Judged days, groups, feeds and incidents are the same however a simulated world of months comes in."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import pytest
from driving import Partitions, replayed

from monitor.core.params import Params
from monitor.replay.outputs import picture
from monitor.replay.simulate import simulate
from monitor.wire.times import recorded_us

PARAMS = Params(shadow_days=40, ticket_ln_m=4, page_ln_m=6, group_page_ln_m=6)


@lru_cache(maxsize=2)
def _lines(scenario: str) -> list[bytes]:
    return list(simulate(scenario, 75, 80, 10, date(2024, 3, 4), 0.25))


@pytest.mark.parametrize("scenario", ["carrier", "feed_outage"])
def test_partitions_and_restarts_leave_no_trace_in_what_is_judged(scenario: str) -> None:
    lines = _lines(scenario)
    last = max(map(recorded_us, lines)) // PARAMS.tick_us * PARAMS.tick_us
    plain = replayed([lines], PARAMS, until_us=last)
    assert any(group.ln_m > -1 for group in plain.groups.values())
    said = picture(plain).incident_records()
    assert {one["severity"] for one in said} & {"page", "feed"}
    run = Partitions(PARAMS, 3)
    queues = run.log([line for line in lines if recorded_us(line) <= last], [last])
    step = 0
    while any(queues):
        which = max(range(3), key=lambda i: len(queues[i]))
        run.pack(which, [queues[which].popleft() for _ in range(min(900, len(queues[which])))])
        step += 1
        if step % 20 == 0:
            run.restart()
    assert run.told(last)["incidents"] == said
    assert run.sha256() == plain.sha256()
