"""``export openmetrics``: the past of the metrics, in a form that Prometheus takes in."""

from __future__ import annotations

import json
import random
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hand_logs import registered as handed_over
from made_events import registered, scanned, write_lines
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from monitor.cli.main import main
from monitor.connectors.files import read_events
from monitor.core.params import Params
from monitor.core.vocabulary import HOUR_US
from monitor.replay.driver import Replay
from monitor.replay.outputs import picture
from monitor.replay.simulate import write_world
from monitor.web.metrics import PREFIX

#: A carrier's name that would end a label if anything forgot to escape it.
HOSTILE = 'tab"let\\ \'x\' {y="z"} 1'
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def run(*arguments: str | Path) -> Result:
    words = ["export", "openmetrics", *(str(one) for one in arguments)]
    result = CliRunner().invoke(main, words, prog_name="channel-monitor")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def dated(text: str) -> dict[int, Figures]:
    """Time (seconds) → figures, as the client library's own parser reads them."""
    found: dict[int, Figures] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            at = found.setdefault(int(float(sample.timestamp)), {})
            key = sample.name, frozenset(sample.labels.items())
            assert key not in at
            at[key] = sample.value
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 days of four channels, one of which begins to fail, and a parcel of a carrier with a hostile name."""
    path = tmp_path_factory.mktemp("world") / "world.jsonl"
    write_world("stretch2", 1, path, 120, 4, None, 0.4, None)
    with path.open(encoding="utf-8") as file:
        begin = json.loads(file.readline())["time"]
    odd = handed_over("odd", begin, carrier=HOSTILE)
    path.write_bytes(path.read_bytes() + json.dumps(odd).encode() + b"\n")
    return path


@pytest.fixture(scope="module")
def text(world: Path) -> str:
    out = world.parent / "past.om"
    result = run(world, "--out", out)
    assert result.exit_code == 0, result.stderr
    return out.read_text(encoding="utf-8")


def test_every_tick_shows_what_the_monitor_would_have_shown_then(world: Path, text: str) -> None:
    past = dated(text)
    ticks = sorted(past)
    assert {later - tick for tick, later in pairwise(ticks)} == {6 * 3600}
    for tick in (ticks[3], ticks[len(ticks) // 2], ticks[-1]):
        work = Replay(Params(), tick * 1_000_000)
        work.add(read_events(str(world)))
        families = picture(work.run()).families()
        then = {
            (PREFIX + name, frozenset(labels.items())): value
            for name, samples in families.items()
            for labels, value in samples
        }
        assert past[tick] == then
    assert any(dict(labels).get("carrier") == HOSTILE for at in past.values() for _, labels in at)


def test_families_and_series_stand_together_and_times_rise(text: str) -> None:
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    named = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(set(named)) == len(named)
    seen: list[str] = []
    last = -1
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        series, _, time = line.rsplit(" ", 2)
        if not seen or series != seen[-1]:
            seen.append(series)
            last = -1
        assert int(time) > last
        last = int(time)
    assert len(set(seen)) == len(seen)


@pytest.mark.prometheus
def test_promtool_makes_blocks_that_hold_the_same(prometheus: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "past.om").write_text(text, encoding="utf-8")
    words = ["tsdb", "create-blocks-from", "--max-block-duration=486h", "openmetrics", "-q", "past.om", "blocks"]
    subprocess.run(["promtool", *words], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    (tmp_path / "blocks" / "wal").mkdir()  # dump wants a whole database
    dump = subprocess.run(
        ["promtool", "tsdb", "dump", "blocks"], cwd=tmp_path, check=True, capture_output=True, timeout=300
    )
    lines = dump.stdout.decode().splitlines()
    assert len(lines) == sum(not line.startswith("#") for line in text.splitlines())
    ours = [
        (float(one[1]), int(one[2]) * 1000)
        for one in (row.rsplit(" ", 2) for row in text.splitlines()[:-1])
        if not one[0].startswith("#")
    ]
    theirs = [(float(value), int(time)) for _, value, time in (row.rsplit(" ", 2) for row in lines)]
    assert sorted(ours) == sorted(theirs)


def test_the_same_events_give_the_same_bytes_in_any_order(world: Path, text: str, tmp_path: Path) -> None:
    lines = world.read_bytes().splitlines()
    random.Random(5).shuffle(lines)
    files = [write_lines(tmp_path / name, lines[i::2]) for i, name in enumerate("ab")]
    result = run(*files, "--out", "-")
    assert result.stdout_bytes.decode() == text


def test_a_step_leaves_ticks_out(world: Path, text: str, tmp_path: Path) -> None:
    every = dated(text)
    result = run(world, "--out", tmp_path / "days.om", "--step", 24, "--json")
    days = dated((tmp_path / "days.om").read_text(encoding="utf-8"))
    assert days == {tick: figures for tick, figures in every.items() if tick % 86_400 == 0}
    told: dict[str, Any] = json.loads(result.stdout)
    assert told["samples"] == sum(map(len, days.values()))
    assert told["series"] == len({key for figures in days.values() for key in figures})
    assert (told["first"][11:], told["last"][11:], told["dead_letters"]) == ("00:00:00Z", "00:00:00Z", 0)


def test_what_was_recorded_later_is_left_out(tmp_path: Path) -> None:
    events = [
        registered(),
        scanned(time="2026-03-02T07:00:00Z"),
        scanned(milestone="delivered", time="2026-03-09T00:00:00Z"),
    ]
    write_lines(tmp_path / "e.jsonl", events)
    result = run(tmp_path / "e.jsonl", "--out", "-", "--until", "2026-03-03T01:00:00Z")
    past = dated(result.stdout)
    assert max(past) * 1_000_000 + HOUR_US == 1_772_499_600_000_000
    scans = (f"{PREFIX}events_total", frozenset({("type", "parcel.scanned.v1")}))
    assert [past[tick].get(scans) for tick in sorted(past)][-4:] == [None, 1, 1, 1]


def test_dead_letters_are_told_and_make_exit_status_1(tmp_path: Path) -> None:
    write_lines(tmp_path / "e.jsonl", [registered(), scanned(), "rubbish"])
    result = run(tmp_path / "e.jsonl", "--out", tmp_path / "out.om")
    assert result.exit_code == 1
    assert "1 dead letter" in result.stdout
    assert dated((tmp_path / "out.om").read_text())


def test_a_file_without_events_is_a_text_without_samples(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_bytes(b"")
    result = run(tmp_path / "e.jsonl", "--out", tmp_path / "out.om")
    assert (result.exit_code, result.stdout) == (0, f"Wrote 0 samples of 0 series, to {tmp_path / 'out.om'}.\n")
    assert (tmp_path / "out.om").read_bytes() == b"# EOF\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["e.jsonl", "--out", "x.om", "--step", "7"], "a step of 7 hours is no multiple of a tick (6 hours)"),
        (["e.jsonl", "--out", "x.om", "--step", "0"], "a step of 0 hours"),
        (["nowhere.jsonl", "--out", "x.om"], "nowhere.jsonl: there is no such file"),
        (["e.jsonl", "--out", "no/where/x.om"], "no/where/x.om cannot be written"),
        (["e.jsonl", "--out", "x.om", "--until", "yesterday"], "yesterday"),
        (["e.jsonl"], "--out"),
    ],
)
def test_wrong_use_is_exit_status_2_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "e.jsonl", [registered()])
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["e.jsonl"]
