"""Tables as CSV: rows whatever the writer, the contract's names as columns, and rows that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.connectors.csv_file import read_csv, split_rows
from monitor.connectors.files import Line, UnusableFile
from monitor.core.vocabulary import MAX_EVENT_BYTES
from monitor.wire.decode import decode
from monitor.wire.incoming import Incoming

HEADER = "type,time,parcel_id,destination,product,carrier"
ROW = "parcel.registered.v1,2026-03-01T00:00:00Z,P1,RU,tablet,china-post"


def rows(tmp_path: Path, text: str | bytes) -> list[Incoming]:
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [row for row in read_csv(str(path)) if row is not None]


def events(tmp_path: Path, text: str | bytes) -> list[dict[str, Any]]:
    found = rows(tmp_path, text)
    assert [row.fault for row in found] == [None] * len(found)
    for row in found:
        decode(row.event or b"")
    return [json.loads(row.event or b"") for row in found]


def faults(tmp_path: Path, text: str | bytes) -> list[tuple[int, str, str]]:
    return [(row.line, row.fault.reason, row.fault.detail) for row in rows(tmp_path, text) if row.fault]


def test_the_contracts_names_are_columns_and_dots_stand_for_nesting(tmp_path: Path) -> None:
    text = (
        "id,source,type,subject,time,recordedtime,data.parcel_id,data.destination,product,carrier,attributes,"
        "promised_days,data.declared_value.amount,data.declared_value.currency,postage.amount,postage.currency\n"
        "e1,erp,parcel.registered.v1,P1,2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,P1,RU,tablet,china-post,"
        "battery; brand;,30,12.30,USD,1.5,EUR\n"
    )
    assert events(tmp_path, text) == [
        {
            "specversion": "1.0",
            "id": "e1",
            "source": "erp",
            "type": "parcel.registered.v1",
            "subject": "P1",
            "time": "2026-03-01T00:00:00Z",
            "recordedtime": "2026-03-01T01:00:00Z",
            "data": {
                "parcel_id": "P1",
                "destination": "RU",
                "product": "tablet",
                "carrier": "china-post",
                "attributes": ["battery", "brand"],
                "promised_days": 30.0,
                "declared_value": {"amount": "12.30", "currency": "USD"},
                "postage": {"amount": "1.5", "currency": "EUR"},
            },
        }
    ]


def test_one_table_may_hold_events_of_several_types(tmp_path: Path) -> None:
    text = (
        "type,time,parcel_id,destination,product,carrier,milestone,complaint_id,kind\n"
        f"{ROW},,,\n"
        "parcel.scanned.v1,2026-03-02T00:00:00Z,P1,,,,accepted,,\n"
        "complaint.opened.v1,2026-03-03T00:00:00Z,,RU,,,,C1,not_received\n"
        "complaint.closed.v1,2026-03-04T00:00:00Z,,,,,,C1,\n"
    )
    assert [event["subject"] for event in events(tmp_path, text)] == ["P1", "P1", "C1", "C1"]


def test_the_subject_may_stand_for_the_parcel_id(tmp_path: Path) -> None:
    (event,) = events(tmp_path, "type,time,subject,milestone\nparcel.scanned.v1,2026-03-02T00:00:00Z,P1,accepted\n")
    assert event["data"]["parcel_id"] == "P1"


def test_an_id_that_is_not_given_depends_on_what_the_row_says_and_on_nothing_else(tmp_path: Path) -> None:
    first = events(tmp_path, f"{HEADER}\n{ROW}\n{ROW.replace('P1', 'P2')}\n")
    turned = "carrier,product,destination,parcel_id,time,type\nchina-post,tablet,RU,P2,2026-03-01T00:00:00Z,"
    again = events(tmp_path, f"{HEADER}\r\n\r\n{ROW}\r\n")
    assert first[0] == again[0]
    assert first[0]["id"] != first[1]["id"]
    assert first[0]["source"] == "csv"
    assert events(tmp_path, f"{turned}parcel.registered.v1\n")[0]["subject"] == "P2"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_marks_line_ends_and_quoted_line_feeds_make_no_difference(
    tmp_path: Path, mark: str, end: str
) -> None:
    text = (
        f"{mark}type,time,parcel_id,milestone,raw_text{end}"
        f'parcel.scanned.v1,2026-03-02T00:00:00Z,P1,accepted,"left, ""quoted""{end}{end}second line"{end}'
        f"{end},,,,{end}"
        f"parcel.scanned.v1,2026-03-03T00:00:00Z,P1,delivered,结关{end}"
    )
    found = events(tmp_path, text)
    assert [event["data"]["raw_text"] for event in found] == [f'left, "quoted"{end}{end}second line', "结关"]
    assert [row.line for row in rows(tmp_path, text)] == [2, 7]


def test_a_row_with_too_few_or_too_many_cells_is_a_fault_at_its_first_line(tmp_path: Path) -> None:
    text = f"{HEADER}\n{ROW}\nparcel.registered.v1,2026-03-01\n{ROW},x,y\n{ROW},,\n"
    assert faults(tmp_path, text) == [
        (
            3,
            "unreadable_row",
            "row 3 has 2 cells, the header has 6; is a separator or a quote wrong, or was the file cut off?",
        ),
        (
            4,
            "unreadable_row",
            "row 4 has 8 cells, the header has 6; is a separator or a quote wrong, or was the file cut off?",
        ),
    ]
    assert len(rows(tmp_path, text)) == 4


def test_a_quote_that_is_never_closed_costs_one_row_only(tmp_path: Path) -> None:
    bad = ROW.replace("tablet", '"tablet')
    text = f"{HEADER}\n{bad}\n" + f"{ROW}\n" * 10_000
    found = rows(tmp_path, text)
    assert [row.line for row in found if row.fault] == [2]
    assert [row.line for row in found if row.event] == list(range(3, 10_003))
    assert found[0].raw == bad.encode()


def test_a_stray_quote_is_one_fault(tmp_path: Path) -> None:
    text = f"{HEADER}\n{ROW}\n{ROW.replace('tablet', chr(34) + '9' + chr(34) + ' tablet')}\n{ROW}\n"
    assert [(line, reason) for line, reason, _ in faults(tmp_path, text)] == [(3, "unreadable_row")]


def test_a_row_longer_than_an_event_may_be_is_a_fault(tmp_path: Path) -> None:
    text = f"{HEADER}\n{ROW.replace('tablet', 'x' * MAX_EVENT_BYTES)}\n{ROW}\n"
    assert [(line, reason) for line, reason, _ in faults(tmp_path, text)] == [(2, "too_large")]


def test_bytes_that_are_no_utf_8_are_told_with_the_remedy(tmp_path: Path) -> None:
    text = f"{HEADER}\n{ROW}\n".encode() + ROW.encode().replace(b"tablet", "手机".encode("gbk")) + b"\n"
    ((line, reason, detail),) = faults(tmp_path, text)
    assert (line, reason) == (3, "not_text")
    assert "save the file as UTF-8, or give its encoding in the mapping" in detail


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("time,parcel_id", "no column 'type'"),
        ("Type,time", "is 'Type' meant?"),
        ("type;time;parcel_id", "separated by commas"),
        ("type,time,parcel_id,parcel_id", "'parcel_id' more than once"),
        ("type,time,parcel_id,destinaton", "no column 'destinaton' in the contract; is 'destination' meant?"),
    ],
)
def test_a_header_that_cannot_be_right_is_wrong_use(tmp_path: Path, header: str, said: str) -> None:
    with pytest.raises(UnusableFile, match=said.replace("?", r"\?")):
        rows(tmp_path, f"{header}\n1,2\n")


def test_columns_that_mean_nothing_to_us_are_not_read(tmp_path: Path) -> None:
    (event,) = events(tmp_path, f"{HEADER},warehouse\n{ROW},Shenzhen\n")
    assert "Shenzhen" not in json.dumps(event)


def test_a_number_that_is_none_is_left_for_the_gateway_to_explain(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, f"{HEADER},promised_days\n{ROW},soon\n")
    assert json.loads(row.event or b"")["data"]["promised_days"] == "soon"


def test_an_empty_table_and_a_lone_header_hold_nothing(tmp_path: Path) -> None:
    assert rows(tmp_path, "") == []
    assert rows(tmp_path, HEADER + "\n") == []


def test_rows_are_numbered_as_a_spreadsheet_shows_them() -> None:
    lines = [Line(i, raw) for i, raw in enumerate([b"a", b"", b'"b', b'c"', b"d"], 1)]
    found = [row for row in split_rows(lines, "utf-8", ",") if row is not None]
    assert [(row.line, row.number, row.cells) for row in found] == [(1, 1, ["a"]), (3, 3, ["b\nc"]), (5, 4, ["d"])]
