"""One set of events gives one set of bytes, however it comes; where a replay ends; how the verb behaves."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner
from hand_logs import HAND_LOG, Out, accounted, day, registered, replayed, scanned
from made_events import Json, write_lines

from monitor.cli.replay import replay

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Out:
    return replayed(tmp_path_factory.mktemp("hand"), HAND_LOG, until=40)


# Order, packing, repeats


def packed(directory: Path, log: list[Json], seed: int) -> list[Path]:
    """The log in four files, shuffled: plain, gzip, zstandard, plain with CRLF and byte order mark."""
    chance = random.Random(seed)
    lines = [json.dumps(event, ensure_ascii=False).encode() for event in log]
    chance.shuffle(lines)
    parts = [b"".join(line + b"\n" for line in lines[i::4]) for i in range(4)]
    files = [directory / f"{seed}{name}" for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst", "d.jsonl")]
    crlf = b"\xef\xbb\xbf" + parts[3].replace(b"\n", b"\r\n")
    for path, content in zip(
        files, (parts[0], gzip.compress(parts[1]), zstandard.compress(parts[2]), crlf), strict=True
    ):
        path.write_bytes(content)
    chance.shuffle(files)
    return files


def test_shuffled_split_and_packed_files_give_the_same_bytes(tmp_path: Path, by_hand: Out) -> None:
    for seed in range(3):
        out = replayed(tmp_path, files=packed(tmp_path, HAND_LOG, seed), until=40)
        assert out.bytes() == by_hand.bytes()


def test_the_order_of_input_shows_in_positions_of_dead_letters_only(tmp_path: Path) -> None:
    log = [
        *HAND_LOG,
        scanned("A", "other", 1, _id=HAND_LOG[1]["id"]),
        registered("B", 3, carrier="yunexpress"),
        scanned("nobody", "accepted", 1),
        scanned("A", "other", 1, _recordedtime=day(90)),
    ]
    first = replayed(tmp_path, log, until=100)
    assert first.summary["dead_letters"] == 4
    second = replayed(tmp_path, files=packed(tmp_path, log, 7), until=100)
    assert {k: v for k, v in first.bytes().items() if k != "dead_letters.jsonl"} == {
        k: v for k, v in second.bytes().items() if k != "dead_letters.jsonl"
    }
    assert [
        {**letter, "position": None, "raw": json.loads(letter["raw"])} for letter in first.lines("dead_letters")
    ] == [{**letter, "position": None, "raw": json.loads(letter["raw"])} for letter in second.lines("dead_letters")]


def test_repeats_change_only_the_count_of_duplicates(tmp_path: Path) -> None:
    log: list[Any] = [*HAND_LOG, "rubbish", scanned("nobody", "accepted", 1), registered("B", 3, carrier="yunexpress")]
    once = replayed(tmp_path, log, until=100)
    path = tmp_path / "log.jsonl"
    thrice = replayed(tmp_path, files=[path, path, path], until=100)
    assert thrice.summary == once.summary | {"duplicates": 2 * len(log)}
    for name in ("channels", "incidents", "watchlist", "recommendations", "dead_letters"):
        assert thrice.lines(name) == once.lines(name)


def test_hash_seeds_and_processes_give_the_same_bytes(tmp_path: Path, by_hand: Out) -> None:
    log = write_lines(tmp_path / "log.jsonl", HAND_LOG)
    for seed in ("0", "4711"):
        out = tmp_path / seed
        command = [sys.executable, "-m", "monitor", "replay", str(log), "--out", str(out), "--until", day(40)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert {path.name: path.read_bytes() for path in sorted(out.iterdir())} == by_hand.bytes()
        assert "\r" not in done.stderr  # no progress, since it is no terminal
        assert "events/s" in done.stderr
        assert done.stderr.count("\n") == 1


def test_standard_input_is_read_as_a_file(tmp_path: Path, by_hand: Out) -> None:
    content = b"".join(json.dumps(event).encode() + b"\n" for event in HAND_LOG)
    for number, sent in enumerate([content, gzip.compress(content)]):
        out = tmp_path / str(number)
        command = [sys.executable, "-m", "monitor", "replay", "-", "--out", str(out), "--until", day(40)]
        subprocess.run(command, input=sent, cwd=ROOT, capture_output=True, check=True)
        assert {path.name: path.read_bytes() for path in sorted(out.iterdir())} == by_hand.bytes()


# The end of the log


def test_until_takes_what_was_recorded_up_to_and_including_it(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "accepted", 1), scanned("P", "delivered", 2, _recordedtime=day(5))]
    at = replayed(tmp_path, log, until=5)
    before = replayed(tmp_path, log, until="2026-01-05T23:59:59.999999Z")
    assert (at.summary["events"], at.channel()["delivered"], at.summary["as_of"]) == (3, 1, day(5))
    assert (before.summary["events"], before.channel()["delivered"]) == (2, 0)
    assert before.summary["as_of"] == before.channel()["as_of"] == "2026-01-05T23:59:59.999999Z"


def test_until_may_lie_far_behind_the_last_event_and_carry_any_offset(tmp_path: Path) -> None:
    out = replayed(tmp_path, [registered("P", 0)], until="2026-06-01T02:00:00+02:00")
    assert (out.summary["as_of"], out.channel()["presumed_lost"]) == ("2026-06-01T00:00:00Z", 1)


def test_ticks_fall_on_the_grid_alone(tmp_path: Path) -> None:
    log = [registered("P", 0)]  # presumed lost after day 120, at the next grid point: 06:00
    off_grid = replayed(tmp_path, log, until="2026-05-01T05:59:59Z").channel()
    on_grid = replayed(tmp_path, log, until="2026-05-01T06:00:00Z").channel()
    assert (off_grid["presumed_lost"], on_grid["presumed_lost"]) == (0, 1)


def test_the_tick_at_the_end_comes_after_the_events_recorded_at_that_very_time(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "accepted", 120.25)]
    assert replayed(tmp_path, log, until=120.25).channel()["presumed_lost"] == 0


def test_as_of_is_the_last_recorded_time_without_until(tmp_path: Path) -> None:
    log = [registered("P", 0), scanned("P", "accepted", 1, _recordedtime=day(3.1)), scanned("P", "other", 2)]
    out = replayed(tmp_path, log)
    assert (out.summary["as_of"], out.summary["last_time"]) == (day(3.1), day(2))
    assert out.channel()["as_of"] == day(3.1)


def test_an_empty_file_gives_empty_lists_and_a_summary_of_nothing(tmp_path: Path) -> None:
    for content in (b"", b"\n\n  \r\n"):
        out = replayed(tmp_path, files=[write_lines(tmp_path / "empty.jsonl", [content])])
        assert out.result.exit_code == 0
        assert accounted(out, 0)["as_of"] is None
        assert [name for name, content in out.bytes().items() if content] == ["summary.json"]


# The verb itself


def test_json_prints_the_summary_and_nothing_else_on_stdout(tmp_path: Path) -> None:
    out = replayed(tmp_path, HAND_LOG, "--json")
    assert json.loads(out.result.stdout) == out.summary
    assert "events/s" in out.result.stderr


def test_results_are_replaced_not_mixed(tmp_path: Path) -> None:
    bad = write_lines(tmp_path / "bad.jsonl", ["rubbish"])
    first = replayed(tmp_path, files=[bad])
    again = replayed(tmp_path, HAND_LOG, "--out", str(first.directory), until=40)
    assert again.result.exit_code == 0
    assert first.lines("dead_letters") == []
    assert first.summary["parcels"] == 9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["log.jsonl", "--out", "o", "--until", "yesterday"], "yesterday"),
        (["log.jsonl", "--out", "o", "--until", "2026-03-01T00:00:00"], "offset"),
        (["nowhere.jsonl", "--out", "o"], "there is no such file"),
        ([".", "--out", "o"], "is a directory"),
        (["log.jsonl"], "--out"),
        (["--out", "o"], "FILE"),
        (["log.jsonl", "--out", "log.jsonl"], "log.jsonl"),
        (["log.jsonl", "--out", "log.jsonl/x"], "log.jsonl"),
        (["log.jsonl", "--out", "o", "--config", "nowhere.toml"], "nowhere.toml"),
        (["log.jsonl", "--out", "o", "--frobnicate"], "--frobnicate"),
    ],
)
def test_wrong_use_is_exit_status_2_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "log.jsonl", HAND_LOG)
    result = CliRunner().invoke(replay, arguments)
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert said in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "o").exists()
