"""Planting: where a scenario's events happen, chosen by the seed, and what they do to one channel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from monitor.replay.simulate.calendar import Holiday
from monitor.replay.simulate.channels import Channel, dropshippers_of
from monitor.replay.simulate.effects import (
    STAGES,
    Dwell,
    Effect,
    Hub,
    Patience,
    Rate,
    Slow,
    Stall,
    Volume,
    effect_params,
)
from monitor.replay.simulate.scenarios import Plant, Scenario
from monitor.replay.simulate.streams import BoolArray, FloatArray, stream


class SimulationError(ValueError):
    """The world that was asked for cannot be made; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One thing planted at a place: ``first``..``end`` in days since the start of the world (end exclusive)."""

    scenario: str
    plant: Plant
    scope: dict[str, str]
    members: tuple[str, ...]
    """ids of the channels it touches, sorted"""
    first: float
    end: float

    def truth(self, start: date, days: int) -> dict[str, Any]:
        """The entry of the truth file."""
        return {
            "scenario": self.scenario,
            "scope": {"country": None, "product": None, "carrier": None, **self.scope, "kind": self.kind},
            "mode": self.plant.mode,
            "modes": [mode for mode in (self.plant.mode, *self.plant.modes) if mode],
            "alarm": self.plant.alarm,
            "start": instant(start, self.first),
            "end": instant(start, min(self.end, days)),
            "params": [effect_params(effect) for effect in self.plant.effects],
            "channels": list(self.members),
        }

    @property
    def kind(self) -> str:
        """The contract's ``scope.kind``."""
        return self.plant.target


def instant(start: date, day: float) -> str:
    """RFC 3339 of the time ``day`` days after the start of the world (to the second)."""
    return f"{np.datetime64(start, 's') + np.timedelta64(round(day * 86_400), 's')}Z"


def batch_id(forwarder: str, time: str) -> str:
    """The hand-over batch of a parcel: what a forwarder hands over on the day of ``time``."""
    return f"{forwarder}-{time[:10]}"


def plant_all(
    scenario: Scenario, seed: int, channels: Sequence[Channel], start: date, days: int, holidays: Sequence[Holiday]
) -> list[Planted]:
    """Where and when everything of the scenario happens. Raises :class:`SimulationError` where nothing is suitable."""
    planted = []
    lanes = Counter((channel.country.code, channel.product.name) for channel in channels)
    for number, plant in enumerate(scenario.plants):
        rng = stream(seed, f"plant/{scenario.name}/{number}")
        groups = [(scope, members) for scope, members in _groups(plant, channels) if _suitable(plant, members, lanes)]
        if not groups:
            raise SimulationError(
                f"scenario {scenario.name}: no {plant.target.replace('_', ' × ')} with at least {plant.min_channels} "
                f"channel(s) and {plant.min_per_day:g} parcels a day among these {len(channels)} channels; "
                "raise --channels or --volume, or take another seed"
            )
        scope, members = groups[int(rng.integers(len(groups)))]
        first = _first_day(plant, scenario.name, rng, start, days, holidays)
        length = plant.days
        if plant.holiday is not None:
            length = float(_holiday(plant.holiday, scenario.name, start, days, holidays)[1])
        end = float("inf") if length is None else first + length
        names = tuple(sorted(channel.id for channel in members))
        if plant.target == "batch":
            scope = {**scope, "batch_id": batch_id(scope["forwarder"], instant(start, float(first)))}
        if any(isinstance(effect, Hub) for effect in plant.effects):
            scope = {**scope, "place": members[0].country.second_hub}
        planted.append(Planted(scenario.name, plant, scope, names, float(first), end))
    return planted


def _first_day(
    plant: Plant, name: str, rng: np.random.Generator, start: date, days: int, holidays: Sequence[Holiday]
) -> int:
    if plant.holiday is not None:
        return _holiday(plant.holiday, name, start, days, holidays)[0]
    low, high = plant.start_share
    drawn = round(days * float(rng.uniform(low, high)))
    if not plant.clear_of_holidays:
        return drawn
    busy = [range((holiday.start - start).days, (holiday.end - start).days + 1) for holiday in holidays]
    free = (day for day in range(drawn, round(0.85 * days)) if not any(day in span for span in busy))
    return next(free, drawn)


def _holiday(wanted: str, name: str, start: date, days: int, holidays: Sequence[Holiday]) -> tuple[int, int]:
    """First day and length of the holiday wanted."""
    for holiday in holidays:
        first = (holiday.start - start).days
        if holiday.name == wanted and first >= 0 and holiday.end < start + timedelta(days=days):
            return first, (holiday.end - holiday.start).days + 1
    raise SimulationError(
        f"scenario {name} needs a {wanted} inside the world; it runs {days} days from {start}: change --start or --days"
    )


