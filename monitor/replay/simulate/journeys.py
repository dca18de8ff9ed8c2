"""What happens to the parcels of one channel: hand-over, stages, and the things that go wrong.

Times are days since the start of the world; infinity means never, or not before its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from monitor.replay.simulate.calendar import ACCEPTANCE_WEEK, HANDOVER_WEEK, DayFactors, by_weekday
from monitor.replay.simulate.channels import Channel
from monitor.replay.simulate.clock import WorkClock
from monitor.replay.simulate.effects import Dwell
from monitor.replay.simulate.planting import Influence, SimulationError
from monitor.replay.simulate.streams import AnyArray, BoolArray, FloatArray, IntArray, erlang2, stream

#: Parcels of one channel that can be numbered.
MAX_PARCELS: Final = 1_000_000
#: Sigma of the log of the week-to-week shocks to speed that a carrier, a country and a channel share.
SHOCK_SIGMA: Final = 0.05
_STRAGGLERS: Final = 0.03  # share of parcels whose line-haul takes _STRAGGLE times as long
_STRAGGLE: Final = 2.2
#: Shares of lost parcels that vanish after acceptance, departure and arrival.
_LOST_AFTER: Final = (0.2, 0.4, 0.4)
_MISROUTED_NEVER_BACK: Final = 0.3
_HELD_SENT_BACK: Final = 0.06


@dataclass(frozen=True, slots=True)
class Setting:
    """What all channels share: the calendar of a world of ``days`` days from ``start``."""

    seed: int
    start: date
    days: int
    factors: DayFactors


@dataclass(frozen=True, slots=True)
class Journeys:
    """The parcels of one channel, one row each. Arrays of equal length."""

    channel: Channel
    registered: FloatArray
    accepted: FloatArray
    security: FloatArray
    departed: FloatArray
    misrouted: FloatArray
    wrong_country: IntArray
    arrived: FloatArray
    second_hub: BoolArray
    """does it arrive at the country's second hub?"""
    held: FloatArray
    released: FloatArray
    attempted: FloatArray
    """first attempt to deliver a parcel that is then not collected"""
    returning: FloatArray
    returned: FloatArray
    delivered: FloatArray
    lost: FloatArray
    """when the carrier says so, if it does"""
    unscanned: BoolArray
    forwarder: IntArray
    customer: IntArray
    """index into the channel's dropshippers; −1: a retail customer"""
    value_cents: IntArray
    optional_attribute: BoolArray

    def __len__(self) -> int:
        return len(self.registered)

    def by_forwarder(self) -> AnyArray:
        """The forwarder's name of each parcel."""
        return np.array(self.channel.forwarders)[self.forwarder]


