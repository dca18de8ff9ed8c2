"""Rows of a merchant's table to events, as a mapping says.

Rules this module keeps:

1. A row is used whole or not at all: one cell that cannot be read makes the row a dead letter, which names the row,
   the column, the text found there and why.
2. Nothing is invented. A text listed as "no date" gives no event; a row whose clock has no start gives none at all,
   and says so (:class:`Skipped`). An event whose time the table does not hold is marked ``timeunknown``.
3. The same row gives the same events, whatever the name of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from xxhash import xxh3_128_hexdigest

from monitor.connectors.countries import alpha2, plain_names
from monitor.connectors.dates import DateReader, NotADate
from monitor.connectors.event_fields import Kind, fields_of, subject_of
from monitor.connectors.mapping import PLACEHOLDER, Condition, EventRule, Mapping, Value
from monitor.core.events import Rejected, from_us
from monitor.core.vocabulary import DAY_US
from monitor.wire.incoming import to_json

_REGISTERED: Final = "parcel.registered.v1"
_DECLARED: Final = "calendar.declared.v1"
#: 1,234,567.89 with "," between groups and "." as the decimal mark.
_GROUPED: Final = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")
_PLAIN: Final = re.compile(r"-?\d+(\.\d+)?")
_SWAP_MARKS: Final = str.maketrans(",.", ".,")
_SPACES: Final = re.compile(r"\s+")
_SHOWN: Final = 80

_When = tuple[int, str]  # microseconds since 1970 UTC, and the column that says so


class Skipped(Exception):
    """The row is left out on purpose; the message is the reason under which it is counted."""


class MappedRows:
    """Turns the cells of a row into the JSON texts of its events. ``columns``: the header of the table."""

    def __init__(self, mapping: Mapping, columns: Sequence[str]) -> None:
        self._mapping = mapping
        self._source = mapping.source or mapping.name
        self.index = {name: i for i, name in enumerate(columns)}
        self.dates = {column: DateReader(*mapping.dates.of(column)) for column in mapping.columns()}
        self._countries = plain_names(mapping.countries)
        self._codes: dict[str, str | None] = {}
        self._templates: dict[str, list[tuple[str, str]]] = {}

    def events(self, cells: Sequence[str], number: int) -> list[bytes]:
        """The events of row ``number`` (the header is row 1). Raises :class:`Rejected` and :class:`Skipped`."""
        row = _Row(self, cells, number)
        for skip in self._mapping.skip:
            if row.holds(skip.when, skip.unless):
                raise Skipped(skip.reason)
        made: list[tuple[EventRule, _When]] = []
        started: _When | None = None
        for rule in self._mapping.event:
            if not row.holds(rule.when, rule.unless):
                continue
            when = row.when(rule)
            if when is not None:
                made.append((rule, when))
            elif rule.type == _REGISTERED:
                raise Skipped(row.no_start(rule))
            elif rule.type == _DECLARED:
                raise row.fault(rule.time[0].column, "is no day; write the day on which this was declared: 2026-09-20")
            if rule.type == _REGISTERED:
                started = when
        if started is not None:
            for _, when in made:
                row.check_order(started, when, self._mapping.tolerance_days)
        return [self._event(row, rule, time_us) for rule, (time_us, _) in made]

    def _event(self, row: _Row, rule: EventRule, time_us: int) -> bytes:
        data: dict[str, Any] = {}
        fields = fields_of(rule.type)
        for name, values in rule.data.items():
            field = fields[name]
            value = row.field(field.kind, values, time_us)
            if value is not None:
                data[name] = value
            elif field.required:
                raise row.fault(_column_of(values), f"gives no data.{name}, which {rule.type} requires")
        event: dict[str, Any] = {"specversion": "1.0", "id": "", "source": self._source, "type": rule.type}
        event["subject"] = row.text(rule.subject) if rule.subject else subject_of(data)
        event["time"] = from_us(time_us)
        if rule.recorded is not None and (recorded_us := row.date(rule.recorded)) is not None:
            event["recordedtime"] = from_us(recorded_us)
        if rule.time_unknown:
            event["timeunknown"] = True
        event["data"] = data
        given = row.text(rule.id) if rule.id else None
        event["id"] = given or f"row-{xxh3_128_hexdigest(to_json(event))}"
        return to_json(event)

    def country(self, name: str) -> str | None:
        """The code of a country, or None if it is not known."""
        if name not in self._codes:
            self._codes[name] = alpha2(name, self._countries)
        return self._codes[name]

    def number(self, text: str) -> str | None:
        """A number as plain decimal text, or None if it is none."""
        if self._mapping.decimal == ",":
            text = text.translate(_SWAP_MARKS)
        text = _SPACES.sub("", text)
        if _GROUPED.fullmatch(text):
            return text.replace(",", "")
        return text if _PLAIN.fullmatch(text) else None

    def template(self, text: str) -> list[tuple[str, str]]:
        """A template as pairs (text, column that follows it); the last column is empty."""
        parts = self._templates.get(text)
        if parts is None:
            pieces = [*PLACEHOLDER.split(text), ""]
            parts = self._templates[text] = list(zip(pieces[::2], pieces[1::2], strict=True))
        return parts


class _Row:
    """The cells of one row, by the names of their columns. Every method may raise :class:`Rejected`."""

    def __init__(self, table: MappedRows, cells: Sequence[str], number: int) -> None:
        self._table = table
        self._cells = cells
        self._row = number

    def cell(self, column: str) -> str:
        return self._cells[self._table.index[column]].strip()

    def fault(self, column: str, why: str) -> Rejected:
        if not column:
            return Rejected("unreadable_row", f"row {self._row} {why}")
        found = self.cell(column)
        shown = found if len(found) <= _SHOWN else f"{found[: _SHOWN - 1]}…"
        return Rejected("unreadable_row", f"row {self._row}, column {column!r}: {shown!r} {why}")

    def holds(self, when: Condition, unless: Condition) -> bool:
        if when and any(self.cell(column) not in texts for column, texts in when.items()):
            return False
        return not (unless and any(self.cell(column) in texts for column, texts in unless.items()))

    def date(self, column: str) -> int | None:
        try:
            return self._table.dates[column].read(self.cell(column))
        except NotADate as error:
            raise self.fault(column, str(error)) from None

    def when(self, rule: EventRule) -> _When | None:
        """When the event happened; None if no column that applies has a date."""
        for source in rule.time:
            if self.holds(source.when, source.unless) and (time_us := self.date(source.column)) is not None:
                return time_us, source.column
        return None

    def no_start(self, rule: EventRule) -> str:
        tried = [source.column for source in rule.time if self.holds(source.when, source.unless)]
        said = " and ".join(f"{column} is {self.cell(column)!r}" for column in tried)
        return f"no date starts the clock: {said or 'no column of dates applies'}"

    def check_order(self, started: _When, other: _When, tolerance_days: float) -> None:
        early_days = (started[0] - other[0]) / DAY_US
        if early_days > tolerance_days:
            start = f"{started[1]!r} ({self.cell(started[1])}), which starts the clock"
            raise self.fault(other[1], f"lies {_days(early_days)} before {start}")

    def text(self, template: str) -> str | None:
        """The template filled in; None if one of its cells is blank."""
        text = ""
        for before, column in self._table.template(template):
            text += before
            if column:
                cell = self.cell(column)
                if not cell:
                    return None
                text += cell
        return text

    def field(self, kind: Kind, values: Sequence[Value], time_us: int) -> Any:
        """The value of a field of ``data``: of several that apply the first, of a list all."""
        words: list[str] = []
        for one in values:
            if not self.holds(one.when, one.unless):
                continue
            if kind == "list":
                words += filter(None, map(str.strip, (self._mapped(one) or "").split(";")))
            elif (value := self._value(kind, one, time_us)) is not None:
                return value
        return words or None

    def _value(self, kind: Kind, one: Value, time_us: int) -> Any:
        if one.date is not None:
            date_us = self.date(one.date)
            if date_us is None:
                return None
            return from_us(date_us)[:10] if kind == "day" else from_us(date_us)
        if one.days_until is not None:
            return self._days_until(one.days_until, time_us)
        if one.amount is not None:
            amount, currency = self.text(one.amount), self.text(one.currency or "")
            return None if amount is None else {"amount": self._number(one, amount), "currency": currency}
        text = self._mapped(one)
        if text is None or kind == "text":
            return text
        if kind == "number":
            return float(self._number(one, text))
        code = self._table.country(text)
        if code is None:
            raise self.fault(_column_of([one]), "is no country that is known; give its code under [countries]")
        return code

    def _mapped(self, one: Value) -> str | None:
        """The text of a value, after its ``blank`` and ``map``."""
        text = self.text(one.value or "")
        if text is None or text in one.blank:
            return None
        if one.map is None or text in one.map:
            return one.map[text] if one.map else text
        if one.unmapped == "reject":
            raise self.fault(_column_of([one]), "is not in the map of this value; add it, or say what unmapped means")
        return text if one.unmapped == "keep" else None

    def _number(self, one: Value, text: str) -> str:
        number = self._table.number(text)
        if number is None:
            raise self.fault(_column_of([one]), "is no number")
        return number

    def _days_until(self, column: str, time_us: int) -> float | None:
        date_us = self.date(column)
        if date_us is None:
            return None
        days = (date_us - time_us) / DAY_US
        if days < 0:
            raise self.fault(
                column, f"lies {_days(-days)} before the start ({from_us(time_us)[:10]}) it is counted from"
            )
        return round(days, 3)


def _column_of(values: Sequence[Value]) -> str:
    """The first column that the values name; empty if they name none."""
    for one in values:
        if column := one.date or one.days_until:
            return column
        if found := PLACEHOLDER.search(f"{one.value or ''}{one.amount or ''}"):
            return found[1]
    return ""


def _days(days: float) -> str:
    return "1 day" if days == 1 else f"{days:.4g} days"
