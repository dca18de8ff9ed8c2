"""Mappings: a merchant's own table to events, rows that are dirty, and mappings that are wrong."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from monitor.connectors.countries import alpha2
from monitor.connectors.csv_file import read_csv
from monitor.connectors.files import UnusableFile
from monitor.connectors.mapping import MappingError, load_mapping, shipped_mappings
from monitor.wire.decode import decode
from monitor.wire.incoming import Incoming

MAPPING = """
name = "shop"
source = "erp"
countries = { "Kingdom of Far" = "FR" }

[dates]
formats = ["%d.%m.%Y %H:%M", "%d-%b-%y"]
timezone = "Asia/Shanghai"

[dates.columns.Delivered]
no_date = ["", "not yet"]

[[skip]]
reason = "cancelled"
when = { Status = ["cancelled", "refused"] }

[[event]]
type = "parcel.registered.v1"
time = "Shipped"
id = "{Order}/1"
[event.data]
parcel_id = "{Tracking}"
order_id = "{Order}"
destination = "{Country}"
product = [{ value = "set of {Product}", when = { Pieces = "2" } }, "{Product}"]
carrier = { value = "{Carrier}", map = { CP = "china-post", DHL = "dhl" } }
attributes = [{ value = "battery", when = { Battery = "yes" } }, "{Marks}"]
promised_days = { days_until = "Promised" }
declared_value = { amount = "{Price}", currency = "USD" }

