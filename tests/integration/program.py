"""Drives the real program: its `run` on a log, other verbs beside it, and the comparison of both with a replay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from killing import SOURCE, wait_until

from monitor.core.contribution import DeadLetter
from monitor.core.events import from_us
from monitor.core.params import DEFAULTS
from monitor.live.state import SavedState, saved_state
from monitor.live.status import read_status
from monitor.log.embedded import EmbeddedLog
from monitor.log.topics import CONTRIBUTIONS, EVENTS
from monitor.replay.driver import World
from monitor.replay.outputs import write
from monitor.replay.simulate import simulate
from monitor.wire.dead_letter import raw_of
from monitor.wire.times import parse_time

PROGRAM = (sys.executable, "-m", "monitor")
Json = dict[str, Any]


def verb(*args: object, exit_code: int = 0, env: dict[str, str] | None = None, **kwargs: Any) -> str:
    """Run a verb of the program to its end; what it printed. ``exit_code`` is what it must end with."""
    done = subprocess.run(
        [*PROGRAM, *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": SOURCE, **(env or {})},
        timeout=120,
        **kwargs,
    )
    assert done.returncode == exit_code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Run:
    """A ``channel-monitor run``; its standard error goes to a file, so that it can never fill a pipe."""

    def __init__(
        self,
        data: Path,
        *args: str,
        command: Sequence[str] = PROGRAM,
        env: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.data = data
        self.clock = (env or {}).get("CLOCK")
        self.errors = data.with_name(data.name + ".errors")
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*command, "run", "--data", str(data), "--port", "0", *args],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": SOURCE, **(env or {})},
                **kwargs,
            )

    @property
    def url(self) -> str:
        """The address of its page; waits until it listens."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "http://" in line, self.said()
        return line.split(" at ")[1].strip().rstrip("/")

    def said(self) -> str:
        """Its log lines so far."""
        return self.errors.read_text(errors="replace")[-4_000:]

    def wait_folded(self, timeout_s: float = 90.0) -> None:
        """Until a checkpoint covers everything that is in the log, the tick of now included."""
        at_us = self.now_us() // DEFAULTS.tick_us * DEFAULTS.tick_us

        def folded() -> bool:
            assert self.process.poll() is None, self.said()
            status = read_status(self.data)
            recovered = status is not None and status["pid"] == self.process.pid and status["recovered"]
            return recovered and has_come_to(self.data, at_us) and records_behind(self.data) == 0

        wait_until(folded, "everything folded and saved", timeout_s)

    def now_us(self) -> int:
        """What its clock shows."""
        now_us = time.time_ns() // 1_000
        if self.clock is None:
            return now_us
        base_us, real_us, speed = map(int, self.clock.split())
        return base_us + (now_us - real_us) * speed

    def stop(self, timeout_s: float = 15.0) -> None:
        """End it as Ctrl-C does; it must end well."""
        self.process.terminate()
        self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == 0, f"{self.process.returncode}: {self.said()}"

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self.process.kill()
        self.process.communicate()


def records_behind(data: Path) -> int:
    """Records of the log that no checkpoint covers yet."""
    with EmbeddedLog.open(data, create=False, read_only=True) as log, log.snapshot():
        headers = log.headers()
        sources = [*((EVENTS, p) for p in range(log.partitions)), (CONTRIBUTIONS, 0)]
        ends = {source: log.end_offset(*source) for source in sources}
        if not any(ends.values()):
            return 1  # not even a tick
        return sum(end - headers.get(source, log.first_offset(*source)) for source, end in ends.items())


def has_come_to(data: Path, at_us: int) -> bool:
    """Whether every partition of the log has come to this time."""
    with EmbeddedLog.open(data, create=False, read_only=True) as log, log.snapshot():
        lasts = [log.last_records(p)[1] for p in range(log.partitions)]
        return all(any(record.timestamp_us >= at_us for record in last) for last in lasts)


def saved(data: Path) -> SavedState:
    """The state as last checkpointed."""
    with EmbeddedLog.open(data, create=False, read_only=True) as log:
        return saved_state(log, DEFAULTS)