def _groups(plant: Plant, channels: Sequence[Channel]) -> Iterator[tuple[dict[str, str], list[Channel]]]:
    """All places of the plant's kind with their channels, in a fixed order."""
    groups: dict[tuple[str, ...], tuple[dict[str, str], list[Channel]]] = {}
    for channel in channels:
        for scope in _scopes(plant, channel):
            groups.setdefault(tuple(scope.values()), (scope, []))[1].append(channel)
    for key in sorted(groups):
        yield groups[key]


def _scopes(plant: Plant, channel: Channel) -> list[dict[str, str]]:
    country, product, carrier = channel.country.code, channel.product.name, channel.carrier.part
    match plant.target:
        case "channel":
            return [{"country": country, "product": product, "carrier": carrier}]
        case "country":
            return [{"country": country}]
        case "carrier" | "feed":
            return [{"carrier": carrier}]
        case "country_product":
            return [{"country": country, "product": product}]
        case "forwarder" | "batch":
            return [{"forwarder": forwarder} for forwarder in channel.forwarders]
        case "customer":
            return [{"customer_id": dropshippers_of(channel.country)[0]}]
        case "all":
            return [{}]


def _suitable(plant: Plant, members: Sequence[Channel], lanes: Mapping[tuple[str, str], int]) -> bool:
    if len(members) < plant.min_channels or sum(channel.volume for channel in members) < plant.min_per_day:
        return False
    return all(
        channel.transit_days <= plant.max_transit_days
        and lanes[channel.country.code, channel.product.name] >= plant.min_lane_carriers
        and (plant.attribute is None or plant.attribute in channel.product.attributes)
        for channel in members
    ) and (not plant.countries or any(channel.country.code in plant.countries for channel in members))


class Influence:
    """What the plants do to one channel: speeds by day, chances and factors by time. Days since the start."""

    def __init__(self, planted: Sequence[Planted], channel: Channel) -> None:
        self.planted = tuple(item for item in planted if channel.id in item.members)

    def effects(self, kind: type[Effect]) -> Iterator[tuple[Planted, Any]]:
        """Effects of one kind, each with its plant."""
        for item in self.planted:
            for effect in item.plant.effects:
                if isinstance(effect, kind):
                    yield item, effect

    def speed(self, stage: int, days: int) -> FloatArray:
        """Factor on the speed of a stage, per day of the world."""
        factor = np.ones(days)
        day = np.arange(days, dtype=np.float64)
        name = STAGES[stage]
        for item, effect in self.effects(Slow):
            if name in effect.stages:
                slower = effect.factor + effect.growth_per_day * np.maximum(day - item.first, 0.0)
                factor /= np.where((day >= item.first) & (day < item.end), slower, 1.0)
        for item, effect in self.effects(Stall):
            if name == effect.stage:
                factor *= np.where((day >= item.first) & (day < item.end), effect.moving_ratio, 1.0)
        return factor

    def volume(self, days: int) -> FloatArray:
        """Extra hand-overs, as a share of the ordinary ones, per day of the world."""
        day = np.arange(days)
        extra = np.zeros(days)
        for item, effect in self.effects(Volume):
            extra += np.where((day >= item.first) & (day < item.end), effect.factor - 1.0, 0.0)
        return extra

    def chance(self, what: str, ordinary: float, when: FloatArray, forwarder: Sequence[str] | Any) -> FloatArray:
        """The chance of ``what`` for parcels that come to it at ``when``, given the forwarder of each."""
        chance = np.full(len(when), ordinary)
        for item, effect in self.effects(Rate):
            if effect.what == what:
                hit = (when >= item.first) & (when < item.end)
                if "forwarder" in item.scope:
                    hit &= np.asarray(forwarder) == item.scope["forwarder"]
                chance[hit] = np.maximum(chance[hit], effect.probability)
        return chance

    def factor(self, kind: type[Dwell] | type[Patience], when: FloatArray) -> FloatArray:
        """Product of the factors of one kind at the times ``when``."""
        factor = np.ones(len(when))
        for item, effect in self.effects(kind):
            factor[(when >= item.first) & (when < item.end)] *= effect.factor
        return factor

    def second_hub(self, arrived: FloatArray, draws: FloatArray) -> tuple[BoolArray, BoolArray]:
        """Which parcels arrive at the second hub, and which of them it keeps; two ``draws`` for each parcel."""
        through, kept = np.zeros(len(arrived), dtype=bool), np.zeros(len(arrived), dtype=bool)
        for item, effect in self.effects(Hub):
            through |= draws[:, 0] < effect.share
            hit = (arrived >= item.first) & (arrived < item.end) & (draws[:, 1] < effect.keeps)
            kept |= (draws[:, 0] < effect.share) & hit
        return through, kept
