"""What the operator's calendar says of a judged day: which clocks of which channels are known to run slow, and why.

==============  ==============================================  ===================================================
kind            clocks, if the country is the origin            clocks, if it is the destination
==============  ==============================================  ===================================================
``holiday``     all but the last mile, end to end               the last mile, end to end
``surge``       all but the last mile, end to end               all
``cut_off``     registered → accepted, end to end               the same
``closure``     accepted → departed → arrived, end to end       departed → arrived → delivered, end to end
``strike``      all but the last mile, end to end               all
==============  ==============================================  ===================================================

Without a country both columns hold. A carrier (with or without its service) or a forwarder narrows a declaration to the
channels it serves. End to end, a declaration holds ``UNDERWAY_DAYS`` longer: so long the parcels that waited are on
their way. ``working_day`` takes the day out of the known windows of a country, or of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from monitor.core.calendar import UNDERWAY_DAYS
from monitor.core.declared import Declaration
from monitor.core.handovers import forwarder_of, is_forwarder
from monitor.core.scope import channel_in, forwarder_scope
from monitor.core.vocabulary import CLOCKS, END_TO_END, ORIGIN

STRUCK: Final = "|"  # no pool: the clock is not compared with anything; no id of a calendar, which stands behind a ":"
_ALL: Final = tuple(range(len(CLOCKS)))
_AT_ORIGIN: Final = (0, 1, 2, 4)
#: Kind → clocks concerned at the origin, and at the destination.
_CLOCKS: Final[dict[str, tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "holiday": (_AT_ORIGIN, (3, 4)),
    "surge": (_AT_ORIGIN, _ALL),
    "cut_off": ((0, 4), (0, 4)),
    "closure": ((1, 2, 4), (2, 3, 4)),
    "strike": (_AT_ORIGIN, _ALL),
}


class DeclaredWindows:
    """The declarations that hold on ``day``. ``scopes``: those of facets, which say whom a forwarder serves."""

    def __init__(self, day: int, calendar: Mapping[str, Declaration], scopes: Iterable[str] = ()) -> None:
        begun = [calendar[id_] for id_ in sorted(calendar) if calendar[id_].first_day <= day]
        today = [one for one in begun if day <= one.last_day]
        #: Countries that work on this day, whatever is known of its holidays; "" stands for all.
        self.working = frozenset(one.country for one in today if one.kind == "working_day")
        self._today = [one for one in begun if one.kind in _CLOCKS and day <= one.last_day + UNDERWAY_DAYS]
        self._day = day
        wanted = {forwarder_scope(one.forwarder) for one in self._today if one.forwarder}
        self._served: dict[str, set[str]] = {scope: set() for scope in sorted(wanted)}
        for scope in scopes if wanted else ():
            if is_forwarder(scope) and forwarder_of(scope) in wanted:
                self._served[forwarder_of(scope)].add(channel_in(scope))

    def of(self, channel: str) -> dict[int, str]:
        """Clock → the pool of channels that it is compared in, for the clocks concerned; ``STRUCK`` for none.

        Of several declarations a strike counts, else that of the least id.
        """
        if not self._today:
            return {}
        pools: dict[int, str] = {}
        country, _, part = channel.split("|")
        for one in self._today:
            if one.carrier not in ("", part, part.split("/", 1)[0]):
                continue
            if one.forwarder and channel not in self._served[forwarder_scope(one.forwarder)]:
                continue
            origin, destination = _CLOCKS[one.kind]
            clocks = origin if one.country in ("", ORIGIN) else ()
            clocks += destination if one.country in ("", country) else ()
            for clock in clocks if self._day <= one.last_day else {END_TO_END} & {*clocks}:
                if one.kind == "strike" and self._day <= one.last_day:
                    pools[clock] = STRUCK
                else:
                    pools.setdefault(clock, ":" + one.calendar_id)
        return pools

    def is_struck(self, channel: str) -> bool:
        """Whether clocks of the channel are not judged because of a strike."""
        return STRUCK in self.of(channel).values()


NONE: Final = DeclaredWindows(0, {})