def as_world(state: SavedState, as_of_us: int) -> World:
    """The saved state, ended as a replay ends at ``as_of_us``, in the form of a replay's result."""
    state.ended_at(as_of_us)
    letters = [
        DeadLetter(
            raw_of(letter),
            letter["reason"],
            letter["detail"],
            tuple(letter["position"].values()),
            parse_time(letter["recordedtime"]),
        )
        for letter in state.letters
    ]
    things: dict[str, Any] = {}
    for part in state.things:
        for name, thing in part.items():
            assert things.setdefault(name, thing) == thing, f"partitions do not agree on {name}"
    return World(
        state.params,
        {name: parcel for part in state.parcels for name, parcel in part.items()},
        things,
        state.channels,
        state.groups,
        state.facets,
        state.incidents,
        state.held,
        state.unresolved,
        state.fleet,
        state.lanes,
        state.book,
        letters,
        as_of_us=as_of_us,
    )


def results(folder: Path) -> dict[str, Any]:
    """The files of a replay, byte for byte; of dead letters all but their position, which names the input."""
    found: dict[str, Any] = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    letters = [json.loads(line) for line in found["dead_letters.jsonl"].splitlines()]
    found["dead_letters.jsonl"] = [{**letter, "position": None} for letter in letters]
    return found


def assert_equals_replay(data: Path, scratch: Path) -> Json:
    """State and outputs of the live monitor are those of a replay of its export, byte for byte; the summary."""
    scratch.mkdir(parents=True)
    export = scratch / "export.jsonl"
    verb("export", "events", "--out", export, "--data", data)
    live = saved(data)
    assert live.behind == 0
    letters = len(live.letters)
    verb("replay", export, "--out", scratch / "replayed", exit_code=1 if letters else 0)
    summary: Json = json.loads((scratch / "replayed" / "summary.json").read_bytes())
    write(as_world(live, parse_time(summary["as_of"])), scratch / "live")
    ours, theirs = results(scratch / "live"), results(scratch / "replayed")
    assert list(ours) == list(theirs)
    assert json.loads(ours["summary.json"]) == json.loads(theirs["summary.json"]), f"see {scratch}"
    for name in ours:
        assert ours[name] == theirs[name], f"{name} differs, see {scratch}"
    return summary


def assert_equals_replay_at_the_last_tick(data: Path, scratch: Path) -> None:
    """What the page shows (as of the last closed tick) is what a replay up to that tick writes."""
    state = saved(data)
    picture = state.picture()
    verb("export", "events", "--out", scratch / "all.jsonl", "--data", data)
    until = from_us(picture.as_of_us)
    seen = [letter for letter in state.letters if parse_time(letter["recordedtime"]) <= picture.as_of_us]
    verb("replay", scratch / "all.jsonl", "--out", scratch / "until", "--until", until, exit_code=1 if seen else 0)
    for name, records in (("channels", picture.channel_records()), ("incidents", picture.incident_records())):
        lines = (scratch / "until" / f"{name}.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == json.loads(json.dumps(records)), name


def small_world(days: int = 60, volume: float = 0.2, channels: int = 12, seed: int = 3) -> list[bytes]:
    """The lines of a simulated world in which one channel's departures stop for ten days, in the order of recording."""
    world = simulate("stall", seed, days, channels, None, volume)
    return sorted(world, key=recorded)


def recorded(line: bytes) -> str:
    """When an event was recorded, as it says; empty if it does not."""
    _, found, rest = line.partition(b'"recordedtime":"')
    return rest[: rest.index(b'"')].decode() if found else ""


def lines_to(path: Path, lines: Iterable[bytes]) -> Path:
    """A file of events."""
    path.write_bytes(b"".join(line.rstrip(b"\n") + b"\n" for line in lines))
    return path


def of_type(lines: Iterable[bytes], kind: str) -> list[bytes]:
    """The events of one type."""
    return [line for line in lines if b'"type":"%b"' % kind.encode() in line]
