"""Mapping files: how the rows of a merchant's own table become events. Read, checked, and explained when wrong.

A mapping is TOML. ``docs/feeding-your-data.md`` tells the whole of it with examples; the models below are what is
checked. Nothing wrong is passed over: unknown keys, fields that an event does not have, required ones that are
missing, formats that cannot work, all are told at once, each with its key and what to do (:class:`MappingError`).
"""

from __future__ import annotations

import codecs
import difflib
import re
import tomllib
import zoneinfo
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from monitor.connectors.dates import ISO
from monitor.connectors.event_fields import fields_of
from monitor.core.events import EVENT_TYPES
from monitor.core.vocabulary import MILESTONES

#: ``{Column}`` in a template stands for the cell of that column.
PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")

_SHIPPED: Final = resources.files("monitor.connectors") / "mappings"


class MappingError(ValueError):
    """A mapping that cannot be used. ``problems``: one sentence for each fault; the message is all of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("mapping", "{message}", {"message": message})


def _as_specs(value: object) -> object:
    """One value, or a list of them, as a list of tables; a plain text is a template."""
    listed = value if isinstance(value, list) else [value]
    return [{"value": one} if isinstance(one, str) else one for one in listed]


def _as_times(value: object) -> object:
    """One column, or a list of them, as a list of tables."""
    listed = value if isinstance(value, list) else [value]
    return [{"column": one} if isinstance(one, str) else one for one in listed]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_condition(value: object) -> object:
    return {name: _as_list(texts) for name, texts in value.items()} if isinstance(value, dict) else value


Texts = Annotated[list[str], BeforeValidator(_as_list)]
Condition = Annotated[dict[str, list[str]], BeforeValidator(_as_condition)]


def _gives_a_day(pattern: str) -> bool:
    """Whether a day written in this format can be read back."""
    day = datetime(2021, 12, 30, 13, 45, 59, tzinfo=UTC)
    try:
        return datetime.strptime(day.strftime(pattern), pattern).date() == day.date()  # noqa: DTZ007
    except ValueError:
        return False


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Conditional(_Model):
    """``when``: all these columns hold one of these texts; ``unless``: none of these does."""

    when: Condition = {}
    unless: Condition = {}


class Dates(_Model):
    """How dates are written in a column, or in all that are not listed."""

    formats: list[str] | None = Field(None, min_length=1)
    timezone: str | None = None
    no_date: Texts | None = None
    end_of_day: bool | None = None

    @field_validator("formats")
    @classmethod
    def _usable(cls, formats: list[str] | None) -> list[str] | None:
        for pattern in formats or ():
            if pattern != ISO and not _gives_a_day(pattern):
                raise _wrong(f"{pattern!r} does not give day, month and year; write it as '%d/%m/%Y' or 'iso'")
        return formats

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in (zones := zoneinfo.available_timezones()):
            raise _wrong(f"{name!r} is no time zone{_meant(name, zones)}; give an IANA name such as Asia/Shanghai")
        return name


class DateRules(Dates):
    """``[dates]``: for all columns; ``[dates.columns."NAME"]`` says what differs in one."""

    columns: dict[str, Dates] = {}

    def of(self, column: str) -> tuple[list[str], str, list[str], bool]:
        """Formats, time zone, texts that mean no date and ``end_of_day`` of a column."""
        own = self.columns.get(column, Dates())
        return (
            own.formats or self.formats or [ISO],
            own.timezone or self.timezone or "UTC",
            own.no_date if own.no_date is not None else self.no_date or [],
            own.end_of_day if own.end_of_day is not None else bool(self.end_of_day),
        )


class Value(_Conditional):
    """Where a field of ``data`` comes from: one of ``value``, ``date``, ``days_until``, ``amount``."""

    value: str | None = None
    date: str | None = None
    days_until: str | None = None
    amount: str | None = None
    currency: str | None = None
    map: dict[str, str] | None = None
    unmapped: Literal["reject", "keep", "omit"] = "reject"
    blank: Texts = []

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.value, self.date, self.days_until, self.amount)) != 1:
            raise _wrong("give exactly one of value, date, days_until and amount")
        if (self.amount is None) != (self.currency is None):
            raise _wrong('amount and currency go together: { amount = "{Price}", currency = "USD" }')
        if self.map is not None and self.value is None:
            raise _wrong("map needs value")
        return self


Values = Annotated[list[Value], BeforeValidator(_as_specs), Field(min_length=1)]


class TimeSource(_Conditional):
    """A column of dates; of several that apply, the first that has a date counts."""

    column: str


class Skip(_Conditional):
    """Rows that are no parcels: left out, and counted under ``reason``."""

    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _some_condition(self) -> Self:
        if not self.when and not self.unless:
            raise _wrong("a [[skip]] needs when or unless, else it would leave out every row")
        return self


class EventRule(_Conditional):
    """``[[event]]``: one event a row may give."""

    type: str
    time: Annotated[list[TimeSource], BeforeValidator(_as_times), Field(min_length=1)]
    recorded: str | None = None
    time_unknown: bool = False
    id: str | None = None
    subject: str | None = None
    data: dict[str, Values]

    @model_validator(mode="before")
    @classmethod
    def _fields(cls, rule: Any) -> Any:
        if not isinstance(rule, dict) or "type" not in rule:
            return rule
        known = {name: True for name in EVENT_TYPES if name != "clock.ticked.v1"}
        if rule["type"] not in known:
            raise _wrong(f"type {rule['type']!r} is not in the contract{_meant(str(rule['type']), known)}")
        data = rule.get("data")
        if not isinstance(data, dict):
            return rule
        fields = fields_of(rule["type"])
        for name in data:
            if name not in fields:
                raise _wrong(
                    f"data.{name}: {rule['type']} has no such field{_meant(name, fields)}; it has {', '.join(fields)}"
                )
        for name, field in fields.items():
            if field.required and name not in data:
                raise _wrong(f"data.{name} is missing; {rule['type']} requires it")
        return rule

    @model_validator(mode="after")
    def _kinds(self) -> Self:
        fields = fields_of(self.type)
        for name, values in self.data.items():
            kind = fields[name].kind
            for one in values:
                if (one.amount is not None) != (kind == "money"):
                    raise _wrong(
                        f'data.{name} is money: give {{ amount = "{{Price}}", currency = "USD" }}'
                        if kind == "money"
                        else f"data.{name} is no money: give value, not amount and currency"
                    )
                if (one.date is not None) != (kind in ("time", "day")):
                    raise _wrong(
                        f'data.{name} is a time: give {{ date = "COLUMN" }}'
                        if kind in ("time", "day")
                        else f"data.{name} is no time: give value, not date"
                    )
                if one.days_until is not None and kind != "number":
                    raise _wrong(f"data.{name} is no number of days: days_until cannot give it")
        for one in self.data.get("milestone", ()):
            words = one.map.values() if one.map is not None else [one.value or ""]
            for word in words:
                if not PLACEHOLDER.search(word) and word not in MILESTONES:
                    raise _wrong(f"data.milestone: {word!r} is no milestone{_meant(word, MILESTONES)}")
        return self


class Mapping(_Model):
    """A whole mapping file."""

    name: str = Field(min_length=1, max_length=100)
    source: str | None = Field(None, min_length=1, max_length=200)
    description: str = ""
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."
    tolerance_days: Annotated[float, Field(ge=0, le=365)] = 0.0
    dates: DateRules = DateRules()
    countries: dict[str, str] = {}
    skip: list[Skip] = []
    event: list[EventRule] = Field(min_length=1)

    @field_validator("tolerance_days", mode="before")
    @classmethod
    def _number(cls, days: object) -> object:
        return float(days) if isinstance(days, int) and not isinstance(days, bool) else days

    @field_validator("encoding")
    @classmethod
    def _readable(cls, name: str) -> str:
        try:
            if "\n".encode(name) != b"\n":
                raise _wrong(f"{name!r} cannot be read line by line; save the file as UTF-8")
            return codecs.lookup(name).name
        except LookupError:
            raise _wrong(f"{name!r} is no encoding; give utf-8, gb18030, cp1252 or another that Python knows") from None

    @field_validator("countries")
    @classmethod
    def _codes(cls, countries: dict[str, str]) -> dict[str, str]:
        for name, code in countries.items():
            if not re.fullmatch(r"[A-Z]{2}", code):
                raise _wrong(f"{name!r} = {code!r}: the code of a country is two capital letters such as 'CI'")
        return countries

    def columns(self) -> dict[str, str]:
        """Every column that is used, with the key that first uses it."""
        used: dict[str, str] = {}

        def note(key: str, names: Iterable[str]) -> None:
            for name in names:
                used.setdefault(name, key)

        for i, skip in enumerate(self.skip, 1):
            note(f"skip {i}", (*skip.when, *skip.unless))
        for i, rule in enumerate(self.event, 1):
            where = f"event {i}"
            note(where, (*rule.when, *rule.unless))
            for source in rule.time:
                note(where, (source.column, *source.when, *source.unless))
            note(where, [rule.recorded] if rule.recorded else [])
            note(where, PLACEHOLDER.findall(f"{rule.id or ''}{rule.subject or ''}"))
            for name, values in rule.data.items():
                for one in values:
                    key = f"{where}, data.{name}"
                    note(key, (*one.when, *one.unless))
                    note(key, [column for column in (one.date, one.days_until) if column])
                    note(key, PLACEHOLDER.findall(f"{one.value or ''}{one.amount or ''}{one.currency or ''}"))
        return used


def shipped_mappings() -> list[str]:
    """The names of the mappings that come with the program."""
    return sorted(Path(entry.name).stem for entry in _SHIPPED.iterdir() if entry.name.endswith(".toml"))


def load_mapping(name: str) -> Mapping:
    """The mapping in the file ``name``, or the shipped one of that name. Raises :class:`MappingError`."""
    shipped = shipped_mappings()
    try:
        text = (_SHIPPED / f"{name}.toml" if name in shipped else Path(name)).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MappingError(
            [f"mapping {name}: there is no such file, nor a shipped mapping of that name ({', '.join(shipped)})."]
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise MappingError([f"mapping {name} cannot be read: {why}."]) from None
    try:
        return Mapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise MappingError([f"mapping {name} is not TOML: {error}."]) from None
    except ValidationError as error:
        raise MappingError([f"mapping {name}: {_explained(one)}." for one in error.errors()]) from None


def _explained(error: ErrorDetails) -> str:
    """One fault as a sentence: the key, what is wrong, what to do."""
    key = _key(error["loc"])
    last = str(error["loc"][-1]) if error["loc"] else ""
    match error["type"]:
        case "missing":
            return f"{key} is missing; add it"
        case "extra_forbidden":
            return f"there is no key {key}{_meant(last, _keys())}; take it out or correct it"
        case "mapping":
            message = str(error["ctx"]["message"])
            return f"{key}: {message}" if key else message
        case _:
            shown = repr(error["input"])
            return f"{key} is {shown if len(shown) <= 80 else shown[:79] + '…'}: {error['msg'].lower()}"


def _key(location: tuple[str | int, ...]) -> str:
    parts: list[str] = []
    for i, step in enumerate(location):
        if isinstance(step, int):
            # [[event]] and [[skip]] are counted from 1; alternatives of one value are not told apart.
            if i == 1:
                parts[-1] += f" {step + 1}"
        else:
            parts.append(str(step))
    return ".".join(parts)


def _keys() -> list[str]:
    models: tuple[type[BaseModel], ...] = (Mapping, EventRule, TimeSource, Value, Skip, DateRules)
    return sorted({name for model in models for name in model.model_fields})


def _meant(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (is {near[0]!r} meant?)" if near else ""
