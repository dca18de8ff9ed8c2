"""What a person reads about a record that cannot be used: the right reason, and a sentence that helps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import fields

from monitor.core.events import EVENT_TYPES, ClockTicked, ParcelScanned, Rejected
from monitor.core.vocabulary import MAX_EVENT_BYTES
from monitor.wire.decode import decode, decode_pack, with_sequence
from monitor.wire.diagnose import MAX_DEPTH

SCAN: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "connector/17track",
    "type": "parcel.scanned.v1",
    "subject": "LX1",
    "time": "2026-03-01T12:00:00+08:00",
    "data": {"parcel_id": "LX1", "milestone": "delivered"},
}
REGISTERED = SCAN | {
    "type": "parcel.registered.v1",
    "data": {"parcel_id": "LX1", "destination": "RU", "product": "tablet", "carrier": "china-post"},
}
GONE = object()


def raw(document: dict[str, Any], **members: Any) -> bytes:
    """The document as JSON with some members changed; ``data__x`` is a member of ``data``."""
    document = document | {"data": dict(document["data"])}
    for name, value in members.items():
        holder = document["data"] if name.startswith("data__") else document
        name = name.removeprefix("data__")
        if value is GONE:
            del holder[name]
        else:
            holder[name] = value
    return json.dumps(document).encode()


GOOD = raw(SCAN)


@pytest.mark.parametrize(
    ("broken", "reason", "words"),
    [
        (b"", "malformed_json", ["empty"]),
        (GOOD[:-1], "malformed_json", [str(len(GOOD) - 1), "cut off"]),
        (GOOD[:60], "malformed_json", ["60 bytes", "cut off"]),
        (GOOD + b"x", "malformed_json", ["trailing", "}}x"]),
        (GOOD.replace(b'"1.0"', b"NaN"), "malformed_json", ["byte 16", "NaN"]),
        (GOOD.replace(b"17track", b"\\ud83d"), "malformed_json", ["half a character"]),
        (b"\xef\xbb\xbf" + GOOD, "malformed_json", ["byte order mark"]),
        (GOOD.replace(b"17track", b"\xc0\xc1"), "not_text", ["UTF-8", "0xc0", "byte 55"]),
        (GOOD[:-1] + b', "unknown": "\xff"}', "not_text", ["UTF-8", "0xff"]),
        (b"[%b]" % GOOD, "not_an_event", ["JSON object", "found [{"]),
        (b"17", "not_an_event", ["found 17"]),
        (b"{}", "not_an_event", ["CloudEvents", "no members"]),
        (b'{"order": 7, "status": "x"}', "not_an_event", ["CloudEvents", "order, status"]),
        (raw(SCAN, type=GONE), "unknown_type", ["type is missing"]),
        (raw(SCAN, type=5), "unknown_type", ["found 5"]),
        (raw(SCAN, type="parcel.scaned.v1"), "unknown_type", ["parcel.scaned.v1", "is 'parcel.scanned.v1' meant"]),
        (raw(SCAN, data__milestone="Delivered"), "unknown_milestone", ['"Delivered"', "is 'delivered' meant"]),
        (raw(SCAN, data__milestone="y" * 900), "unknown_milestone", ["data.milestone", "yyy…"]),
        (raw(SCAN, data__milestone=5), "invalid_event", ["data.milestone", "found 5"]),
        (raw(SCAN, data__milestone=GONE), "invalid_event", ["data.milestone is missing"]),
        (raw(SCAN, data=[]), "invalid_event", ["data must be an object with parcel_id, milestone", "found []"]),
        (raw(SCAN, id=GONE), "invalid_event", ["id is missing", "1 to 512 characters"]),
        (raw(SCAN, id="z" * 513), "invalid_event", ["id must be text of 1 to 512", "zzz…"]),
        (raw(SCAN, specversion="0.3"), "invalid_event", ["specversion must be '1.0'", '"0.3"']),
        (raw(SCAN, time="01.03.2026"), "invalid_event", ["time must be", "RFC 3339", '"01.03.2026"']),
        (raw(SCAN, time="2026-03-01T12:00:00"), "invalid_event", ["time must be", "with an offset"]),
        (raw(SCAN, time="9999-12-31T23:59:59-05:00"), "invalid_event", ["time must lie in the years 1 to 9999"]),
        (raw(SCAN, recordedtime="0001-01-01T00:00:00+05:00"), "invalid_event", ["recordedtime must lie in the years"]),
        (raw(SCAN, history=1), "invalid_event", ["history must be true or false", "found 1"]),
        (raw(SCAN, sequence=1.5), "invalid_event", ["sequence must be text", "whole number", "1.5"]),
        (raw(SCAN, subject="LX2"), "subject_mismatch", ["'LX2'", "'LX1'"]),
        (raw(REGISTERED, data__destination="Russia"), "invalid_event", ["data.destination", "two capital", '"Russia"']),
        (raw(REGISTERED, data__destination_region="Moscow"), "invalid_event", ["region", "RU-MOW", '"Moscow"']),
        (raw(REGISTERED, data__promised_days="12"), "invalid_event", ["data.promised_days", "0 to 3650", '"12"']),
        (raw(REGISTERED, data__attributes=["a", 5]), "invalid_event", ["data.attributes[1] must be text", "found 5"]),
        (raw(REGISTERED, data__attributes=["a"] * 51), "invalid_event", ["a list of at most 50 entries"]),
        (
            raw(REGISTERED, data__postage={"amount": "1"}),
            "invalid_event",
            ["data.postage.currency is missing", "'USD'"],
        ),
        (raw(REGISTERED, data__postage={"amount": "1,5", "currency": "EUR"}), "invalid_event", ["decimal", "'1,5'"]),
        (raw(REGISTERED, data__customer_kind="b2b"), "invalid_event", ["one of dropship, retail", '"b2b"']),
        (raw(REGISTERED, data__product="a|b"), "invalid_event", ["data.product", "'|'"]),
        (GOOD.replace(b'"id": "1"', b'"id": {"\\u0007\xe2\x80\xae": 1}'), "invalid_event", ["id must be", "\\u202e"]),
    ],
)
def test_the_sentence_names_the_field_what_was_found_and_what_is_expected(
    broken: bytes, reason: str, words: list[str]
) -> None:
    with pytest.raises(Rejected) as caught:
        decode(broken)
    assert caught.value.reason == reason, caught.value.detail
    for word in words:
        assert word in caught.value.detail
    assert len(caught.value.detail) < 250


def test_a_bad_time_inside_data_is_found_like_any_other() -> None:
    for name, data in {
        "complaint.opened.v1": {"complaint_id": "1", "kind": "other", "respond_by": None},
        "claim.filed.v1": {"claim_id": "1", "parcel_id": "1", "deadline": None},
        "carrier.offered.v1": {"carrier": "c", "destination": "RU", "valid_to": None, "valid_from": None},
        "rule.declared.v1": {"rule_id": "1", "effect": "refuse", "valid_to": None, "valid_from": None},
        "clock.ticked.v1": {"at": None},
    }.items():
        for field in (field for field, value in data.items() if value is None):
            document = SCAN | {"type": name, "data": data | {field: "0001-01-01T00:00:00+01:00"}}
            with pytest.raises(Rejected, match=rf"data\.{field} must lie in the years 1 to 9999"):
                decode(json.dumps(document).encode())


def test_every_time_field_of_the_events_is_known_to_the_check_above() -> None:
    kinds = [field.type for kind in EVENT_TYPES.values() for field in fields(kind) if field.name == "data"]
    times = {field.name for kind in kinds for field in fields(kind) if "datetime" in str(field.type)}
    assert times == {"respond_by", "deadline", "valid_from", "valid_to", "at"}


def test_an_event_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(Rejected) as caught:
        decode(GOOD + b" " * MAX_EVENT_BYTES)
    assert caught.value.reason == "too_large"
    assert str(MAX_EVENT_BYTES) in caught.value.detail


def test_nesting_is_refused_at_the_same_depth_whoever_calls() -> None:
    def nested(levels: int) -> bytes:
        return GOOD[:-1] + b', "unknown": ' + b"[" * levels + b'"[[["' + b"]" * levels + b"}"

    assert isinstance(decode(nested(MAX_DEPTH - 1)), ParcelScanned)
    for levels in (MAX_DEPTH, 5_000):
        with pytest.raises(Rejected, match=f"at most {MAX_DEPTH} levels") as caught:
            decode(nested(levels))
        assert caught.value.reason == "invalid_event"
    for unclosed in (b"[" * 1_000, b'{"a":' + b"[" * 995, b'{"a":' * 1_000):
        with pytest.raises(Rejected, match=f"at most {MAX_DEPTH} levels"):
            decode(unclosed)


def test_an_element_of_a_pack_that_is_no_event_does_not_harm_its_neighbours() -> None:
    deep = b"[" * 5_000 + b"]" * 5_000
    pieces = [GOOD, b'{"a": "\xff"}', b"null", b'"],["', deep, b"{}", b"[]", GOOD]
    for pack in (pieces, [piece for piece in pieces if piece is not deep]):
        pairs = decode_pack(b"[ %b ]" % b" , ".join(pack))
        assert [piece for piece, _ in pairs] == pack
        reasons = [result.reason for _, result in pairs if isinstance(result, Rejected)]
        expected = ["not_text", "not_an_event", "not_an_event", "invalid_event", "not_an_event", "not_an_event"]
        assert reasons == (expected if deep in pack else [one for one in expected if one != "invalid_event"])
        assert isinstance(pairs[0][1], ParcelScanned)
        assert isinstance(pairs[-1][1], ParcelScanned)


@pytest.mark.parametrize("end", [b"", b",", b",]", b"] x", b"}"])
@pytest.mark.parametrize("middle", [b"1", b"[" * 5_000 + b"]" * 5_000])
def test_a_record_that_is_a_broken_array_is_one_rejection_with_all_its_bytes(middle: bytes, end: bytes) -> None:
    record = b"[%b, %b%b" % (GOOD, middle, end)
    [(piece, result)] = decode_pack(record)
    assert piece == record
    assert isinstance(result, Rejected)
    assert result.reason == "malformed_json"


def test_a_record_of_one_event_is_that_event_and_an_empty_pack_none() -> None:
    [(piece, event)] = decode_pack(GOOD)
    assert piece == GOOD
    assert isinstance(event, ParcelScanned)
    assert decode_pack(b" [ ]\n") == []


def test_a_tick_needs_no_subject() -> None:
    document = {name: value for name, value in SCAN.items() if name != "subject"}
    event = decode(json.dumps(document | {"type": "clock.ticked.v1", "data": {"at": "2026-03-01T06:00:00Z"}}).encode())
    assert isinstance(event, ClockTicked)
    assert event.subject == "clock"


def test_a_sequence_out_of_range_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="sequence"):
        with_sequence(GOOD, -1)
