"""Feeds: is what we hear of a carrier what we usually hear? A silent feed is no silent channel.

Scans *recorded* are counted per tick and carrier part (carrier and service); a feed is a part, a carrier with several
of them, or all together (``ALL``: our own intake). What a tick of the week usually brings is learnt, and corrected by
how much came lately. With n scans where e are expected, and r the share of theirs that the other carriers bring:

    x = SLACK · r · e        ℓ = (n ln ρ + (1 − ρ) x) / (1 + cv²·e)        S ← max(0, S + ℓ)

a CUSUM for a Poisson rate that falls to ρ·x, tempered by the feed's own cv² (large for a feed that uploads in lumps).
A feed is silent once S reaches ``SILENT_SCORE`` over two ticks or more; ticks with fewer than ``LEAST`` expected scans
(nights, small feeds) say nothing. It is back after ``BACK_TICKS`` ticks with ``BACK_RATIO`` of what is expected.

A feed is late when the mean lag of its scans is above ``LATE_HOURS`` and ``LATE_TIMES`` its usual one for
``LATE_TICKS`` ticks in a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from msgspec import Struct

ALL: Final = ""
SLACK: Final = 0.7
RHO: Final = 0.15
ALL_SLACK: Final = 0.2  # nothing to compare with, and holidays come to everybody
SILENT_SCORE: Final = 8.0
SUSPECT_SCORE: Final = 4.0  # from here on days are not judged
LEAST: Final = 3.0
SILENT_TICKS: Final = 2
BACK_RATIO: Final = 0.7
BACK_TICKS: Final = 2
GIVE_UP_DAYS: Final = 30  # a carrier that is silent for so long is no longer expected to report
HOLD_DAYS: Final = 6.0  # a feed that is silent for longer no longer keeps its channels from being judged
LATE_HOURS: Final = 24.0
LATE_TIMES: Final = 3.0
LATE_TICKS: Final = 4
LATE_LEAST: Final = 5  # scans of a tick whose mean lag is believed
KNOWN_WEEKS: Final = 2  # a tick of the week is known after so many
MEMORY_WEEKS: Final = 6
LEVEL_KEEP: Final = 0.89  # half of it is left after 6 ticks
SPREAD_KEEP: Final = 0.995
SPREAD_PRIOR: Final = (0.03 * 2000.0, 2000.0)
SPREAD_MOST: Final = 9.0  # a single tick counts for at most so many times its expectation
LAG_MEMORY: Final = 56  # ticks


class Feed(Struct):
    """What is known of one feed. ``since`` and ``last``: first and last tick of the silence or lateness."""

    slots: list[float]  # usual scans by tick of the week
    weeks: list[int]  # weeks behind each
    got: float = 0.0  # scans lately, and what the slots said of the same ticks
    due: float = 0.0
    excess: float = 0.0  # Σ (n − e)² − e and Σ e²
    squares: float = 0.0
    score: float = 0.0
    since: int = 0
    last: int = 0
    seen: float = 0.0  # since ``since``
    expected: float = 0.0
    back: int = 0
    lag_hours: float = 0.0  # usual mean lag
    lag_ticks: int = 0
    late: int = 0  # late ticks in a row; below zero: ticks in time in a row since it was
    mode: str = ""  # feed_silent, feed_late or none
    incident_id: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """A feed has fallen silent or late (``mode``), or is back (no mode)."""

    feed: str
    mode: str


@dataclass(slots=True)
class _Now:
    """A feed's tick: scans, their mean lag if it can be told, what is expected, and ℓ."""

    n: int
    lag: float | None
    usual: float
    known: bool
    e: float = 0.0
    ell: float = 0.0
    ratio: float = 1.0


@lru_cache(maxsize=4096)
def feeds_of(part: str) -> tuple[str, ...]:
    """The feeds that tell of a carrier part, the widest first.

    >>> feeds_of("post/air"), feeds_of("wolf")
    (('', 'post', 'post/air'), ('', 'wolf'))
    """
    return tuple(dict.fromkeys((ALL, part.split("/", 1)[0], part)))


def watch(tick: int, per_week: int, scans: Mapping[str, list[int]], feeds: dict[str, Feed]) -> list[News]:
    """Take in the ``scans`` (carrier part → number, sum of lags in hours) recorded up to ``tick``; who is news."""
    for part in sorted(scans):
        for name in feeds_of(part):
            if name not in feeds:
                feeds[name] = Feed([0.0] * per_week, [0] * per_week)
    slot = tick % per_week
    now = {name: _now(name, feeds[name], slot, scans) for name in sorted(feeds)}
    parts = _parts(now)
    news = []
    for name, it in now.items():
        _weigh(name, feeds[name], it, now, parts)
    for name, it in now.items():
        feed = feeds[name]
        _count(feed, it, tick)
        mode = _mode(name, feed, it, now, feeds, parts, tick)
        if name and feed.mode and tick - feed.since > GIVE_UP_DAYS * per_week // 7:
            mode, feed = "", Feed([0.0] * per_week, [0] * per_week, incident_id=feed.incident_id, mode=feed.mode)
            feeds[name] = feed
        if mode != feed.mode:
            news.append(News(name, mode))
            feed.mode = mode
        if feed.mode:
            feed.last = tick
        _learn(feed, it, slot)
    return news


def is_held(part: str, feeds: Mapping[str, Feed], first_tick: int, tick: int, ticks_per_day: int) -> bool:
    """Whether a day that began with ``first_tick`` and is judged at ``tick`` was touched by silence of the feeds that
    tell of a carrier part."""
    for name in feeds_of(part):
        feed = feeds.get(name)
        if feed is None or not feed.since:
            continue
        touched = feed.last > first_tick or (not feed.mode and feed.score >= SUSPECT_SCORE)
        if touched and (name == ALL or tick - feed.since <= HOLD_DAYS * ticks_per_day):
            return True
    return False


