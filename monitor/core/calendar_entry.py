"""What makes an entry of the operator's calendar a good one; the rules that types cannot say."""

from __future__ import annotations

from datetime import date
from typing import Final, Protocol

DAY_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?!\n)$"
LONGEST_WINDOW_DAYS: Final = 366


class Declarable(Protocol):
    """The fields of a declaration that depend on each other."""

    @property
    def kind(self) -> str: ...
    @property
    def first_day(self) -> str | None: ...
    @property
    def last_day(self) -> str | None: ...
    @property
    def country(self) -> str | None: ...
    @property
    def carrier(self) -> str | None: ...
    @property
    def forwarder(self) -> str | None: ...


def calendar_fault(said: Declarable) -> str:
    """What is wrong with a declaration and what to do about it, as a sentence; empty if nothing is."""
    days = []
    for label in ("first_day", "last_day"):
        text = getattr(said, label)
        if text is None:
            if said.kind != "withdrawn":
                return f"data.{label} is missing; a {said.kind} needs its first and last day, such as 2026-10-01"
            continue
        try:
            days.append(date.fromisoformat(text))
        except ValueError:
            return f"data.{label}: {text!r} is no day of the calendar; write it as 2026-10-01"
        if not 2000 <= days[-1].year <= 2088:
            return f"data.{label}: {text!r} must lie in the years 2000 to 2088"
    if len(days) == 2 and days[0] > days[1]:
        return f"data.last_day ({said.last_day}) lies before data.first_day ({said.first_day}); exchange them"
    if len(days) == 2 and (days[1] - days[0]).days >= LONGEST_WINDOW_DAYS:
        return (
            f"data.first_day to data.last_day may be {LONGEST_WINDOW_DAYS} days at most; "
            "what lasts longer is how things are now"
        )
    if said.kind == "strike" and not (said.carrier or said.country):
        return "a strike needs data.carrier or data.country: who is on strike, or where"
    if said.kind == "working_day" and (said.carrier or said.forwarder):
        return "a working_day belongs to a data.country or to all; leave data.carrier and data.forwarder out"
    return ""
