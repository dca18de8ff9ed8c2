"""Worlds, folded quickly: what a channel's parcels contribute is computed once and kept on disk.

The simulator draws every channel from streams of its own, and what the parcel fold contributes is a sum over parcels.
So a world is put together from its channels: those where nothing is planted are the same in all scenarios of a seed,
and only the fleet fold, in which everything is judged, runs anew. The key of what is kept is a hash of the channel,
of what is planted on it, of the parameters that the parcel fold reads, and of the sources it depends on.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zstandard
from msgspec import Struct

import monitor
from monitor.core.contribution import Contribution, Segment
from monitor.core.events import Event, ParcelRegistered, ParcelScanned, to_us
from monitor.core.fleet_fold import FleetFold
from monitor.core.ledger import Header
from monitor.core.params import Params
from monitor.core.parcel_fold import ParcelFold
from monitor.replay.backtest.observation import Observation
from monitor.replay.driver import World
from monitor.replay.simulate.channels import Channel
from monitor.replay.simulate.planting import Planted, plant_all
from monitor.replay.simulate.scenarios import SCENARIOS
from monitor.replay.simulate.world import Plan, plan_world, realize
from monitor.wire.decode import decode

#: Kinds of channels by their parcels a day: in each of them channels are planted.
STRATA = {"huge": (20.0, 1e9), "large": (3.0, 1e9), "small": (0.5, 3.0)}
#: What only much volume can show is planted in huge channels, too.
HUGE = frozenset({"loss", "loss5"})
#: Complaints and returns may page only when a log is 200 days old: these need worlds that go on after that.
LATE = frozenset({"country_product", "empty_box", "bulk_complainer", "dispute_burst"})
LATE_DAYS = 340

#: So many parcels that no carrier is ever compared: advice is no part of this, and would cost a fifth of the time.
_NO_ADVICE = 100_000
#: Changes when what is kept of a channel does.
_FORMAT = b"1"
_PARAMS = (
    "tick_hours",
    "lateness_days",
    "waiting_days",
    "dedup_days",
    "age_cap_days",
    "first_scan_days",
    "dispute_window_days",
)
_CORE = (
    "parcel_fold",
    "facets",
    "lateness",
    "scope",
    "parcel",
    "ledger",
    "things",
    "cells",
    "contribution",
    "events",
    "identity",
    "ordering",
    "vocabulary",
)
_SOURCES = (*(f"core/{name}.py" for name in _CORE), "wire/decode.py", "replay/backtest/observation.py")
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Size:
    """How large the worlds are: None is what the scenario says."""

    channels: int = 80
    volume: float = 0.5
    days: int | None = None

    def days_of(self, scenario: str) -> int:
        """Length of the worlds of a scenario."""
        return self.days or (LATE_DAYS if scenario in LATE else SCENARIOS[scenario].days)


@dataclass(frozen=True)
class Case:
    """One world to be judged.

    ``strata``: where single channels are planted, a stratum for each of the faults, which share neither country nor
    carrier, so that no group sees two of them; else empty. ``number`` tells apart the worlds of one seed.
    """

    scenario: str
    seed: int
    number: int = 0
    strata: tuple[str, ...] = ()


class Raw(Struct, array_like=True):
    """The parcels of a channel as arrays of int64, for whoever does not use the monitor; µs since 1970, 0 for never.

    ``stopped``: returned, returning, sent back by security or lost. ``_known``: when it was recorded.
    """

    registered: bytes
    registered_known: bytes
    delivered: bytes
    delivered_known: bytes
    stopped: bytes
    stopped_known: bytes


class Part(Struct, array_like=True):
    """What one channel's events come to."""

    segments: list[Segment]
    raw: Raw
    first_us: int
    last_us: int
    parcels: int
    elsewhere: int
    used: tuple[int, int] | None
    complaints: list[int]


_decode_part = msgspec.msgpack.Decoder(Part).decode


