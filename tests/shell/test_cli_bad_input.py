"""Whatever a file holds: `replay` and `ingest` end in order, and every line is an event, a repeat or a dead letter."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hand_logs import accounted, replayed, validator
from made_events import all_in_log, event, registered, scanned, write_lines

from monitor.cli.dead_letters import dead_letters
from monitor.cli.ingest import ingest


def recently(days: float) -> str:
    """So many days before now: what is ingested live may not be old."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def changed(**members: Any) -> str:
    """A good scan of P1 with some members changed; ``data__x`` is a member of ``data``."""
    one = scanned("P1", "accepted", recently(2))
    for name, value in members.items():
        holder = one["data"] if name.startswith("data__") else one
        holder[name.removeprefix("data__")] = value
    return json.dumps(one)


GOOD = [json.dumps(registered("P1", recently(3))), changed(id="good", source="other")]

#: A line that cannot be used → the reason it is given.
BAD: dict[str, tuple[str | bytes, str]] = {
    "cut off": (GOOD[0][:70], "malformed_json"),
    "no json": ("hello", "malformed_json"),
    "two objects": (GOOD[0] + GOOD[0], "malformed_json"),
    "NaN": (changed(id="n", data__place=float("nan")), "malformed_json"),
    "null": ("null", "not_an_event"),
    "number": ("1e999", "not_an_event"),
    "text": ('"parcel"', "not_an_event"),
    "array of events": (f"[{GOOD[0]}]", "not_an_event"),
    "empty object": ("{}", "not_an_event"),
    "other object": ('{"order": 1}', "not_an_event"),
    "unknown type": (changed(id="t", type="parcel.teleported.v1"), "unknown_type"),
    "type of another version": (changed(id="t", type="parcel.scanned.v2"), "unknown_type"),
    "unknown milestone": (changed(id="m", data__milestone="teleported"), "unknown_milestone"),
    "id of 10,000 characters": (changed(id="x" * 10_000), "invalid_event"),
    "parcel of 10,000 characters": (
        changed(id="p", subject="x" * 10_000, data__parcel_id="x" * 10_000),
        "invalid_event",
    ),
    "empty id": (changed(id=""), "invalid_event"),
    "number as id": (changed(id=5), "invalid_event"),
    "null as time": (changed(id="a", time=None), "invalid_event"),
    "time without offset": (changed(id="a", time="2026-03-01T00:00:00"), "invalid_event"),
    "number as time": (changed(id="a", time=1_767_225_600), "invalid_event"),
    "list as data": (changed(id="a", data=[]), "invalid_event"),
    "country in words": (changed(id="a", data__country="Russia"), "invalid_event"),
    "text of another parcel": (changed(id="a", subject="P2"), "subject_mismatch"),
    "huge number": (changed(id="a", sequence=10**400), "invalid_event"),
    "deep nesting": ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "invalid_event"),
    "NUL bytes": (b"\0\0\0", "malformed_json"),
    "latin 1": ('{"id": "Zürich"}'.encode("latin-1"), "not_text"),
    "half a character": (GOOD[1].replace('"good"', '"\\ud83d"'), "malformed_json"),
    "larger than an event may be": (changed(id="a", data__raw_text="y" * 300_000), "too_large"),
    "before 2000": (changed(id="a", time="1969-07-20T20:17:40Z"), "time_before_2000"),
    "far future": (changed(id="a", time="9999-01-01T00:00:00Z"), "time_in_future"),
    "beyond the calendar": (changed(id="a", time="9999-12-31T23:59:59-14:00"), "invalid_event"),
    "pipe in a product": (json.dumps(registered("P9", recently(1))).replace("tablet", "tab|let"), "invalid_event"),
}


