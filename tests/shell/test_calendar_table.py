"""The operator's calendar as a table: rows to declarations, and rows that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.connectors.csv_file import read_csv
from monitor.connectors.mapping import load_mapping
from monitor.core.events import Rejected
from monitor.wire.decode import decode
from monitor.wire.incoming import Incoming

CALENDAR = "calendar_id,kind,first_day,last_day,country,carrier,forwarder,reason,declared"


def _calendar(tmp_path: Path, *lines: str) -> list[Incoming]:
    table = tmp_path / "calendar.csv"
    table.write_text("\n".join([CALENDAR, *lines, ""]), encoding="utf-8")
    return [row for row in read_csv(str(table), load_mapping("calendar"), "calendar") if row is not None]


def test_a_calendar_kept_by_hand_becomes_declarations_and_twice_the_same_ones(tmp_path: Path) -> None:
    lines = (
        "gw-2026,working_day,2026/10/10,2026/10/10,CN,,,make-up Saturday,2026/9/20",
        "swift-cut,cut_off,2026-09-29,2026-10-08,,,swift,,2026-09-20",
        "gw-2026,withdrawn,,,,,,,2026-09-21",
    )
    made = [json.loads(row.event or b"") for row in _calendar(tmp_path, *lines)]
    assert [one["data"] for one in made] == [
        {
            "calendar_id": "gw-2026",
            "kind": "working_day",
            "first_day": "2026-10-10",
            "last_day": "2026-10-10",
            "country": "CN",
            "reason": "make-up Saturday",
        },
        {
            "calendar_id": "swift-cut",
            "kind": "cut_off",
            "first_day": "2026-09-29",
            "last_day": "2026-10-08",
            "forwarder": "swift",
        },
        {"calendar_id": "gw-2026", "kind": "withdrawn"},
    ]
    assert [one["time"] for one in made] == ["2026-09-20T00:00:00Z"] * 2 + ["2026-09-21T00:00:00Z"]
    assert [one["subject"] for one in made] == ["gw-2026", "swift-cut", "gw-2026"]
    assert [row.event for row in _calendar(tmp_path, *lines)] == [row.event for row in _calendar(tmp_path, *lines)]
    assert len({one["id"] for one in made}) == 3


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a,strike,2026-10-01,2026-10-03,,post,,,", ["row 2", "'declared'", "2026-09-20"]),
        ("a,strike,01.10.26,2026-10-03,,post,,,2026-09-20", ["row 2", "'first_day'", "01.10.26"]),
        ("a,strike,2026-10-01,2026-10-03,,,,,2026-09-20", ["data.carrier or data.country"]),
        ("a,strike,,2026-10-03,,post,,,2026-09-20", ["data.first_day is missing", "2026-10-01"]),
        ("a,holiday,2026-10-03,2026-10-01,CN,,,,2026-09-20", ["lies before", "exchange them"]),
        ("a,holiday,2026-10-03,2027-10-04,CN,,,,2026-09-20", ["366 days at most"]),
        ("a,holiday,1926-10-03,1926-10-04,CN,,,,2026-09-20", ["2000 to 2088"]),
        ("a,working_day,2026-10-10,2026-10-10,,post,,,2026-09-20", ["leave data.carrier"]),
        ("a,strik,2026-10-01,2026-10-03,,post,,,2026-09-20", ["data.kind", "strike"]),
    ],
)
def test_a_bad_row_of_the_calendar_says_what_to_do(tmp_path: Path, row: str, words: list[str]) -> None:
    (got,) = _calendar(tmp_path, row)
    if got.fault is None:
        with pytest.raises(Rejected) as caught:
            decode(got.event or b"")
        detail: str = caught.value.detail
    else:
        detail = got.fault.detail
    for word in words:
        assert word in detail, detail
    assert got.line == 2
