"""Every verb as a person uses it: help that reads well, JSON that keeps to the schemas, sentences for wrong use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hand_logs import FILES, registered, replayed, validator
from made_events import write_lines

from monitor.cli.common import first_sentence
from monitor.cli.main import VERBS, main
from monitor.replay.simulate import write_world

ROOT = Path(__file__).resolve().parents[2]
LISTS = ["channels", "incidents", "watchlist", "recommend"]


def run(*arguments: str | Path, **options: Any) -> Result:
    """The program in this process. Whatever happens, it ends in order."""
    result = CliRunner().invoke(main, [str(one) for one in arguments], prog_name="channel-monitor", **options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    return result


def printed(*arguments: str | Path) -> Any:
    """What a verb prints as JSON."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world in which one channel's parcels are not scanned any more, from day 46 of 70 on."""
    path = tmp_path_factory.mktemp("world") / "world.jsonl"
    write_world("no_tracking", 3, path, 70, 1, None, 0.5, None)
    return path


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Path:
    """A log with that world as history. `run` never ran on it; tests must leave it as it is."""
    directory = tmp_path_factory.mktemp("filled") / "data"
    assert run("ingest", "--history", world, "--data", directory).exit_code == 0
    return directory


@pytest.fixture
def own(filled: Path, tmp_path: Path) -> Path:
    """A copy of that log which a test may change."""
    run("backup", "--out", tmp_path / "copy", "--data", filled)
    run("restore", tmp_path / "copy", "--data", tmp_path / "own")
    return tmp_path / "own"


# Help and wrong use


def test_the_help_lists_every_verb_with_a_whole_sentence() -> None:
    text = run("--help").stdout
    for verb in VERBS:
        assert f"  {verb} " in text
    assert "..." not in text.replace("CHANNEL_MONITOR_...", "").replace("[ARGS]...", "")
    assert run("-h").stdout == text
    assert run().exit_code == 2


@pytest.mark.parametrize("verb", VERBS)
def test_the_sentence_in_that_list_is_the_first_of_the_help_of_the_verb(verb: str) -> None:
    command = main.get_command(click.Context(main), verb)
    assert command is not None
    assert VERBS[verb].summary == first_sentence(command)