def ingested(directory: Path, path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report of an ingest."""
    result = CliRunner().invoke(ingest, [str(path), "--data", str(directory), "--json", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout) if result.exit_code != 2 else {"said": result.stderr}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_and_its_neighbours_are_used(tmp_path: Path, name: str) -> None:
    line, reason = BAD[name]
    log = [GOOD[0], line, GOOD[1]]
    out = replayed(tmp_path, log)
    assert (out.letters(), out.result.exit_code) == ([(reason, 2)], 1)
    accounted(out, 3)
    assert out.summary["events"] == 2


def test_all_of_them_in_one_file_enter_the_log_or_the_dead_letters(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl", [GOOD[0], *(line for line, _ in BAD.values()), GOOD[1]])
    code, report = ingested(tmp_path / "data", path)
    assert (code, report["events"]) == (1, 2)
    assert report["dead_letters"] == Counter(reason for _, reason in BAD.values())
    assert len(all_in_log(tmp_path / "data")) == 2
    listed = CliRunner().invoke(dead_letters, ["list", "--json", "--data", str(tmp_path / "data")])
    letters = json.loads(listed.stdout)
    assert [letter["position"]["line"] for letter in sorted(letters, key=lambda one: one["position"]["line"])] == [
        *range(2, len(BAD) + 2)
    ]
    assert [letter["raw"] for letter in letters] == sorted(letter["raw"] for letter in letters)
    for letter in letters:
        validator("dead_letter").validate(letter)
    again = ingested(tmp_path / "data", path)[1]
    assert again["dead_letters_known"] == len(BAD)


def test_all_of_them_in_one_replay_are_accounted_for_in_any_order(tmp_path: Path) -> None:
    lines: list[Any] = [*GOOD, *(line for line, _ in BAD.values()), *(line for line, _ in BAD.values()), GOOD[0]]
    first = replayed(tmp_path, lines)
    accounted(first, 2 * len(BAD) + 3)
    assert first.summary["duplicates"] == len(BAD) + 1
    second = replayed(tmp_path, lines[::-1])
    assert second.summary == first.summary
    without_place = [{**letter, "position": None} for letter in first.lines("dead_letters")]
    assert [{**letter, "position": None} for letter in second.lines("dead_letters")] == without_place


def test_a_line_broken_off_at_the_end_of_the_file_is_the_only_loss(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes("\n".join(GOOD).encode()[:-20])
    out = replayed(tmp_path, files=[path])
    assert out.letters() == [("malformed_json", 2)]
    path.write_bytes("\n".join(GOOD).encode())  # whole, but without the last line feed
    assert replayed(tmp_path, files=[path]).summary["events"] == 2


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n \t\r\n"])
def test_line_ends_blank_lines_and_byte_order_marks_do_not_matter(tmp_path: Path, start: bytes, end: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(start + end.join(line.encode() for line in GOOD) + end)
    assert (replayed(tmp_path, files=[path]).summary["events"], replayed(tmp_path, files=[path]).letters()) == (2, [])
    assert ingested(tmp_path / "data", path) == (0, ingested(tmp_path / "other", path)[1])


def test_a_file_that_is_one_json_array_says_so_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(f"[{','.join(GOOD)}]")
    assert replayed(tmp_path, files=[path]).letters() == [("not_an_event", 1)]
    path.write_text(json.dumps([json.loads(line) for line in GOOD], indent=1))
    out = replayed(tmp_path, files=[path])
    assert out.result.exit_code == 1
    accounted(out, len(path.read_text().splitlines()))


@pytest.mark.parametrize(
    "content", [bytes(range(256)) * 100, b"\x89PNG\r\n\x1a\n" + bytes(999), b"PK\x03\x04" + bytes(999)]
)
def test_a_file_that_is_no_text_is_one_dead_letter(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo"
    path.write_bytes(content)
    assert replayed(tmp_path, files=[path]).letters() == [("not_text", 1)]
    assert ingested(tmp_path / "data", path)[1]["dead_letters"] == {"not_text": 1}


def test_an_empty_file_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert replayed(tmp_path, files=[path]).result.exit_code == 0
    assert ingested(tmp_path / "data", path)[0] == 0


def test_missing_files_and_directories_are_wrong_use(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        assert replayed(tmp_path, files=[path]).result.exit_code == 2
        code, report = ingested(tmp_path / "data", path)
        assert (code, str(path) in report["said"]) == (2, True)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("year", ["1969", "1999", "2080", "2100", "9999"])
def test_no_recorded_time_makes_a_replay_or_an_ingest_slow(tmp_path: Path, year: str) -> None:
    log = [*GOOD, changed(id="odd", recordedtime=f"{year}-12-31T00:00:00Z")]
    started = time.monotonic()
    out = replayed(tmp_path, log)
    accounted(out, 3)
    assert out.summary["dead_letters"] == 1
    path = tmp_path / "log.jsonl"
    assert sum(ingested(tmp_path / "data", path)[1]["dead_letters"].values()) == 1
    assert time.monotonic() - started < 5


def test_one_id_with_two_bodies_enters_the_log_and_the_folds_set_the_second_aside(tmp_path: Path) -> None:
    log = [*GOOD, changed(id="good", source="other", data__place="elsewhere")]
    assert replayed(tmp_path, log).letters() == [("conflicting_duplicate", 3)]
    assert ingested(tmp_path / "data", tmp_path / "log.jsonl")[0] == 0
    listed = CliRunner().invoke(dead_letters, ["list", "--json", "--data", str(tmp_path / "data")])
    assert [letter["reason"] for letter in json.loads(listed.stdout)] == ["conflicting_duplicate"]


def test_events_of_every_type_are_taken(tmp_path: Path) -> None:
    when = recently(1)
    bodies: dict[str, tuple[str, dict[str, Any]]] = {
        "complaint.opened.v1": ("P1", {"complaint_id": "C1", "kind": "empty_box", "parcel_id": "P1"}),
        "complaint.closed.v1": ("C1", {"complaint_id": "C1", "outcome": "won"}),
        "refund.requested.v1": ("P1", {"refund_id": "R1", "stage": "received_keep", "parcel_id": "P1"}),
        "refund.completed.v1": ("R1", {"refund_id": "R1", "by": "platform"}),
        "claim.filed.v1": ("P1", {"claim_id": "L1", "parcel_id": "P1", "deadline": when}),
        "claim.settled.v1": ("P1", {"claim_id": "L1", "parcel_id": "P1", "outcome": "rejected"}),
        "carrier.offered.v1": ("yun/RU", {"carrier": "yun", "destination": "RU", "refuses": ["battery"]}),
        "rule.declared.v1": ("rule-1", {"rule_id": "rule-1", "effect": "refuse", "destination": "TR"}),
        "calendar.declared.v1": (
            "strike-7",
            {
                "calendar_id": "strike-7",
                "kind": "strike",
                "first_day": when[:10],
                "last_day": when[:10],
                "country": "DE",
            },
        ),
    }
    events = [event(kind, subject, when, data) for kind, (subject, data) in bodies.items()]
    path = write_lines(tmp_path / "log.jsonl", [*GOOD, *events])
    out = replayed(tmp_path, files=[path])
    assert (out.summary["events"], out.letters()) == (11, [])
    assert ingested(tmp_path / "data", path)[1]["events"] == 11


@pytest.mark.parametrize("content", [b"rubbish\n", b"\x89PNG\r\n\x1a\n" + bytes(999)])
def test_the_name_of_a_file_may_be_any_bytes(tmp_path: Path, content: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl"))
    path.write_bytes(content)
    (letter,) = replayed(tmp_path, files=[path]).lines("dead_letters")
    assert letter["position"]["file"].endswith("/\\udcff.jsonl")
    assert ingested(tmp_path / "data", path)[0] == 1
