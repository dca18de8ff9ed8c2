"""The wire: nothing but Rejected escapes, encoding loses nothing, and both sets of types agree on every document."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import pydantic
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from monitor.core.calendar_entry import DAY_PATTERN
from monitor.core.events import EVENT_TYPES, Event, Rejected, canonical_body, from_us, to_us
from monitor.core.vocabulary import REASONS
from monitor.wire.decode import (
    decode,
    decode_pack,
    encode,
    split_pack,
    with_recorded,
    with_sequence,
    without_sequence,
)
from monitor.wire.models import EVENT, EVENT_MODELS

quick = settings(max_examples=80, deadline=None)

# ---------------------------------------------------------------- valid documents, made from the types themselves

_WORDS = st.one_of(
    st.sampled_from(["LX123456789CN", "china-post", "平板", "a b/c", "😀", "x" * 200]),
    st.text(st.characters(exclude_characters="|", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8),
)
_TIMES = st.sampled_from(
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00+08:00",
        "2024-02-29T23:59:59.123456-09:30",
        "2026-03-01t12:00:00.5z",
        "2026-03-01 12:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ]
)
_BY_PATTERN = {
    "^[A-Z]{2}$": ["RU", "ZZ"],
    "^[A-Z]{3}$": ["USD", "CNY"],
    DAY_PATTERN: ["2026-10-01"],
}


def _values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.UnionType(types=types):
            return st.one_of([_values(one) for one in types])
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType(values=values):
            return st.sampled_from(list(values))
        case inspect.StrType(pattern=str(pattern)):
            return st.sampled_from(_BY_PATTERN.get(pattern, ["RU-MOW", "US-1", "DE-BY"]))
        case inspect.StrType(max_length=24):
            return st.sampled_from(["12.30", "0", "-1.5", "999999999999999.999999"])
        case inspect.StrType():
            return _WORDS if kind.max_length != 64 else _WORDS.map(lambda word: word[:64])
        case inspect.FloatType(le=most):
            most = 3650 if most is None else most
            return st.one_of(st.integers(0, int(most)), st.floats(0, most))
        case inspect.IntType():
            return st.integers(0, 2**63 - 1)
        case inspect.BoolType():
            return st.booleans()
        case inspect.DateTimeType():
            return _TIMES
        case inspect.ListType(item_type=item):
            return st.lists(_values(item), max_size=3)
        case inspect.StructType(fields=fields, tag_field=tag_field, tag=tag):
            required = {field.encode_name: _values(field.type) for field in fields if field.required}
            optional = {field.encode_name: _values(field.type) for field in fields if not field.required}
            if tag_field:
                required[tag_field] = st.just(tag)
            return st.fixed_dictionaries(required, optional=optional)
    raise AssertionError(f"the wire has no {kind}")


def _names_its_parcel(document: dict[str, Any]) -> dict[str, Any]:
    if document["type"] in ("parcel.registered.v1", "parcel.scanned.v1"):
        document["subject"] = document["data"]["parcel_id"]
    if document["type"] == "calendar.declared.v1":  # days and places that the kind needs, and none it may not have
        data = document["data"]
        data |= {"first_day": "2026-09-28", "last_day": "2026-10-08"}
        if data["kind"] == "strike":
            data["country"] = "RU"
        if data["kind"] == "working_day":
            document["data"] = {name: value for name, value in data.items() if name not in ("carrier", "forwarder")}
    return document


documents = st.one_of([_values(inspect.type_info(kind)) for kind in EVENT_TYPES.values()]).map(_names_its_parcel)


def _full(kind: inspect.Type) -> Any:
    """A valid value with every field set."""
    match kind:
        case inspect.UnionType(types=types):
            return _full(next(one for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.StructType(fields=fields, tag_field=tag_field, tag=tag):
            document = {field.encode_name: _full(field.type) for field in fields}
            return {**document, tag_field: tag} if tag_field else document
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.StrType(pattern=str(pattern)):
            return _BY_PATTERN.get(pattern, ["RU-MOW"])[0]
        case inspect.StrType(max_length=24):
            return "12.30"
        case inspect.FloatType(le=1):
            return 0.5
        case inspect.FloatType() | inspect.IntType():
            return 7
        case inspect.BoolType():
            return True
        case inspect.DateTimeType():
            return "2026-03-01T12:00:00+08:00"
        case inspect.ListType():
            return ["battery", "brand"]
    return "P1"


FULL = {name: _full(inspect.type_info(kind)) for name, kind in EVENT_TYPES.items()}

# ------------------------------------------------------------------------------------------- what goes wrong

_JUNK: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.0, 0.5, 3650, 3651, 10**25, -0.0, 1e300),
    *("", " ", "1.0", "1", "true", "null", "P1", "delivered", "Delivered", "clock.ticked.v1", "parcel.scanned.v1"),
    *("a|b", "a\n", "\x7f", "\x85", "\u2028", "\x00", "x" * 64, "x" * 65, "x" * 200, "x" * 201, "x" * 512, "x" * 513),
    *("x" * 4000, "x" * 4001, "😀" * 200, "😀" * 513),
    *(
        "RU",
        "ru",
        "R",
        "RUS",
        "RU\n",
        "ÄÖ",
        "RU-MOW",
        "RU-ABCD",
        "ru-MOW",
        "USD",
        "usd",
        "12.",
        "1.1234567",
        "-0.5",
        "+1",
    ),
    *("1\n", "١", "0" * 15, "0" * 16),
    *("2026-03-01T12:00:00Z", "2026-03-01T12:00:00", "2026-03-01", "yesterday", "2026-02-30T00:00:00Z"),
    *("2026-03-01T24:00:00Z", "2026-03-01T12:00:60Z", "2026-03-01T12:00Z", "2026-03-01T12:00:00+0800", "1767225600"),
    *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "2026-03-01T12:00:00+24:00", "2026-03-01T12:00:00Z\n"),
    *([], ["a"], [""], [1], [None], ["a"] * 50, ["a"] * 51, [["a"]], {}, {"a": 1}),
    *(
        {"amount": "1", "currency": "USD"},
        {"amount": 1, "currency": "USD"},
        {"amount": "1"},
        {"amount": "1", "currency": "x"},
    ),
]


def _paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in value.items():
        yield (*path, name)
        if isinstance(inner, dict):
            yield from _paths(inner, (*path, name))


def _holder(document: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The object in the document that holds the last step of the path."""
    for step in path[:-1]:
        document = document[step]
    return document


