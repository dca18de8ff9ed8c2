"""One log on real brokers, the workers that fold it, what is fed to it meanwhile, and the proof that all of it counts
once.

    world = KafkaWorld(kafka, topic_prefix, tmp_path, seed=7)
    world.feed(lines)
    world.worker("a"), world.worker("b")
    ...                                        # kill, stop, restart
    world.prove()

The workers are the real program in processes of their own. Their wall clock stands still before the first event, so
that the ticks of the simulated weeks come from the gateway, between the events, and are judged one after the other.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals
from typing import Any

import msgspec
from kafka_cluster import STARTER, KafkaCluster, free_ports
from killing import SOURCE
from program import recorded

from monitor.core.contribution import Contribution
from monitor.core.events import to_us
from monitor.core.incidents import record
from monitor.core.ordering import grid_point
from monitor.core.params import DEFAULTS
from monitor.live.state import saved_state, unfolded
from monitor.live.version import state_version
from monitor.log.appending import Appender
from monitor.log.export import Exported, export_events
from monitor.log.gateway import Gateway
from monitor.log.kafka import KafkaLog, KafkaSettings
from monitor.log.records import LogBusyError, Shard
from monitor.log.topics import CONTRIBUTIONS, EVENTS, INCIDENTS
from monitor.replay.driver import Replay, World
from monitor.replay.simulate import simulate
from monitor.wire.dead_letter import raw_of
from monitor.wire.incoming import Incoming

HERE = Path(__file__).parent
CLOCK = HERE / "clock"
BEFORE_ALL = datetime(2024, 2, 1, tzinfo=UTC)
"""The workers' clock stands here: before the first day of a simulated world."""
LONG = os.environ.get("FAULTS") == "long"
SEED = int(os.environ.get("FAULTS_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
PART = 500
BURST = 5_000
SESSION_S = 6
STILL_S = 3.0
Json = dict[str, Any]


def say(*words: object) -> None:
    """A line for the person who reads the test's output."""
    print(*words, file=sys.stderr, flush=True)


def events_of(volume: float, days: int = 60) -> list[bytes]:
    """Weeks of 12 channels, one of which stalls for ten days, in the order of recording."""
    return sorted(simulate("stall", 3, days, 12, None, volume), key=recorded)


def still(at: datetime = BEFORE_ALL) -> dict[str, str]:
    """A wall clock that stands."""
    return {"CLOCK": f"{to_us(at)} 0 0"}


def running(begin: datetime, speed: int) -> dict[str, str]:
    """A wall clock that shows ``begin`` now and runs ``speed`` times as fast."""
    return {"CLOCK": f"{to_us(begin)} {time.time_ns() // 1_000} {speed}"}


class Worker:
    """A ``run`` on the brokers. Its log lines go to a file, over all its lives."""

    def __init__(self, world: KafkaWorld, name: str, role: str, port: int, env: dict[str, str]) -> None:
        self.name = name
        self.port = port
        self.log_file = world.folder / f"{name}.log"
        # It dies with the tests at the latest, also when it has begun itself again.
        self._command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            sys.executable,
            "-m",
            "monitor",
            "run",
            "--broker",
            world.cluster.url,
            "--role",
            role,
        ]
        if port:
            self._command += ["--port", str(port)]
        self._env = {**os.environ, "PYTHONPATH": f"{CLOCK}{os.pathsep}{SOURCE}", **env}
        self.process: subprocess.Popen[bytes] | None = None
        self._since = 0  # where the log lines of this life begin

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it; it does not work yet."""
        assert not self.running
        self._since = self.logged()
        with self.log_file.open("ab") as log:
            starting = STARTER.submit(
                subprocess.Popen,
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                cwd=self.log_file.parent,
            )
            self.process = starting.result()

    def signal(self, number: Signals) -> None:
        """Send it a signal; it must be running."""
        assert self.running, f"{self.name} has ended:\n{self.said()}"
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self.signal(SIGKILL)
        assert self.process is not None
        self.process.wait()

    def stop(self, timeout_s: float = 60.0) -> None:
        """SIGTERM; it must end well, unless it has only just been started."""
        assert self.process is not None
        self.process.terminate()
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end in {timeout_s:g} s:\n{self.said()}") from None
        begun = "shards_held" in self.said(self._since)
        assert code == 0 or (code == -SIGTERM and not begun), f"{self.name} ended with {code}:\n{self.said()}"

    def close(self) -> None:
        """Leave no process behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def said(self, since: int = 0, last: int = 6_000) -> str:
        """Its log lines, from a place in the file on; the last of them."""
        with suppress(FileNotFoundError):
            return self.log_file.read_bytes()[since:].decode(errors="replace")[-last:]
        return ""

    def logged(self) -> int:
        """The place in the file where the next log line will stand."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def ask(self, path: str, timeout_s: float = 2.0) -> bytes | None:
        """What its web server answers; None if it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout_s) as answer:
                body: bytes = answer.read()
        except OSError:
            return None
        return body

    def lag(self) -> tuple[dict[Shard, int], int] | None:
        """For each shard it holds the records it has not folded, and those it has folded and not saved; None while it
        does not answer.
        """
        told = self.ask("/metrics")
        if told is None:
            return None
        waiting: dict[Shard, int] = {}
        pending = 0
        for line in told.decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("channel_monitor_ingest_lag_records{"):
                labels = dict(pair.split("=") for pair in name[name.index("{") + 1 : -1].split(","))
                shard = Shard(labels["topic"].strip('"'), int(labels["partition"].strip('"')))
                waiting[shard] = round(float(value))
            elif name == "channel_monitor_pending_records":
                pending = round(float(value))
        return waiting, pending


