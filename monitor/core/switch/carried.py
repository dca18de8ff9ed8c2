"""What the parcels of a lane carry besides their fate: attributes, postage, declared value, the promise, and how old
they were when somebody complained. Whole numbers that add up, and maxima; so no order matters.

The parcel fold counts under a text ``KIND|WHAT`` and the UTC day of registration, ``[number, sum, greatest]``:

=================  ================================================
``attribute|NAME``  parcels with the attribute
``postage|USD``     parcels with a postage, its sum
``value|USD``       parcels with a declared value, sum and greatest
``promise|20``      parcels promised within so many days
``age|3``           complaints about parcels that were so many weeks old
=================  ================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from monitor.core.events import RegisteredData
from monitor.core.switch.terms import to_units

#: Days of registrations that decide what a lane is: its carriers, its attributes.
LANE_DAYS: Final = 40
#: Weeks that anything is remembered.
WEEKS_KEPT: Final = 19
#: Weeks of age at which complaints are told apart; the last is open.
AGE_WEEKS: Final = 26

#: ``KIND|WHAT`` → UTC day of registration → [number, sum, greatest].
Sums = dict[str, dict[int, list[int]]]


class Carriage(Struct, array_like=True):
    """What the parcels of one carrier on a lane carried, by day (attributes, greatest values) or by week."""

    days: Sums = {}
    weeks: Sums = {}


def carried(said: RegisteredData) -> list[tuple[str, int]]:
    """What a registration adds: the names of the sums, each with the amount."""
    out: list[tuple[str, int]] = []
    if said.attributes:
        out += [("attribute|" + name, 0) for name in sorted(set(said.attributes))]
    for kind, amount in (("postage", said.postage), ("value", said.declared_value)):
        units = None if amount is None else to_units(amount.amount)
        if amount is not None and units is not None:
            out.append((f"{kind}|{amount.currency}", units))
    if said.promised_days is not None:
        out.append((f"promise|{said.promised_days:g}", 0))
    return out


def complained(cohort: int, day: int) -> str:
    """The name of the sum for a complaint opened on ``day`` about a parcel registered on ``cohort``."""
    return f"age|{min(max(day - cohort, 0) // 7, AGE_WEEKS - 1)}"


def count(sums: Sums, name: str, day: int, amount: int) -> None:
    """Add one parcel with ``amount``."""
    _merge(sums.setdefault(name, {}), day, (1, amount, amount))


def add(carriage: Carriage, sums: Sums) -> None:
    """Add what a contribution says."""
    for name, days in sums.items():
        kind = name.split("|", 1)[0]
        for day, (n, total, greatest) in days.items():
            if kind in ("attribute", "value"):
                _merge(carriage.days.setdefault(name, {}), day, (n, 0, greatest))
            if kind != "attribute":
                _merge(carriage.weeks.setdefault(name, {}), day // 7, (n, total, 0))


def merge(sums: Sums, more: Sums) -> None:
    """Add the second to the first."""
    for name, days in more.items():
        known = sums.setdefault(name, {})
        for day, entry in days.items():
            _merge(known, day, entry)


def _merge(known: dict[int, list[int]], place: int, more: Iterable[int]) -> None:
    n, total, greatest = more
    entry = known.setdefault(place, [0, 0, 0])
    entry[0] += n
    entry[1] += total
    entry[2] = max(entry[2], greatest)


def prune(carriage: Carriage, today: int) -> bool:
    """Forget what is too old on ``today``; whether anything was forgotten."""
    days, weeks = carriage.days, carriage.weeks
    carriage.days, carriage.weeks = _since(days, today - LANE_DAYS), _since(weeks, today // 7 - WEEKS_KEPT)
    return carriage.days is not days or carriage.weeks is not weeks


def _since(sums: Sums, bound: int) -> Sums:
    """The entries after ``bound`` (days, or weeks, since 1970): ``sums`` itself, if all are."""
    if all(days and min(days) > bound for days in sums.values()):
        return sums
    kept = {name: {at: entry for at, entry in days.items() if at > bound} for name, days in sums.items()}
    return {name: days for name, days in kept.items() if days}


def attributes(carriages: Iterable[Carriage]) -> list[str]:
    """Attributes that any parcel carries, sorted."""
    return sorted({name.split("|", 1)[1] for one in carriages for name in one.days if name.startswith("attribute|")})
