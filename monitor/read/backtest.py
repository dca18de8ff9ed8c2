"""What the pictures of a backtest are drawn from. Days are UTC day numbers, lengths are in days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Steps:
    """A survival curve in daily steps with its 95% interval, and the number of parcels it rests on."""

    days: Sequence[float]
    survival: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    n: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Story:
    """One incident in pictures.

    ``evidence``: (judged day, ln M) of the member with the largest, and ``page_at`` the ln M that pages it by itself;
    ``shared``: the same of the group, its best witness left out, for an incident of one; ``complaints``: (Monday,
    count) of its members; ``alarms``: days of their complaint alarms; ``now`` and ``before``: days to delivery of the
    parcels registered in the 30 days before it was known and earlier, as known then.
    """

    incident_id: str
    channel: str
    known_day: float
    evidence: Sequence[tuple[int, float]]
    page_at: float
    complaints: Sequence[tuple[int, int]]
    alarms: Sequence[float]
    now: Steps | None
    before: Steps | None
    shared: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True, slots=True)
class Week:
    """What happened in a week: pages right, wrong and undecided, tickets, complaints and their alarms."""

    monday: int
    right: int
    wrong: int
    undecided: int
    alarms: int


@dataclass(frozen=True, slots=True)
class Gallery:
    """All pictures of a run: its weeks, its most important incidents, and the levels that are the same for all."""

    weeks: Sequence[Week]
    stories: Sequence[Story]
    thresholds: Mapping[str, float]
