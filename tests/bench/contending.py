"""The contenders of the benchmark on Kafka: how each is installed and run, and what it says.

They live in an environment of their own, ``.venv/contenders``, because their packages do not go together with those of
the project; it is made when the benchmark runs for the first time.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parent / "contenders"
CONSTRAINTS = PROGRAMS / "constraints.txt"
VENV = Path(__file__).parents[2] / ".venv" / "contenders"
LONGEST_S = 600


class NotThere(Exception):
    """A contender, or a tool, cannot be installed or does not work here; the message says why."""


@dataclass(frozen=True)
class Contender:
    """A program in ``contenders/`` in one of its modes, and the packages it needs."""

    name: str
    program: str
    mode: str
    packages: tuple[str, ...]


_QUIX = ("with_quix.py", ("quixstreams", "msgspec"))
_BYTEWAX = ("with_bytewax.py", ("bytewax", "confluent-kafka", "msgspec"))
_CONFLUENT = ("with_confluent.py", ("confluent-kafka", "msgspec"))
_KAFKA_PYTHON = ("with_kafka_python.py", ("kafka-python", "lz4", "msgspec"))


def _contender(name: str, kind: tuple[str, tuple[str, ...]], mode: str) -> Contender:
    return Contender(name, kind[0], mode, kind[1])


KAFKA_PYTHON_POLL = _contender("kafka-python, poll only", _KAFKA_PYTHON, "poll")
KAFKA_PYTHON_JSON = _contender("kafka-python, json", _KAFKA_PYTHON, "json")
CONFLUENT = _contender("confluent-kafka, count in memory", _CONFLUENT, "count")
QUIX_PARTITION = _contender("Quix, totals of a partition", _QUIX, "partition")
QUIX_GROUP = _contender("Quix, grouped by channel", _QUIX, "group")
QUIX_PARCELS = _contender("Quix, totals and a value a parcel", _QUIX, "parcels")
QUIX_PARCELS_ONCE = _contender("Quix, the same, exactly once", _QUIX, "parcels-exactly-once")
BYTEWAX_GROUP = _contender("Bytewax, grouped by channel", _BYTEWAX, "group")
BYTEWAX_SUMMED = _contender("Bytewax, summed by record first", _BYTEWAX, "summed")
BYTEWAX_PARCELS = _contender("Bytewax, totals and a value a parcel", _BYTEWAX, "parcels")

#: On the topic of packs, and on the one with an event a record.
ON_PACKS = (
    KAFKA_PYTHON_POLL,
    KAFKA_PYTHON_JSON,
    CONFLUENT,
    QUIX_PARTITION,
    QUIX_GROUP,
    QUIX_PARCELS,
    QUIX_PARCELS_ONCE,
    BYTEWAX_GROUP,
    BYTEWAX_SUMMED,
    BYTEWAX_PARCELS,
)
ON_SINGLES = (
    KAFKA_PYTHON_POLL,
    KAFKA_PYTHON_JSON,
    CONFLUENT,
    QUIX_PARTITION,
    QUIX_GROUP,
    QUIX_PARCELS_ONCE,
    BYTEWAX_GROUP,
    BYTEWAX_PARCELS,
)


def installed(*packages: str) -> Path:
    """The directory of programs of the environment, with ``packages`` in it. Raises :class:`NotThere`."""
    key = hashlib.sha256(CONSTRAINTS.read_bytes() + repr((sys.version, packages)).encode()).hexdigest()[:16]
    mark = VENV / f".installed-{key}"
    if not mark.exists():
        print(f"\ninstalling {' '.join(packages)} for the benchmark into {VENV.parent.name}/{VENV.name} …", flush=True)
        if not (VENV / "bin" / "pip").exists():
            _do(sys.executable, "-m", "venv", "--clear", VENV)
        pip = (VENV / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-input")
        _do(*pip, "--constraint", CONSTRAINTS, *packages)
        mark.touch()
    return VENV / "bin"


def _do(*command: object) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr or done.stdout
        errors = [line for line in told.splitlines() if line.startswith("ERROR: ")]
        raise NotThere(f"cannot be installed: {errors[0][7:207] if errors else _last_line(told)}")


@dataclass(frozen=True)
class Ran:
    """One run: seconds by the wall and of CPU from being ready to the end of the work, and those before.

    ``digest`` is equal for equal results; None if nothing was counted. ``main_s``: of CPU, of the main thread alone.
    """

    wall_s: float
    cpu_s: float
    startup_s: float
    digest: str | None = None
    main_s: float | None = None


def run(contender: Contender, scratch: Path, *, bootstrap: str, topic: str, partitions: int, events: int) -> Ran:
    """Let a contender do the task once. Raises :class:`NotThere` if it cannot."""
    python = installed(*contender.packages) / "python"
    scratch.mkdir(parents=True)
    asked: dict[str, Any] = {"bootstrap": bootstrap, "topic": topic, "partitions": partitions, "events": events}
    options = [f"--{name}={value}" for name, value in {**asked, "scratch": scratch}.items()]
    began = time.perf_counter()
    command = [python, "-W", "ignore", PROGRAMS / contender.program, contender.mode, *options]
    try:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotThere(f"not done after {LONGEST_S} s") from None
    took = time.perf_counter() - began
    if done.returncode:
        raise NotThere(f"does not work here: {_last_line(done.stderr)}")
    said = json.loads(done.stdout.splitlines()[-1])
    if (counted := said.get("events", events)) != events:
        raise NotThere(f"counted {counted:,} events, not {events:,}")
    return Ran(said["wall_s"], said["cpu_s"], took - said["wall_s"], said.get("digest"))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it says nothing"