class NothingLeftError(AssertionError):
    """All events are in the log and folded: no worker can be met in the middle of its work any more."""


@dataclass(frozen=True)
class Interrupted:
    """A worker in the middle of its work, stopped: ``lag`` records waited for it, ``unsaved`` were folded and in no
    checkpoint, both at least.
    """

    worker: Worker
    lag: int
    unsaved: int

    def __str__(self) -> str:
        return f"{self.worker.name}: {self.lag:,} records waiting, {self.unsaved:,} folded and not saved"


class Feeder(threading.Thread):
    """Appends a world in parts, as a gateway that is not told of what goes on, and tries again when the log is busy.

    ``rate`` events a second, in parts of ``part``; more at once when they are asked for.
    """

    def __init__(self, world: KafkaWorld, lines: Sequence[bytes], rate: float, part: int) -> None:
        super().__init__(daemon=True, name="feeder")
        self._world = world
        self._lines = lines
        self._part = part
        self._pause_s = part / rate
        self._wanted: SimpleQueue[int] = SimpleQueue()  # sizes of parts that are asked for
        self._hurry = False
        self._enough = False
        self.done = 0  # acknowledged
        self.refusals: list[str] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        """Feed until all of it is in the log."""
        try:
            with self._world.open(create=True) as log:
                while self.left and not self._enough:
                    part = self._lines[self.done : self.done + self._next_part()]
                    self._ingest(log, part)
                    self.done += len(part)
                    self._world.acknowledged += part
        except Exception as error:  # told by `finish`, in the test's own thread
            self.failure = error

    def _next_part(self) -> int:
        if self._hurry:
            return PART
        try:
            return self._wanted.get(timeout=self._pause_s)
        except Empty:
            return self._part

    def _ingest(self, log: KafkaLog, part: Sequence[bytes]) -> None:
        while not self._enough:
            try:
                # A gateway remembers the dead letters it has written, so after a refusal there must be a new one.
                outcome = Gateway(log, DEFAULTS, history=True).ingest(incoming(part))
            except LogBusyError as error:
                self.refusals.append(str(error))
            else:
                assert outcome.accepted == len(part), outcome
                return

    @property
    def left(self) -> int:
        """Events that are not in the log yet."""
        return len(self._lines) - self.done

    def burst(self, events: int) -> None:
        """Feed so many at once, in one transaction."""
        self._wanted.put(events)

    def wait_for(self, events: int, timeout_s: float = 120.0) -> None:
        """Until so many are in the log."""
        wait_until(
            lambda: self.done >= min(events, len(self._lines)) or not self.is_alive(), f"{events} events fed", timeout_s
        )
        self._check()

    def finish(self, timeout_s: float = 180.0) -> None:
        """Feed the rest at once."""
        self._hurry = True
        self._wanted.put(self._part)
        self.join(timeout_s)
        assert not self.is_alive(), f"{self.left} events are still not in the log; refused: {self.refusals[-3:]}"
        self._check()

    def stop(self) -> None:
        """Feed no more."""
        self._enough = True
        self._wanted.put(self._part)
        self.join(60.0)

    def _check(self) -> None:
        if self.failure is not None:
            raise AssertionError(f"the feeder failed: {self.failure}") from self.failure


