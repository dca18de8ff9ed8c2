"""The two shipped mappings on the public tables they were written for.

The tables are not part of the repository (their size, their publishers' terms). They are looked for beside the
checkout, in ``../shared/data``; docs/feeding-your-data.md says where they come from.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from made_events import all_in_log, without_ticks, write_lines

from monitor.cli.backtest import backtest
from monitor.cli.dead_letters import dead_letters
from monitor.cli.ingest import ingest
from monitor.connectors.csv_file import read_csv
from monitor.connectors.mapping import load_mapping
from monitor.wire.decode import decode
from monitor.wire.incoming import Incoming

TABLES = Path(__file__).resolve().parents[2].parent / "shared" / "data"
Json = dict[str, Any]


class Read(NamedTuple):
    """What a table gave."""

    path: Path
    rows: list[Incoming]
    events: list[Json]

    def of_line(self, line: int) -> list[Json]:
        return [json.loads(row.event) for row in self.rows if row.line == line and row.event]

    def faults(self) -> dict[int, str]:
        return {row.line: row.fault.detail for row in self.rows if row.fault}

    def skipped(self) -> Counter[str]:
        return Counter(row.skipped for row in self.rows if row.skipped)


def read(file: str, mapping: str) -> Read:
    path = TABLES / file
    if not path.exists():
        pytest.skip(f"{file} is not beside this checkout (../shared/data); it is no part of the repository")
    rows = [row for row in read_csv(str(path), load_mapping(mapping), mapping) if row is not None]
    for row in rows:
        if row.event is not None:
            decode(row.event)
    return Read(path, rows, [json.loads(row.event) for row in rows if row.event])


@pytest.fixture(scope="module")
def scms() -> Read:
    return read("scms_delivery_history.csv.gz", "scms")


@pytest.fixture(scope="module")
def shopee() -> Read:
    return read("indonesia_shopee_orders_CC0.csv.gz", "shopee_indonesia")


def kinds(events: list[Json]) -> Counter[str]:
    return Counter(one["data"].get("milestone", "registered") for one in events)


def test_scms_every_row_is_events_or_left_out_or_a_dead_letter(scms: Read) -> None:
    assert kinds(scms.events) == {"registered": 8_322, "delivered": 8_322}
    assert scms.skipped() == {
        "no date starts the clock: PO Sent to Vendor Date is 'Date Not Captured'": 328,
        "no date starts the clock: PQ First Sent to Client Date is 'Pre-PQ Process'": 1_455,
        "no date starts the clock: PQ First Sent to Client Date is 'Date Not Captured'": 205,
    }
    assert len(scms.faults()) == 14
    assert 8_322 + scms.skipped().total() + 14 == 10_324
    assert len({one["subject"] for one in scms.events}) == 5_795  # consignments, not lines of goods


def test_scms_a_direct_delivery_runs_from_the_order_to_the_vendor(scms: Read) -> None:
    # Line 11: PO 11/13/06, scheduled 30-Jan-07, delivered and recorded 30-Jan-07, Zambia, ARV, Air, ASN-199.
    sent, delivered = scms.of_line(11)
    assert sent["time"] == "2006-11-13T00:00:00Z"
    assert sent["data"] == {
        "parcel_id": "ASN-199",
        "order_id": "SCMS-165",
        "destination": "ZM",
        "product": "ARV",
        "carrier": "Air",
        "service": "Direct Drop",
        "forwarder": "ABBVIE LOGISTICS (FORMERLY ABBOTT LOGISTICS BV)",
        "customer_id": "110-ZM-T01",
        "promised_days": 78.0,
    }
    assert (delivered["time"], delivered["recordedtime"]) == ("2007-01-30T00:00:00Z", "2007-01-30T23:59:59Z")


def test_scms_a_delivery_from_stock_runs_from_the_quote_to_the_client(scms: Read) -> None:
    # DN-2478: PQ 12/12/11, scheduled 27-Dec-11, delivered 3-Jan-12, "Congo, DRC", from the regional stock.
    sent, delivered = [one for one in scms.events if one["subject"] == "DN-2478"][:2]
    assert (sent["time"], sent["data"]["promised_days"]) == ("2011-12-12T00:00:00Z", 15.0)
    assert (sent["data"]["destination"], sent["data"]["service"]) == ("CD", "From RDC")
    assert delivered["time"] == "2012-01-03T00:00:00Z"


def test_scms_deliveries_before_their_order_are_dead_letters_that_say_so(scms: Read) -> None:
    assert scms.faults()[7291] == (
        "row 7291, column 'Delivered to Client Date': '26-Feb-12' lies 180 days before 'PQ First Sent to Client Date' "
        "(8/24/12), which starts the clock"
    )
    assert all("before" in detail for detail in scms.faults().values())


def test_shopee_every_row_is_events_or_left_out_or_a_dead_letter(shopee: Read) -> None:
    assert kinds(shopee.events) == {"registered": 16_552, "delivered": 16_206, "returned": 381, "lost": 19}
    assert shopee.skipped() == {
        "cancelled before a parcel was handed over": 2_377,
        "cancelled because the seller did not hand the parcel over in time": 176,
    }
    assert len(shopee.faults()) == 1_743
    assert 16_552 + shopee.skipped().total() + 1_743 == 20_848
    assert {detail.split(": ", 1)[1][:11] for detail in shopee.faults().values()} == {"'' is blank"}


def test_shopee_no_time_of_an_outcome_is_invented(shopee: Read) -> None:
    started = {one["subject"]: one["time"] for one in shopee.events if one["type"] == "parcel.registered.v1"}
    for one in shopee.events:
        if one["type"] == "parcel.scanned.v1":
            assert one["timeunknown"] is True
            assert one["time"] == started[one["subject"]]


def test_shopee_an_order_is_read_as_it_stands(shopee: Read) -> None:
    # Line 2: ORD_0000001, 2024-04-01 00:15 in Jakarta, Celengan, SPX Standard, Banten, completed.
    sent, delivered = shopee.of_line(2)
    assert sent["time"] == "2024-03-31T17:15:00Z"
    assert sent["data"] == {
        "parcel_id": "ORD_0000001",
        "order_id": "ORD_0000001",
        "origin": "ID",
        "destination": "ID",
        "product": "Celengan",
        "carrier": "SPX",
        "service": "regular",
        "destination_region": "ID-BT",
        "postage": {"amount": "10000", "currency": "IDR"},
    }
    assert delivered["data"] == {"parcel_id": "ORD_0000001", "milestone": "delivered", "raw_text": "Selesai"}
    # ORD_0000022: cash on delivery, "Pengiriman gagal".
    paid, back = [one for one in shopee.events if one["subject"] == "ORD_0000022"]
    assert paid["data"]["attributes"] == ["cash on delivery"]
    assert (back["data"]["milestone"], back["data"]["raw_text"]) == (
        "returned",
        "Dibatalkan secara otomatis oleh sistem. Alasan: Pengiriman gagal",
    )


@pytest.mark.slow
@pytest.mark.parametrize(("table", "letters", "conflicts"), [("scms", 14, 9), ("shopee", 1_743, 0)])
def test_ingested_twice_the_log_says_the_same(
    table: str, letters: int, conflicts: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    read_table: Read = request.getfixturevalue(table)
    mapping = {"scms": "scms", "shopee": "shopee_indonesia"}[table]
    arguments = [str(read_table.path), "--mapping", mapping, "--history", "--data", str(tmp_path), "--json"]
    first = CliRunner().invoke(ingest, arguments)
    again = CliRunner().invoke(ingest, arguments)
    assert (first.exit_code, again.exit_code) == (1, 1)
    one, two = json.loads(first.stdout), json.loads(again.stdout)
    assert one["events"] == two["events"] == len(read_table.events)
    assert (one["dead_letters"], one["dead_letters_known"]) == ({"unreadable_row": letters}, 0)
    assert two["dead_letters_known"] == letters
    assert one["ticks"] > 2_000
    assert two["ticks"] == 0
    listed = CliRunner().invoke(dead_letters, ["list", "--data", str(tmp_path), "--json"])
    # Nine consignments name different promises in their rows; the folds tell that, not the gateway.
    assert len(json.loads(listed.stdout)) == letters + conflicts
    stored = without_ticks(all_in_log(tmp_path))
    half = {json.dumps(event, sort_keys=True) for event in stored}
    assert len(stored) == 2 * len(read_table.events)
    assert len(half) == len({json.dumps(event, sort_keys=True) for event in read_table.events})


@pytest.mark.slow
@pytest.mark.parametrize(("table", "until"), [("scms", "2010-01-01T00:00:00Z"), ("shopee", "2024-06-01T00:00:00Z")])
def test_a_backtest_of_a_log_without_complaints_lists_pages_and_invents_no_figures(
    table: str, until: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    events: list[Json] = request.getfixturevalue(table).events
    log = write_lines(tmp_path / "log.jsonl", events)
    result = CliRunner().invoke(backtest, [str(log), "--until", until, "--json", "--html", str(tmp_path / "out.html")])
    told = json.loads(result.stdout)
    summary = told["summary"]
    assert result.exit_code == int(told["dead_letters"] > 0)
    end = datetime.fromisoformat(until)
    known = [one for one in events if datetime.fromisoformat(one.get("recordedtime") or one["time"]) <= end]
    assert summary["parcels"] == len({one["subject"] for one in known if one["type"] == "parcel.registered.v1"}) > 1_000
    assert (summary["complaints"], summary["degradations"]) == (0, 0)
    assert [summary[name] for name in ("precision", "median_lead_days", "false_pages_per_channel_year")] == [None] * 3
    assert all(incident["right"] is None and incident["lead_days"] is None for incident in told["incidents"])
