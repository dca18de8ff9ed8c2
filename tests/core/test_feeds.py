"""Feeds that fall silent, come back, come late; and those that only seem to."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from logs import DAILY, registered, replayed, scanned

from monitor.core.feeds import ALL, Feed, feeds_of, is_held, watch
from monitor.read.explain import explain
from monitor.replay.outputs import picture

WEEK = 28


class _Log:
    """Scans of some carriers, tick by tick."""

    def __init__(self) -> None:
        self.feeds: dict[str, Feed] = {}
        self.tick = 0
        self.news: list[tuple[int, str, str]] = []

    def ticks(self, number: int, lag: int = 4, **scans: int) -> list[tuple[int, str, str]]:
        """So many ticks, each with these scans by day (``night_`` those of every fourth tick); the news of them."""
        before = len(self.news)
        for _ in range(number):
            self.tick += 1
            told = {}
            for name, n in scans.items():
                at_night = name.startswith("night_")
                if at_night == (self.tick % 4 == 0):
                    told[name.removeprefix("night_").replace("_", "/")] = [n, n * lag]
            self.news += [(self.tick, one.feed, one.mode) for one in watch(self.tick, WEEK, told, self.feeds)]
        return self.news[before:]


def _usual(weeks: int = 6, **scans: int) -> _Log:
    log = _Log()
    assert log.ticks(weeks * WEEK, **scans) == []
    return log


def test_evidence_of_silence_is_that_of_the_formula() -> None:
    log = _usual(post=20, wolf=100)
    feed = log.feeds["post"]

    def phi() -> float:
        return 1 + (max(feed.excess, 0) + 60) / (feed.squares + 2000) * 20

    first = 0.85 * 0.7 * 20 / phi()
    log.ticks(1, post=0, wolf=100)
    assert feed.score == pytest.approx(first)
    # The others bring half of what they usually do.
    second = (5 * math.log(0.15) + 0.85 * 0.7 * 0.5 * 20) / phi()
    log.ticks(1, post=5, wolf=50)
    assert feed.score == pytest.approx(first + second)


def test_a_feed_is_silent_after_two_ticks_and_back_after_two() -> None:
    wolf = {"wolf": 100, "night_wolf": 100}
    log = _usual(post=30, night_post=30, **wolf)
    start = log.tick
    assert log.ticks(6, **wolf) == [(start + 2, "post", "feed_silent")]
    assert log.ticks(1, post=30, night_post=30, **wolf) == []
    assert log.ticks(1, post=2, night_post=2, **wolf) == []
    assert log.ticks(4, post=30, night_post=30, **wolf) == [(start + 10, "post", "")]


def test_nights_small_feeds_and_holidays_are_no_silence() -> None:
    log = _usual(post=30, night_post=1, wolf=100, night_wolf=40, tiny=2)
    while log.tick % 4 != 3:
        log.ticks(1, post=30, night_post=1, wolf=100, night_wolf=40, tiny=2)
    assert log.ticks(1, night_post=0, night_wolf=40) == []
    assert log.ticks(40, post=30, night_post=1, wolf=100, night_wolf=40) == []  # tiny says nothing any more
    assert log.ticks(24, post=8, night_post=1, wolf=30, night_wolf=12) == []  # a holiday of all


def test_if_all_fall_silent_it_is_our_own_intake() -> None:
    log = _usual(post=30, wolf=100, cne=40)
    assert [one[1:] for one in log.ticks(20)] == [(ALL, "feed_silent")]
    assert [one[1:] for one in log.ticks(6, post=30, wolf=100, cne=40)] == [(ALL, "")]


def test_a_carrier_with_services_is_named_if_all_of_them_are_silent_else_the_service() -> None:
    log = _usual(post_air=40, post_sea=40, wolf=100)
    assert [one[1:] for one in log.ticks(6, wolf=100)] == [("post", "feed_silent")]
    log = _usual(post_air=40, post_sea=10, wolf=100)
    assert [one[1:] for one in log.ticks(6, post_sea=10, wolf=100)] == [("post/air", "feed_silent")]
    assert feeds_of("post/air") == (ALL, "post", "post/air")


def test_a_carrier_that_is_given_up_fades_and_is_not_silent() -> None:
    log = _usual(post=30, wolf=100)
    for day in range(40):
        log.ticks(4, post=int(30 * 0.85**day), wolf=100)
    assert log.news == []


def test_a_feed_that_uploads_in_lumps_is_not_silent_between_them() -> None:
    log = _Log()
    for day in range(80):
        late = day % 3 == 0  # now and then the upload of a day slips into the next tick
        for n in (0, 0 if late else 90, 90 if late else 0, 0):
            log.ticks(1, post=n, night_post=n, wolf=100, night_wolf=100)
    assert log.news == []


def test_a_feed_that_reports_days_late_is_late() -> None:
    log = _usual(post=30, wolf=100)
    late = log.ticks(8, lag=60, post=30)
    assert [one[1:] for one in late if one[1] == "post"] == [("post", "feed_late")]
    assert [one[1:] for one in log.ticks(8, post=30) if one[1] == "post"] == [("post", "")]


def test_days_touched_by_silence_are_held_for_six_days_at_most() -> None:
    log = _usual(post=30, wolf=100)
    start = log.tick
    log.ticks(8, post=0, wolf=100)

    def held(part: str, first: int, tick: int) -> bool:
        return is_held(part, log.feeds, first, tick, 4)

    assert held("post", start - 6, start + 4)
    assert not held("wolf", start - 6, start + 4)
    assert not held("post", start + 21, start + 26)
    log.ticks(4, post=30, wolf=100)
    assert held("post", start + 4, log.tick)
    assert not held("post", log.tick - 1, log.tick + 4)


FIRST, DAYS = 70, 125
PARAMS = replace(DAILY, tick_hours=6, shadow_days=30)


def _parcels(carrier: str) -> list[tuple[float, bytes]]:
    """(day recorded, line) of parcels that are accepted after a day and delivered after 8 to 12."""
    lines = []
    for day in range(FIRST, DAYS):
        for i in range(12):
            parcel, at = f"{carrier}-{day}-{i}", day + i / 12
            lines.append((at, registered(parcel, at, carrier=carrier)))
            for milestone, later in (
                ("accepted", 1.0),
                ("departed_origin", 3.1),
                ("delivered", 8 + (i + day) % 5 + 0.2),
            ):
                if at + later < DAYS:
                    lines.append((at + later, scanned(parcel, milestone, at + later, recorded=at + later + 0.1)))
    return lines


@pytest.mark.parametrize("backlog", [False, True], ids=["lost for good", "uploaded later"])
def test_an_outage_is_one_feed_incident_and_no_alarm_of_a_channel(backlog: bool) -> None:
    lines = [line for _, line in _parcels("wolf")]
    for at, line in _parcels("post"):
        if not 110 <= at < 113.5 or b"registered.v1" in line:
            lines.append(line)
        elif backlog:
            parcel, milestone = line.split(b'"parcel_id": "')[1].split(b'"')[0], line.split(b'"milestone": "')[1]
            lines.append(scanned(parcel.decode(), milestone.split(b'"')[0].decode(), at, recorded=113.7))
    seen = picture(replayed(lines, DAYS, PARAMS))
    [incident] = seen.incident_records()
    told = explain(seen, incident["incident_id"], [])
    assert told is not None
    assert "what that tick of the week usually brings" in told["rule"]
    assert incident["scope"] == {"kind": "feed", "country": None, "product": None, "carrier": "post"}
    assert (incident["mode"], incident["severity"], incident["clock"]) == ("feed_silent", "feed", None)
    assert incident["members"] == ["RU|tablet|post"]
    assert "2025-06-28T06" <= incident["known_by"] <= "2025-06-29T00"
    assert "2025-07-01T12" <= incident["closed_at"] <= "2025-07-03T00"


def test_a_channel_that_stops_is_found_though_its_feed_speaks() -> None:
    lines = [line for _, line in _parcels("wolf")]
    lines += [line for at, line in _parcels("post") if at < 110 or b'"delivered"' not in line]
    incidents = picture(replayed(lines, DAYS, PARAMS)).incident_records()
    assert [(one["severity"], one["scope"]["carrier"]) for one in incidents] == [("page", "post")]
