"""The list of dead letters is whole whether or not `run` ever ran: what only the folds can tell is found by folding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hand_logs import complained, day, event, registered, scanned, validator
from made_events import write_lines

from monitor.cli.dead_letters import dead_letters
from monitor.cli.ingest import ingest
from monitor.cli.lists import channels
from monitor.log.embedded import EmbeddedLog
from monitor.wire.decode import decode_pack

STRAY = scanned("nobody", "accepted", 1)
ORDER = complained("K1", 2, order_id="O1")
CLOSED = event("complaint.closed", "K9", 3, {"complaint_id": "K9"})
SECOND = registered("P", 4, carrier="yunexpress")
OTHER = scanned("P", "delivered", 5, _id="seven")
DECISION = event("decision.recorded", "nothing", 6, {"target": "nothing", "what": "ack"})
LOG: list[Any] = [
    registered("P", 0),
    scanned("P", "accepted", 1, _id="seven"),
    *(STRAY, ORDER, CLOSED, SECOND, OTHER, DECISION),
    "rubbish",
    scanned("P", "other", 40),
]
FOLDED = {
    STRAY["id"]: "unknown_parcel",
    ORDER["id"]: "unknown_parcel",
    CLOSED["id"]: "unknown_parcel",
    DECISION["id"]: "unknown_parcel",
    SECOND["id"]: "conflicting_registration",
    OTHER["id"]: "conflicting_duplicate",
}


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(command: Any, *arguments: str | Path) -> Result:
    result = CliRunner().invoke(command, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def listed() -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = json.loads(run(dead_letters, "list", "--json").stdout)
    for letter in letters:
        validator("dead_letter").validate(letter)
    return letters


def test_letters_of_the_folds_stand_beside_those_of_the_gateway(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "log.jsonl", LOG))
    letters = listed()
    assert [letter["raw"] for letter in letters] == sorted(letter["raw"] for letter in letters)
    folded = {json.loads(letter["raw"])["id"]: letter for letter in letters if letter["raw"] != "rubbish"}
    assert {name: letter["reason"] for name, letter in folded.items()} == FOLDED
    assert len(letters) == 7
    assert folded[STRAY["id"]]["recordedtime"] == day(1)
    for letter in folded.values():
        assert letter["position"]["topic"] == "events"
    assert "7 open dead letters" in run(dead_letters, "list").stdout


def test_the_position_of_a_folded_letter_is_where_the_event_stands_in_the_log(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "log.jsonl", LOG))
    with EmbeddedLog.open(tmp_path / "data", create=False) as log:
        for letter in listed():
            if letter["raw"] == "rubbish":
                continue
            at = letter["position"]
            (record,) = log.read(at["topic"], at["partition"], at["offset"], 1)
            raw, _ = decode_pack(record.value)[at["index"]]
            assert json.loads(raw)["id"] == json.loads(letter["raw"])["id"]


def test_a_letter_whose_parcel_is_still_unknown_stays_open(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "log.jsonl", LOG))
    result = run(dead_letters, "replay", "--reason", "unknown_parcel", "--history", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["replayed"], report["events"], len(report["failed"])) == (0, 0, 4)
    assert len(listed()) == 7


def test_a_letter_whose_parcel_came_after_all_is_replayed_and_counts(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "log.jsonl", LOG))
    late = [registered("nobody", 0, _recordedtime=day(41)), registered("Q", 0, _recordedtime=day(41), order_id="O1")]
    run(ingest, "--history", write_lines(tmp_path / "late.jsonl", late))
    before = json.loads(run(channels, "--json").stdout)[0]
    result = run(dead_letters, "replay", "--reason", "unknown_parcel", "--history", "--json")
    report = json.loads(result.stdout)
    assert (report["replayed"], report["events"], len(report["failed"])) == (2, 2, 2)
    after = json.loads(run(channels, "--json").stdout)[0]
    assert (before["complaints_per_1000"]["value"], after["complaints_per_1000"]["value"]) == (
        0.0,
        pytest.approx(333.333333),
    )
    open_ids = {json.loads(one["raw"])["id"] for one in listed() if one["raw"] != "rubbish"}
    assert open_ids == set(FOLDED) - {STRAY["id"], ORDER["id"]}


def test_what_contradicts_the_first_word_can_not_be_replayed(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "log.jsonl", LOG))
    for reason in ("conflicting_duplicate", "conflicting_registration"):
        result = run(dead_letters, "replay", "--reason", reason, "--history")
        assert result.exit_code == 1
        assert "1 failed again" in result.stdout
