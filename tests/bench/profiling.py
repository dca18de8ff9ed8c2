"""Where a worker's time goes: py-spy samples who holds the interpreter; a sample counts for its innermost part.

Work that lets go of the interpreter (librdkafka's threads, waiting) does not appear: it does not hold a worker back.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from contending import NotThere, installed

from monitor.core.fleet_fold import FleetFold
from monitor.core.parcel_fold import ParcelFold
from monitor.live.checkpoint import Checkpointer
from monitor.live.engine import Engine
from monitor.live.folding import FleetHandler, ParcelHandler
from monitor.live.tables import FoldTable
from monitor.log.faust_reading import ReadingMixin
from monitor.log.kafka.state import KafkaState
from monitor.wire.decode import decode_pack

PARTS: dict[str, tuple[Any, ...]] = {
    "decode events": (decode_pack,),
    "parcel fold": (ParcelFold.apply, ParcelFold.take),
    "record by record, contributions encoded": (ParcelHandler.apply,),
    "fleet fold": (FleetFold.step,),
    "contributions decoded, incidents sent": (FleetHandler.apply,),
    "changed state encoded": (FoldTable.take_changes,),
    "checkpoints collected": (Checkpointer.commit,),
    "checkpoints produced and committed": (KafkaState._write,),
    "records handed to the agents": (ReadingMixin._drain_messages,),
    "engine around the folds": (Engine._fold,),
}
REST = {"main": "Faust and asyncio", "aiokafka": "aiokafka's thread", "other": "other threads"}
_HZ = 200


class Profiler:
    """Samples a process while the context is open. Raises :class:`~contending.NotThere` if it cannot."""

    def __init__(self, pid: int, scratch: Path) -> None:
        self._file = scratch / "profile.txt"
        spy = installed("py-spy") / "py-spy"
        command = [spy, "record", "--pid", pid, "--format", "raw", "--rate", _HZ, "--duration", 3_600]
        command += ["--gil", "--threads", "--function", "--full-filenames", "--nonblocking", "--output", self._file]
        self._command = [str(word) for word in command]

    def __enter__(self) -> Profiler:
        """Begin."""
        self._spy = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(0.3)
        if self._spy.poll() is not None:
            raise NotThere(f"py-spy does not work here: {self._said()}")
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._spy.send_signal(signal.SIGINT)
        self._spy.wait(60)

    def _said(self) -> str:
        said, _ = self._spy.communicate()
        return " ".join(said.split())[:200]

    def shares(self) -> list[tuple[str, float]]:
        """The parts with their share of all samples, the largest first."""
        if not self._file.exists():
            raise NotThere(f"py-spy does not work here: {self._said()}")
        parts = {_place(function): part for part, functions in PARTS.items() for function in functions}
        counts: Counter[str] = Counter()
        for line in self._file.read_text(encoding="utf-8").splitlines():
            stack, _, samples = line.rpartition(" ")
            frames = stack.split(";")
            part = next((parts[key] for frame in reversed(frames) if (key := _frame(frame)) in parts), None)
            counts[part or _rest(stack)] += int(samples)
        total = counts.total()
        return [(part, count / total) for part, count in counts.most_common()]


def _place(function: Any) -> str:
    """A function as py-spy names the place of a frame: ``file.py:12``, by its first line."""
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


def _frame(frame: str) -> str:
    return frame.rpartition(" (")[2].removesuffix(")")


def _rest(stack: str) -> str:
    thread = "main" if "MainThread" in stack else "aiokafka" if "/mode/threads.py" in stack else "other"
    return REST[thread]
