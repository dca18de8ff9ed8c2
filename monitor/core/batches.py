"""Hand-over batches: one of which many parcels get no first scan, while what was handed over beside it does.

The parcels of a batch on one channel are a *pair*. With x the least hazards of a first scan of the days that a parcel
waited (days in holiday windows count nothing), S = exp(−Σ x) is the chance that it has none yet, and what is *missing*
of a pair are its parcels without a scan beyond Σ S. A batch is named in two ways:

- **Instead of what it explains.** A channel (or a forwarder) is about to be paged for missing first scans, and of what
  is missing there one batch is missing ``SHARE`` or more: the page goes to the batch. What it explained of a channel is
  no evidence any more when it is over.
- **Overdue.** L = (S − π) / (1 − π) is the chance that a parcel that is ever scanned waits so long; π = exp(−Σ x over
  all ages) are never scanned. Parcels of a batch lie in one sack, so they are one witness of lateness: L is the chance
  that the sack is late by nature. That so many are never scanned has the upper tail of a negative binomial
  distribution around Σ π. The sum p of both gives the evidence, −ln p: a ticket for ``LEAST`` parcels with
  L ≤ ``TICKET`` that are ``LEAST_SHARE`` of the batch, a page for ``PAGE`` of them at ``PAGE_CHANCE``. What else its
  channels were handed in these days must be scanned as ever (``CONTRAST``), else the fault is wider.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core import cells as c
from monitor.core.baseline import Floats, Ints
from monitor.core.bursts import ln_upper_tail
from monitor.core.channel import Channel
from monitor.core.facets import AGES, Facet
from monitor.core.groups import Day
from monitor.core.incidents import (
    NO_FIRST_SCAN,
    Incident,
    StockOf,
    note_severity,
    open_incident,
    pass_day,
    reaches_page,
)
from monitor.core.params import Params
from monitor.core.scope import batch_scope, channel_in, forwarder_scope, named_in
from monitor.core.unseen import add_up
from monitor.core.verdict import Judged
from monitor.core.vocabulary import CLOCKS

SHARE: Final = 0.6
TICKET: Final = 1e-3
PAGE_CHANCE: Final = 1e-4
LEAST: Final = 5  # missing or overdue parcels
PAGE: Final = 30
LEAST_SHARE: Final = 0.2  # of the batch
CONTRAST: Final = 0.4  # the others' share without a scan, by that of the batch
LEAST_OTHERS: Final = 5
AROUND_DAYS: Final = 7  # others registered up to so many days before the batch are compared with it
CV2: Final = 0.05  # by how much batches differ in what is never scanned


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs that wait for first scans after a judged day. Arrays are ``[pair, age]``.

    ``handed``: parcels handed over; ``unscanned`` of them; ``waited``: Σ x; ``first``: hazards of the day.
    """

    names: list[str]
    handed: Ints
    unscanned: Ints
    waited: Floats
    first: Floats

    @property
    def chance(self) -> Floats:
        """S."""
        found: Floats = np.exp(-self.waited)
        return found

    @property
    def missing(self) -> Floats:
        """Parcels without a scan beyond those that should have none, ``[pair]``."""
        found: Floats = (self.unscanned - self.handed * self.chance).sum(axis=1)
        return found

    @property
    def never(self) -> Floats:
        """π, ``[pair, 1]``."""
        found: Floats = np.exp(-self.first.sum(axis=1))[:, None]
        return found

    def by_batch(self, rows: Iterable[int]) -> dict[str, list[int]]:
        """Scope of a batch → those of its ``rows``."""
        out: dict[str, list[int]] = {}
        for row in rows:
            out.setdefault(batch_of(self.names[row]), []).append(row)
        return out


@dataclass(frozen=True, slots=True)
class Found:
    """Why a batch is named. ``rows``: its pairs that show it; ``parcels`` without a scan of those ``handed`` over, of
    which ``expected`` should have none yet."""

    rows: list[int]
    parcels: int
    handed: int
    expected: float
    ln_m: float
    since_day: int
    is_page: bool

    def verdict(self) -> Judged:
        """It as evidence: parcels scanned, and those that should have been."""
        return Judged(self.ln_m, 0, 0, float(self.handed - self.parcels), self.handed - self.expected, self.since_day)