def incoming(lines: Iterable[bytes], name: str = "world") -> Iterator[Incoming]:
    """Lines as a reader of files hands them on."""
    return (Incoming(name, n, line, line) for n, line in enumerate(map(bytes.rstrip, lines), 1))


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """The first true value of ``condition``."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain: {what}"
        time.sleep(0.05)


@dataclass
class Proof:
    """What was compared."""

    events: int
    ticks: int
    incidents: int
    letters: int
    sha256: str


@dataclass
class KafkaWorld:
    """The log behind ``prefix``. What was fed through a gateway stands in ``acknowledged``."""

    cluster: KafkaCluster
    prefix: str
    folder: Path
    seed: int
    settings_of_workers: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    acknowledged: list[bytes] = field(default_factory=list)
    feeders: list[Feeder] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.settings = KafkaSettings.from_url(self.cluster.url, topic_prefix=self.prefix)
        self.version = state_version(DEFAULTS)
        self._log: KafkaLog | None = None

    @property
    def log(self) -> KafkaLog:
        """The log, for the thread of the test."""
        if self._log is None:
            self._log = self.open(create=True)
        return self._log

    def open(self, *, create: bool = False) -> KafkaLog:
        """The log, for another thread."""
        return KafkaLog.open(self.settings, create=create, state_version=self.version)

    @property
    def env(self) -> dict[str, str]:
        """What every program of this world is told."""
        return {
            "CHANNEL_MONITOR_KAFKA__TOPIC_PREFIX": self.prefix,
            "CHANNEL_MONITOR_KAFKA__SESSION_TIMEOUT_S": str(SESSION_S),
            "CHANNEL_MONITOR_LIVE__CHECKPOINT_INTERVAL_S": "0.2",
            **self.settings_of_workers,
        }

    def worker(self, name: str, *, role: str = "worker", clock: dict[str, str] | None = None) -> Worker:
        """Start a worker. One with the role ``worker`` can be asked for probes and metrics only."""
        port = free_ports(1)[0]
        worker = Worker(self, name, role, port, {**self.env, **(clock or still())})
        self.workers.append(worker)
        worker.start()
        return worker

    def feed(self, lines: Sequence[bytes], rate: float = 1_000, part: int = PART) -> Feeder:
        """Begin to feed ``lines``, ``rate`` of them a second."""
        feeder = Feeder(self, lines, rate, part)
        self.feeders.append(feeder)
        feeder.start()
        return feeder

    def verb(self, *args: object, exit_code: int = 0) -> str:
        """Run a verb of the program on this log to its end; what it printed."""
        command = [sys.executable, "-m", "monitor", *map(str, args), "--broker", self.cluster.url]
        env = {**os.environ, "PYTHONPATH": SOURCE, **self.env}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=180, check=False)
        assert done.returncode == exit_code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def beside(self, *args: object) -> subprocess.Popen[bytes]:
        """Start a verb that runs beside the others."""
        command = [sys.executable, "-m", "monitor", *map(str, args), "--broker", self.cluster.url]
        return subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": SOURCE, **self.env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def tick_behind_everything(self) -> None:
        """Append the tick behind the last event, so that the fleet closes all that a replay closes."""
        appender = Appender(self.log)
        assert appender.frontier_us is not None
        appender.tick(grid_point(appender.frontier_us, DEFAULTS.tick_us))
        appender.flush()

    def close(self) -> None:
        """Leave nothing behind."""
        for feeder in self.feeders:
            feeder.stop()
        for worker in self.workers:
            worker.close()
        if self._log is not None:
            self._log.close()

    # Disturbing

    def stop_in_the_middle(self, worker: Worker, feeder: Feeder, timeout_s: float = 90.0) -> Interrupted:
        """SIGSTOP at a random moment at which records wait, and some are folded and in no checkpoint.

        The worker tells both between two looks at the positions in the log. Where these are the same, no checkpoint
        was written meanwhile, so what was unsaved when it answered is so when it is stopped.
        """
        deadline = time.monotonic() + timeout_s
        wait_until(lambda: (told := worker.lag()) is not None and told[0], f"{worker.name} holds something", timeout_s)
        time.sleep(self.random.uniform(0.0, 2.0))
        while time.monotonic() < deadline:
            assert worker.running, f"{worker.name} has ended:\n{worker.said()}"
            self._heap_up(worker, feeder)
            again = time.monotonic() + 2.0
            while time.monotonic() < again:
                if stopped := self._stopped_unsaved(worker):
                    return stopped
                time.sleep(self.random.uniform(0.0, 0.03))
            if not feeder.left:
                raise NothingLeftError(f"{worker.name} was not met in the middle of its work before it was all done")
        raise AssertionError(
            f"{worker.name} was never in the middle of its work; {feeder.left} events to come\n{worker.said()}"
        )

    def _heap_up(self, worker: Worker, feeder: Feeder) -> None:
        """Records that wait for a worker: it stands still while they are fed, for less than its session."""
        fed = min(feeder.done + BURST, feeder.done + feeder.left)
        worker.signal(SIGSTOP)
        feeder.burst(BURST)
        until = time.monotonic() + STILL_S
        while feeder.done < fed and time.monotonic() < until:
            time.sleep(0.02)
        worker.signal(SIGCONT)

    def _stopped_unsaved(self, worker: Worker) -> Interrupted | None:
        before = self.log.headers()
        told = worker.lag()
        if told is None or not told[1] or not any(told[0].values()):
            return None
        worker.signal(SIGSTOP)
        time.sleep(0.05)  # what the brokers have been told already is done by then
        after = self.log.headers()
        waiting, pending = told
        if all(before.get(shard) == after.get(shard) for shard in waiting):
            return Interrupted(worker, sum(waiting.values()), pending)
        worker.signal(SIGCONT)
        return None

    # Proving

    def wait_folded(self, stalled_s: float = 60.0) -> float:
        """Until a checkpoint covers everything in the log; the seconds it took. Fails if nothing moves for long."""
        started = moved = time.monotonic()
        last = None
        while True:
            try:
                waiting = unfolded(self.log)
            except LogBusyError:
                waiting = {}
            if waiting and not any(waiting.values()):
                return time.monotonic() - started
            if waiting != last:
                last, moved = waiting, time.monotonic()
            if time.monotonic() - moved > stalled_s:
                said = "\n".join(f"--- {worker.name}\n{worker.said()}" for worker in self.workers)
                raise AssertionError(f"nothing has moved for {stalled_s:g} s: {waiting}\n{said}")
            time.sleep(0.1)

    def prove(self, *, refused: Sequence[bytes] = (), in_order: bool = True) -> Proof:
        """All is folded, once, and says what a replay of the log says.

        ``refused``: what others have written into the log that is no event, or in the wrong place, of which an export
        knows nothing. ``in_order``: one gateway wrote all of it in order, so every event has the recorded time that
        it states.
        """
        self.wait_folded()
        log = self.log
        with log.snapshot():
            saved = saved_state(log, DEFAULTS)
            exported = Exported()
            lines = list(export_events(log, exported))
            incidents = [json.loads(one.value) for one in log.scan(INCIDENTS, 0)]
            contributions = [one.value for one in log.scan(CONTRIBUTIONS, 0)]
            ends = {partition: log.end_offset(EVENTS, partition) for partition in range(log.partitions)}
        replay = Replay(DEFAULTS)
        replay.add(incoming(lines))
        replayed = replay.run()
        assert saved.behind == 0
        ended = saved.ended_at(replayed.as_of_us or 0)
        assert ended.sha256() == replayed.sha256(), "the state differs from a replay of the log"
        _assert_incidents(incidents, replayed)
        ours = Counter(raw_of(letter) for letter in ended.letters)
        theirs = Counter(letter.raw for letter in replayed.dead_letters)
        assert ours == theirs + Counter(refused), "the dead letters differ from a replay's"
        _assert_contributions(contributions, log.generation, ends)
        _assert_exported(lines, self.acknowledged, in_order)
        return Proof(exported.events, exported.ticks, len(replayed.incidents), ours.total(), ended.sha256())


def _assert_incidents(said: list[Json], replayed: World) -> None:
    """The topic says every revision once, in order, and last what a replay ends with."""
    revisions: dict[str, list[int]] = defaultdict(list)
    last: dict[str, Json] = {}
    for one in said:
        revisions[one["incident_id"]].append(one["revision"])
        last[one["incident_id"]] = {name: value for name, value in one.items() if name != "tick"}
    for incident_id, known in revisions.items():
        assert known == sorted(set(known)), f"revisions of incident {incident_id}: {known}"
    theirs = {one.incident_id: json.loads(json.dumps(record(one))) for one in replayed.incidents.values()}
    assert last == theirs, "the topic incidents differs from a replay's"


def _assert_contributions(values: Iterable[bytes], generation: str, ends: dict[int, int]) -> None:
    """No record of ``events`` has contributed twice, none that is not there."""
    decode_ = msgspec.msgpack.Decoder(Contribution).decode
    found = [decode_(value) for value in values]
    assert {one.generation for one in found} <= {generation}
    places = Counter((one.partition, one.offset) for one in found)
    assert [place for place, count in places.items() if count > 1] == []
    assert all(offset < ends[partition] for partition, offset in places)


def _plain(line: bytes) -> tuple[bytes, int]:
    """An event as it came in, without what a log adds; and when it says it was recorded (µs)."""
    event: Json = msgspec.json.decode(line)
    recorded = event.pop("recordedtime", None)
    recorded = event.pop("statedrecordedtime", recorded)
    for name in ("sequence", "history"):
        event.pop(name, None)
    return msgspec.json.encode(event, order="sorted"), _us(recorded or event["time"])


def _assert_exported(lines: Sequence[bytes], sent: Sequence[bytes], in_order: bool) -> None:
    """Every event that was acknowledged stands in the export once, in the order of effective recorded times."""
    ours = Counter(map(_plain, sent))
    theirs = Counter(_plain(line) for line in lines if b'"type":"clock.ticked.v1"' not in line)
    if not in_order:  # several writers: where times have come to, nobody knows but the log
        ours, theirs = (Counter(event for event, _ in one.elements()) for one in (ours, theirs))
    assert theirs - ours == Counter(), f"{(theirs - ours).total()} events are in the log that nobody sent, or twice"
    assert ours - theirs == Counter(), f"{(ours - theirs).total()} acknowledged events are not in the log"
    placed = [_us(recorded(line)) for line in lines]
    assert placed == sorted(placed)
    assert all(line.endswith(b'"sequence":"%020d"}' % number) for number, line in enumerate(lines, 1))


def _us(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


def leader_of(cluster: KafkaCluster, topic: str, name: str) -> int:
    """The broker that leads the partition of an internal topic in which a group or a transactional id is at home."""
    leaders = cluster.leaders(topic)
    hashed = 0
    for character in name:
        hashed = (31 * hashed + ord(character)) & 0xFFFFFFFF
    if hashed >= 1 << 31:
        hashed = (1 << 32) - hashed  # Kafka takes the absolute value of Java's signed hash
    return leaders[hashed % len(leaders)]


def lag_of(workers: Iterable[Worker]) -> int:
    """What the workers say is waiting."""
    return sum(sum(told[0].values()) for worker in workers if (told := worker.lag()))


MakeWorld = Callable[..., KafkaWorld]


def told(world: KafkaWorld, **proof: Any) -> None:
    """Prove it and say so."""
    waited_s = world.wait_folded()
    found = world.prove(**proof)
    say(f"  all folded {waited_s:.1f} s later; equal to a replay: {found}")
    assert found.incidents, "a world without an incident proves little"