def _shock(setting: Setting, name: str) -> FloatArray:
    """Weekly factor on speed with mean 1, laid along the days: four columns, one per stage."""
    weeks = -(-setting.days // 7)
    draws = stream(setting.seed, f"shock/{name}").normal(-(SHOCK_SIGMA**2) / 2, SHOCK_SIGMA, (weeks, 4))
    return np.repeat(np.exp(draws), 7, axis=0)[: setting.days]


def _clocks(setting: Setting, channel: Channel, influence: Influence) -> list[WorkClock]:
    """One work clock per stage."""
    delivery_week = np.full(7, 1.25)
    delivery_week[list(channel.country.weekend)] = (0.60, 0.15)
    weekdays = (ACCEPTANCE_WEEK, channel.flight_week, np.ones(7), delivery_week)
    holidays = (setting.factors.origin, setting.factors.origin, np.ones(setting.days), setting.factors.delivery)
    carrier = _shock(setting, f"carrier/{channel.carrier.part}")
    country = _shock(setting, f"country/{channel.country.code}")
    own = _shock(setting, f"channel/{channel.id}")
    shocks = (
        carrier[:, 0],
        carrier[:, 1] * own[:, 1],
        carrier[:, 2] * country[:, 2] * own[:, 2],
        country[:, 3] * own[:, 3],
    )
    return [
        WorkClock(
            by_weekday(weekdays[stage] / weekdays[stage].mean(), setting.start, setting.days)
            * holidays[stage]
            * shocks[stage]
            * influence.speed(stage, setting.days)
        )
        for stage in range(4)
    ]


def _handovers(setting: Setting, channel: Channel, influence: Influence) -> FloatArray:
    """Times of registration: the ordinary ones, sorted, then those that a plant adds, sorted."""
    ordinary, added = stream(setting.seed, f"volume/{channel.id}"), stream(setting.seed, f"volume-added/{channel.id}")
    weeks = -(-setting.days // 7)
    noise = np.repeat(np.exp(ordinary.normal(-0.005, 0.10, weeks)), 7)[: setting.days]
    rate = channel.volume * by_weekday(HANDOVER_WEEK, setting.start, setting.days) * setting.factors.orders * noise
    parts = []
    for rng, per_day in ((ordinary, rate), (added, rate * influence.volume(setting.days))):
        day = np.repeat(np.arange(setting.days), rng.poisson(per_day))
        hour = 4.0 + 8.0 * rng.beta(2.5, 2.0, len(day))  # the afternoon's pick-ups in China, in UTC
        parts.append(np.sort(day + hour / 24.0))
    times = np.concatenate(parts)
    if len(times) >= MAX_PARCELS:
        raise SimulationError(
            f"channel {channel.id} gets {len(times)} parcels; "
            f"a channel can number {MAX_PARCELS}: lower --volume or --days"
        )
    return times


def travel(setting: Setting, channel: Channel, influence: Influence) -> Journeys:
    """All parcels of a channel. The n-th parcel draws the same numbers whatever is planted."""
    registered = _handovers(setting, channel, influence)
    n = len(registered)
    normal = stream(setting.seed, f"stages/{channel.id}").standard_normal((n, 5))
    u = stream(setting.seed, f"chances/{channel.id}").random((n, 23))
    clocks = _clocks(setting, channel, influence)
    sigma = np.array(channel.sigmas)
    work = np.array(channel.stages) * np.exp(sigma * normal[:, :4] - sigma**2 / 2)
    work[:, 2] *= np.where(u[:, 0] < _STRAGGLERS, _STRAGGLE, 1.0)
    forwarder = (u[:, 1] >= channel.forwarder_shares[0]).astype(np.int64)
    customer = _customers(channel, u[:, 2], u[:, 3])
    names = np.array(channel.forwarders)[forwarder]

    def meets(what: str, when: FloatArray, draw: FloatArray) -> BoolArray:
        chance = influence.chance(what, channel.chances[what], when, names)
        return np.asarray((draw < chance) & np.isfinite(when))

    accepted = clocks[0].advance(registered, work[:, 0])
    lost_after = np.searchsorted(np.cumsum(_LOST_AFTER)[:2], u[:, 4], side="right")
    stopped = meets("security_return", accepted, u[:, 5])
    security = np.where(stopped, accepted + 1.6 + 2.0 * u[:, 6], np.inf)
    vanished = meets("loss", accepted, u[:, 7]) & (lost_after == 0) & ~stopped
    last_seen = np.where(vanished, accepted, np.inf)
    departed = clocks[1].advance(np.where(stopped | vanished, np.inf, accepted), work[:, 1])

    gone = meets("loss", departed, u[:, 7]) & (lost_after == 1)
    last_seen = np.where(gone, departed, last_seen)
    astray = meets("misroute", departed, u[:, 8]) & ~gone
    misrouted = np.where(astray, departed + 0.7 * work[:, 2], np.inf)
    never_back = astray & (u[:, 9] < _MISROUTED_NEVER_BACK)
    detour = np.where(astray, 8.0 + 14.0 * u[:, 10], 0.0)
    arrived = clocks[2].advance(np.where(gone | never_back, np.inf, departed), work[:, 2]) + detour

    second_hub, kept = influence.second_hub(arrived, stream(setting.seed, f"hub/{channel.id}").random((n, 2)))
    gone = meets("loss", arrived, u[:, 7]) & (lost_after == 2) | kept
    last_seen = np.where(gone, arrived, last_seen)
    stopped = meets("hold", arrived, u[:, 11])
    held = np.where(stopped, arrived + 0.1 + 0.9 * u[:, 12], np.inf)
    dwell = 0.3 + erlang2(channel.dwell_days, u[:, 13], u[:, 14]) * influence.factor(Dwell, held)
    released = held + dwell
    refused = stopped & (u[:, 15] < _HELD_SENT_BACK)
    begin = np.where(stopped, released, arrived)
    tried = clocks[3].advance(np.where(gone | refused, np.inf, begin), work[:, 3])

    uncollected = meets("return", tried, u[:, 16])
    returning = np.where(uncollected, tried + 10.0 + 8.0 * u[:, 17], np.where(refused, released, np.inf))
    way_back = 12.0 + 0.8 * work[:, 2] + 10.0 * u[:, 18]
    returned = np.where(np.isfinite(security), security + 3.0 + 6.0 * u[:, 18], returning + way_back)
    says_lost = np.isfinite(last_seen) & (u[:, 19] < 0.25)
    product = channel.product
    return Journeys(
        channel=channel,
        registered=registered,
        accepted=accepted,
        security=security,
        departed=departed,
        misrouted=misrouted,
        wrong_country=np.asarray(u[:, 9] * 1e6, dtype=np.int64),
        arrived=arrived,
        second_hub=second_hub,
        held=held,
        released=np.where(refused, np.inf, released),
        attempted=np.where(uncollected, tried, np.inf),
        returning=returning,
        returned=returned,
        delivered=np.where(uncollected, np.inf, tried),
        lost=np.where(says_lost, last_seen + 32.0 + 25.0 * u[:, 20], np.inf),
        unscanned=meets("unscanned", registered, u[:, 21]),
        forwarder=forwarder,
        customer=customer,
        value_cents=np.asarray(np.rint(100 * product.value_usd * np.exp(0.2 * normal[:, 4])), dtype=np.int64),
        optional_attribute=np.asarray(u[:, 22] < (product.sometimes[1] if product.sometimes else 0.0)),
    )


def _customers(channel: Channel, kind: FloatArray, which: FloatArray) -> IntArray:
    """Who ordered: the biggest dropshipper has three fifths of the dropship parcels, the next three tenths."""
    shares: Sequence[float] = (0.6, 0.9)
    return np.where(kind < channel.dropship_share, np.searchsorted(shares, which, side="right"), -1)
