"""The operator's calendar: what a person declares about days that no package of holidays knows.

Rules it keeps:

1. Of the declarations of one ``calendar_id`` the last one stands: the one with the latest ``time``, of equal ones the
   one recorded last. So neither the order of the log nor a repeat of an old one can matter.
2. It has an effect on the days that are judged after it was recorded; what is judged already stays as it is.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import date
from typing import Final

from msgspec import Struct

from monitor.core.events import CalendarDeclaredData
from monitor.core.vocabulary import DAY_US

KEPT_DAYS: Final = 400  # how long a declaration is remembered after its last day, or after it was made
WITHDRAWN: Final = "withdrawn"
_EPOCH: Final = date(1970, 1, 1)


class Declaration(Struct, array_like=True, frozen=True, gc=False, order=True):
    """What was declared. ``first_day`` and ``last_day``: UTC day numbers, inclusive; texts are empty where not given.

    The order of declarations is that in which they replace each other.
    """

    time_us: int
    recorded_us: int
    uid: str
    calendar_id: str
    kind: str
    first_day: int
    last_day: int
    country: str
    carrier: str
    forwarder: str


def declaration(said: CalendarDeclaredData, time_us: int, recorded_us: int, uid: str) -> Declaration:
    """The declaration in an event; ``uid`` is the identity of the event."""
    return Declaration(
        time_us,
        recorded_us,
        uid,
        said.calendar_id,
        said.kind,
        _number(said.first_day),
        _number(said.last_day),
        said.country or "",
        said.carrier or "",
        said.forwarder or "",
    )


def _number(day: str | None) -> int:
    return 0 if day is None else (date.fromisoformat(day) - _EPOCH).days


def declare(calendar: MutableMapping[str, Declaration], one: Declaration) -> None:
    """Enter a declaration into the ``calendar`` (by ``calendar_id``), unless a later one stands there."""
    known = calendar.get(one.calendar_id)
    if known is None or known < one:
        calendar[one.calendar_id] = one


def forget(calendar: MutableMapping[str, Declaration], today: int) -> None:
    """Leave out what is long over on ``today`` (UTC day number)."""
    for id_ in sorted(calendar):
        one = calendar[id_]
        if max(one.last_day, one.time_us // DAY_US) + KEPT_DAYS < today:
            del calendar[id_]
