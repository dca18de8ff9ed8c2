"""The demonstration's script: starts afresh, ends with Ctrl-C as if nothing were wrong, runs once at a time."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = """
import pathlib, signal, sys
if sys.argv[1] == "simulate":
    pathlib.Path(sys.argv[sys.argv.index("--out") + 1]).write_text("world")
else:
    signal.signal(signal.SIGINT, lambda *_: sys.exit(print("stopped", flush=True)))
    print("serving", sys.argv[1:], flush=True)
    signal.pause()
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script, a Makefile that only runs it, and a stand-in for the program."""
    for folder in ("deploy", "monitor", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "deploy/demo.sh", tmp_path / "deploy")
    (tmp_path / "Makefile").write_text("demo:\n\t@sh deploy/demo.sh\n")
    (tmp_path / "monitor/__main__.py").write_text(STAND_IN)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    return tmp_path


@pytest.fixture
def in_terminal(checkout: Path) -> Iterator[Callable[[], tuple[int, int]]]:
    """Starts `make demo` in a terminal of its own: process and terminal."""
    started: list[tuple[int, int]] = []

    def start() -> tuple[int, int]:
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(checkout)
            os.execvp("make", ["make", "demo"])
        started.append((pid, terminal))
        return pid, terminal

    yield start
    for _, terminal in started:
        os.close(terminal)
    for process in {*(pid for pid, _ in started), *map(int, (checkout / "demo-data/pid").read_text().split())}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def read_until(terminal: int, words: bytes) -> bytes:
    seen = b""
    while words not in seen:
        seen += os.read(terminal, 4096)
    return seen


@pytest.mark.timeout(60)
def test_ctrl_c_ends_make_demo_without_an_error(in_terminal: Callable[[], tuple[int, int]], checkout: Path) -> None:
    (checkout / "demo-data").mkdir()
    (checkout / "demo-data/old").write_text("from an earlier run")
    make, terminal = in_terminal()
    assert b"--feed" in read_until(terminal, b".jsonl.gz']")
    assert not (checkout / "demo-data/old").exists()
    os.write(terminal, b"\x03")
    assert b"***" not in read_until(terminal, b"stopped")
    assert os.waitstatus_to_exitcode(os.waitpid(make, 0)[1]) == 0


@pytest.mark.timeout(60)
def test_a_second_demonstration_leaves_the_first_alone(
    in_terminal: Callable[[], tuple[int, int]], checkout: Path
) -> None:
    make, terminal = in_terminal()
    read_until(terminal, b"serving [")
    second = subprocess.run(["make", "demo"], cwd=checkout, capture_output=True, text=True, check=False, timeout=20)
    assert second.returncode != 0
    assert "running already" in second.stderr
    assert (checkout / "demo-data/world.jsonl.gz").exists()
    os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(make, 0)[1]) == 0