def _broken(document: dict[str, Any], paths: list[tuple[str, ...]]) -> Iterator[None]:
    """Drop, rename and replace each member in turn, for the time of one step; at the end all is as it was."""
    for path in paths:
        holder, name = _holder(document, path), path[-1]
        value = holder.pop(name)
        yield
        holder[name.upper()] = value
        yield
        del holder[name.upper()]
        for junk in _JUNK:
            holder[name] = junk
            yield
        holder[name] = value


def _ours(raw: bytes) -> Any:
    try:
        return msgspec.to_builtins(decode(raw), builtin_types=(datetime,))
    except Rejected:
        return None


def _pydantic(raw: bytes) -> Any:
    try:
        return EVENT.validate_json(raw).model_dump()
    except pydantic.ValidationError:
        return None


def _agree(document: Any) -> bool:
    """Whether the document is an event; fails if the two sets of types differ about that or about its values."""
    raw = json.dumps(document).encode()
    ours, theirs = _ours(raw), _pydantic(raw)
    assert ours == theirs, raw
    return ours is not None


# ------------------------------------------------------------------------------------------------------ tests


def test_both_sets_of_types_hold_the_same_fields() -> None:
    assert list(EVENT_MODELS) == list(EVENT_TYPES)
    for name, model in EVENT_MODELS.items():
        struct = EVENT_TYPES[name]
        assert set(model.model_fields) == {*struct.__struct_fields__, "type"}
        data = model.model_fields["data"].annotation
        assert data is not None
        [body] = [one.type for one in msgspec.structs.fields(struct) if one.name == "data"]
        assert list(data.model_fields) == list(body.__struct_fields__)


@quick
@given(documents)
def test_what_is_valid_is_read_by_both_to_equal_values(document: dict[str, Any]) -> None:
    assert _agree(document)


def test_both_refuse_the_same_documents_whichever_field_is_wrong() -> None:
    taken = refused = 0
    for name, document in FULL.items():
        # The envelope is the same for all: once with a parcel, once without.
        fields = document if name in ("parcel.scanned.v1", "clock.ticked.v1") else {"data": document["data"]}
        for _ in _broken(document, list(_paths(fields))):
            if _agree(document):
                taken += 1
            else:
                refused += 1
        assert _agree(document)
    assert taken > 500
    assert refused > 3_000


@quick
@given(documents, st.data())
def test_both_agree_when_several_fields_are_wrong(document: dict[str, Any], data: st.DataObject) -> None:
    for _ in range(2):
        document = copy.deepcopy(document)
        holder = _holder(document, data.draw(st.sampled_from(list(_paths(document)))))
        holder[data.draw(st.sampled_from([*holder, "other"]))] = data.draw(st.sampled_from(_JUNK))
    _agree(document)


def test_both_agree_on_numbers_of_any_size() -> None:
    document = FULL["carrier.offered.v1"]
    for field in ("capacity_per_day", "promised_days"):
        data = document["data"] | {field: 777}
        for number in ("1e999", "-1e999", "1E3", "1e-999", "-0", "9" * 400, "1.0", "01", "+1", "NaN", "Infinity"):
            raw = json.dumps(document | {"data": data}).replace("777", number).encode()
            assert _ours(raw) == _pydantic(raw), number


