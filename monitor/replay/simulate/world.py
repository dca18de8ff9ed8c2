"""Making a world and writing it: the two functions the ``simulate`` verb calls."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import zstandard

from monitor.replay.simulate.calendar import Holiday, day_factors, holidays_between
from monitor.replay.simulate.cases import case_rows, open_cases
from monitor.replay.simulate.channels import MAX_CHANNELS, Channel, build_channels
from monitor.replay.simulate.journeys import Journeys, Setting, travel
from monitor.replay.simulate.planting import Influence, Planted, SimulationError, instant, plant_all
from monitor.replay.simulate.render import Renderer, offers_for
from monitor.replay.simulate.rows import DAY_S, Kind, Rows, concatenate, make_rows, recorded_before
from monitor.replay.simulate.scans import Forms, scan_rows
from monitor.replay.simulate.scenarios import SCENARIOS, Scenario
from monitor.replay.simulate.streams import stream

MAX_DAYS: Final = 3650
#: Registrations that the shop exports a day or two late.
_LATE_REGISTRATIONS: Final = 0.01

#: Called with (done, total) of whatever is being counted.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class World:
    """A finished world. Iterating gives its events as JSON lines (bytes, with line end), by recorded time."""

    events: int
    parcels: int
    truth: dict[str, Any]
    _rows: Rows = field(repr=False)
    _renderer: Renderer = field(repr=False)

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """(number of events, their lines) for some ten thousand events at a time."""
        return self._renderer.chunks(self._rows)

    def __iter__(self) -> Iterator[bytes]:
        for _, lines in self.chunks():
            yield from lines.splitlines(keepends=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """A world before anything moves in it: its calendar, its channels and what is planted."""

    scenario: Scenario
    setting: Setting
    holidays: list[Holiday]
    channels: list[Channel]
    planted: list[Planted]
    volume: float


def plan_world(
    scenario: str,
    seed: int,
    days: int | None = None,
    channels: int | None = None,
    start: date | None = None,
    volume: float = 1.0,
) -> Plan:
    """Checks the arguments of :func:`simulate` and chooses everything that is chosen once per world."""
    if scenario not in SCENARIOS:
        raise SimulationError(f"there is no scenario {scenario!r}; known are: {', '.join(SCENARIOS)}")
    data = SCENARIOS[scenario]
    days = data.days if days is None else days
    count = data.channels if channels is None else channels
    start = data.start if start is None else start
    bounds: tuple[tuple[str, float, float, float], ...] = (
        ("seed", seed, 0, 2**63 - 1),
        ("days", days, 1, MAX_DAYS),
        ("channels", count, 1, MAX_CHANNELS),
        ("volume", volume, 0.001, 1000),
    )
    for name, value, low, high in bounds:
        if not low <= value <= high:
            raise SimulationError(f"{name} is {value}; it must lie between {low} and {high}")
    try:
        holidays = holidays_between(start, start + timedelta(days=days - 1))
    except (ValueError, OverflowError) as error:
        raise SimulationError(str(error)) from error
    low, high = data.volume_per_day
    specs = build_channels(seed, count, (low * volume, high * volume))
    planted = plant_all(data, seed, specs, start, days, holidays)
    return Plan(data, Setting(seed, start, days, day_factors(start, days, holidays)), holidays, specs, planted, volume)


def simulate(
    scenario: str,
    seed: int,
    days: int | None = None,
    channels: int | None = None,
    start: date | None = None,
    volume: float = 1.0,
    progress: Progress | None = None,
) -> World:
    """A seeded world; equal arguments give equal bytes. What is None comes from the scenario.

    ``volume`` multiplies every channel's parcels a day. Raises :class:`SimulationError` for an unknown scenario, a
    number out of bounds, or a world in which there is no suitable place for what is to be planted.
    """
    return realize(plan_world(scenario, seed, days, channels, start, volume), progress=progress)


def realize(plan: Plan, channels: Sequence[Channel] | None = None, progress: Progress | None = None) -> World:
    """The world of a plan, or the part of it that concerns some of its channels.

    A channel's parcels, scans and complaints are the same in the part as in the whole, because each draws from
    streams of its own; a lane's offers stand in every part that has a channel of it.
    """
    setting, chosen = plan.setting, plan.channels if channels is None else channels
    end_s = setting.days * DAY_S
    offers = offers_for(chosen)
    renderer, forms, volumes = Renderer(setting.start, offers), Forms(), []
    zeros = np.zeros(len(offers), dtype=np.int64)
    parts = [make_rows(zeros, zeros, Kind.OFFER, np.arange(len(offers)))]
    for done, channel in enumerate(chosen, 1):
        influence = Influence(plan.planted, channel)
        journeys = travel(setting, channel, influence)
        cases = open_cases(setting, journeys, influence)
        rows = concatenate(
            [_registrations(setting, journeys), scan_rows(setting, journeys, influence, forms), case_rows(cases)]
        )
        parts.append(recorded_before(rows.shifted(renderer.parcels, renderer.cases), end_s))
        renderer.add(journeys, cases)
        volumes.append(len(journeys))
        if progress is not None:
            progress("channels", done, len(chosen))
    renderer.finish(forms.all())
    rows = recorded_before(concatenate(parts), end_s)
    truth = _truth(plan, chosen, renderer.parcels, len(rows), volumes)
    return World(len(rows), renderer.parcels, truth, rows, renderer)


def _truth(plan: Plan, channels: Sequence[Channel], parcels: int, events: int, volumes: list[int]) -> dict[str, Any]:
    """The truth file: the world's facts, and what was planted."""
    start, days = plan.setting.start, plan.setting.days
    return {
        "world": {
            "scenario": plan.scenario.name,
            "description": plan.scenario.description,
            "seed": plan.setting.seed,
            "days": days,
            "start": instant(start, 0),
            "end": instant(start, days),
            "volume": plan.volume,
            "parcels": parcels,
            "events": events,
            "holidays": [{"name": h.name, "start": str(h.start), "end": str(h.end)} for h in plan.holidays],
            "channels": [_facts(*pair) for pair in zip(channels, volumes, strict=True)],
        },
        "planted": [item.truth(start, days) for item in plan.planted],
    }


