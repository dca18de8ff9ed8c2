"""Forwarders: is what one of them hands over scanned late, or delivered empty, and what others hand over is not?

The parcels of a forwarder on one channel are a *pair*. Of a pair two clocks are judged: registered → accepted on the
slow side, against the hazards of the channel; and complaints about empty boxes on the frequent side, against the
channel's expectation times the pair's share of its parcels:

    ℓ_j = k ln ρ_j − (ρ_j − 1)(1 + 2m) q E        k seen, E expected of the channel, q the share

The pairs of a forwarder are added up as the channels of a group are (:mod:`monitor.core.groups`), the best witness
left out, so at least two channels must show it. A forwarder is named at ``group_page_ln_m`` if per expected event the
other pairs of the same channels show less than ``CONTRAST`` of what its own show: else the channel, its carrier or its
country is at fault. Nor is it named for what is over, or what one batch explains (:mod:`monitor.core.batches`). While
its incident is open, channels do not page for the same; what their first scans have shown counts no more when it is
over, and its parcels that are not scanned at all are set aside (:mod:`monitor.core.unseen`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Final

import numpy as np

from monitor.core import cells as c
from monitor.core import evidence as ev
from monitor.core.baseline import Floats, Ints
from monitor.core.channel import TOO_LATE_FOR_EVIDENCE
from monitor.core.facets import AGES, DAYS_KEPT, Facet
from monitor.core.groups import Day, Group, Membership, judge_groups
from monitor.core.incidents import NO_FIRST_SCAN, Incident, Joined, StockOf, note_severity, open_incident, pass_day
from monitor.core.params import Params
from monitor.core.rare import EMPTY_BOX, TIMES
from monitor.core.scope import channel_in, forwarder_scope, named_in
from monitor.core.unseen import add_up
from monitor.core.verdict import Judged
from monitor.core.vocabulary import CLOCKS, DAY_US

CONTRAST: Final = 0.4
LEAST_OTHERS: Final = (1.0, 0.01)  # expected events of the other pairs, lately, by clock: else nothing can be compared
SIGN: Final = 0.5  # CUSUM from which on a pair shows something of its own
RISING_LN_M: Final = 0.5
#: The judged clocks of a pair: places in what is judged of a channel.
PLACES: Final = (0, len(CLOCKS) + EMPTY_BOX)
#: Mode of a forwarder's incident → its place.
PLACE_OF: Final = {NO_FIRST_SCAN: PLACES[0], "empty_box": PLACES[1]}
_LOG_TIMES: Final = np.log(TIMES)
_TIMES_LESS_ONE: Final = np.array(TIMES) - 1


class Handovers:
    """Judges the forwarders after the channels of a day. ``put`` keeps a changed incident and says if it is news;
    ``begin_anew`` forgets what the first scans of a channel have shown so far."""

    def __init__(
        self,
        params: Params,
        facets: MutableMapping[str, Facet],
        groups: MutableMapping[str, Group],
        incidents: MutableMapping[str, Incident],
        put: Callable[[Incident, bool], None],
        begin_anew: Callable[[str], None],
    ) -> None:
        self._params = params
        self._facets = facets
        self._begin_anew = begin_anew
        self._groups = groups
        self._incidents = incidents
        self._put = put
        self._membership: Membership | None = None
        open_ = ((i.scope, id_) for id_, i in incidents.items() if is_forwarder(i.scope) and not i.closed_us)
        self._open: dict[str, str] = dict(open_)
        self._opened: dict[str, str] = {}  # those that were open before the day that is being judged

    def changed(self) -> None:
        """A pair is there that was not, or is there no more."""
        self._membership = None

    def explained(self) -> dict[tuple[str, str], str]:
        """(channel, mode) → id of the incident of a forwarder that explains it, whether it is a member or not.

        One that closes on the judged day explains it still: the day was weighed before its channels begin anew.
        """
        open_ = {scope: self._incidents[id_] for scope, id_ in (self._opened | self._open).items()}
        out = {}
        for pair in sorted(self._facets) if open_ else ():
            incident = open_.get(forwarder_of(pair)) if is_forwarder(pair) else None
            if incident is not None:
                out[channel_in(pair), incident.mode] = incident.incident_id
        return out

    def unseen(self) -> dict[str, Ints]:
        """Channel → parcels by age that wait for a first scan and are told by an open incident about first scans."""
        out: dict[str, Ints] = {}
        open_ = {scope for scope, id_ in self._open.items() if self._incidents[id_].mode == NO_FIRST_SCAN}
        for pair in self._membership.names if open_ and self._membership else ():
            if forwarder_of(pair) in open_:
                add_up(out, channel_in(pair), self._facets[pair].risk)
        return out

    def judge(
        self,
        day: int,
        at_us: int,
        may_page: bool,
        rows: Mapping[str, int],
        found: Day,
        is_batch: Callable[[int, list[str], Judged], bool],
        stock: StockOf,
    ) -> frozenset[str]:
        """Judge ``day``; the channels of forwarders whose evidence rises, so that their own pages had better wait.

        ``rows``: channel → its row in ``found``. ``is_batch``: whether one batch explains what some channels show.
        """
        self._opened = dict(self._open)
        if self._membership is None:
            self._membership = Membership(
                sorted(name for name in self._facets if is_forwarder(name)), lambda pair: [forwarder_of(pair)]
            )
        membership = self._membership
        pairs = [name for name in membership.names if channel_in(name) in rows]
        if len(pairs) != len(membership.names):
            membership = Membership(pairs, lambda pair: [forwarder_of(pair)])
        own: dict[str, list[int]] = {}
        for i, pair in enumerate(pairs):
            own.setdefault(forwarder_of(pair), []).append(i)
        if not pairs:
            self._pass_all({}, {}, day, at_us)
            return frozenset()
        facets = [self._facets[name] for name in pairs]
        channel = np.array([rows[channel_in(name)] for name in pairs])
        told, due = self._weigh(day, facets, channel, found)
        for name, facet in zip(pairs, facets, strict=True):
            self._facets[name] = facet
        verdicts = judge_groups(day, told, membership, self._groups, (), self._params.learn_ln_m, None)
        shown = {
            scope: sorted(channel_in(pairs[i]) for i in own[scope] if _shows(facets[i], verdict))
            for scope, verdict in verdicts.items()
        }
        known = set(self._open)
        self._pass_all(verdicts, shown, day, at_us)
        rising: set[str] = set()
        for scope, verdict in sorted(verdicts.items()):
            if scope not in known and verdict.ln_m >= RISING_LN_M:
                mine, members = own[scope], shown[scope]
                if not self._is_alone(PLACES.index(verdict.clock), verdict.alternative, mine, channel, facets, due):
                    continue
                if verdict.ln_m < self._params.group_page_ln_m:
                    if verdict.ln_m > self._groups[scope].before:
                        rising.update(members)
                elif may_page and len(members) > 1 and verdict.ln_m > self._groups[scope].before:
                    if PLACES.index(verdict.clock) == 0 and is_batch(day, members, verdict):
                        continue
                    self._raise(scope, verdict, members, day, at_us, stock)
        return frozenset(rising)

    def _weigh(self, day: int, facets: list[Facet], channel: Ints, found: Day) -> tuple[Day, Floats]:
        """Take the day from the pairs. The material of their groups, and the expected events ``[pair, clock]``."""
        n = len(facets)
        risk: Floats = np.array([facet.risk or [0] * AGES for facet in facets], dtype=np.float64)
        exits, gone = np.zeros((2, n, AGES))
        boxes = np.zeros(n)
        handed: Floats = np.array([sum(facet.days.values()) for facet in facets], dtype=np.float64)
        for i, facet in enumerate(facets):
            for key, count in facet.booked.pop(day, {}).items():
                kind, entry, last = c.split(key)
                age = day - entry
                if kind == c.ENTER:
                    risk[i, 0] += count
                elif kind == c.EMPTY_BOX_DAY:
                    boxes[i] += count if day - last <= TOO_LATE_FOR_EVIDENCE else 0
                elif age < AGES:
                    left = exits if kind == c.EXIT and day - last <= TOO_LATE_FOR_EVIDENCE else gone
                    left[i, age] += count
        stay = risk - exits - gone
        for facet, row in zip(facets, stay.astype(np.int64).tolist(), strict=True):
            facet.risk = [0, *row[:-1]]
        at_risk = np.maximum(risk - gone, 0.0)
        x = found.first[channel]
        told = Day(n)
        slow = ev.log_likelihood_ratios(at_risk[:, None], exits[:, None], x[:, None], np.ones((n, 1))).ell[:, 0]
        share = np.minimum(handed / np.maximum(found.handed[channel], 1.0), 1.0)
        expected = found.expected[channel, PLACES[1]] * share
        allowed = (1 + 2 * self._params.margin) * expected
        often = boxes[:, None] * _LOG_TIMES - allowed[:, None] * _TIMES_LESS_ONE
        due = np.stack([(at_risk * -np.expm1(-x)).sum(axis=-1), expected], axis=1)
        for place, (raw, seen) in zip(PLACES, ((slow, exits.sum(axis=-1)), (often, boxes)), strict=True):
            told.judged[:, place] = found.judged[channel, place] & (handed > 0)
            told.special[:, place] = found.special[channel, place]
            told.raw[:, place] = np.where(told.judged[:, place, None], raw, 0.0)
            told.exits[:, place] = seen
            told.expected[:, place] = due[:, PLACES.index(place)]
        _advance(facets, told, due)
        return told, np.array([facet.due for facet in facets])

    def _is_alone(
        self,
        clock: int,
        alternative: int,
        mine: list[int],
        channel: Ints,
        facets: list[Facet],
        due: Floats,
    ) -> bool:
        """Whether the other pairs of the same channels show much less, per expected event."""
        where = clock * len(ev.ALTERNATIVES) + alternative
        about = np.isin(channel, channel[mine])
        about[mine] = False
        others = np.flatnonzero(about)
        expected = float(due[others, clock].sum())
        own = sum(facets[i].cusum[where] for i in mine) / max(float(due[mine, clock].sum()), 1e-9)
        theirs = sum(facets[i].cusum[where] for i in others) / max(expected, 1e-9)
        return expected >= LEAST_OTHERS[clock] and theirs < CONTRAST * own

    def _raise(self, scope: str, verdict: Judged, members: list[str], day: int, at_us: int, stock: StockOf) -> None:
        incident = open_incident(scope, members, verdict, day, at_us)
        note_severity(incident, "page", verdict, at_us, stock(members, "page"))
        self._open[scope] = incident.incident_id
        self._put(incident, True)

    def _pass_all(self, verdicts: Mapping[str, Judged], shown: Mapping[str, list[str]], day: int, at_us: int) -> None:
        """A day of the open incidents, also of forwarders that hand over nothing any more; ``shown``: who shows it."""
        for scope in sorted(self._open):
            incident = self._incidents[self._open[scope]]
            new = [name for name in shown.get(scope, ()) if name not in incident.covers]
            self._pass(incident, verdicts.get(scope), new, day, at_us)

    def _pass(self, incident: Incident, verdict: Judged | None, new: list[str], day: int, at_us: int) -> None:
        """A day of an open incident: the ``new`` channels join; it is closed when it was calm for long enough."""
        before = incident.revision
        if new:
            incident.joined = [*incident.joined, *(Joined(name, at_us) for name in new)]
            incident.revision += 1
        calm = None if verdict is None else verdict.ln_m < self._params.close_ln_m
        pass_day(incident, calm, day, at_us, self._params)
        if incident.closed_us:
            del self._open[incident.scope]
            for name in incident.covers if incident.mode == NO_FIRST_SCAN else ():
                self._begin_anew(name)
        self._put(incident, incident.revision != before)


def _advance(facets: list[Facet], told: Day, due: Floats) -> None:
    """The CUSUM of every pair and its expected events of the last days, with today's ``[pair, clock]``; ``told`` gets
    the CUSUM before."""
    shape = len(facets), len(PLACES), len(ev.ALTERNATIVES)
    nothing = [0.0] * shape[1] * shape[2]
    before = np.array([facet.cusum or nothing for facet in facets]).reshape(shape)
    told.before[:, PLACES] = before
    cusum = np.maximum(before + told.raw[:, PLACES], 0.0).reshape(len(facets), -1)
    lately = ev.KEEP * np.array([facet.due or nothing[: len(PLACES)] for facet in facets]) + due
    for facet, sums, expected in zip(facets, cusum.tolist(), lately.tolist(), strict=True):
        facet.cusum = [round(one, 9) for one in sums]
        facet.due = [round(one, 9) for one in expected]


def _shows(facet: Facet, verdict: Judged) -> bool:
    """Whether a pair has something of its own to say for a verdict."""
    return facet.cusum[PLACES.index(verdict.clock) * len(ev.ALTERNATIVES) + verdict.alternative] > SIGN


def named(incidents: Mapping[str, Incident], day: int) -> dict[str, tuple[str, int]]:
    """Forwarder → its latest incident about first scans, and the last day (UTC day number) whose parcels it tells of:
    one that is over tells of those registered before it closed."""
    out = {}
    for id_, one in sorted(incidents.items(), key=lambda item: (item[1].known_us, item[0])):
        if is_forwarder(one.scope) and one.mode == NO_FIRST_SCAN:
            last = one.closed_us // DAY_US if one.closed_us else day
            if last > day - DAYS_KEPT:
                out[named_in(one.scope)] = id_, last
    return out


def is_forwarder(scope: str) -> bool:
    """Whether a scope is that of a forwarder, or of its parcels on one channel."""
    return scope.startswith("forwarder|")


def forwarder_of(pair: str) -> str:
    """The scope of the forwarder of a pair.

    >>> forwarder_of("forwarder|RU|tablet|post|swift")
    'forwarder||||swift'
    """
    return forwarder_scope(named_in(pair))
