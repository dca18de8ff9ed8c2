"""Dates as they stand in tables: several formats tried in order, a time zone, and texts that mean "no date"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from monitor.core.events import from_us, to_us

#: In the place of a format: any date or time in ISO 8601, such as 2026-03-09 or 2026-03-09T08:00:00+08:00.
ISO: Final = "iso"

_TIME_OF_DAY: Final = re.compile(r"%[-]?[HIMScXT]")
_CACHED: Final = 100_000


class NotADate(ValueError):
    """The text is no date; the message says why, as the end of a sentence."""


class DateReader:
    """Reads the dates of one column.

    A date without time of day stands for its first instant in ``zone``, or with ``end_of_day`` for its last
    second. A text that states its own offset keeps it.
    """

    def __init__(self, formats: Sequence[str], zone: str, no_date: Sequence[str], end_of_day: bool) -> None:
        self._formats = tuple(formats)
        self._zone = ZoneInfo(zone)
        self._no_date = frozenset(no_date)
        self._end_of_day = end_of_day
        self._known: dict[str, int] = {}

    def read(self, text: str) -> int | None:
        """Microseconds since 1970 UTC, or None for a text that means no date. Raises :class:`NotADate`."""
        text = text.strip()
        if text in self._no_date:
            return None
        time_us = self._known.get(text)
        if time_us is None:
            if len(self._known) >= _CACHED:
                self._known.clear()
            time_us = self._known[text] = self._parse(text)
        return time_us

    def _parse(self, text: str) -> int:
        if not text:
            raise NotADate('is blank; if a blank means that there is no date, list "" under no_date')
        impossible = False
        for pattern in self._formats:
            try:
                if pattern == ISO:
                    time = datetime.fromisoformat(text)
                    whole_day = len(text) <= len("2026-03-09")
                else:
                    time = datetime.strptime(text, pattern)  # noqa: DTZ007  # the zone is set below
                    whole_day = _TIME_OF_DAY.search(pattern) is None
            except ValueError as error:
                impossible = impossible or "out of range" in str(error) or "must be in" in str(error)
                continue
            if time.tzinfo is None:
                time = time.replace(tzinfo=self._zone)
            if whole_day and self._end_of_day:
                time += timedelta(days=1, seconds=-1)
            try:
                time_us = to_us(time)
                from_us(time_us)
            except (ValueError, OverflowError, OSError):
                break
            return time_us
        if impossible:
            raise NotADate("is no day of the calendar")
        raise NotADate(f"is no date in any of the formats {', '.join(self._formats)}, nor listed under no_date")
