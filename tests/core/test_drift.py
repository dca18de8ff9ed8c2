"""Slow drift of a baseline: measured rightly, told once, as a ticket, and for as long as it is news."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from logs import DAILY, START_DAY, registered, replayed, scanned

from monitor.core.channel import Channel, Mark, new_channel
from monitor.core.drift import Drift, Duration, anchor_of, durations, score, usual_duration
from monitor.core.forecast import Forecast
from monitor.core.incidents import Incident, Stock, open_about
from monitor.core.params import Params
from monitor.core.vocabulary import DAY_US, END_TO_END
from monitor.read.explain import proven
from monitor.replay.outputs import picture
from monitor.wire.records import Incident as IncidentRecord

NAME = "RU|tablet|post"
THURSDAY = 20_000 // 7 * 7


def _channel(days: int, parcels: float = 400.0, marks: list[Mark] | None = None) -> Channel:
    """A channel that has learnt: half of its parcels arrive after ``days``, all others a day later."""
    channel = new_channel(62)
    channel.judged_days = 400
    risk = np.zeros(61)
    risk[: days + 1] = parcels
    risk[days + 1] = parcels / 2
    exits = np.zeros(61)
    exits[days] = exits[days + 1] = parcels / 2
    channel.tally[0], channel.tally[1] = exits, risk
    channel.risk[END_TO_END, 0] = 5
    channel.marks = marks or []
    return channel


class Watch:
    """Drift of one channel, week after week."""

    def __init__(self, channel: Channel) -> None:
        self.channels = {NAME: channel}
        self.incidents: dict[str, Incident] = {}
        self.drift = Drift(Params(), self.channels, self.incidents, self._put)
        self.news = 0

    def _put(self, incident: Incident, news: bool) -> None:
        self.incidents[incident.incident_id] = incident
        self.news += news

    def week(self, number: int, first_day: int = THURSDAY - 400) -> list[Incident]:
        day = THURSDAY + 7 * number
        stock = Stock(5, Forecast(1.0, 0.0, 3.0))
        self.drift.after_days(range(day - 1, day + 1), first_day, (day + 2) * DAY_US, lambda *_: stock)
        return [one for one in self.incidents.values() if one.judged_by == "drift" and not one.closed_us]


def test_the_usual_duration_is_the_mean_of_the_fastest_nine_tenths_and_grows_as_all_durations_do() -> None:
    rng = np.random.default_rng(1)
    times = np.sort(rng.gamma(16, 3.0, 200_000))  # days

    def usual(stretch: float) -> tuple[float, float]:
        whole = np.floor(times * stretch).astype(int)
        exits = np.bincount(whole, minlength=400)[:400].astype(float)
        at_risk = (len(whole) - np.concatenate(([0], np.cumsum(exits)[:-1]))).astype(float)
        hazards = np.where(at_risk > 0, exits / np.maximum(at_risk, 1), 0.5).clip(1e-9, 0.98)
        days, variance = usual_duration(hazards[None], at_risk[None])
        return float(days[0]), float(variance[0])

    days, variance = usual(1.0)
    fastest = np.floor(times)[: int(len(times) * 0.9)]
    assert days == pytest.approx(fastest.mean(), abs=0.02)
    assert usual(1.15)[0] / days == pytest.approx(1.15, abs=0.01)
    samples = [np.sort(rng.gamma(16, 3.0, 500))[:450].mean() for _ in range(400)]
    assert np.sqrt(variance * len(times) / 500) == pytest.approx(np.std(samples), rel=0.15)


def test_the_anchor_is_the_latest_mark_of_a_year_ago_or_the_first() -> None:
    marks = [Mark(day, 10.0, 0.1) for day in (0, 91, 182, 273, 364)]
    assert anchor_of([], 500) is None
    assert anchor_of(marks, 364) == marks[0]
    assert anchor_of(marks, 365 + 91) == marks[1]
    assert anchor_of(marks, 365 + 100) == marks[1]
    assert score(Duration(12.0, 0.05), Mark(0, 10.0, 0.2)) == (pytest.approx(0.2), pytest.approx(4.0))


def test_a_channel_that_has_become_slower_gets_one_ticket_that_says_by_how_much() -> None:
    watch = Watch(_channel(12, marks=[Mark(THURSDAY - 200, 10.0, 0.04)]))
    (ticket,) = watch.week(0)
    assert (ticket.severity, ticket.mode, ticket.clock) == ("ticket", "transit_slow", "registered>delivered")
    assert ticket.observed == pytest.approx(durations(watch.channels)[NAME].days, abs=1e-6)
    assert (ticket.expected, ticket.since_day, ticket.members) == (10.0, THURSDAY - 200, [NAME])
    assert watch.week(1) == [ticket]
    assert watch.week(30) == [ticket]
    assert (watch.news, len(watch.incidents)) == (1, 1)


def test_nothing_is_said_on_other_days_in_the_shadow_or_of_what_is_not_sure() -> None:
    marks = [Mark(THURSDAY - 200, 10.0, 0.04)]
    watch = Watch(_channel(12, marks=marks))
    watch.drift.after_days(range(THURSDAY + 1, THURSDAY + 7), 0, (THURSDAY + 9) * DAY_US, lambda *_: None)  # type: ignore[arg-type,return-value]
    assert watch.week(0, first_day=THURSDAY - 89) == []
    assert Watch(_channel(12, marks=[Mark(THURSDAY - 200, 10.0, 1.0)])).week(0) == []
    assert Watch(_channel(11, marks=marks)).week(0) == []  # 14% slower


def test_a_ticket_closes_below_two_thirds_of_the_ratio_also_because_the_anchor_has_moved_on() -> None:
    faster = Watch(_channel(12, marks=[Mark(THURSDAY - 200, 10.0, 0.04)]))
    faster.week(0)
    faster.channels[NAME].tally = _channel(11).tally
    assert len(faster.week(1)) == 1  # 14%: not open, were it new
    faster.channels[NAME].tally = _channel(10).tally
    assert faster.week(2) == []
    stays = Watch(_channel(12, marks=[Mark(THURSDAY - 200, 10.0, 0.04)]))
    assert [len(stays.week(week)) for week in range(80)] == [1] * 53 + [0] * 27
    assert len(stays.incidents) == 1
    assert len(stays.channels[NAME].marks) <= 6


def test_an_incident_of_the_channel_or_of_its_carrier_takes_the_place_of_the_ticket() -> None:
    marks = [Mark(THURSDAY - 200, 10.0, 0.04)]
    for scope in ("channel|" + NAME, "carrier|||post"):
        watch = Watch(_channel(12, marks=marks))
        other = open_about(scope, "stage_stalled", [NAME], THURSDAY, 1)
        other.severity = "page"
        watch.incidents[other.incident_id] = other
        assert watch.week(0) == []
        other.closed_us = 2
        (ticket,) = watch.week(1)
        again = open_about(scope, "no_first_scan", [NAME], THURSDAY, 3)
        watch.incidents[again.incident_id] = again
        assert watch.week(2) == []
        assert ticket.absorbed_by == again.incident_id
    sentinel = Watch(_channel(12, marks=marks))
    other = open_about("channel|" + NAME, "sentinel", [NAME], THURSDAY, 1)
    sentinel.incidents[other.incident_id] = other
    assert len(sentinel.week(0)) == 1


def test_a_mark_waits_until_the_duration_is_known() -> None:
    young = _channel(12)
    young.judged_days = 10
    few = Watch(_channel(12, parcels=1.0))
    early, known = Watch(young), Watch(_channel(12))
    for watch in (few, early, known):
        watch.week(0)
    assert few.channels[NAME].marks == early.channels[NAME].marks == []
    assert [mark.day for mark in known.channels[NAME].marks] == [THURSDAY]
    known.week(12)
    known.week(13)
    assert [mark.day for mark in known.channels[NAME].marks] == [THURSDAY, THURSDAY + 91]


def test_an_open_ticket_is_known_after_a_restart() -> None:
    watch = Watch(_channel(12, marks=[Mark(THURSDAY - 200, 10.0, 0.04)]))
    tickets = watch.week(0)
    watch.drift = Drift(Params(), watch.channels, watch.incidents, watch._put)
    assert watch.week(1) == tickets
    assert len(watch.incidents) == 1


def test_a_drift_that_the_evidence_follows_becomes_a_ticket() -> None:
    """A tenth of a percent a day and a little more, for most of a year."""
    rng = random.Random(4)
    lines = []
    for day in range(350):
        for i in range(20):
            id_, at = f"{day}-{i}", day + i / 21
            transit = max(1, rng.gauss(14, 3.5)) * (1 + 0.0012 * max(0, day - 60))
            lines += [registered(id_, at), scanned(id_, "delivered", at + transit)]
    world = replayed(lines, 350, replace(DAILY, shadow_days=60, drift_ratio=0.1))
    (ticket,) = world.incidents.values()
    assert (ticket.judged_by, ticket.severity, ticket.closed_us) == ("drift", "ticket", 0)
    assert 1.1 < ticket.observed / ticket.expected < 1.2
    assert START_DAY + 59 <= ticket.since_day < START_DAY + 80
    (record,) = picture(world).incident_records()
    assert IncidentRecord.model_validate_json(json.dumps(record)).judged_by == "drift"
    explained = proven(picture(world), ticket, None, None)
    assert "is compared with what it was a year ago" in explained["rule"]
    assert explained["figures"]["drift"]["anchor_days"] == ticket.expected
