"""Alerts on complaints themselves, at the tick at which they become known: bursts, the customer behind one, sentinels.

**Burst.** With the complaints of the ``WEEKS`` weeks before (days of earlier bursts left out) as history, of mean μ and
k in all, the number of a day that is like them is taken to be negative binomial with mean μ and

    variance = μ + μ² · (cv² + 1 / (k + ½))

the Gamma–Poisson predictive distribution, widened by the days' own squared coefficient of variation cv² beyond
Poisson's. A day is a burst when the chance of so many or more is below exp(−``page_ln_m``) and there are
``LEAST`` of them and ``TIMES`` times as many as usual (a Shewhart chart for counts; the number grows during the day, so
it can alarm at any tick of it).

**Customer.** The same chart runs for every customer, for days and for ``WINDOW_DAYS`` together. A burst counts where
most of what is beyond the usual about the same channels (``ALONE``) is its own: then that customer alone explains it,
is named, and its complaints are taken from the evidence of its channels. What is left of the day is looked at for a
burst of all; while there is one, complaints are no evidence against a channel.

**Sentinel.** Of some kinds of complaint one is enough; the incident stays until a person acknowledges it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from monitor.core import cells as c
from monitor.core.channel import Channel
from monitor.core.facets import Facet
from monitor.core.incidents import Incident, StockOf, note_severity, open_about
from monitor.core.params import Params
from monitor.core.scope import ALL, channel_of, customer_scope, named_in
from monitor.core.verdict import Judged

WEEKS: Final = 4
BASE_DAYS: Final = 7 * WEEKS
LEAST: Final = 8  # complaints of a day
WINDOW_DAYS: Final = 7  # of a customer, whose complaints may come over some days
TIMES: Final = 3.0
CUSTOMER_CV2: Final = 0.25
ALL_CV2: Final = 0.05  # at least
ALONE: Final = 0.75  # of all complaints about its channels beyond the usual, a customer's that explain them
RELEARN_DAYS: Final = 21  # what lasts for longer is how it is now

Counts = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Burst:
    """A day with more complaints than its history explains: their number, the usual one, −ln of the chance."""

    day: int
    seen: int
    usual: float
    surprise: float


def find_burst(day: int, seen: int, history: list[int], least_cv2: float, needed: float, days: int = 1) -> Burst | None:
    """A burst of ``seen`` complaints on ``days`` days from ``day`` on after daily counts ``history``, or None.

    ``needed`` is −ln of the chance.
    """
    if seen < LEAST or not history:
        return None
    k, n = sum(history), len(history)
    usual = days * (k + 0.5) / n
    if seen < TIMES * usual:
        return None
    mean = k / n
    over = sum((x - mean) ** 2 for x in history) / n - mean
    cv2 = max(over / mean**2, least_cv2) if mean else least_cv2
    surprise = -ln_upper_tail(seen, usual, cv2 + 1 / (k + 0.5))
    return Burst(day, seen, round(usual, 6), round(surprise, 6)) if surprise >= needed else None


def ln_upper_tail(n: int, mean: float, cv2: float) -> float:
    """ln P(N ≥ n) of a negative binomial with this mean and variance mean + mean² · cv².

    >>> round(ln_upper_tail(1, 1.0, 1.0), 6)  # geometric: P(N >= 1) = 1/2
    -0.693147
    """
    size = 1 / cv2
    ln_p, ln_q = math.log(mean / (size + mean)), math.log(size / (size + mean))
    term = math.lgamma(size + n) - math.lgamma(size) - math.lgamma(n + 1) + size * ln_q + n * ln_p
    top, total = term, 0.0
    x = n
    while term > top - 40 or x < mean:
        total += math.exp(term - top)
        term += math.log((size + x) / (x + 1)) + ln_p
        top, total = (term, total * math.exp(top - term)) if term > top else (top, total)
        x += 1
    return top + math.log(total)


class Bursts:
    """The incidents about complaints themselves. ``put`` keeps a changed incident, and says so if it is news."""

    def __init__(
        self,
        params: Params,
        facets: MutableMapping[str, Facet],
        channels: MutableMapping[str, Channel],
        incidents: MutableMapping[str, Incident],
        put: Callable[[Incident, bool], None],
    ) -> None:
        self._params = params
        self._facets = facets
        self._channels = channels
        self._incidents = incidents
        self._put = put
        self._pairs: dict[str, set[str]] = {}  # scope of a customer → its scopes per channel
        for name in facets:
            self.know(name)
        self._named = {name for name in self._pairs if name in facets and facets[name].raised}  # customers
        self._open = {(i.scope, i.mode): id_ for id_, i in incidents.items() if is_told(i) and not i.closed_us}

    @property
    def waits(self) -> bool:
        """Whether time alone can close an incident."""
        return any(mode != "sentinel" for _, mode in self._open)

    def know(self, name: str) -> None:
        """A facet is there."""
        kind, _, rest = name.partition("|")
        if kind == "customer":
            country, product, part, customer = rest.split("|", 3)
            pairs = self._pairs.setdefault(customer_scope(customer), set())
            if part:
                pairs.add(f"{country}|{product}|{part}")

    def forget(self, name: str) -> None:
        """A facet is there no more."""
        kind, _, rest = name.partition("|")
        if kind == "customer":
            country, product, part, customer = rest.split("|", 3)
            self._pairs[customer_scope(customer)].discard(f"{country}|{product}|{part}")
            self._named.discard(name)

    def is_hushed(self, day: int) -> bool:
        """Whether complaints of ``day`` are no evidence against a channel: there is a burst of all."""
        whole = self._facets.get(ALL)
        return whole is not None and day in whole.raised

    def after_tick(
        self,
        at_us: int,
        today: int,
        log_days: int,
        touched: Iterable[str],
        sentinels: Mapping[str, int],
        stock: StockOf,
    ) -> None:
        """Judge the tick that ends at ``at_us``, in the UTC day ``today``.

        ``touched``: scopes that were counted in; ``sentinels``: scope → complaints of which one is enough.
        """
        severity = "page" if log_days >= self._params.shadow_days else "ticket"
        self._sentinels(at_us, today, sentinels, stock)
        if log_days >= BASE_DAYS:
            scopes = sorted(name for name in touched if name in self._pairs or name == ALL)
            for day in (today - 1, today):
                for name in scopes:
                    if name != ALL:
                        self._judge(name, day, at_us, severity, stock)
                if ALL in scopes:
                    self._judge(ALL, day, at_us, severity, stock)
        self._close(at_us, today)
        for name, mode in self._open:
            if mode != "sentinel" and name != ALL:
                self._withdraw(name)

    # -- sentinels ---------------------------------------------------------------------------------------------

    def _sentinels(self, at_us: int, today: int, found: Mapping[str, int], stock: StockOf) -> None:
        for (name, mode), id_ in sorted(self._open.items()):
            incident = self._incidents[id_]
            if mode == "sentinel" and any(note.what in ("ack", "done") for note in incident.notes):
                incident.closed_us = at_us
                incident.revision += 1
                self._put(incident, True)
                del self._open[name, mode]
        for name in sorted(found):
            if found[name] > 0 and (name, "sentinel") not in self._open:
                channel = channel_of(name)
                members = [] if channel is None else [channel]
                what = Burst(today, found[name], 0.0, 0.0)
                self._raise(name, "sentinel", members, what, at_us, "page", stock)

    # -- bursts ------------------------------------------------------------------------------------------------

    def _judge(self, name: str, day: int, at_us: int, severity: str, stock: StockOf) -> None:
        facet, spans = self._facets[name], (1,) if name == ALL else (1, WINDOW_DAYS)
        if sum(facet.days.get(d, 0) for d in range(day - spans[-1] + 1, day + 1)) < LEAST:
            return
        incident = self._incidents.get(self._open.get((name, "complaints"), ""))
        if incident is not None and day - incident.since_day >= RELEARN_DAYS:
            return
        counts = self._without_named(facet.days) if name == ALL else facet.days
        least = ALL_CV2 if name == ALL else CUSTOMER_CV2
        for days in spans:
            first = day - days + 1
            base = [d for d in range(first - BASE_DAYS - 1, first - 1) if d not in facet.raised]
            seen, history = sum(counts.get(d, 0) for d in range(first, day + 1)), [counts.get(d, 0) for d in base]
            burst = find_burst(first, seen, history, least, self._params.page_ln_m, days)
            if burst is not None and (name == ALL or self._is_alone(name, burst, base, days)):
                break
        else:
            return
        new = [d for d in range(first, day + 1) if counts.get(d, 0) and d not in facet.raised]
        if new:
            facet.raised = sorted([*facet.raised, *new])
            self._facets[name] = facet
            if name != ALL:
                self._named.add(name)
        if incident is None:
            key = c.COMPLAINT_DAY << 40
            concerned = self._channels if name == ALL else self._pairs[name]
            members = sorted(
                one
                for one in concerned
                if (channel := self._channels.get(one)) is not None
                and any(channel.recent.get(d, {}).get(key) for d in range(first, day + 1))
            )
            self._raise(name, "complaints", members, burst, at_us, severity, stock)

    def _without_named(self, days: Counts) -> Counts:
        """Complaints by day without those of customers on the days on which they alone explain a burst."""
        out = dict(days)
        for name in sorted(self._named):
            facet = self._facets[name]
            for day in facet.raised:
                out[day] = max(out.get(day, 0) - facet.days.get(day, 0), 0)
        return out

    def _is_alone(self, name: str, burst: Burst, base: list[int], days: int) -> bool:
        """Whether the complaints beyond the usual about the customer's channels are mostly its own."""
        key = c.COMPLAINT_DAY << 40
        customer, pairs = named_in(name), sorted(self._pairs[name])
        mine = [self._facets[customer_scope(customer, one)].days for one in pairs]
        whole = [channel.recent for one in pairs if (channel := self._channels.get(one)) is not None]

        def others(day: int) -> int:
            return sum(days.get(day, {}).get(key, 0) for days in whole) - sum(days.get(day, 0) for days in mine)

        now = sum(map(others, range(burst.day, burst.day + days)))
        theirs = max(now - days * sum(map(others, base)) / len(base), 0.0)
        return burst.seen - burst.usual >= ALONE * (burst.seen - burst.usual + theirs)

    def _close(self, at_us: int, today: int) -> None:
        """Close what has been calm for long enough."""
        for (name, mode), id_ in sorted(self._open.items()):
            if mode == "sentinel":
                continue
            facet, incident = self._facets.get(name), self._incidents[id_]
            last = max([incident.since_day, *(() if facet is None else facet.raised)])
            if today - last > self._params.close_days:
                incident.closed_us = at_us
                incident.revision += 1
                self._put(incident, True)
                del self._open[name, mode]

    def _withdraw(self, name: str) -> None:
        """Take the complaints of a named customer that are not judged yet from the evidence of its channels."""
        customer = named_in(name)
        for one in sorted(self._pairs.get(name, ())):
            pair = customer_scope(customer, one)
            facet, channel = self._facets[pair], self._channels.get(one)
            if channel is None or not facet.booked:
                continue
            for day, cells in facet.booked.items():
                booked = channel.booked.get(day)
                for cell, n in cells.items() if booked is not None else ():
                    left = booked.get(cell, 0) - n  # type: ignore[union-attr]
                    if left > 0:
                        booked[cell] = left  # type: ignore[index]
                    else:
                        booked.pop(cell, None)  # type: ignore[union-attr]
            facet.booked = {}
            self._facets[pair] = facet
            self._channels[one] = channel

    def _raise(
        self, name: str, mode: str, members: list[str], burst: Burst, at_us: int, severity: str, stock: StockOf
    ) -> None:
        incident = open_about(name, mode, members, burst.day, at_us)
        verdict = Judged(burst.surprise, 0, 0, float(burst.seen), burst.usual, burst.day)
        note_severity(incident, severity, verdict, at_us, stock(members, ""))
        self._open[name, mode] = incident.incident_id
        self._put(incident, True)


def is_told(incident: Incident) -> bool:
    """Whether an incident is one of these."""
    return incident.mode == "sentinel" or incident.scope == ALL or incident.scope.startswith("customer|")
