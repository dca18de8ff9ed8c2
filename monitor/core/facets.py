"""What complaints and parcels count for besides their channel: the whole shop, a customer, a forwarder.

The parcel fold counts under *scopes* (:mod:`monitor.core.scope`) next to the cells of the channels. A scope
has three bars or more, a channel's id has two, so both travel in the same mapping of a contribution:

=============================  ==================================  =============================================
scope                          cell                                one for each complaint
=============================  ==================================  =============================================
``all|||``                     COMPLAINT_DAY, day opened           that is counted anywhere
``customer||||ID``             COMPLAINT_DAY, day opened           of the customer
``customer|CHANNEL|ID``        COMPLAINT_DAY, day opened           of the customer about parcels of the channel
``customer|CHANNEL|ID``        NOT_RECEIVED_DAY, EMPTY_BOX_DAY     likewise; the same cells that the channel counts
``channel|CHANNEL``, ``all``   SENTINEL, day opened, kind          of a kind of which one is enough
``forwarder|CHANNEL|NAME``     EMPTY_BOX_DAY                       of the kind, about parcels of a forwarder
``forwarder|CHANNEL|NAME``     ENTER, EXIT, CENSOR of clock 0      (one for each parcel of a forwarder on a channel)
``batch|CHANNEL|ID``           ENTER, EXIT, CENSOR of clock 0      (one for each parcel of a batch on a channel)
``batch||||ID``                PARCEL_DAY, day, forwarder          (one for each parcel of a batch, by registration)
=============================  ==================================  =============================================
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from monitor.core import cells as c
from monitor.core.scope import ALL, channel_in, channel_scope, customer_scope, forwarder_scope

#: Days that a facet remembers.
DAYS_KEPT: Final = 45
#: Ages (days) of parcels of a forwarder that wait for their first scan.
AGES: Final = 31
#: Kinds of complaint of which one is enough, and their numbers in the cell.
SENTINELS: Final = {"counterfeit": 0, "intellectual_property": 1}


class Facet(Struct):
    """State of one scope. Days are UTC day numbers.

    ``booked`` holds, by the day on which the channel has them judged, the cells that it counts too.
    """

    days: dict[int, int] = {}  # day opened → complaints
    booked: dict[int, dict[int, int]] = {}
    raised: list[int] = []  # days that belonged to a burst
    # Of a forwarder or a batch on a channel, whose ``days`` are those of registration (see monitor.core.handovers):
    risk: list[int] = []  # parcels without a first scan by age on the next day to be judged
    cusum: list[float] = []  # by clock and alternative
    due: list[float] = []  # by clock: expected events of the last days
    waited: list[float] = []  # of a batch: hazard that those without a first scan have gone through, by age
    forwarders: dict[int, int] = {}  # of a whole batch: number of a forwarder → parcels that it handed over

    @property
    def waits(self) -> bool:
        """Whether parcels wait for a first scan, or may have had it on a day to be judged."""
        return bool(self.booked) or any(self.risk)


def is_facet(name: str) -> bool:
    """Whether a name in a contribution is a scope, not a channel.

    >>> is_facet("RU|tablet|post"), is_facet("all|||")
    (False, True)
    """
    return name.count("|") > 2


def counted(channel: str, kind: str, customer: str, forwarder: str, day: int, cohort: int) -> list[tuple[str, int]]:
    """Where a complaint counts besides its channel: scopes, each with a cell.

    ``channel`` is empty if nobody knows it. ``day``: when it was opened; ``cohort``: when its parcel was registered.
    """
    opened = c.cell(c.COMPLAINT_DAY, day)
    out = [(ALL, opened)]
    if customer:
        out.append((customer_scope(customer), opened))
        if channel:
            pair = customer_scope(customer, channel)
            out.append((pair, opened))
            if kind in c.COMPLAINT_DAYS:
                out.append((pair, c.cell(c.COMPLAINT_DAYS[kind], cohort, max(day, cohort))))
    if forwarder and kind == "empty_box":
        out.append((forwarder_scope(forwarder, channel), c.cell(c.EMPTY_BOX_DAY, cohort, max(day, cohort))))
    if kind in SENTINELS:
        out.append((channel_scope(channel) if channel else ALL, c.cell(c.SENTINEL, day, SENTINELS[kind])))
    return out


def add(facet: Facet, changes: dict[int, int], open_day: int) -> int:
    """Apply signed changes of cells; returns how many sentinels are among them.

    ``open_day`` is the next day to be judged, as for :func:`monitor.core.channel.add`.
    """
    sentinels = 0
    clipped = open_day - AGES + 1
    for key, n in changes.items():
        kind, a, b = c.split(key)
        if kind in (c.COMPLAINT_DAY, c.PARCEL_DAY):
            _count(facet.days, a, n)
            if b:
                _count(facet.forwarders, b, n)
        elif kind == c.SENTINEL:
            sentinels += n
        elif kind == c.ENTER:
            _count(facet.days, a, n)
            if a > open_day:
                _count(facet.booked.setdefault(a, {}), key, n)
            elif a >= clipped:
                facet.risk = facet.risk or [0] * AGES
                facet.risk[open_day - a] += n
        else:
            _count(facet.booked.setdefault(max(b, open_day), {}), key, n)
    return sentinels


def prune(name: str, facet: Facet, window: int, open_day: int) -> bool:
    """Forget days up to ``window`` and cells that are judged; whether nothing is left. What keeps all is left alone.

    Of a batch on a channel nothing is left when all its parcels have had their first scan.
    """
    if facet.days and min(facet.days) <= window:
        facet.days = {day: n for day, n in facet.days.items() if day > window}
    if facet.booked and (min(facet.booked) < open_day or not all(facet.booked.values())):
        facet.booked = {day: cells for day, cells in facet.booked.items() if day >= open_day and cells}
    if facet.raised and facet.raised[0] <= window:
        facet.raised = [day for day in facet.raised if day > window]
    if name.startswith("batch|") and not facet.waits and channel_in(name) != "||":
        facet.days = {}
    return not (facet.days or facet.raised or facet.waits)


def _count(counts: dict[int, int], key: int, n: int) -> None:
    total = counts.get(key, 0) + n
    if total:
        counts[key] = total
    else:
        counts.pop(key, None)