def _parts(names: Iterable[str]) -> dict[str, list[str]]:
    """Feed → the feeds it consists of."""
    some = sorted(name for name in names if name)
    leaves = [name for name in some if not any(other.startswith(name + "/") for other in some)]
    return {name: [one for one in leaves if name in (ALL, one, one.split("/", 1)[0])] for name in (ALL, *some)}


def _now(name: str, feed: Feed, slot: int, scans: Mapping[str, list[int]]) -> _Now:
    mine = [numbers for part, numbers in scans.items() if name in feeds_of(part)]
    n, hours = sum(one[0] for one in mine), sum(one[1] for one in mine)
    level = min(feed.got / feed.due, 1.0) if feed.due > 0 else 1.0
    usual = feed.slots[slot]
    known = feed.weeks[slot] >= KNOWN_WEEKS
    return _Now(n, hours / n if n >= LATE_LEAST else None, usual, known, round(usual * level, 9) if known else 0.0)


def _weigh(name: str, feed: Feed, it: _Now, now: Mapping[str, _Now], parts: Mapping[str, list[str]]) -> None:
    """ℓ of the tick."""
    if it.e < LEAST:
        return
    slack = ALL_SLACK
    if name != ALL:
        slack = SLACK
        mine = parts[name.split("/", 1)[0]]
        others = [now[part] for part in parts[ALL] if part not in mine]
        expected = sum(other.e for other in others)
        if expected >= LEAST:
            it.ratio = min(max(sum(other.n for other in others) / expected, 0.1), 1.0)
    x = slack * it.ratio * it.e
    it.ell = round((it.n * math.log(RHO) + (1 - RHO) * x) / (1 + _cv2(feed) * it.e), 9)


def _cv2(feed: Feed) -> float:
    """Squared coefficient of variation of a tick's scans beyond Poisson's, shrunk to a usual one."""
    return (max(feed.excess, 0.0) + SPREAD_PRIOR[0]) / (feed.squares + SPREAD_PRIOR[1])


def _count(feed: Feed, it: _Now, tick: int) -> None:
    """Add the tick to the CUSUM and its sums."""
    if feed.mode == "feed_silent":
        well = it.n >= BACK_RATIO * it.ratio * it.e
        if it.e >= LEAST:
            feed.back = feed.back + 1 if well else 0
    elif not feed.mode:
        if feed.score <= 0 and it.ell > 0:
            feed.since, feed.seen, feed.expected = tick, 0.0, 0.0
        feed.score = round(max(feed.score + it.ell, 0.0), 9)
    feed.seen += it.n
    feed.expected = round(feed.expected + it.e, 9)
    if it.lag is not None and feed.lag_ticks >= LAG_MEMORY // 2:
        late = it.lag > LATE_HOURS and it.lag > LATE_TIMES * feed.lag_hours
        feed.late = max(feed.late, 0) + 1 if late else min(feed.late, 0) - 1


def _mode(
    name: str,
    feed: Feed,
    it: _Now,
    now: Mapping[str, _Now],
    feeds: Mapping[str, Feed],
    parts: Mapping[str, list[str]],
    tick: int,
) -> str:
    """The feed's mode after this tick."""
    if feed.mode == "feed_silent":
        if feed.back < BACK_TICKS:
            return feed.mode
        feed.score, feed.back, feed.late = 0.0, 0, 0
        return ""
    if feed.mode == "feed_late":
        return feed.mode if feed.late > -LATE_TICKS else ""
    wider = [one for one in feeds_of(name) if one != name and one in feeds]
    if any(feeds[one].mode for one in wider):
        feed.score = 0.0
        return ""
    mine = parts[name]
    if feed.score >= SILENT_SCORE and tick - feed.since + 1 >= SILENT_TICKS and it.e >= LEAST:
        loud = [one for one in mine if now[one].e >= LEAST and now[one].n > 0.35 * now[one].ratio * now[one].e]
        alone = name == ALL and len(mine) < 2  # then the one carrier is named
        if (not loud or name in mine) and not alone:
            return "feed_silent"
    if feed.late == LATE_TICKS and name in mine:
        feed.since, feed.seen, feed.expected = tick - LATE_TICKS + 1, float(it.n), it.e
        return "feed_late"
    return ""


def _learn(feed: Feed, it: _Now, slot: int) -> None:
    """What is usual: from ticks on which nothing is suspicious; how it varies: from all but those of an incident."""
    if feed.mode:
        return
    if it.known:
        cv2 = _cv2(feed)
        gap = min((it.n - it.e) ** 2, SPREAD_MOST * (it.e + cv2 * it.e**2)) - it.e
        feed.excess = round(feed.excess * SPREAD_KEEP + gap, 6)
        feed.squares = round(feed.squares * SPREAD_KEEP + it.e**2, 6)
    if it.ell > 0 and it.e >= LEAST:
        return
    weeks = feed.weeks[slot]
    feed.slots[slot] = round(it.usual + (it.n - it.usual) / (min(weeks, MEMORY_WEEKS) + 1), 9)
    feed.weeks[slot] = min(weeks + 1, MEMORY_WEEKS)
    if it.known:
        feed.got = round(feed.got * LEVEL_KEEP + it.n, 9)
        feed.due = round(feed.due * LEVEL_KEEP + it.usual, 9)
    if it.lag is not None and feed.late <= 0:
        feed.lag_hours = round(feed.lag_hours + (it.lag - feed.lag_hours) / min(feed.lag_ticks + 1, LAG_MEMORY), 6)
        feed.lag_ticks = min(feed.lag_ticks + 1, LAG_MEMORY)
