"""The scenarios, as data: to add one, add an entry to ``SCENARIOS``.

A scenario is a world (days, channels, start, volumes) and what is planted in it. Where it is planted is chosen by
the seed among the suitable targets. Entries with ``alarm=False`` are events a monitor should stay calm about.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from monitor.replay.simulate.effects import (
    STAGES,
    Bulk,
    Burst,
    Dwell,
    Effect,
    Feed,
    Hub,
    Patience,
    Rate,
    Slow,
    Stage,
    Stall,
    Volume,
)

Target = Literal["channel", "country", "carrier", "country_product", "forwarder", "batch", "customer", "feed", "all"]

#: What a line-haul that slows down stretches: everything after departure.
UNDERWAY: Final[tuple[Stage, ...]] = STAGES[2:]
ORIGIN: Final[tuple[Stage, ...]] = STAGES[:2]


@dataclass(frozen=True, slots=True)
class Plant:
    """One thing planted.

    ``mode`` is the incident mode of the contract that names it best (None: no incident is right), ``modes`` are
    others under which a monitor may rightly report it. The start is a day drawn from ``start_share`` of the world's
    length, or the first day of ``holiday``. A channel is suitable with at least ``min_per_day`` parcels a day, a
    transit of at most ``max_transit_days``, ``min_lane_carriers`` carriers on its lane and the ``attribute``; a
    group with ``min_channels`` such channels that have ``min_per_day`` parcels a day together.
    """

    target: Target
    mode: str | None
    effects: tuple[Effect, ...]
    modes: tuple[str, ...] = ()
    start_share: tuple[float, float] = (0.60, 0.70)
    days: float | None = None
    """length; None: until the end of the world"""
    holiday: str | None = None
    clear_of_holidays: bool = False
    """begin on the first day from the drawn one on that no holiday touches"""
    min_per_day: float = 2.0
    max_transit_days: float = 1000.0
    min_channels: int = 1
    min_lane_carriers: int = 1
    attribute: str | None = None
    countries: tuple[str, ...] = ()
    alarm: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world and what is planted in it. Volumes are log-uniform between the two parcels a day."""

    name: str
    description: str
    plants: tuple[Plant, ...] = ()
    days: int = 200
    channels: int = 60
    start: date = date(2024, 3, 4)
    volume_per_day: tuple[float, float] = (0.5, 60.0)


_BEFORE_PEAK: Final = date(2024, 6, 3)

