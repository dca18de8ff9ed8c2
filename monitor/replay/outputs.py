"""What a replay writes: the contract's files, byte for byte the same for the same events."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from monitor.core.events import from_us
from monitor.read.lists import Picture, count_of, dead_letter_record
from monitor.replay.driver import World

_encode = msgspec.json.Encoder().encode


def picture(world: World) -> Picture:
    """The world as the read side sees it; as of 1970 when nothing was folded."""
    as_of_us = world.as_of_us or 0
    return Picture(
        world.params,
        world.parcels,
        world.channels,
        world.groups,
        world.incidents,
        world.fleet,
        as_of_us,
        world.lanes,
    )


def dead_letter_records(world: World) -> list[dict[str, Any]]:
    """``dead_letters.jsonl``, sorted by ``raw``."""
    records = [dead_letter_record(letter, world.as_of_us or 0) for letter in world.dead_letters]
    return sorted(records, key=lambda record: (record["raw"], record["reason"]))


def summary(world: World) -> dict[str, Any]:
    """``summary.json``. Every line read is an event, a duplicate or a dead letter; those waiting are events."""
    counts = world.fleet.counts
    unmatched = sum(not entry.done for entry in world.unresolved.values())
    seen = world.fleet.last_us > 0
    return {
        "events": count_of(world.fleet, "events|"),
        "duplicates": counts.get("duplicates", 0) + world.duplicates,
        "dead_letters": len(world.dead_letters),
        "waiting": counts.get("waiting", 0) + unmatched,
        "parcels": counts.get("parcels", 0),
        "channels": len(world.channels),
        "incidents": len(world.incidents),
        "first_time": from_us(world.fleet.first_us) if seen else None,
        "last_time": from_us(world.fleet.last_us) if seen else None,
        "as_of": None if world.as_of_us is None else from_us(world.as_of_us),
        "state_sha256": world.sha256(),
    }


def write(world: World, out: Path) -> dict[str, Any]:
    """Write all files into ``out`` (made if it is not there); the summary. Raises :class:`OSError`."""
    out.mkdir(parents=True, exist_ok=True)
    lists = picture(world)
    _write_lines(out / "incidents.jsonl", lists.incident_records())
    _write_lines(out / "channels.jsonl", lists.channel_records())
    _write_lines(out / "watchlist.jsonl", lists.watch_records())
    _write_lines(out / "recommendations.jsonl", lists.advice_records())
    _write_lines(out / "dead_letters.jsonl", dead_letter_records(world))
    told = summary(world)
    (out / "summary.json").write_bytes(msgspec.json.format(_encode(told), indent=2) + b"\n")
    return told


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("wb") as file:
        for record in records:
            file.write(_encode(record) + b"\n")