def cases(scenario: str, seeds: Iterable[int], plants: int) -> list[Case]:
    """The worlds of a scenario: one a seed with ``plants`` faults of each stratum where single channels are planted,
    else ``plants`` a seed with a fault each."""
    planted = SCENARIOS[scenario].plants
    if not planted or planted[0].holiday is not None or planted[0].target == "all":
        return [Case(scenario, seed) for seed in seeds]
    if planted[0].target != "channel" or planted[0].attribute is not None:
        return [Case(scenario, seed, number) for seed in seeds for number in range(plants)]
    strata = [name for name in STRATA if name != "huge" or scenario in HUGE]
    return [Case(scenario, seed, strata=tuple(strata * plants)) for seed in seeds]


def plan_of(case: Case, size: Size) -> Plan:
    """The plan of a world; number 0 without strata is the world of ``channel-monitor simulate``.

    Raises :class:`~monitor.replay.simulate.SimulationError` where nothing is suitable.
    """
    days = size.days_of(case.scenario)
    quiet = plan_world("quiet", case.seed, days, size.channels, SCENARIOS[case.scenario].start, size.volume)
    data, start = SCENARIOS[case.scenario], quiet.setting.start
    if not case.strata:
        seed = case.seed + 1_000_003 * case.number
        return replace(quiet, planted=plant_all(data, seed, quiet.channels, start, days, quiet.holidays), scenario=data)
    data = replace(data, plants=tuple(replace(plant, min_per_day=0.0) for plant in data.plants))
    pool, planted = quiet.channels, []
    for number, stratum in enumerate(case.strata):
        low, high = STRATA[stratum]
        mine = [channel for channel in pool if low <= channel.volume < high]
        found = plant_all(data, case.seed + 1_000_003 * number, mine, start, days, quiet.holidays)
        planted += found
        hit = [channel for channel in mine if channel.id in found[0].members]
        pool = [one for one in pool if not any(_related(one, other) for other in hit)]
    return replace(quiet, scenario=data, planted=planted)


def _related(one: Channel, other: Channel) -> bool:
    """Whether a group may hold both."""
    return one.country.code == other.country.code or one.carrier.name == other.carrier.name


# -- parts ---------------------------------------------------------------------------------------------------------


@cache
def _sources() -> bytes:
    root = Path(monitor.__file__).parent
    files = [root / name for name in _SOURCES]
    files += sorted(path for path in (root / "replay" / "simulate").glob("*.py") if path.name != "scenarios.py")
    digest = hashlib.blake2b(_FORMAT)
    for file in files:
        digest.update(file.read_bytes())
    return digest.digest()


def _key(plan: Plan, channel: Channel, params: Params) -> str:
    mine = [
        (item.plant.effects, item.scope, item.first, item.end) for item in plan.planted if channel.id in item.members
    ]
    what = (plan.setting.seed, plan.setting.start, plan.setting.days, channel.id, channel.index, channel.volume, mine)
    numbers = [getattr(params, name) for name in _PARAMS]
    return hashlib.blake2b(repr((what, numbers)).encode() + _sources(), digest_size=16).hexdigest()


def part_of(plan: Plan, channel: Channel, params: Params, cache_dir: Path | None) -> Part:
    """A channel's part of a world, from the cache or made and kept there."""
    if cache_dir is None:
        return _make(plan, channel, params)
    path = cache_dir / f"{_key(plan, channel, params)}.zst"
    if path.exists():
        return _decode_part(zstandard.decompress(path.read_bytes()))
    part = _make(plan, channel, params)
    cache_dir.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(zstandard.compress(_encode(part), 3))
    unfinished.replace(path)
    return part


def _make(plan: Plan, channel: Channel, params: Params) -> Part:
    """Simulate and fold one channel."""
    fold = ParcelFold(params, {}, {}, Header())
    seen, rows = Observation(), _Parcels()
    last = 0
    for line in realize(plan, [channel]):
        event = decode(line)
        recorded = to_us(event.recordedtime or event.time)
        set_aside = len(fold.dead_letters)
        fold.apply(event, recorded, line, (0,))
        seen.saw(event, recorded, len(fold.dead_letters) > set_aside)
        rows.saw(event, recorded)
        last = recorded
    end = (np.datetime64(plan.setting.start, "us") + np.timedelta64(plan.setting.days, "D")).astype(np.int64)
    fold.tick(int(end) - params.tick_us)
    complaints, elsewhere = seen.complaints()
    return Part(
        fold.take("bench", 0, 0).segments,
        rows.arrays(),
        seen.first_us or 0,
        last,
        seen.parcels,
        elsewhere,
        seen.used.get(channel.id),
        complaints.get(channel.id, []),
    )