_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_splinters = st.sampled_from(
    [
        *(
            b'"',
            b"\\",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\xff",
            b"\xed\xa0\x80",
            b"\\ud800",
            b"\\udc00",
            b"\x00",
            b"\n",
        ),
        *(b"NaN", b"Infinity", b"1e999", b"9" * 5_000, b"-", b"null", b"\xef\xbb\xbf", b"[" * 3_000, b'{"a":' * 600),
    ]
)


def _decoded(raw: bytes) -> Event | Rejected:
    try:
        return decode(raw)
    except Rejected as rejected:
        return rejected


def _only_rejected(raw: bytes) -> None:
    result = _decoded(raw)
    if isinstance(result, Rejected):
        assert result.reason in REASONS
        assert 0 < len(result.detail) < 400
        assert result.detail.isprintable()
    else:
        raw.decode()
        canonical_body(result).decode()
        from_us(to_us(result.time))
        assert decode(encode(result)) == result


@quick
@given(st.binary(max_size=40) | _json_values.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 200_000)
@example(b'{"specversion":"1.0","type":"x","\xff":1}')
def test_nothing_but_rejected_escapes_for_any_bytes(raw: bytes) -> None:
    _only_rejected(raw)
    decode_pack(raw)


@quick
@given(st.sampled_from(list(FULL.values())), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), _splinters)))
def test_nothing_but_rejected_escapes_for_damaged_events(
    document: dict[str, Any], cuts: list[tuple[float, int, bytes]]
) -> None:
    raw = json.dumps(document, ensure_ascii=False).encode()
    for where, dropped, splinter in cuts:
        at = int(where * len(raw))
        raw = raw[:at] + splinter + raw[at + dropped :]
    _only_rejected(raw)
    for piece, _ in decode_pack(b"[%b,%b]" % (raw, raw)):
        _only_rejected(piece)


@quick
@given(documents)
def test_encoding_loses_nothing_and_is_canonical(document: dict[str, Any]) -> None:
    event = decode(json.dumps(document).encode())
    encoded = encode(event)
    assert decode(encoded) == event
    assert encode(decode(encoded)) == encoded
    assert b"null" not in re.sub(rb'"[^"]*"', b"", encoded)
    order = [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "recordedtime",
        "sequence",
        "history",
        "timeunknown",
        "data",
    ]
    names = list(json.loads(encoded))
    assert names == [name for name in order if name in names]


def _written(document: dict[str, Any], style: int) -> bytes:
    """The document as JSON in one of several hands."""
    match style:
        case 0:
            return json.dumps(document, separators=(",", ":")).encode()
        case 1:
            return json.dumps(document, ensure_ascii=False).encode() + b"\n"
        case _:
            return b" " + json.dumps(document, indent=1).encode() + b" \r\n"


@quick
@given(documents | st.just({}), st.integers(0, 2), st.integers(0, 10**20 - 1))
def test_a_sequence_comes_and_goes_without_a_trace(document: dict[str, Any], style: int, sequence: int) -> None:
    raw = _written(document, style)
    marked = with_sequence(raw, sequence)
    assert json.loads(marked)["sequence"] == f"{sequence:020d}"
    assert marked.rstrip().endswith(b'"sequence":"%020d"}' % sequence)
    assert without_sequence(marked) == raw
    assert without_sequence(raw) == raw


@quick
@given(documents, st.integers(0, 2), st.integers(946_684_800_000_000, 4_102_444_800_000_000), st.booleans())
def test_the_recorded_time_is_set_and_nothing_else_changes(
    document: dict[str, Any], style: int, recorded_us: int, stated: bool
) -> None:
    document["unknown"] = {"big": 10**30, "x": [1.10, None]}
    if stated:
        document["recordedtime"] = from_us(recorded_us).replace("Z", "+00:00")
    raw = _written(document, style)
    result = with_recorded(raw, recorded_us)
    assert json.loads(result) | {"recordedtime": 0} == document | {"recordedtime": 0}
    recorded = decode(result).recordedtime
    assert recorded is not None
    assert to_us(recorded) == recorded_us
    assert (result == raw) == stated
    assert with_recorded(result, recorded_us) is result


@quick
@given(st.lists(st.tuples(documents, st.integers(0, 2)), max_size=4), st.sampled_from([b",", b" ,\n "]))
def test_a_pack_gives_back_every_event_byte_for_byte(items: list[tuple[dict[str, Any], int]], separator: bytes) -> None:
    pieces = [_written(document, style) for document, style in items]
    pack = b" [" + separator.join(pieces) + b"]\n"
    stripped = [piece.strip() for piece in pieces]
    assert split_pack(pack) == stripped
    expected: list[tuple[bytes, Event | Rejected]] = [(piece, decode(piece)) for piece in stripped]
    assert decode_pack(pack) == expected
