"""``ingest``, ``export events`` and ``dead-letters`` on the command line."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner, Result
from made_events import all_in_log, closed, in_log, letters_in_log, registered, scanned, without_ticks, write_lines

from monitor.cli.dead_letters import dead_letters
from monitor.cli.export import export
from monitor.cli.ingest import ingest
from monitor.connectors import again
from monitor.connectors.files import read_events
from monitor.core.events import to_us
from monitor.log.embedded import EmbeddedLog
from monitor.log.records import NewRecord
from monitor.log.topics import EVENTS
from monitor.wire.decode import decode

PAST = [
    registered("P1", "2025-03-01T00:00:00Z"),
    scanned("P1", "accepted", "2025-03-01T05:00:00Z"),
    registered("P2", "2025-03-01T06:00:00Z"),
    closed("C1", "2025-03-01T07:00:00Z"),
    scanned("P1", "delivered", "2025-03-02T10:00:00Z"),
]


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(command: Any, *arguments: str | Path) -> Result:
    result = CliRunner().invoke(command, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def recent(*milestones: str) -> list[dict[str, Any]]:
    """Events of the last days, as seen from the wall clock."""
    start = datetime.now(UTC) - timedelta(days=3)
    return [
        scanned("P1", milestone, (start + timedelta(hours=i)).isoformat()) for i, milestone in enumerate(milestones)
    ]


def exported(path: Path) -> list[dict[str, Any]]:
    return [json.loads(row.event or b"") for row in read_events(str(path)) if row is not None]


def test_a_file_enters_the_log_in_the_default_directory(tmp_path: Path) -> None:
    result = run(ingest, write_lines(tmp_path / "e.jsonl", recent("accepted", "delivered")))
    assert (result.exit_code, result.stdout) == (0, "Appended 2 events to data.\n")
    assert len(all_in_log(tmp_path / "data")) == 2


def test_several_files_packed_or_not_are_put_in_order_together(tmp_path: Path) -> None:
    write_lines(tmp_path / "b", PAST[:2])
    (tmp_path / "a.gz").write_bytes(gzip.compress(write_lines(tmp_path / "t", PAST[2:4]).read_bytes()))
    (tmp_path / "c.zst").write_bytes(zstandard.compress(write_lines(tmp_path / "t", PAST[4:]).read_bytes()))
    result = run(ingest, "--history", "--data", "log", "c.zst", "a.gz", "b", "--json")
    assert json.loads(result.stdout) == {
        "events": 5,
        "ticks": 6,
        "dead_letters": {},
        "dead_letters_known": 0,
        "skipped": {},
        "behind": 0,
        "notices": [],
    }
    for events in in_log(tmp_path / "log"):
        times = [to_us(decode(json.dumps(one).encode()).recordedtime) for one in events]  # type: ignore[arg-type]
        assert times == sorted(times)


def test_dead_letters_are_counted_and_make_exit_status_1(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "e.jsonl", [*recent("accepted"), "rubbish", {"a": 1}])
    result = run(ingest, path)
    assert result.exit_code == 1
    assert result.stdout == (
        "Appended 1 event to data.\n"
        "2 dead letters:\n"
        "          1  malformed_json\n"
        "          1  not_an_event\n"
        "See them with: channel-monitor dead-letters list --data data\n"
    )


def test_the_same_file_twice_changes_nothing_but_repeats(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "e.jsonl", [*PAST, "rubbish"])
    run(ingest, path, "--history")
    before = in_log(tmp_path / "data")
    result = run(ingest, path, "--history")
    after = in_log(tmp_path / "data")
    assert result.exit_code == 1
    assert "1 dead letter, 1 of them known before" in result.stdout
    assert len(letters_in_log(tmp_path / "data")) == 1
    for one, two in zip(before, after, strict=True):
        assert two[: len(one)] == one
        known = [said(event) for event in one]
        assert all(said(event) in known for event in two[len(one) :])  # the folds know their ids


def said(event: dict[str, Any]) -> dict[str, Any]:
    """An event without when it was recorded."""
    return {name: value for name, value in event.items() if name not in ("recordedtime", "statedrecordedtime")}


def test_history_into_a_log_that_came_further_says_what_that_means(tmp_path: Path) -> None:
    run(ingest, write_lines(tmp_path / "new.jsonl", recent("accepted")))
    result = run(ingest, "--history", write_lines(tmp_path / "old.jsonl", PAST))
    assert result.exit_code == 0
    assert "Appended 5 events to data.\n5 events were recorded before" in result.stdout
    assert "what was judged before is not judged again" in result.stdout
    assert "start it with: channel-monitor run --rebuild" in result.stdout


def test_an_old_file_is_refused_before_anything_is_appended_and_history_is_the_remedy(tmp_path: Path) -> None:
    good = write_lines(tmp_path / "good.jsonl", recent("accepted"))
    old = write_lines(tmp_path / "old.jsonl", [*PAST, "rubbish"])
    result = run(ingest, good, old)
    assert result.exit_code == 2
    assert f"{old}: 5 of its first 6 rows happened more than 60 days ago" in result.stderr
    assert "--history" in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["."], ". is a directory"),
        (["orders.csv"], "add --format csv"),
        (["-", "orders.jsonl"], "cannot be read together with other files"),
        (["orders.jsonl", "--format", "canonical", "--mapping", "scms"], "--format csv"),
        (["orders.jsonl", "--mapping", "nothing"], "no such file, nor a shipped mapping of that name"),
        (["orders.csv", "--mapping", "scms"], "orders.csv has no column 'PO Sent to Vendor Date'"),
        (["orders.csv", "--format", "csv", "--history"], "orders.csv has no column 'type'"),
        (["orders.jsonl", "--format", "17trak"], "17trak"),
        ([], "FILE"),
    ],
)
def test_wrong_use_is_exit_status_2_names_the_place_and_touches_nothing(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "orders.csv").write_text("Order,Country\n1,RU\n")
    write_lines(tmp_path / "orders.jsonl", recent("accepted"))
    result = run(ingest, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "data").exists()


def test_a_wrong_setting_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNEL_MONITOR_DETECTION__TICK_HOURS", "7")
    result = run(ingest, write_lines(tmp_path / "e.jsonl", recent("accepted")))
    assert result.exit_code == 2
    assert "tick_hours" in result.stderr


def test_a_directory_that_holds_another_database_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "log.sqlite3").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    result = run(ingest, write_lines(tmp_path / "e.jsonl", recent("accepted")))
    assert result.exit_code == 1
    assert "is not a database" in result.stderr


def test_a_dry_run_prints_the_events_and_appends_nothing(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "e.jsonl", [*recent("accepted"), "rubbish"])
    result = run(ingest, "--dry-run", path)
    assert result.exit_code == 1
    assert [json.loads(line) for line in result.stdout.splitlines()] == [json.loads(path.read_bytes().splitlines()[0])]
    assert f"{path}:2: malformed_json: " in result.stderr
    assert "1 event; nothing was appended." in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_dry_run_of_history_prints_what_would_be_appended(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "e.jsonl", PAST)
    printed = [json.loads(line) for line in run(ingest, "--dry-run", "--history", path).stdout.splitlines()]
    run(ingest, "--history", path)
    stored = {one["id"]: one for one in without_ticks(all_in_log(tmp_path / "data"))}
    assert {one["id"]: one for one in printed} == stored


def test_a_table_enters_with_the_contracts_names(tmp_path: Path) -> None:
    time = recent("accepted")[0]["time"]
    (tmp_path / "e.csv").write_text(
        f"type,time,parcel_id,milestone\nparcel.scanned.v1,{time},P1,accepted\nparcel.scanned.v1,{time},P1,arrived\n"
    )
    result = run(ingest, "--format", "csv", "e.csv")
    assert result.exit_code == 1
    (letter,) = letters_in_log(tmp_path / "data")
    assert (letter["reason"], letter["position"]["line"]) == ("unknown_milestone", 3)
    assert letter["raw"] == f"parcel.scanned.v1,{time},P1,arrived"
    assert len(all_in_log(tmp_path / "data")) == 1


def test_a_file_that_is_no_text_is_one_dead_letter(tmp_path: Path) -> None:
    (tmp_path / "photo.jsonl").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 500)
    result = run(ingest, "photo.jsonl")
    assert result.exit_code == 1
    (letter,) = letters_in_log(tmp_path / "data")
    assert letter["reason"] == "not_text"
    assert "PNG image" in letter["detail"]


# Export


def test_an_export_has_every_event_once_in_order_with_its_sequence(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "e.jsonl", PAST))
    result = run(export, "events", "--out", "out.jsonl", "--json")
    lines = exported(tmp_path / "out.jsonl")
    assert json.loads(result.stdout) == {"events": 5, "ticks": 6, "unreadable": 0, "file": "out.jsonl"}
    assert [one["sequence"] for one in lines] == [f"{i:020d}" for i in range(1, 12)]
    assert [one["id"] for one in without_ticks(lines)] == [one["id"] for one in PAST]
    times = [one["recordedtime"] for one in lines]
    assert times == sorted(times)
    assert [one["data"]["at"][8:13] for one in lines if one["subject"] == "clock"] == [
        "01T00",
        "01T06",
        "01T12",
        "01T18",
        "02T00",
        "02T06",
    ]
    assert not list(tmp_path.glob("*.part"))


def test_an_export_packs_by_its_name_and_is_the_same_bytes_again(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "e.jsonl", PAST))
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.gz", "d.jsonl.zst"):
        assert run(export, "events", "--out", name).exit_code == 0
    assert (tmp_path / "b.jsonl.gz").read_bytes() == (tmp_path / "c.jsonl.gz").read_bytes()
    assert exported(tmp_path / "a.jsonl") == exported(tmp_path / "b.jsonl.gz") == exported(tmp_path / "d.jsonl.zst")
    printed = CliRunner().invoke(export, ["events", "--out", "-"])
    assert printed.stdout_bytes == (tmp_path / "a.jsonl").read_bytes()
    assert printed.stderr == "Wrote 5 events and 6 ticks to -.\n"


def test_an_exported_log_ingested_anew_exports_the_same(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "e.jsonl", PAST))
    run(export, "events", "--out", "a.jsonl")
    assert run(ingest, "a.jsonl", "--data", "second").exit_code == 0
    run(export, "events", "--out", "b.jsonl", "--data", "second")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_the_exported_time_is_never_before_that_of_the_event_ahead_in_the_log(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "e.jsonl", PAST))
    run(ingest, "--history", write_lines(tmp_path / "late.jsonl", [scanned("P1", "other", "2025-03-01T01:00:00Z")]))
    run(export, "events", "--out", "out.jsonl")
    last = exported(tmp_path / "out.jsonl")[-1]
    assert (last["data"]["milestone"], last["recordedtime"]) == ("other", "2025-03-02T10:00:00Z")


def test_records_of_others_that_hold_no_event_are_left_out_and_told(tmp_path: Path) -> None:
    with EmbeddedLog.open(tmp_path / "data") as log:
        good = json.dumps(scanned("P1")).encode()
        log.append([NewRecord(EVENTS, 0, b'[%b,{"a":1}]' % good, timestamp_us=1_772_582_400_000_000)])
    result = run(export, "events", "--out", "out.jsonl")
    assert result.exit_code == 1
    assert "1 record hold" in result.stdout
    assert exported(tmp_path / "out.jsonl")[0]["recordedtime"] == "2026-03-04T00:00:00Z"  # that of the record


def test_an_export_that_cannot_be_written_leaves_no_half_file(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "e.jsonl", PAST))
    result = run(export, "events", "--out", "nowhere/out.jsonl")
    assert result.exit_code == 2
    assert "nowhere/out.jsonl cannot be written" in result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_without_a_log_there_is_nothing_to_export_and_none_is_made(tmp_path: Path) -> None:
    result = run(export, "events", "--out", "out.jsonl")
    assert result.exit_code == 2
    assert "There is no event log in data" in result.stderr
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "out.jsonl").exists()


# Dead letters


def test_dead_letters_are_listed_by_their_text_with_place_and_reason(tmp_path: Path) -> None:
    write_lines(tmp_path / "e.jsonl", ["zzz", *recent("accepted"), b"\xff\xfeaaa"])
    run(ingest, "e.jsonl")
    letters = json.loads(run(dead_letters, "list", "--json").stdout)
    assert [letter["raw"] for letter in letters] == ["\\xff\\xfeaaa", "zzz"]
    assert [letter["position"] for letter in letters] == [{"file": "e.jsonl", "line": n} for n in (3, 1)]
    assert (letters[0]["reason"], letters[0]["raw_base64"]) == ("not_text", "//5hYWE=")
    text = run(dead_letters, "list").stdout
    assert "e.jsonl, line 1  malformed_json\n" in text
    assert text.endswith("2 open dead letters.\n")


def test_a_letter_that_is_good_now_enters_the_log_and_is_listed_no_more(tmp_path: Path) -> None:
    late = scanned("P1", "accepted", "2025-01-01T00:00:00Z")
    write_lines(tmp_path / "e.jsonl", [*recent("accepted", "delivered"), late, "rubbish"])
    run(ingest, "e.jsonl")
    first = run(dead_letters, "replay")
    assert first.exit_code == 1
    assert "0 dead letters replayed, 0 events appended; 2 failed again." in first.stdout
    second = run(dead_letters, "replay", "--history", "--reason", "too_late", "--json")
    assert second.exit_code == 0
    assert json.loads(second.stdout) == {"replayed": 1, "events": 1, "failed": []}
    assert late["id"] in [one["id"] for one in all_in_log(tmp_path / "data")]
    assert [letter["raw"] for letter in json.loads(run(dead_letters, "list", "--json").stdout)] == ["rubbish"]


def test_a_letter_that_comes_back_after_a_replay_is_open_again(tmp_path: Path) -> None:
    write_lines(tmp_path / "e.jsonl", [*recent("accepted", "delivered"), scanned("P1", time="2025-01-01T00:00:00Z")])
    run(ingest, "e.jsonl")
    assert run(dead_letters, "replay", "--history").exit_code == 0
    assert json.loads(run(dead_letters, "list", "--json").stdout) == []
    run(ingest, "e.jsonl")
    assert len(json.loads(run(dead_letters, "list", "--json").stdout)) == 1


def test_a_row_of_a_table_is_read_again_with_the_mended_mapping(tmp_path: Path) -> None:
    mapping = tmp_path / "shop.toml"
    text = (
        'name = "shop"\n[dates]\nformats = ["%Y-%m-%d"]\n[[event]]\ntype = "parcel.scanned.v1"\ntime = "Day"\n'
        'id = "{No}"\n[event.data]\nparcel_id = "{No}"\nmilestone = "delivered"\n'
    )
    mapping.write_text(text)
    (tmp_path / "e.csv").write_text('No,Day,Note\nP1,2025-03-01,"two\nlines"\nP2,02/03/2025,"two\nmore"\n')
    assert run(ingest, "e.csv", "--mapping", "shop.toml", "--history").exit_code == 1
    assert run(dead_letters, "replay", "--history").exit_code == 1
    mapping.write_text(text.replace('["%Y-%m-%d"]', '["%Y-%m-%d", "%d/%m/%Y"]'))
    again._loaded.cache_clear()  # another process would read it anew
    result = run(dead_letters, "replay", "--history")
    assert (result.exit_code, result.stdout) == (0, "1 dead letter replayed, 1 event appended; 0 failed again.\n")
    times = {one["subject"]: one["time"] for one in without_ticks(all_in_log(tmp_path / "data"))}
    assert times == {"P1": "2025-03-01T00:00:00Z", "P2": "2025-03-02T00:00:00Z"}


def test_without_open_letters_that_is_said(tmp_path: Path) -> None:
    run(ingest, "--history", write_lines(tmp_path / "e.jsonl", PAST))
    assert run(dead_letters, "list").stdout == "There are no open dead letters.\n"
    assert run(dead_letters, "replay").stdout == "There are no open dead letters to replay.\n"