class _Parcels:
    """First registration, delivery and stop of each parcel, as the events say."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}

    def saw(self, event: Event, recorded_us: int) -> None:
        if isinstance(event, ParcelRegistered):
            row = self._rows.setdefault(event.data.parcel_id, [0] * 6)
            if not row[0]:
                row[0:2] = to_us(event.time), recorded_us
        elif isinstance(event, ParcelScanned):
            name = event.data.milestone
            stops = name in ("returning", "returned", "lost", "security_returned")
            at = 2 if name == "delivered" else 4 if stops else None
            if at is not None:
                row = self._rows.setdefault(event.data.parcel_id, [0] * 6)
                if not row[at]:
                    row[at : at + 2] = to_us(event.time), recorded_us

    def arrays(self) -> Raw:
        rows = [row for row in self._rows.values() if row[0]]
        table = np.array(rows or np.empty((0, 6)), dtype=np.int64).reshape(-1, 6)
        return Raw(*(np.ascontiguousarray(table[:, column]).tobytes() for column in range(6)))


# -- the fleet over the parts ------------------------------------------------------------------------------------------


@dataclass
class Folded:
    """A world after the fleet fold, and what its events say of complaints and use, by channel."""

    plan: Plan
    world: World
    complaints: dict[str, list[int]]
    used: dict[str, tuple[int, int]]
    raw: dict[str, Raw]
    parcels: int
    elsewhere: int
    first_us: int
    cpu_s: float

    @property
    def planted(self) -> list[Planted]:
        """What was planted."""
        return self.plan.planted


def fold(
    plan: Plan, params: Params, cache_dir: Path | None, on_tick: Iterable[Callable[[int, World], None]] = ()
) -> Folded:
    """The world of a plan. Each of ``on_tick`` (tick in µs, world) looks on after a closed tick and changes nothing."""
    lookers = tuple(on_tick)
    ticks: dict[int, list[Segment]] = {}
    out = Folded(plan, World(params), {}, {}, {}, 0, 0, 1 << 62, 0.0)
    last = 0
    for channel in plan.channels:
        part = part_of(plan, channel, params, cache_dir)
        for segment in part.segments:
            ticks.setdefault(segment.tick, []).append(segment)
        if part.complaints:
            out.complaints[channel.id] = part.complaints
        if part.used is not None:
            out.used[channel.id] = part.used
        out.raw[channel.id] = part.raw
        out.parcels += part.parcels
        out.elsewhere += part.elsewhere
        out.first_us = min(out.first_us, part.first_us or 1 << 62)
        last = max(last, part.last_us)
    began = time.process_time()
    params = replace(params, switch=replace(params.switch, min_parcels=_NO_ADVICE))
    world = out.world
    fleet = FleetFold(
        params,
        world.channels,
        world.groups,
        world.facets,
        world.incidents,
        world.held,
        world.unresolved,
        world.fleet,
        world.lanes,
        world.book,
        partitions=1,
    )
    closed = last // params.tick_us
    for number, tick in enumerate(range(min(ticks, default=closed), closed + 1)):
        fleet.step(Contribution("bench", 0, number, tick, ticks.pop(tick, [])))
        for look in lookers:
            look(tick * params.tick_us, world)
    rest = [segment for tick in sorted(ticks) for segment in ticks[tick]]
    fleet.step(Contribution("bench", 0, closed + 1, closed, rest))
    fleet.settle()
    world.as_of_us = last
    out.cpu_s = time.process_time() - began
    return out


def truth_of(plan: Plan) -> list[dict[str, Any]]:
    """What was planted, as a truth file writes it."""
    return [item.truth(plan.setting.start, plan.setting.days) for item in plan.planted]
