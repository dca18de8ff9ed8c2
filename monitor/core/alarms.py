"""Who is named: after a judged day, one incident for what channels share instead of one for each of them.

1. An open incident of a group takes in those of its channels that become suspicious; none of them has a page of its own
   meanwhile, and an incident it already has is absorbed. It closes when the group and all its channels are calm.
2. When a channel reaches the page level, or a group does, the groups concerned are looked at. A group is likelier at
   fault than one channel alone if its other channels say so of late with ``shared_fit`` at least
   (:mod:`monitor.core.groups`), or with as much of M as pages it, and two show signs of their own. The page goes to
   the group whose channels agree best with a fault of all of them; of those within ``NEAR`` of it, to the widest; if
   there is none, to the channel.
3. A group reaches the page level by its trimmed evidence M, or if its other channels say ``group_page_fit`` of late
   and M is at ``corroborate_ln_m`` or above.
4. While the evidence of a forwarder rises that may soon explain it, a channel's page waits, for ``WAIT_DAYS`` at most;
   what has waited is paged then, unless its evidence has fallen below a ticket's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Set
from functools import partial
from typing import Final

from monitor.core.batches import is_batch
from monitor.core.bursts import is_told
from monitor.core.channel import LATE
from monitor.core.groups import Group, Membership
from monitor.core.handovers import PLACE_OF, is_forwarder
from monitor.core.incidents import (
    Incident,
    Joined,
    StockOf,
    judge_incident,
    keeps_from_learning,
    mode_of,
    note_severity,
    open_incident,
    pass_day,
    reaches_page,
)
from monitor.core.params import Params
from monitor.core.scope import channel_of, channel_scope
from monitor.core.verdict import Judged

SIGN_LN_M: Final = 1.5  # a channel shows signs of its own above this
NEAR: Final = 0.5
WAIT_DAYS: Final = 2
#: A group of fewer channels needs as much evidence as one channel: there are many of them.
FEW: Final = 4
#: Of groups with the same evidence and as many channels that show it, the first is named.
KINDS: Final = ("carrier", "country", "carrier_country", "carrier_product", "country_product")


class Alarms:
    """The open incidents of channels and groups. ``put`` keeps a changed incident, and says so if it is news."""

    def __init__(
        self,
        params: Params,
        incidents: MutableMapping[str, Incident],
        put: Callable[[Incident, bool], None],
    ) -> None:
        self._params = params
        self._incidents = incidents
        self._put = put
        self._late_shadow = True
        self._elsewhere: Mapping[tuple[str, str], str] = {}
        self._rising: Set[str] = frozenset()
        open_ = [(id_, i) for id_, i in sorted(incidents.items()) if not i.closed_us]
        judged = [
            (id_, i)
            for id_, i in open_
            if i.severity != "feed" and not (is_told(i) or i.judged_by or is_forwarder(i.scope) or is_batch(i.scope))
        ]
        self._channels: dict[str, str] = {}  # channel → id of its open incident
        self._groups: dict[str, str] = {}  # scope of a group → id of its open incident
        for id_, incident in judged:
            channel = channel_of(incident.scope)
            if channel is None:
                self._groups[incident.scope] = id_
            else:
                self._channels[channel] = id_

    def explained(self) -> list[str]:
        """Scopes of the open incidents of groups."""
        return sorted(self._groups)

    def learning(self, day: int) -> tuple[Set[str], Set[str]]:
        """Channels with a young incident, whose days are not learnt, and with an old one, whose days are."""
        young: set[str] = set()
        old: set[str] = set()
        for id_ in (*self._channels.values(), *self._groups.values()):
            incident = self._incidents[id_]
            (young if keeps_from_learning(incident, day) else old).update(incident.covers)
        return young - old, old

    def after_day(
        self,
        day: int,
        at_us: int,
        log_days: int,
        verdicts: Mapping[str, Judged],
        shared: Mapping[str, Judged],
        groups: Mapping[str, Group],
        membership: Membership,
        held: Set[str],
        stock: StockOf,
        elsewhere: Mapping[tuple[str, str], str] | None = None,
        rising: Set[str] = frozenset(),
    ) -> None:
        """Bring all incidents up to date. ``log_days``: the age of the log. ``verdicts`` of channels, ``shared`` of
        groups; ``held`` channels were not judged because their feed is silent: that resolves nothing.

        ``elsewhere``: (channel, mode) → id of the open incident of a forwarder or a batch that explains it; ``rising``:
        channels for which one of a forwarder may soon be raised.
        """
        self._elsewhere, self._rising = elsewhere or {}, rising
        params = self._params
        in_shadow = log_days < params.shadow_days
        self._late_shadow = log_days < params.late_shadow_days
        for scope in sorted(self._groups):
            incident = self._incidents[self._groups[scope]]
            self._pass_group(incident, day, at_us, verdicts, shared.get(scope), membership, held)
        covered = {name: scope for scope in self.explained() for name in self._incidents[self._groups[scope]].covers}
        if not in_shadow:
            for scope, signs in self._name(verdicts, shared, groups, membership):
                parts = self._parts(scope, membership)
                members = sorted({*signs, *(name for part in parts for name in part.covers)})
                incident = open_incident(scope, members, shared[scope], day, at_us)
                note_severity(incident, "page", shared[scope], at_us, stock(members, "page"))
                for part in parts:
                    part.absorbed_by = incident.incident_id
                    part.revision += 1
                    self._put(part, True)
                self._groups[scope] = incident.incident_id
                self._put(incident, True)
                for name in members:
                    covered[name] = scope
        for name in sorted({*verdicts, *self._channels} - held):
            verdict, known = verdicts.get(name), self._channels.get(name)
            other = self._forwarder_of(name, verdict)
            if known is None and (verdict is None or verdict.ln_m < params.ticket_ln_m or name in covered or other):
                continue
            old = None if known is None else self._incidents[known]
            before = 0 if old is None else old.revision
            if old is not None and name in covered and not old.absorbed_by:
                old.absorbed_by = self._groups[covered[name]]
                old.revision += 1
            elif old is not None and other and not old.absorbed_by:
                old.absorbed_by = other
                old.revision += 1
            page = not in_shadow and name not in covered and not other and (verdict is None or self._may_page(verdict))
            waits = False
            waited = 0 if old is None else old.waited_days
            if page and name in rising and reaches_page(verdict, waited, params):
                page = waited >= WAIT_DAYS or (old is not None and old.severity == "page")
                waits = not page
            incident_ = judge_incident(old, name, verdict, day, at_us, page, partial(stock, [name]), params)
            if incident_ is None:
                continue
            if waits:
                incident_.waited_days += 1
            self._put(incident_, incident_.revision != before)
            if incident_.closed_us:
                self._channels.pop(name, None)
            else:
                self._channels[name] = incident_.incident_id

    def _pass_group(
        self,
        incident: Incident,
        day: int,
        at_us: int,
        verdicts: Mapping[str, Judged],
        verdict: Judged | None,
        membership: Membership,
        held: Set[str],
    ) -> None:
        """An open incident of a group: who joins it, and whether it is over."""
        params, before = self._params, incident.revision
        covers = set(incident.covers)
        for name in membership.members(incident.scope):
            told = verdicts.get(name)
            if told is not None and told.ln_m >= params.corroborate_ln_m and name not in covers:
                incident.joined = [*incident.joined, Joined(name, at_us)]
                incident.revision += 1
        worst = [verdicts[name].ln_m for name in incident.covers if name in verdicts]
        if not worst and any(name in held for name in incident.covers):
            return
        calm = None
        if worst:
            own = -1e300 if verdict is None else verdict.ln_m
            calm = own < params.close_ln_m and max(worst) < params.ticket_ln_m
        pass_day(incident, calm, day, at_us, params)
        if incident.closed_us:
            del self._groups[incident.scope]
        self._put(incident, incident.revision != before)

    def _name(
        self,
        verdicts: Mapping[str, Judged],
        shared: Mapping[str, Judged],
        groups: Mapping[str, Group],
        membership: Membership,
    ) -> list[tuple[str, list[str]]]:
        """The groups to be paged now, each with the channels that show it."""
        params = self._params
        taken = {name for scope in self._groups for name in membership.members(scope)}
        today: set[str] = set()  # explained today: what other groups show without them is known tomorrow
        out: list[tuple[str, list[str]]] = []
        rows = {name: row for row, name in enumerate(membership.names)}
        triggers = [
            (verdict.ln_m + verdict.ln_weight, channel_scope(name))
            for name, verdict in verdicts.items()
            if reaches_page(verdict, 0, params)
            and self._may_page(verdict)
            and name not in taken
            and not self._is_paged(name)
            and not self._forwarder_of(name, verdict)
        ]
        triggers += [
            (verdict.ln_m, scope)
            for scope, verdict in shared.items()
            if (
                verdict.ln_m >= self._level(scope, membership)
                or (verdict.ln_m >= params.corroborate_ln_m and groups[scope].beside >= params.group_page_fit)
            )
            and self._may_page(verdict)
        ]
        for _, scope in sorted(triggers, key=lambda trigger: (-trigger[0], trigger[1])):
            name = channel_of(scope)
            if name is not None:
                candidates = [] if name in taken else membership.groups(rows[name])
            else:
                signs = self._signs(scope, mode_of(shared[scope]), verdicts, membership, taken)
                near = (membership.groups(rows[one]) for one in signs)
                candidates = sorted({group for some in near for group in some})
            candidates = [group for group in candidates if today.isdisjoint(membership.members(group))]
            named = self._best(candidates, verdicts, shared, groups, membership, taken)
            if named is not None:
                out.append(named)
                new = set(membership.members(named[0]))
                taken |= new
                today |= new
        return out

    def _parts(self, scope: str, membership: Membership) -> list[Incident]:
        """The open incidents of groups that lie within ``scope``."""
        whole = set(membership.members(scope))
        inside = [other for other in sorted(self._groups) if whole.issuperset(membership.members(other))]
        return [self._incidents[self._groups[other]] for other in inside]

    def _best(
        self,
        candidates: Iterable[str],
        verdicts: Mapping[str, Judged],
        shared: Mapping[str, Judged],
        groups: Mapping[str, Group],
        membership: Membership,
        taken: Set[str],
    ) -> tuple[str, list[str]] | None:
        """The group that explains most, with the channels that show it; None without one that two of them stand for."""
        strong = []
        for scope in candidates:
            verdict = shared.get(scope)
            if verdict is None or scope in self._groups or not self._may_page(verdict):
                continue
            if groups[scope].beside < self._params.shared_fit and verdict.ln_m < self._level(scope, membership):
                continue
            members = self._signs(scope, mode_of(verdict), verdicts, membership, taken)
            if len(members) > 1:
                strong.append((groups[scope].fit, scope, members))
        if not strong:
            return None
        most = max(fit for fit, _, _ in strong)
        near = [one for one in strong if one[0] >= most - NEAR]
        _, scope, members = min(near, key=lambda one: (-len(one[2]), *self._order(one[1], membership)))
        return scope, members

    def _level(self, scope: str, membership: Membership) -> float:
        """The trimmed evidence M that pages a group."""
        few = len(membership.members(scope)) < FEW
        return self._params.page_ln_m if few else self._params.group_page_ln_m

    def _order(self, scope: str, membership: Membership) -> tuple[int, int, int, str]:
        """Which of two groups to name if both show the same: by kind, the wider one, of equals the closer one."""
        return KINDS.index(scope.split("|", 1)[0]), -len(membership.members(scope)), -len(scope), scope

    def _signs(
        self, scope: str, mode: str, verdicts: Mapping[str, Judged], membership: Membership, taken: Set[str]
    ) -> list[str]:
        """The channels of a group that show signs of their own, those explained by another group left out, and those of
        which a forwarder explains the group's ``mode``, or may soon."""
        return [
            name
            for name in membership.members(scope)
            if name in verdicts
            and name not in taken
            and verdicts[name].ln_m > SIGN_LN_M
            and (name, mode) not in self._elsewhere
            and not (name in self._rising and mode in PLACE_OF)
            and not self._forwarder_of(name, verdicts[name])
        ]

    def _forwarder_of(self, name: str, verdict: Judged | None) -> str:
        """The incident of a forwarder that explains what a channel shows; empty if there is none."""
        if verdict is None or not self._elsewhere:
            return ""
        return self._elsewhere.get((name, mode_of(verdict)), "")

    def _may_page(self, verdict: Judged) -> bool:
        """Not for what the log is too young to know: how often the buyers of old parcels complain or send back."""
        return not (self._late_shadow and verdict.clock in LATE)

    def _is_paged(self, name: str) -> bool:
        known = self._channels.get(name)
        return known is not None and self._incidents[known].severity == "page"
