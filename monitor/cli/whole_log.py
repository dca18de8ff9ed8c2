"""What the whole log says, whether or not ``run`` ever ran.

Where the state of the last checkpoint covers the log, it is read; else the log is folded here. Both give the same.
"""

from __future__ import annotations

from monitor.cli.common import Progress
from monitor.live.state import saved_state
from monitor.live.version import state_version
from monitor.log.export import Exported, export_events, placed_lines
from monitor.log.protocol import Log
from monitor.read.lists import Picture
from monitor.replay.driver import Replay, World
from monitor.replay.outputs import picture
from monitor.replay.refold import Refold
from monitor.settings import Settings
from monitor.wire.incoming import Incoming


def world_of(log: Log, settings: Settings) -> World:
    """The whole log, folded now."""
    progress = Progress("{0:,} events folded")
    replay = Replay(settings.params())
    lines = export_events(log, Exported())
    replay.add((Incoming(log.name, n, line, line) for n, line in enumerate(lines, 1)), progress)
    world = replay.run(lambda done, _: progress(done))
    progress.clear()
    return world


def picture_of(log: Log, settings: Settings) -> Picture:
    """The lists as of the last recorded time of the log. Raises :class:`~monitor.log.records.LogError`."""
    params = settings.params()
    if log.state_version == state_version(params):
        saved = saved_state(log, params)
        last_us = max(position.floor_us for position in saved.positions)
        if saved.behind == 0 and last_us > 0:
            if (last_us - 1) % params.tick_us == 0:
                last_us -= 1  # the last thing was a tick: what follows it begins a microsecond later
            ended = saved.ended_at(last_us)
            parcels = {name: parcel for part in ended.parcels for name, parcel in part.items()}
            return Picture(
                params,
                parcels,
                ended.channels,
                ended.groups,
                ended.incidents,
                ended.fleet,
                last_us,
                ended.lanes,
            )
    return picture(world_of(log, settings))


def refolded(log: Log, settings: Settings, until_us: int) -> tuple[Refold, int]:
    """The log as it was at ``until_us``, folded now; and the number of its events."""
    done = Exported()
    reading, folding = Progress("{0:,} events read"), Progress("{0:,} of {1:,} events folded")
    refold = Refold(settings.params(), until_us, placed_lines(log, done, until_us), reading, folding)
    reading.clear()
    folding.clear()
    return refold, done.events
