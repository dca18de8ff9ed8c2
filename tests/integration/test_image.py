"""The image without an engine: the commands of its file build the program, which runs on a read-only root."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import wait_until
from made_events import registered

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8"))
BUILD, FINAL = DOCKERFILE.split("\nFROM ")[1:]

pytestmark = pytest.mark.slow


def environment_of(stage: str) -> dict[str, str]:
    found = re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", stage, re.MULTILINE)))
    return dict(found)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage ``build`` leaves in /opt/channel-monitor, made by its own commands in other folders."""
    folder = tmp_path_factory.mktemp("image")
    source = folder / "src"
    source.mkdir()
    for line in re.findall(r"^COPY (.*)$", BUILD, re.MULTILINE):
        *names, target = line.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, source / target)
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(os.path.realpath(sys.executable))
    env = {**os.environ, **environment_of(BUILD), "PATH": f"{programs}:/usr/bin:/bin"}
    for line in re.findall(r"^RUN (.*)$", BUILD, re.MULTILINE):
        moved = re.sub(r"(?<![\w.])(/opt|/tmp)/", rf"{folder}\1/", line)
        done = subprocess.run(["sh", "-ec", moved], cwd=source, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{moved}\n{done.stdout}\n{done.stderr}"
    return folder / "opt" / "channel-monitor"


def on_read_only_root(*writable: Path) -> list[str]:
    """What to put before a command so that it can write to these folders only; nothing where that is not allowed."""
    again = " && ".join(f"mount --bind '{path}' '{path}'" for path in writable)
    script = f'mount --make-rprivate / && {again} && mount -o remount,ro,bind / && exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
        return prefix
    if os.environ.get("CI") == "true":
        pytest.fail("no mount namespace to be had; CI must run every test whole")
    return []


@pytest.fixture
def started(installed: Path, tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """The image's command, run with its environment in its working directory: address, data, what it may write to."""
    (entry,) = json.loads(re.findall(r"^ENTRYPOINT (.*)$", FINAL, re.MULTILINE)[0])
    words = json.loads(re.findall(r"^CMD (\[.*\])$", FINAL, re.MULTILINE)[0])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    assert words[words.index("--port") + 1] == "8080"
    words[words.index("--port") + 1] = port
    data, scratch = tmp_path / "data", tmp_path / "tmp"
    data.mkdir()
    scratch.mkdir()
    (data / "token").write_text("a token\n")
    env = {
        **{name: value.replace("/var/lib/channel-monitor", str(data)) for name, value in environment_of(FINAL).items()},
        "PATH": f"{installed / 'bin'}:/usr/sbin:/usr/bin:/bin",
        "TMPDIR": str(scratch),
        "CHANNEL_MONITOR_WEB__ACCESS_TOKEN_FILE": str(data / "token"),
    }
    prefix = on_read_only_root(data, scratch)
    errors = (tmp_path / "errors").open("wb")
    process = subprocess.Popen([*prefix, entry, *words], cwd=data, env=env, stdout=errors, stderr=errors)
    try:
        yield f"http://127.0.0.1:{port}", data, prefix
    finally:
        process.terminate()
        process.wait(20)
        errors.close()
    said = (tmp_path / "errors").read_text()
    assert process.returncode == 0, said
    assert "Read-only file system" not in said


def test_the_installed_program_takes_events_and_becomes_ready(
    installed: Path, started: tuple[str, Path, list[str]]
) -> None:
    address, data, prefix = started
    test = json.loads(re.findall(r"HEALTHCHECK .*?CMD (\[.*\])", FINAL)[0])
    probe = [str(installed / "bin" / test[0]), *test[1:]]
    probe[-1] = probe[-1].replace("http://127.0.0.1:8080", address)
    assert probe[-1].count(address) == 1
    wait_until(lambda: subprocess.run(probe, capture_output=True, check=False).returncode == 0, "ready", 60)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}/metrics", timeout=10)
    fed = [*prefix, str(installed / "bin" / "channel-monitor"), "ingest", "--history", "--data", str(data), "-"]
    done = subprocess.run(fed, input=json.dumps(registered()), capture_output=True, text=True, check=False, cwd=data)
    assert done.returncode == 0, done.stderr
    request = urllib.request.Request(f"{address}/api/parcels/P1", headers={"Authorization": "Bearer a token"})

    def shown() -> bool:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return b"RU|tablet|china-post" in answer.read()
        except urllib.error.HTTPError:
            return False

    wait_until(shown, "the parcel on the page", 60)


def test_the_health_check_fails_while_nobody_answers(installed: Path) -> None:
    test = json.loads(re.findall(r"HEALTHCHECK .*?CMD (\[.*\])", FINAL)[0])
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        probe = [str(installed / "bin" / test[0]), *test[1:-1]]
        probe.append(test[-1].replace("8080", str(closed.getsockname()[1])))
        assert subprocess.run(probe, capture_output=True, check=False).returncode != 0