def _facts(channel: Channel, parcels: int) -> dict[str, Any]:
    """A channel's entry in the truth file."""
    return {
        "channel": channel.id,
        "parcels_per_day": round(channel.volume, 3),
        "parcels": parcels,
        "promised_days": channel.promised_days,
        "transit_days_mean": round(channel.transit_days, 2),
        "stage_days_mean": [round(days, 2) for days in channel.stages],
        "chances": {name: round(chance, 5) for name, chance in channel.chances.items()},
        "forwarders": list(channel.forwarders),
        "reporting_lag_median_h": channel.carrier.lag_h,
    }


def _registrations(setting: Setting, journeys: Journeys) -> Rows:
    """The registrations: known within half an hour, a few a day or two late."""
    n = len(journeys)
    u = stream(setting.seed, f"registrations/{journeys.channel.id}").random((n, 2))
    lag_d = (1.0 + 29.0 * u[:, 0]) / 1440.0 + np.where(u[:, 1] < _LATE_REGISTRATIONS, 0.3 + 1.5 * u[:, 0], 0.0)
    time_s = (journeys.registered * DAY_S).astype(np.int64)
    return make_rows(time_s + (lag_d * DAY_S).astype(np.int64), time_s, Kind.REGISTERED, np.arange(n))


def write_world(
    scenario: str,
    seed: int,
    out: Path,
    days: int | None = None,
    channels: int | None = None,
    start: date | None = None,
    volume: float = 1.0,
    progress: Progress | None = None,
) -> World:
    """Makes the world and writes ``out`` (JSON Lines; ``.gz`` and ``.zst`` by the name) and ``out`` + ``.truth.json``.

    Raises :class:`SimulationError` as :func:`simulate` does; :class:`OSError` if a file cannot be written. Equal
    arguments give equal bytes.
    """
    world = simulate(scenario, seed, days, channels, start, volume, progress)
    done = 0
    with _opened(out) as file:
        for events, lines in world.chunks():
            file.write(lines)
            done += events
            if progress is not None:
                progress("events", done, world.events)
    text = json.dumps(world.truth, ensure_ascii=False, indent=1)
    truth_path(out).write_text(text + "\n", encoding="utf-8")
    return world


def truth_path(out: Path) -> Path:
    """Where the truth about the events in ``out`` stands."""
    return out.with_name(out.name + ".truth.json")


@contextmanager
def _opened(out: Path) -> Iterator[IO[bytes]]:
    """``out`` for writing; the compressed forms hold neither name nor time, so that equal worlds are equal files."""
    with out.open("wb") as raw:
        if out.suffix == ".gz":
            with (
                gzip.GzipFile(filename="", mode="wb", compresslevel=3, fileobj=raw, mtime=0) as packed,
                io.BufferedWriter(packed, 1 << 20) as file,
            ):
                yield file
        elif out.suffix == ".zst":
            with zstandard.ZstdCompressor(level=3).stream_writer(raw) as file:
                yield file
        else:
            yield raw