class Batches:
    """Judges the batches of a day. ``put`` keeps a changed incident and says if it is news; ``begin_anew`` forgets what
    the first scans of a channel have shown so far."""

    def __init__(
        self,
        params: Params,
        facets: MutableMapping[str, Facet],
        channels: Mapping[str, Channel],
        incidents: MutableMapping[str, Incident],
        put: Callable[[Incident, bool], None],
        begin_anew: Callable[[str], None],
    ) -> None:
        self._params = params
        self._facets = facets
        self._channels = channels
        self._begin_anew = begin_anew
        self._incidents = incidents
        self._put = put
        self._known: list[str] | None = None
        self._pairs = _no_pairs()  # of the day that is being judged
        self._rows: Mapping[str, int] = {}
        self._first = self._pairs.first
        self._named: Mapping[str, tuple[str, int]] = {}  # see monitor.core.handovers.named
        self._blamed: dict[str, float] = {}  # batches to be paged instead of what they explain, with the evidence
        open_ = ((one.scope, id_) for id_, one in incidents.items() if is_batch(one.scope) and not one.closed_us)
        self._open: dict[str, str] = dict(open_)

    def changed(self) -> None:
        """A pair is there that was not, or is there no more."""
        self._known = None

    def weigh(self, day: int, rows: Mapping[str, int], found: Day) -> None:
        """Take ``day`` from the pairs. ``rows``: channel → its row in ``found``."""
        self._blamed, self._rows, self._first = {}, rows, found.first
        if self._known is None:
            self._known = sorted(name for name in self._facets if is_batch(name) and channel_in(name) != "||")
        names = [name for name in self._known if channel_in(name) in rows and self._facets[name].waits]
        if not names:
            self._pairs = _no_pairs()
            return
        channel = np.array([rows[channel_in(name)] for name in names])
        first, judged = found.first[channel], found.judged[channel, 0] & ~found.special[channel, 0]
        handed, unscanned = np.zeros((2, len(names), AGES), dtype=np.int64)
        waited = np.zeros((len(names), AGES))
        for i, name in enumerate(names):
            facet = self._facets[name]
            if facet.risk:
                unscanned[i] = facet.risk
            if facet.waited:
                waited[i] = facet.waited
            for key, count in facet.booked.pop(day, {}).items():
                kind, entry, _ = c.split(key)
                if 0 <= day - entry < AGES:
                    unscanned[i, day - entry] += count if kind == c.ENTER else -count
            for entry, count in facet.days.items():
                if 0 <= day - entry < AGES:
                    handed[i, day - entry] = count
        unscanned = np.maximum(unscanned, 0)
        waited = (waited + np.where(judged[:, None] & (handed > 0), first, 0.0)).round(6)
        for name, left, sums in zip(names, unscanned.tolist(), waited.tolist(), strict=True):
            facet = self._facets[name]
            some = any(left[:-1])
            facet.risk = [0, *left[:-1]] if some else []
            facet.waited = [0.0, *sums[:-1]] if some else []
            self._facets[name] = facet
        self._pairs = Pairs(names, handed, unscanned, waited, first)

    def explains(self, day: int, channels: Iterable[str], verdict: Judged) -> bool:
        """Whether one batch explains why ``channels`` are to be paged for missing first scans; then it is paged."""
        missing, about = self._pairs.missing, set(channels)
        bound = max(SHARE * sum(self._short(day, name) for name in about), LEAST)
        rows = [row for row in np.flatnonzero(missing > 0).tolist() if channel_in(self._pairs.names[row]) in about]
        for scope, mine in sorted(self._pairs.by_batch(rows).items()):
            if float(missing[mine].sum()) >= bound:
                self._blamed[scope] = max(verdict.ln_m, self._blamed.get(scope, 0.0))
                return True
        return False

    def _short(self, day: int, name: str) -> float:
        """Parcels of a channel without a first scan beyond those that should have none yet, batches or not."""
        channel, handed = self._channels[name], np.zeros(AGES)
        for age in range(AGES):
            handed[age] = _registered(channel, day - age)
        chance = np.exp(-np.cumsum(self._first[self._rows[name]]))
        return max(float((channel.risk[0, 1 : AGES + 1] - handed * chance).sum()), 0.0)

    def judge(
        self,
        day: int,
        at_us: int,
        may_page: bool,
        verdicts: Mapping[str, Judged],
        named: Mapping[str, tuple[str, int]],
        rising: frozenset[str],
        stock: StockOf,
    ) -> dict[tuple[str, str], str]:
        """Open, change and close incidents; (channel, mode) → id of the open one of a batch that explains it.

        ``verdicts`` of channels; ``named``: see :func:`monitor.core.handovers.named`; ``rising``: channels for which an
        incident of a forwarder may soon be raised.
        """
        pairs = self._pairs
        missing = pairs.missing
        self._named = named
        about_scans = {name: one for name, one in verdicts.items() if one.clock == 0}
        if may_page:
            for name, verdict in sorted(about_scans.items()):
                if reaches_page(verdict, 0, self._params):
                    self.explains(day, [name], verdict)
        wider = self._wider()
        free = np.array([channel_in(name) not in wider for name in pairs.names], dtype=bool)
        told = self._overdue(day, free) if pairs.names else {}
        told |= {scope: self._missing(day, scope, missing, free, ln_m) for scope, ln_m in self._blamed.items()}
        for scope, found in sorted(told.items()):
            members = sorted(channel_in(pairs.names[row]) for row in found.rows)
            if scope in self._open:
                self._escalate(scope, found, at_us, may_page, stock)
            elif members and not self._told_by(scope) and (scope in self._blamed or not rising.issuperset(members)):
                self._raise(scope, found, members, day, at_us, may_page, stock)
        explained: dict[tuple[str, str], str] = {}
        of = pairs.by_batch(range(len(pairs.names)))
        for scope in sorted(self._open):
            rows, incident = of.get(scope, []), self._incidents[self._open[scope]]
            row_of = {channel_in(pairs.names[row]): row for row in rows}
            for name in sorted(about_scans):
                row = row_of.get(name)
                if name in incident.members if row is None else missing[row] >= SHARE * self._short(day, name):
                    explained[name, NO_FIRST_SCAN] = incident.incident_id
            self._pass(scope, rows, missing, day, at_us)
            if incident.closed_us:
                for name in incident.members:
                    if (name, NO_FIRST_SCAN) in explained:
                        self._begin_anew(name)
        return explained

    def unseen(self) -> dict[str, Ints]:
        """Channel → parcels by age, on the next day, that wait for a first scan and are told by an open incident."""
        out: dict[str, Ints] = {}
        for name in self._pairs.names:
            if batch_of(name) in self._open:
                add_up(out, channel_in(name), self._facets[name].risk)
        return out

    def _told_by(self, scope: str) -> str:
        """The incident that names the forwarder that alone handed over the batch; empty if there is none."""
        batch = self._facets.get(scope)
        if batch is None or len(batch.forwarders) != 1 or not batch.days:
            return ""
        first, (own,) = min(batch.days), batch.forwarders
        told = (id_ for name, (id_, last) in self._named.items() if c.forwarder_number(name) == own and first <= last)
        return next(told, "")

    def _wider(self) -> set[str]:
        """Channels of which another open incident than a forwarder's says that first scans are missing."""
        return {
            name
            for _, one in sorted(self._incidents.items())
            if not one.closed_us and one.scope.split("|", 1)[0] not in ("batch", "forwarder")
            if one.mode == NO_FIRST_SCAN or one.clock == CLOCKS[0]
            for name in one.covers
        }

    def _missing(self, day: int, scope: str, missing: Floats, free: NDArray[np.bool_], ln_m: float) -> Found:
        """What is missing of a batch that is paged instead of what it explains."""
        pairs = self._pairs
        rows = [row for row in pairs.by_batch(np.flatnonzero(free).tolist()).get(scope, []) if missing[row] >= 1]
        parcels, handed = int(pairs.unscanned[rows].sum()), int(pairs.handed[rows].sum())
        expected = float((pairs.handed[rows] * pairs.chance[rows]).sum())
        ages = np.flatnonzero(pairs.unscanned[rows].any(axis=0))
        return Found(rows, parcels, handed, expected, ln_m, day - int(ages[-1]) if ages.size else day, True)

    def _overdue(self, day: int, free: NDArray[np.bool_]) -> dict[str, Found]:
        """Scope of a batch → what is overdue of it; batches of which too little is are left out."""
        pairs = self._pairs
        never = pairs.never
        late = np.clip((pairs.chance - never) / np.maximum(1 - never, 1e-9), 0.0, 1.0)
        over = np.where((late <= TICKET) & free[:, None], pairs.unscanned, 0)
        out = {}
        for scope, rows in pairs.by_batch(np.flatnonzero(over.any(axis=1)).tolist()).items():
            mine = over[rows]
            parcels = int(mine.sum())
            ages = np.flatnonzero(mine.any(axis=0))
            whole = self._facets.get(scope)
            entries = {} if whole is None else whole.days
            handed = max(sum(n for entry, n in entries.items() if day - ages[-1] <= entry <= day - ages[0]), parcels)
            if parcels < LEAST or parcels < LEAST_SHARE * handed:
                continue
            if not self._is_alone(day, rows, parcels / handed, int(ages[-1])):
                continue
            by_nature = float((mine * late[rows]).sum()) / parcels
            mean = handed * float((mine * never[rows]).sum()) / parcels
            chance = min(by_nature + (math.exp(ln_upper_tail(parcels, mean, CV2)) if mean > 1e-9 else 0.0), 1.0)
            expected = handed * float((mine * pairs.chance[rows]).sum()) / parcels
            is_page = parcels >= PAGE and chance <= PAGE_CHANCE
            ln_m = -math.log(max(chance, 1e-300))
            out[scope] = Found(rows, parcels, handed, expected, ln_m, day - int(ages[-1]), is_page)
        return out

    def _is_alone(self, day: int, rows: Iterable[int], share: float, oldest: int) -> bool:
        """Whether what else the channels of some pairs were handed in these days is scanned; ``share`` of the batch
        is not, its ``oldest`` parcels are so many days old. Forwarders that are named for theirs are left out."""
        pairs = self._pairs
        others = missing = 0
        for row in rows:
            name = pairs.names[row]
            channel = self._channels[channel_in(name)]
            waiting = channel.risk[0]
            named = [(forwarder_scope(one, channel_in(name)), last) for one, (_, last) in self._named.items()]
            apart = [(self._facets[pair], last) for pair, last in named if pair in self._facets]
            half = np.flatnonzero(np.cumsum(pairs.first[row]) >= math.log(2))  # half of those so old are scanned
            for age in range(int(half[0]) if half.size else AGES, min(oldest + AROUND_DAYS, AGES - 2) + 1):
                told = [facet for facet, last in apart if day - age <= last]
                out = sum(facet.days.get(day - age, 0) for facet in told)
                others += max(_registered(channel, day - age) - int(pairs.handed[row, age]) - out, 0)
                out = sum(facet.risk[age + 1] for facet in told if facet.risk)
                missing += max(int(waiting[age + 1]) - int(pairs.unscanned[row, age]) - out, 0)
        return others >= LEAST_OTHERS and missing < CONTRAST * share * others

    def _raise(
        self, scope: str, found: Found, members: list[str], day: int, at_us: int, may_page: bool, stock: StockOf
    ) -> None:
        incident = open_incident(scope, members, found.verdict(), day, at_us)
        self._note(incident, "page" if may_page and found.is_page else "ticket", found, at_us, stock)
        self._open[scope] = incident.incident_id
        self._put(incident, True)

    def _escalate(self, scope: str, found: Found, at_us: int, may_page: bool, stock: StockOf) -> None:
        incident = self._incidents[self._open[scope]]
        if incident.severity != "page" and may_page and found.is_page and not incident.absorbed_by:
            self._note(incident, "page", found, at_us, stock)
            self._put(incident, True)

    @staticmethod
    def _note(incident: Incident, severity: str, found: Found, at_us: int, stock: StockOf) -> None:
        """What stands now; the parcels at risk are those of the batch, of all that its channels hold."""
        note_severity(incident, severity, found.verdict(), at_us, stock(incident.members, severity))
        incident.parcels_at_risk = found.parcels

    def _pass(self, scope: str, rows: list[int], missing: Floats, day: int, at_us: int) -> None:
        """A day of an open incident: a forwarder's may explain it; it is closed when little is missing any more."""
        incident = self._incidents[self._open[scope]]
        before = incident.revision
        wider = self._told_by(scope)
        if wider and not incident.absorbed_by:
            incident.absorbed_by = wider
            incident.revision += 1
        short = float(missing[rows].sum())
        calm = short < LEAST or short < LEAST_SHARE / 2 * float(self._pairs.handed[rows].sum())
        pass_day(incident, calm, day, at_us, self._params)
        if incident.closed_us:
            del self._open[scope]
        self._put(incident, incident.revision != before)


def _registered(channel: Channel, cohort: int) -> int:
    """Parcels of a channel that were registered on a day."""
    return sum(n for key, n in channel.recent.get(cohort, {}).items() if key >> 40 == c.REGISTERED)


def _no_pairs() -> Pairs:
    none = np.zeros((0, AGES))
    return Pairs([], none.astype(np.int64), none.astype(np.int64), none, none)


def is_batch(scope: str) -> bool:
    """Whether a scope is that of a batch, or of its parcels on one channel."""
    return scope.startswith("batch|")


def batch_of(pair: str) -> str:
    """The scope of the batch of a pair.

    >>> batch_of("batch|RU|tablet|post|swift-0301")
    'batch||||swift-0301'
    """
    return batch_scope(named_in(pair))
