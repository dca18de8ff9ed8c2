"""Which fields the events of the contract have, and of what kind: read from the types, so it cannot differ."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from msgspec import inspect

from monitor.core.calendar_entry import DAY_PATTERN
from monitor.core.events import EVENT_TYPES

Kind = Literal["text", "country", "number", "money", "list", "time", "day"]

#: Members of the envelope that a column may be named after.
ENVELOPE: Final = ("specversion", "id", "source", "type", "subject", "time", "recordedtime", "sequence")

#: The field of ``data`` that names the thing an event is about, where it names no parcel.
_THINGS: Final = ("complaint_id", "refund_id", "claim_id", "rule_id", "target", "calendar_id")


class Field(NamedTuple):
    """A field of ``data``: what kind of value it holds and whether the contract requires it."""

    kind: Kind
    required: bool


@functools.cache
def fields_of(event_type: str) -> Mapping[str, Field]:
    """The fields of ``data`` of a type of event. ``KeyError`` if there is no such type."""
    data = next(field for field in _struct(EVENT_TYPES[event_type]).fields if field.name == "data").type
    assert isinstance(data, inspect.StructType)  # noqa: S101  # every event has a struct of data
    return {field.encode_name: Field(_kind(field.type), field.required) for field in data.fields}


@functools.cache
def all_fields() -> Mapping[str, Kind]:
    """Every field of every event's ``data``; a name has the same kind in all of them."""
    return {name: field.kind for event_type in EVENT_TYPES for name, field in fields_of(event_type).items()}


def subject_of(data: Mapping[str, Any]) -> str | None:
    """The subject of an event with this ``data``: its parcel, else the thing it is about; None if unnamed."""
    for name in ("parcel_id", *_THINGS):
        if data.get(name):
            return str(data[name])
    if data.get("carrier") and data.get("destination"):  # an offer
        return "/".join(str(data[name]) for name in ("carrier", "destination", "product") if data.get(name))
    return None


def _struct(event_class: type) -> inspect.StructType:
    info = inspect.type_info(event_class)
    assert isinstance(info, inspect.StructType)  # noqa: S101
    return info


def _kind(kind: inspect.Type) -> Kind:
    if isinstance(kind, inspect.UnionType):
        kind = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
    match kind:
        case inspect.StructType():
            return "money"
        case inspect.ListType():
            return "list"
        case inspect.FloatType() | inspect.IntType():
            return "number"
        case inspect.DateTimeType():
            return "time"
        case inspect.StrType(pattern="^[A-Z]{2}$"):
            return "country"
        case inspect.StrType(pattern=pattern) if pattern == DAY_PATTERN:
            return "day"
        case _:
            return "text"
