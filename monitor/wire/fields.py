"""The kinds of fields that events and records are made of: pydantic types with bounds, units and examples.

The bounds are those of :mod:`monitor.core.events`; times are read by the parser that reads them there, so both
sides take and refuse the same texts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from monitor.core import events
from monitor.core.vocabulary import MAX_ID_LENGTH, MAX_NAME_LENGTH, MAX_TEXT_LENGTH
from monitor.wire.decode import has_utc


class Model(BaseModel):
    """What all models share: nothing is coerced, members of later versions are ignored, values never change."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


def parse_time(value: Any) -> datetime:
    """A moment from RFC 3339 text with an offset. Raises :class:`ValueError` that says what is wrong."""
    try:
        time: datetime = msgspec.convert(value, events.Time)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a time in RFC 3339 with an offset: {error}") from None
    if not has_utc(time):
        raise ValueError("a time must lie in the years 1 to 9999 in UTC")
    return time


def _time_text(time: datetime) -> str:
    return str(msgspec.to_builtins(time.astimezone(UTC)))


_NAME_PATTERN: Final = r"^[^|\x00-\x1f\x7f-\x9f]+$"

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
#: A name that is part of a channel's id: no ``|`` and no control characters.
ChannelName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, pattern=_NAME_PATTERN)]
Text = Annotated[str, Field(max_length=MAX_TEXT_LENGTH)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", examples=["RU"])]
Region = Annotated[str, Field(pattern=r"^[A-Z]{2}-[A-Z0-9]{1,3}$", examples=["RU-MOW"])]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", examples=["2026-10-01"])]
Days = Annotated[float, Field(ge=0, le=3650)]
Names = Annotated[list[Name], Field(max_length=50)]
Time = Annotated[
    datetime,
    PlainValidator(parse_time),
    PlainSerializer(_time_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Money(Model):
    """An amount of money; a decimal number as text, so that no digit is lost."""

    amount: str = Field(
        min_length=1,
        max_length=24,
        pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,6})?$",
        description="Decimal number in units of the currency.",
        examples=["12.30"],
    )
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.", examples=["USD"])
