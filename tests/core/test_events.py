"""The rules about events that types cannot say: names, money, times, routes."""

from __future__ import annotations

from typing import Any

import pytest
from logs import made

from monitor.core.bounds import check_times
from monitor.core.events import (
    EVERYWHERE,
    Money,
    Rejected,
    canonical_body,
    channel_id,
    check_money,
    check_name,
    from_us,
    route,
)
from monitor.core.vocabulary import DAY_US, YEAR_2000_US, YEAR_2089_US
from monitor.wire.decode import decode

NOW = 1_772_323_200_000_000  # 2026-03-01
BOUND = 60 * DAY_US


@pytest.mark.parametrize("name", ["a|b", "|", "tab\t", "line\n", "\0", "\x7f", "\x85", "\x1b[0m"])
def test_names_hold_neither_bars_nor_control_characters(name: str) -> None:
    with pytest.raises(Rejected, match=r"data\.carrier may not hold") as error:
        check_name("carrier", name)
    assert error.value.reason == "invalid_event"
    for field in ("product", "carrier", "service"):
        data = {"parcel_id": "P", "destination": "RU", "product": "x", "carrier": "y", field: name}
        with pytest.raises(Rejected):
            decode(made("parcel.registered.v1", 0, data))


@pytest.mark.parametrize("name", ["china-post", "平板 电脑", "a/b", "4PX", "é", " ", None])
def test_other_names_are_good(name: str | None) -> None:
    check_name("carrier", name)


@pytest.mark.parametrize("amount", ["12.30", "0", "-1.5", "999999999999999.999999", "007"])
def test_amounts_are_plain_decimals(amount: str) -> None:
    check_money("amount", Money(amount, "USD"))


@pytest.mark.parametrize(
    "amount", ["", ".5", "1.", "1e3", "1,000", "NaN", "+1", " 1", "1\n", "٣", "1.1234567", "1" * 16]
)
def test_everything_else_is_no_amount(amount: str) -> None:
    with pytest.raises(Rejected, match="must be a decimal number"):
        check_money("amount", Money(amount, "USD"))


def _reason(time_us: int, recorded_us: int, history: bool = False) -> str | None:
    try:
        check_times(time_us, recorded_us, BOUND, history)
    except Rejected as error:
        return error.reason
    return None


def test_the_bounds_on_time_are_those_of_the_contract() -> None:
    assert _reason(NOW, NOW) is None
    assert _reason(NOW + DAY_US, NOW) is None
    assert _reason(NOW + DAY_US + 1, NOW) == "time_in_future"
    assert _reason(NOW - BOUND, NOW) is None
    assert _reason(NOW - BOUND - 1, NOW) == "too_late"
    assert _reason(NOW - BOUND - 1, NOW, history=True) is None
    assert _reason(YEAR_2000_US, YEAR_2000_US) is None
    assert _reason(YEAR_2000_US - 1, YEAR_2000_US) == "time_before_2000"
    assert _reason(YEAR_2000_US - 1, NOW, history=True) == "time_before_2000"
    assert _reason(YEAR_2089_US, YEAR_2089_US) == "time_in_future"
    assert from_us(YEAR_2089_US) == "2089-01-01T00:00:00Z"


@pytest.mark.parametrize("kind", ["parcel.registered.v1", "parcel.scanned.v1"])
def test_the_subject_of_a_registration_or_scan_is_the_parcel(kind: str) -> None:
    data = {"parcel_id": "P", "destination": "RU", "product": "x", "carrier": "y", "milestone": "other"}
    decode(made(kind, 0, data))
    with pytest.raises(Rejected) as error:
        decode(made(kind, 0, data, subject="Q"))
    assert error.value.reason == "subject_mismatch"


@pytest.mark.parametrize(
    ("kind", "data", "key"),
    [
        ("parcel.scanned.v1", {"parcel_id": "P", "milestone": "other"}, "P"),
        ("complaint.opened.v1", {"complaint_id": "C", "kind": "other", "parcel_id": "P"}, "P"),
        ("complaint.opened.v1", {"complaint_id": "C", "kind": "other", "order_id": "O"}, EVERYWHERE),
        ("complaint.opened.v1", {"complaint_id": "C", "kind": "other"}, EVERYWHERE),
        ("complaint.closed.v1", {"complaint_id": "C", "parcel_id": "P"}, "P"),
        ("complaint.closed.v1", {"complaint_id": "C"}, EVERYWHERE),
        ("refund.requested.v1", {"refund_id": "R", "stage": "in_transit"}, EVERYWHERE),
        ("refund.completed.v1", {"refund_id": "R"}, EVERYWHERE),
        ("claim.filed.v1", {"claim_id": "L", "parcel_id": "P"}, "P"),
        ("decision.recorded.v1", {"target": "I", "what": "ack"}, "I"),
        ("calendar.declared.v1", {"calendar_id": "D", "kind": "withdrawn"}, "S"),
        ("clock.ticked.v1", {"at": "2026-03-01T00:00:00Z"}, EVERYWHERE),
    ],
)
def test_events_that_name_no_parcel_go_everywhere(kind: str, data: dict[str, Any], key: str | None) -> None:
    assert route(decode(made(kind, 0, data, subject=data.get("parcel_id", "S")))) == key


def test_a_channel_is_named_by_its_parts() -> None:
    assert channel_id("RU", "tablet", "china-post", "registered") == "RU|tablet|china-post/registered"
    assert channel_id("RU", "tablet", "china-post") == "RU|tablet|china-post"


def test_what_makes_an_event_another_is_what_it_says_and_not_when_it_was_recorded() -> None:
    data = {"parcel_id": "P", "milestone": "other"}
    same = [
        made("parcel.scanned.v1", 0, data, id="x"),
        made("parcel.scanned.v1", 0, data, recorded=5, id="y", sequence="7", history=True, source="z"),
        made("parcel.scanned.v1", 0, data, time="2025-03-10T08:00:00+08:00"),
    ]
    assert len({canonical_body(decode(line)) for line in same}) == 1
    others = [made("parcel.scanned.v1", 1, data), made("parcel.scanned.v1", 0, data | {"milestone": "accepted"})]
    assert len({canonical_body(decode(line)) for line in [same[0], *others]}) == 3