@pytest.mark.parametrize(
    "verb",
    [*VERBS, "export events", "dead-letters list", "dead-letters replay"],
    ids=lambda verb: verb.replace(" ", "-"),
)
def test_the_help_of_each_verb_says_what_it_does_and_explains_each_option(verb: str) -> None:
    result = run(*verb.split(), "--help")
    assert result.exit_code == 0
    usage, _, rest = result.stdout.partition("\n\n")
    assert usage.startswith(f"Usage: channel-monitor {verb}")
    assert rest.strip()[0].isupper()
    assert rest.split("Options:")[0].strip().endswith((".", "recommendation.", "]")) or "Commands:" in rest
    options = rest.split("Options:")[1].split("Commands:")[0]
    for line in options.splitlines():
        if line.strip().startswith("--"):
            assert len(line.split("  ", 2)[-1].strip()) > 3, line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["teleport"], "No such command 'teleport'"),
        (["channels", "--data", "file"], "file"),
        (["channels", "--frobnicate"], "--frobnicate"),
        (["channels", "RU"], "RU"),
        (["explain"], "ID"),
        (["act", "x"], "ack"),
        (["act", "x", "like"], "'like'"),
        (["backup"], "--out"),
        (["restore"], "FILE"),
        (["restore", "nowhere"], "nowhere"),
        (["restore", "file", "--data", "new"], "file"),
        (["export", "events"], "--out"),
        (["export", "parcels"], "parcels"),
        (["dead-letters", "burn"], "burn"),
        (["check", "--data", "file"], "file"),
        (["run", "--host", "0.0.0.0"], "ACCESS_TOKEN"),
        (["run", "--port", "70000"], "70000"),
        (["run", "--feed", "nowhere"], "there is no such file"),
        (["run", "--config", "nowhere.toml"], "nowhere.toml"),
        (["simulate"], "--scenario"),
        (["simulate", "--scenario", "doom", "--seed", "1", "--out", "x"], "known are: quiet"),
        (["simulate", "--scenario", "quiet", "--seed", "x", "--out", "x"], "'x'"),
        (["simulate", "--scenario", "quiet", "--seed", "1", "--days", "0", "--out", "x"], "between 1 and"),
        (["ingest"], "FILE"),
        (["replay"], "FILE"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_wrong_use_is_exit_status_2_and_says_what_to_do(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "file").write_text("no log")
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    "arguments",
    [
        *([verb] for verb in LISTS),
        ["explain", "x"],
        ["act", "x", "ack"],
        ["dead-letters", "list"],
        ["dead-letters", "replay"],
        ["export", "events", "--out", "o.jsonl"],
        ["backup", "--out", "b"],
    ],
    ids="-".join,
)
@pytest.mark.parametrize("directory", ["nowhere", "empty"])
def test_without_a_log_a_verb_says_so_and_makes_none(tmp_path: Path, arguments: list[str], directory: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run(*arguments, "--data", directory)
    assert result.exit_code == 2
    assert f"There is no event log in {directory}" in result.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_wrong_setting_ends_every_verb_with_a_sentence(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNEL_MONITOR_DETECTION__TICK_HOURS", "7")
    for verb in LISTS:
        result = run(verb, "--data", filled)
        assert (result.exit_code, "tick_hours is 7" in result.stderr or "tick_hours" in result.stderr) == (2, True)


def test_an_empty_log_has_empty_lists(tmp_path: Path) -> None:
    empty = write_lines(tmp_path / "e.jsonl", [])
    assert run("ingest", empty).exit_code == 0
    for verb in LISTS:
        assert printed(verb) == []
        assert run(verb).stdout.strip().endswith(".")
    assert printed("dead-letters", "list") == []
    assert run("explain", "x").exit_code == 1
    assert run("check").exit_code == 0


# Lists


def test_the_lists_are_those_of_a_replay_though_run_never_ran(tmp_path: Path, world: Path, filled: Path) -> None:
    exported = tmp_path / "exported.jsonl"
    assert run("export", "events", "--out", exported, "--data", filled).exit_code == 0
    out = replayed(tmp_path, files=[exported])
    for verb in LISTS:
        records = printed(verb, "--data", filled)
        name = {"recommend": "recommendations"}.get(verb, verb)
        assert records == out.lines(name)
        assert records
        for record in records:
            validator(FILES[name]).validate(record)


@pytest.mark.parametrize("verb", LISTS)
def test_a_list_on_the_terminal_names_every_record(filled: Path, verb: str) -> None:
    keys = {"incidents": "incident_id", "watchlist": "parcel_id", "recommend": "recommendation_id"}
    key = keys.get(verb, "channel")
    lines = run(verb, "--data", filled).stdout.splitlines()
    records = printed(verb, "--data", filled)
    assert len(lines) == len(records) + 1
    for line, record in zip(lines[1:], records, strict=True):
        assert str(record[key]) in line


# Explanations and decisions


def test_an_incident_is_explained_with_its_figures_its_rule_and_its_events(filled: Path) -> None:
    (incident,) = printed("incidents", "--data", filled)
    told = printed("explain", incident["incident_id"], "--data", filled)
    assert told["record"] == incident
    assert told["figures"]["at_known_by"] == incident["evidence"]
    assert "e-detector" in told["rule"]
    assert told["events"]
    for one in told["events"]:
        assert set(one["position"]) == {"topic", "partition", "offset", "index"}
    text = run("explain", incident["incident_id"], "--data", filled).stdout
    assert incident["incident_id"] in text
    assert f"events-{told['events'][0]['position']['partition']}@" in text


def test_a_closed_incident_still_names_the_parcels_it_was_about(own: Path, world: Path) -> None:
    (incident,) = printed("incidents", "--data", own)
    named = printed("explain", incident["incident_id"], "--data", own)["parcels"]
    known_by = incident["known_by"]
    scans: dict[str, list[str]] = {name: [] for name in named}
    for line in world.read_text().splitlines():
        one = json.loads(line)
        if (
            one["subject"] in scans
            and one["type"] == "parcel.scanned.v1"
            and one["data"]["milestone"] != "info_received"
        ):
            scans[one["subject"]].append(one["time"])
    assert named
    assert all(time > known_by for times in scans.values() for time in times)  # not scanned by then
    run("act", incident["incident_id"], "ack", "--data", own)  # years later: it is long closed
    assert printed("explain", incident["incident_id"], "--data", own)["parcels"] == named


def test_a_parcel_on_the_watchlist_is_explained(filled: Path) -> None:
    row = printed("watchlist", "--data", filled)[0]
    told = printed("explain", row["parcel_id"], "--data", filled)
    assert told["record"] == row
    assert {one["parcel_id"] for one in told["events"]} == {row["parcel_id"]}
    assert told["events"][0]["type"] == "parcel.registered.v1"


def test_an_unknown_id_is_a_problem_told_in_a_sentence(own: Path) -> None:
    for arguments in (["explain", "nobody"], ["act", "nobody", "ack"]):
        result = run(*arguments, "--data", own)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "'nobody'" in result.stderr
    assert run("explain", "x" * 10_000, "--data", own).exit_code == 1


def test_an_acknowledged_incident_says_by_whom_and_keeps_to_the_schema(own: Path) -> None:
    incident = printed("incidents", "--data", own)[0]
    name = incident["incident_id"]
    told = printed("act", name, "ack", "--by", "Li", "--note", "calling the carrier", "--data", own)
    assert told == {"id": name, "what": "ack", "by": "Li", "note": "calling the carrier"}
    assert run("act", name, "note", "--note", "they are on strike", "--data", own).stdout == f"Recorded: note {name}.\n"
    now = next(one for one in printed("incidents", "--data", own) if one["incident_id"] == name)
    validator("incident").validate(now)
    assert now["acknowledged_by"] == "Li"
    assert [text in " ".join(now["notes"]) for text in ("calling the carrier", "they are on strike")] == [True, True]
    fixed = ("severity", "known_by", "members", "scope", "evidence", "forecast", "opened_at")
    assert {key: now[key] for key in fixed} == {key: incident[key] for key in fixed}


@pytest.mark.parametrize("what", ["done", "mute"])
def test_a_parcel_that_was_seen_to_leaves_the_watchlist(own: Path, what: str) -> None:
    rows = printed("watchlist", "--data", own)
    name = rows[0]["parcel_id"]
    assert run("act", name, what, "--data", own).exit_code == 0
    left = {row["parcel_id"] for row in printed("watchlist", "--data", own)}
    assert name not in left
    assert {row["parcel_id"] for row in rows} - left == {name}


def test_a_note_that_is_too_long_is_not_recorded(own: Path) -> None:
    name = printed("watchlist", "--data", own)[0]["parcel_id"]
    result = run("act", name, "note", "--note", "x" * 5_000, "--data", own)
    assert result.exit_code in (1, 2)
    assert "4000" in result.stderr.replace(",", "") or "invalid_event" in result.stderr


# Copies


def test_a_copy_brings_back_the_same_lists(filled: Path, tmp_path: Path) -> None:
    told = printed("backup", "--out", tmp_path / "copy", "--data", filled)
    assert told == {"file": str(tmp_path / "copy"), "bytes": (tmp_path / "copy").stat().st_size}
    back = printed("restore", tmp_path / "copy", "--data", tmp_path / "back")
    assert back["directory"] == str(tmp_path / "back")
    for verb in LISTS:
        assert printed(verb, "--data", tmp_path / "back") == printed(verb, "--data", filled)


def test_a_copy_is_only_brought_back_into_an_empty_directory(filled: Path, tmp_path: Path) -> None:
    run("backup", "--out", tmp_path / "copy", "--data", filled)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    result = run("restore", tmp_path / "copy", "--data", tmp_path / "full")
    assert result.exit_code == 2
    assert "is not an empty directory" in result.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]


def test_a_copy_that_cannot_be_written_is_told(filled: Path, tmp_path: Path) -> None:
    result = run("backup", "--out", tmp_path / "no" / "such" / "place", "--data", filled)
    assert result.exit_code == 2
    assert f"There is no directory {tmp_path / 'no' / 'such'}" in result.stderr


def test_a_damaged_copy_is_not_brought_back(filled: Path, tmp_path: Path) -> None:
    run("backup", "--out", tmp_path / "copy", "--data", filled)
    content = (tmp_path / "copy").read_bytes()
    (tmp_path / "copy").write_bytes(content[: len(content) // 2])
    result = run("restore", tmp_path / "copy", "--data", tmp_path / "back")
    assert result.exit_code == 2
    assert not (tmp_path / "back" / "log.sqlite3").exists()


# Check


def findings(*arguments: str | Path) -> dict[str, bool]:
    result = run("check", "--json", *arguments)
    told = json.loads(result.stdout)
    assert result.exit_code == (0 if all(one["ok"] for one in told) else 1)
    assert all(set(one) == {"what", "ok", "detail"} and one["detail"].endswith(".") for one in told)
    return {one["what"]: one["ok"] for one in told}


def test_check_is_content_with_a_good_log(filled: Path) -> None:
    assert findings("--data", filled) == dict.fromkeys(
        ("settings", "log", "state", "dead letters", "disk", "port"), True
    )
    assert run("check", "--data", filled).stdout.count("ok  ") == 6


def test_check_names_dead_letters_also_those_the_folds_find(tmp_path: Path) -> None:
    log = [registered("P", 0), registered("P", 1, carrier="yunexpress")]
    run("ingest", "--history", write_lines(tmp_path / "log.jsonl", log))
    assert findings()["dead letters"] is False


def test_check_names_what_is_wrong_with_log_and_settings(
    tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings("--data", tmp_path / "nowhere")["log"] is False
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "log.sqlite3").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    assert findings("--data", tmp_path / "bad")["log"] is False
    (tmp_path / "bad.toml").write_text("[detection]\ntick_hours = 7\n")
    told = json.loads(run("check", "--json", "--data", filled, "--config", "bad.toml").stdout)
    assert [one["ok"] for one in told] == [False]
    assert "tick_hours" in told[0]["detail"]


# Worlds


def test_the_scenarios_are_listed_with_a_sentence_each() -> None:
    told = printed("simulate", "--list")
    text = run("simulate", "--list").stdout
    assert {"quiet", "demo", "stretch", "feed_outage"} <= {one["scenario"] for one in told}
    for one in told:
        assert f"{one['scenario']} " in text
        assert one["description"] in text


def test_a_world_is_written_with_its_truth(tmp_path: Path) -> None:
    arguments = ("simulate", "--scenario", "quiet", "--seed", "1", "--days", "5", "--channels", "2", "--out")
    told = printed(*arguments, "w.jsonl")
    truth = json.loads(Path("w.jsonl.truth.json").read_text())
    assert truth["world"]["seed"] == 1
    assert len(Path("w.jsonl").read_bytes().splitlines()) == told["events"]
    assert replayed(tmp_path, files=["w.jsonl"]).summary["dead_letters"] == 0


def test_the_program_starts_as_a_module_and_names_its_version() -> None:
    command = [sys.executable, "-m", "monitor", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.startswith("channel-monitor, version ")


def test_a_full_disk_behind_an_output_is_told_in_a_sentence(filled: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "monitor", "channels", "--data", str(filled)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