[[event]]
type = "parcel.scanned.v1"
time = "Delivered"
id = "{Order}/2"
[event.data]
parcel_id = "{Tracking}"
milestone = "delivered"
"""
COLUMNS = "Order,Tracking,Country,Product,Pieces,Carrier,Battery,Marks,Price,Status,Shipped,Promised,Delivered"
GOOD = 'O1,T1,Russia,tablet,1,CP,yes,liquid;brand,"1,234.50",sent,01.03.2026 08:00,31-Mar-26,11.03.2026 20:00'


def rows(tmp_path: Path, *lines: str, mapping: str = MAPPING, columns: str = COLUMNS) -> list[Incoming]:
    rules = tmp_path / "shop.toml"
    rules.write_text(mapping, encoding="utf-8")
    loaded = load_mapping(str(rules))
    table = tmp_path / "orders.csv"
    table.write_text("\n".join([columns, *lines, ""]), encoding=loaded.encoding)
    return [row for row in read_csv(str(table), loaded, str(rules)) if row is not None]


def events(tmp_path: Path, *lines: str, **rest: str) -> list[dict[str, Any]]:
    found = rows(tmp_path, *lines, **rest)
    assert [str(row.fault or row.skipped) for row in found if row.event is None] == []
    for row in found:
        decode(row.event or b"")
    return [json.loads(row.event or b"") for row in found]


def fault(tmp_path: Path, line: str, **rest: str) -> str:
    (row,) = rows(tmp_path, line, **rest)
    assert row.fault is not None
    assert row.fault.reason == "unreadable_row"
    assert row.raw == line.encode()
    return row.fault.detail


def changed(line: str, **cells: str) -> str:
    values = line.split('"')
    assert len(values) == 3  # the price is quoted
    names = COLUMNS.split(",")
    row = [*values[0].rstrip(",").split(","), f'"{values[1]}"', *values[2].lstrip(",").split(",")]
    for name, value in cells.items():
        row[names.index(name)] = value
    return ",".join(row)


def test_a_row_becomes_the_events_its_mapping_names(tmp_path: Path) -> None:
    assert events(tmp_path, GOOD) == [
        {
            "specversion": "1.0",
            "id": "O1/1",
            "source": "erp",
            "type": "parcel.registered.v1",
            "subject": "T1",
            "time": "2026-03-01T00:00:00Z",
            "data": {
                "parcel_id": "T1",
                "order_id": "O1",
                "destination": "RU",
                "product": "tablet",
                "carrier": "china-post",
                "attributes": ["battery", "liquid", "brand"],
                "promised_days": 29.667,
                "declared_value": {"amount": "1234.50", "currency": "USD"},
            },
        },
        {
            "specversion": "1.0",
            "id": "O1/2",
            "source": "erp",
            "type": "parcel.scanned.v1",
            "subject": "T1",
            "time": "2026-03-11T12:00:00Z",
            "data": {"parcel_id": "T1", "milestone": "delivered"},
        },
    ]


def test_the_first_value_that_applies_counts(tmp_path: Path) -> None:
    assert events(tmp_path, changed(GOOD, Pieces="2"))[0]["data"]["product"] == "set of tablet"


def test_a_text_that_means_no_date_gives_no_event_and_no_error(tmp_path: Path) -> None:
    for text in ("", "not yet"):
        assert len(events(tmp_path, changed(GOOD, Delivered=text))) == 1


def test_rows_left_out_on_purpose_are_counted_by_reason(tmp_path: Path) -> None:
    found = rows(tmp_path, changed(GOOD, Status="cancelled", Shipped="rubbish"), GOOD)
    assert [row.skipped for row in found] == ["cancelled", None, None]


def test_a_row_without_a_start_gives_no_events_and_says_why(tmp_path: Path) -> None:
    mapping = MAPPING + '\n[dates.columns.Shipped]\nno_date = ["to be shipped"]\n'
    (row,) = rows(tmp_path, changed(GOOD, Shipped="to be shipped"), mapping=mapping)
    assert row.skipped == "no date starts the clock: Shipped is 'to be shipped'"


DIRTY = {
    "text in a column of dates": (
        {"Delivered": "maybe"},
        "row 2, column 'Delivered': 'maybe' is no date in any of the formats %d.%m.%Y %H:%M, %d-%b-%y, nor listed "
        "under no_date",
    ),
    "31 February": ({"Promised": "31-Feb-26"}, "row 2, column 'Promised': '31-Feb-26' is no day of the calendar"),
    "a blank that means nothing": (
        {"Shipped": ""},
        "row 2, column 'Shipped': '' is blank; if a blank means that there is no date, list \"\" under no_date",
    ),
    "delivered before it was shipped": (
        {"Delivered": "28.02.2026 08:00"},
        "row 2, column 'Delivered': '28.02.2026 08:00' lies 1 day before 'Shipped' (01.03.2026 08:00), which starts "
        "the clock",
    ),
    "promised before it was shipped": (
        {"Promised": "20-Feb-26"},
        "row 2, column 'Promised': '20-Feb-26' lies 9.333 days before the start (2026-03-01) it is counted from",
    ),
    "an unknown country": (
        {"Country": "Atlantis"},
        "row 2, column 'Country': 'Atlantis' is no country that is known; give its code under [countries]",
    ),
    "a value that is not in the map": (
        {"Carrier": "UPS"},
        "row 2, column 'Carrier': 'UPS' is not in the map of this value; add it, or say what unmapped means",
    ),
    "no number": ({"Price": "free"}, "row 2, column 'Price': 'free' is no number"),
    "a required field that is blank": (
        {"Tracking": ""},
        "row 2, column 'Tracking': '' gives no data.parcel_id, which parcel.registered.v1 requires",
    ),
}


@pytest.mark.parametrize(("cells", "said"), DIRTY.values(), ids=DIRTY.keys())
def test_a_dirty_cell_makes_the_row_one_dead_letter_that_names_it(
    tmp_path: Path, cells: dict[str, str], said: str
) -> None:
    assert fault(tmp_path, changed(GOOD, **cells)) == said


def test_a_delivery_within_the_tolerance_before_the_start_is_no_fault(tmp_path: Path) -> None:
    line = changed(GOOD, Delivered="28.02.2026 08:00")
    assert len(events(tmp_path, line, mapping="tolerance_days = 1\n" + MAPPING)) == 2


def test_a_mapping_may_read_tables_of_other_encodings_separators_and_decimal_marks(tmp_path: Path) -> None:
    mapping = 'encoding = "gb18030"\ndelimiter = ";"\ndecimal = ","\n' + MAPPING
    line = "O1;T1;Kingdom of Far;手机;1;CP;no;;1.234,50;sent;01.03.2026 08:00;31-Mar-26;11.03.2026 20:00"
    data = events(tmp_path, line, mapping=mapping, columns=COLUMNS.replace(",", ";"))[0]["data"]
    assert (data["product"], data["destination"]) == ("手机", "FR")
    assert data["declared_value"]["amount"] == "1234.50"
    assert "attributes" not in data


def test_of_several_columns_the_first_with_a_date_gives_the_time(tmp_path: Path) -> None:
    mapping = MAPPING.replace(
        'time = "Shipped"', 'time = [{ column = "Delivered", when = { Status = "late" } }, "Delivered", "Shipped"]'
    )
    assert events(tmp_path, changed(GOOD, Delivered="not yet"), mapping=mapping)[0]["time"] == "2026-03-01T00:00:00Z"
    assert events(tmp_path, GOOD, mapping=mapping)[0]["time"] == "2026-03-11T12:00:00Z"


def test_a_date_without_a_time_of_day_may_stand_for_the_end_of_the_day(tmp_path: Path) -> None:
    mapping = MAPPING.replace('time = "Delivered"', 'time = "Delivered"\nrecorded = "Promised"')
    mapping = mapping.replace(
        "[dates.columns.Delivered]", "[dates.columns.Promised]\nend_of_day = true\n[dates.columns.Delivered]"
    )
    assert events(tmp_path, GOOD, mapping=mapping)[1]["recordedtime"] == "2026-03-31T15:59:59Z"


def test_an_event_whose_time_the_table_does_not_hold_is_marked(tmp_path: Path) -> None:
    mapping = MAPPING.replace('time = "Delivered"', 'time = "Shipped"\ntime_unknown = true')
    marked = events(tmp_path, GOOD, mapping=mapping)[1]
    assert marked["timeunknown"] is True
    assert marked["time"] == "2026-03-01T00:00:00Z"


def test_without_an_id_the_same_row_gives_the_same_id_and_another_row_another(tmp_path: Path) -> None:
    mapping = MAPPING.replace('id = "{Order}/1"\n', "").replace('id = "{Order}/2"\n', "")
    first = [event["id"] for event in events(tmp_path, GOOD, changed(GOOD, Tracking="T2"), mapping=mapping)]
    again = [event["id"] for event in events(tmp_path, changed(GOOD, Tracking="T2"), GOOD, mapping=mapping)]
    assert len(set(first)) == 4
    assert set(first) == set(again)


WRONG = {
    "no TOML": ("name = ", "is not TOML: Invalid value (at end of document)"),
    "an unknown key": (
        MAPPING.replace("[dates]\n", "[dates]\nformat = 'x'\n"),
        "there is no key dates.format (is 'formats' meant?); take it out or correct it",
    ),
    "a missing key": (MAPPING.replace('name = "shop"\n', ""), "name is missing; add it"),
    "an unknown type": (
        MAPPING.replace("parcel.scanned.v1", "parcel.scaned.v1"),
        "event 2: type 'parcel.scaned.v1' is not in the contract (is 'parcel.scanned.v1' meant?)",
    ),
    "an unknown field": (
        MAPPING.replace('milestone = "', 'milestne = "'),
        "event 2: data.milestne: parcel.scanned.v1 has no such field (is 'milestone' meant?)",
    ),
    "a required field that is not there": (
        MAPPING.replace('destination = "{Country}"\n', ""),
        "event 1: data.destination is missing; parcel.registered.v1 requires it",
    ),
    "an unknown milestone": (
        MAPPING.replace('"delivered"', '"deliverd"'),
        "event 2: data.milestone: 'deliverd' is no milestone (is 'delivered' meant?)",
    ),
    "a format without a year": (
        MAPPING.replace('"%d-%b-%y"', '"%d-%b"'),
        "dates.formats: '%d-%b' does not give day, month and year; write it as '%d/%m/%Y' or 'iso'",
    ),
    "an unknown time zone": (
        MAPPING.replace("Asia/Shanghai", "Asia/Shangai"),
        "dates.timezone: 'Asia/Shangai' is no time zone (is 'Asia/Shanghai' meant?); give an IANA name",
    ),
    "money without a currency": (
        MAPPING.replace(', currency = "USD"', ""),
        "event 1.data.declared_value: amount and currency go together",
    ),
    "text where money belongs": (
        MAPPING.replace('{ amount = "{Price}", currency = "USD" }', '"{Price}"'),
        'event 1: data.declared_value is money: give { amount = "{Price}", currency = "USD" }',
    ),
    "two sources of a value": (
        MAPPING.replace("{ days_until =", '{ value = "3", days_until ='),
        "event 1.data.promised_days: give exactly one of value, date, days_until and amount",
    ),
    "a code that is no code": (
        MAPPING.replace('= "FR"', '= "fra"'),
        "countries: 'Kingdom of Far' = 'fra': the code of a country is two capital letters such as 'CI'",
    ),
    "a skip of everything": (
        MAPPING + '[[skip]]\nreason = "all"\n',
        "a [[skip]] needs when or unless, else it would leave out every row",
    ),
    "an encoding that has no lines": (
        'encoding = "utf-16"\n' + MAPPING,
        "encoding: 'utf-16' cannot be read line by line; save the file as UTF-8",
    ),
    "no events": ('name = "shop"', "event is missing; add it"),
    "a number where text belongs": (MAPPING.replace('"erp"', "7"), "source is 7: input should be a valid string"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_mapping_is_told_with_key_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MappingError) as caught:
        load_mapping(str(path))
    assert str(caught.value).startswith(f"mapping {path}")
    assert said in str(caught.value)


def test_all_faults_of_a_mapping_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(MAPPING.replace('name = "shop"\n', "colour = 1\n").replace("Asia/Shanghai", "Mars"))
    with pytest.raises(MappingError) as caught:
        load_mapping(str(path))
    assert len(caught.value.problems) == 3


def test_a_mapping_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(
        MappingError, match=r"no such file, nor a shipped mapping of that name \(calendar, scms, shopee_indonesia\)"
    ):
        load_mapping(str(tmp_path / "nowhere.toml"))
    with pytest.raises(MappingError, match="cannot be read"):
        load_mapping(str(tmp_path))


def test_a_table_without_a_column_of_the_mapping_is_wrong_use_that_names_column_and_key(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile) as caught:
        rows(tmp_path, GOOD, columns=COLUMNS.replace("Tracking", "Tracking no"))
    assert "has no column 'Tracking' (is 'Tracking no' meant?), which the mapping 'shop' uses in event 1" in str(
        caught.value
    )


@pytest.mark.parametrize("name", shipped_mappings())
def test_the_shipped_mappings_are_right_and_bear_their_names(name: str) -> None:
    mapping = load_mapping(name)
    assert mapping.name == name
    assert mapping.description
    assert tomllib.loads((Path(load_mapping.__code__.co_filename).parent / "mappings" / f"{name}.toml").read_text())


def test_countries_are_known_by_their_codes_and_by_what_people_call_them() -> None:
    names = {
        "RU": ("Russia", "russian federation", "RUS", "RU", "ru"),
        "GB": ("UK", "U.K.", "Great Britain", "United Kingdom"),
        "CI": ("Côte d'Ivoire", "Cote D'Ivoire", "Ivory Coast"),
        "CD": ("Congo, DRC", "Congo, The Democratic Republic of the"),
        "CG": ("Congo",),
        "TR": ("Turkey", "Türkiye"),
        "LC": ("St. Lucia", "Saint Lucia"),
        "GM": ("The Gambia",),
        "QQ": ("QQ",),  # not assigned: accepted and counted
    }
    for code, written in names.items():
        assert [alpha2(name, {}) for name in written] == [code] * len(written)
    assert [alpha2(name, {}) for name in ("", "Rusia", "Europe", "qq", "840")] == [None] * 5


def test_the_example_in_the_documentation_does_what_is_said_there(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "feeding-your-data.md").read_text(encoding="utf-8")
    mapping = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    contract, table, *_ = re.findall(r"```csv\n(.*?)```", text, re.DOTALL)
    assert mapping
    columns, *lines = table.splitlines()
    found = rows(tmp_path, *lines, mapping=mapping[1], columns=columns)
    assert [(row.line, row.skipped) for row in found] == [(2, None), (2, None), (3, None), (4, "cancelled"), (5, None)]
    for row in found[:3]:
        decode(row.event or b"")
    assert json.loads(found[2].event or b"")["data"] == {
        "parcel_id": "RR2CN",
        "order_id": "1002",
        "destination": "CI",
        "product": "several pieces",
        "carrier": "dhl",
        "promised_days": 17.604,
        "declared_value": {"amount": "9.90", "currency": "USD"},
    }
    assert found[4].fault is not None
    assert f"`{found[4].fault.detail}`" in text
    (tmp_path / "contract.csv").write_text(contract, encoding="utf-8")
    given = [row for row in read_csv(str(tmp_path / "contract.csv")) if row is not None]
    assert [decode(row.event or b"").subject for row in given] == ["RR1CN", "RR1CN"]