_ALL: Final[tuple[Scenario, ...]] = (
    Scenario("quiet", "nothing is planted: every page is a false alarm"),
    Scenario(
        "stretch13",
        "one channel takes 1.3 times as long after departure",
        (Plant("channel", "transit_slow", (Slow(UNDERWAY, 1.3),), modes=("complaints",)),),
    ),
    Scenario(
        "stretch",
        "one channel takes 1.6 times as long after departure",
        (Plant("channel", "transit_slow", (Slow(UNDERWAY, 1.6),), modes=("complaints",)),),
    ),
    Scenario(
        "stretch2",
        "one channel takes twice as long after departure",
        (Plant("channel", "transit_slow", (Slow(UNDERWAY, 2.0),), modes=("complaints",)),),
    ),
    Scenario(
        "stall",
        "one channel's departures stop for 10 days",
        (Plant("channel", "stage_stalled", (Stall(STAGES[1]),), modes=("transit_slow",), days=10),),
    ),
    Scenario(
        "loss",
        "one channel loses 15% of its parcels",
        (Plant("channel", "loss", (Rate("loss", 0.15),), modes=("transit_slow", "stage_stalled", "complaints")),),
    ),
    Scenario(
        "loss5",
        "one channel loses 5% of its parcels",
        (Plant("channel", "loss", (Rate("loss", 0.05),), modes=("transit_slow", "stage_stalled", "complaints")),),
    ),
    Scenario(
        "hub_loses",
        "half of the parcels to one country arrive at a second hub, which begins to lose 90% of them",
        (
            Plant(
                "country",
                "loss",
                (Hub(0.5, 0.9),),
                modes=("transit_slow", "stage_stalled", "complaints"),
                min_channels=2,
                min_per_day=10,
            ),
        ),
    ),
    Scenario(
        "no_tracking",
        "one channel's parcels get no scans at all",
        (
            Plant(
                "channel",
                "no_first_scan",
                (Rate("unscanned", 1.0),),
                modes=("stage_stalled", "transit_slow", "complaints"),
                days=30,
            ),
        ),
    ),
    Scenario(
        "lost_batch",
        "what a forwarder hands over on one day gets no scans",
        (
            Plant(
                "batch",
                "no_first_scan",
                (Rate("unscanned", 1.0),),
                modes=("stage_stalled", "complaints"),
                days=1,
                clear_of_holidays=True,
                min_channels=2,
                min_per_day=10,
            ),
        ),
    ),
    Scenario(
        "untracked_batch",
        "a forwarder hands its parcels over as untracked mail",
        (
            Plant(
                "forwarder",
                "no_first_scan",
                (Rate("unscanned", 0.85),),
                modes=("stage_stalled", "complaints"),
                days=30,
                min_channels=2,
                min_per_day=5,
            ),
        ),
    ),
    Scenario(
        "customs",
        "one country's customs holds every fourth parcel, 2.2 times as long",
        (
            Plant(
                "country",
                "customs_hold",
                (Rate("hold", 0.25), Dwell(2.2)),
                modes=("transit_slow", "stage_stalled"),
                min_channels=2,
                min_per_day=4,
            ),
        ),
    ),
    Scenario(
        "security_return",
        "security sends back 12% of one battery channel's parcels",
        (
            Plant(
                "channel",
                "security_return",
                (Rate("security_return", 0.12),),
                modes=("returned",),
                attribute="battery",
                min_per_day=3,
            ),
        ),
    ),
    Scenario(
        "misroute",
        "8% of one channel's parcels go to a wrong country",
        (Plant("channel", "misroute", (Rate("misroute", 0.08),), modes=("loss", "complaints"), min_per_day=4),),
    ),
    Scenario(
        "drift",
        "one channel gets slower by 1.5% of its transit a day for 60 days",
        (
            Plant(
                "channel",
                "transit_slow",
                (Slow(UNDERWAY, 1.0, 0.015),),
                modes=("complaints",),
                days=60,
                start_share=(0.55, 0.62),
                min_per_day=4,
            ),
        ),
    ),
    Scenario(
        "empty_box",
        "6% of one forwarder's parcels arrive as empty boxes",
        (Plant("forwarder", "empty_box", (Rate("empty_box", 0.06),), modes=("complaints",), days=40, min_per_day=5),),
    ),
    Scenario(
        "bulk_complainer",
        "one dropship customer disputes 60% of the last 40 days; the channels are well",
        (Plant("customer", "complaints", (Bulk(0.6, 40),), days=5, min_per_day=3, countries=("DE", "GB", "FR", "US")),),
    ),
    Scenario(
        "dispute_burst",
        "disputes a day grow fivefold (60 to 300 in a shop of that size) for 10 days",
        (Plant("all", "complaints", (Burst(5.0),), modes=("sentinel",), days=10),),
    ),
    Scenario(
        "counterfeit",
        "buyers and the owner of a brand call one channel's goods counterfeit: 4% of the parcels of 20 days",
        (Plant("channel", "sentinel", (Rate("counterfeit", 0.04),), days=20, min_per_day=3),),
    ),
    Scenario(
        "carrier",
        "everything a carrier moves takes 1.5 times as long after departure",
        (
            Plant(
                "carrier", "transit_slow", (Slow(UNDERWAY, 1.5),), modes=("complaints",), min_channels=3, min_per_day=10
            ),
        ),
    ),
    Scenario(
        "country",
        "everything to one country takes 1.5 times as long after departure",
        (
            Plant(
                "country", "transit_slow", (Slow(UNDERWAY, 1.5),), modes=("complaints",), min_channels=3, min_per_day=10
            ),
        ),
    ),
    Scenario(
        "country_product",
        "15% of one product come back from one country, whatever the carrier",
        (
            Plant(
                "country_product",
                "returned",
                (Rate("return", 0.15),),
                modes=("loss", "complaints"),
                min_channels=2,
                min_per_day=4,
            ),
        ),
    ),
    Scenario(
        "surge",
        "one channel's volume triples for 20 days; its service stays the same",
        (Plant("channel", None, (Volume(3.0),), days=20, alarm=False),),
    ),
    Scenario(
        "holiday_prepared",
        "Golden Week with more orders and notices sent: late buyers complain 15% less",
        (Plant("all", None, (Volume(1.25), Patience(0.85)), holiday="golden-week", alarm=False),),
        start=_BEFORE_PEAK,
    ),
    Scenario(
        "holiday_unprepared",
        "Golden Week with a surge nobody prepared: origin stages take three times as long",
        (
            Plant(
                "all",
                "stage_stalled",
                (Volume(1.8), Slow(ORIGIN, 3.0)),
                modes=("transit_slow", "no_first_scan", "complaints"),
                holiday="golden-week",
            ),
        ),
        start=_BEFORE_PEAK,
    ),
    Scenario(
        "feed_outage",
        "a carrier's scans of 1.5 days are lost for good; its parcels move as ever",
        (
            Plant(
                "feed",
                "feed_silent",
                (Feed("missing"),),
                modes=("feed_late",),
                days=1.5,
                min_channels=2,
                min_per_day=10,
            ),
        ),
    ),
    Scenario(
        "backlog_upload",
        "a carrier holds its scans back for 5 days, then uploads them all at once",
        (Plant("feed", "feed_late", (Feed("late"),), modes=("feed_silent",), days=5, min_channels=2, min_per_day=10),),
    ),
    Scenario(
        "demo",
        "40 channels over 200 days with a Spring Festival; about day 150 one begins to fail",
        (
            Plant(
                "channel",
                "transit_slow",
                (Slow(UNDERWAY, 1.9), Stall(STAGES[1], 0.35)),
                modes=("stage_stalled", "complaints"),
                start_share=(0.75, 0.75),
                clear_of_holidays=True,
                min_per_day=8,
                max_transit_days=26,
                min_lane_carriers=2,
            ),
        ),
        channels=40,
        start=date(2024, 10, 14),
        volume_per_day=(0.4, 14.0),
    ),
)

SCENARIOS: Final[dict[str, Scenario]] = {scenario.name: scenario for scenario in _ALL}
