"""What channels share: a country, a carrier, a product in a country. Evidence of a group, its best witness left out.

A group's ℓ of a day, per clock and alternative, is the sum of its members' untempered ℓ without that of one member, the
one for which CUSUM before the day + ℓ of the day is largest; then tempered by the group's own φ:

    ℓ_G = φ_G⁻¹ (Σᵢ ℓᵢ − ℓ_k),    k = argmaxᵢ (Cᵢ + ℓᵢ)

So a fault of one channel gives its groups no evidence: what a group shows, at least two of its channels show. M is then
as for a channel. The guarantee holds: with k₀ = argmaxᵢ Cᵢ, which is known before the day, Cₖ₀ ≥ Cₖ gives
ℓₖ ≥ ℓₖ₀, so ℓ_G is never more than the evidence of all members but k₀, whose exp has a mean of at most 1 if the
baselines are right. Groups with one judged member have no evidence.

Who is at fault is another question than whether anything is. The sum over *all* members of their own ℓ of the last days
(``Group.fit``) says how much likelier a fault of the whole group is than none: members that are well count against it.
Without the member that says most it says how much likelier that is than a fault of this one alone (``Group.beside``): a
Bayes factor, as its logarithm. What the group shows is taken to be where ``beside`` is largest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from monitor.core import arrays
from monitor.core import evidence as ev
from monitor.core.arrays import stacked
from monitor.core.baseline import Floats, Ints
from monitor.core.channel import CLOCKS_JUDGED, LN_PRIOR, no_evidence
from monitor.core.facets import AGES
from monitor.core.scope import groups_of
from monitor.core.spread import SPECIAL_CV2, cv2_of, end_of_week, tempering_of_all, trail_with
from monitor.core.verdict import Judged, say_all, strongest

SEASONED_DAYS: Final = 35  # days after which the weeks of a group count for its φ
AT_ONCE: Final = 2048  # members that are worked on together: what is known of them stays in the cache of a processor


class Group(Struct):
    """State of a group: as a channel's of the same names."""

    spread: Floats
    trail: Floats
    evidence: Floats
    judged_days: int = 0
    ln_m: float = -np.inf
    before: float = -np.inf  # ln M on the judged day before
    fit: float = 0.0  # Σ over the members of their ℓ of the last days, at the clock and alternative where it is largest
    beside: float = 0.0  # the same without the member that says most
    cell: tuple[int, int] = (0, 0)  # clock and alternative of what the group shows


def new_group() -> Group:
    """A group nothing is known of."""
    return Group(np.zeros((7, CLOCKS_JUDGED)), np.zeros((CLOCKS_JUDGED, 7)), no_evidence())


class Membership:
    """Which channels (rows, sorted by name) form which groups of two or more (``scopes``, sorted)."""

    def __init__(self, names: Sequence[str], groups: Callable[[str], Iterable[str]] = groups_of) -> None:
        members: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            for scope in groups(name):
                members.setdefault(scope, []).append(row)
        self.names = tuple(names)
        self.scopes = tuple(sorted(scope for scope, rows in members.items() if len(rows) > 1))
        self.number = {scope: i for i, scope in enumerate(self.scopes)}
        self.rows: Ints = np.array([row for scope in self.scopes for row in members[scope]], dtype=np.int64)
        self.sizes = [len(members[scope]) for scope in self.scopes]
        self.group: Ints = np.repeat(np.arange(len(self.sizes)), self.sizes)
        self.starts: Ints = np.cumsum([0, *self.sizes[:-1]], dtype=np.int64)
        bounds = [*self.starts.tolist(), len(self.rows)]
        cuts = [*np.flatnonzero(np.diff(self.starts // AT_ONCE, prepend=-1)).tolist(), len(self.sizes)]
        #: Groups that are worked on together, and their members: slices of ``scopes`` and of ``rows``.
        self.parts = [(slice(a, b), slice(bounds[a], bounds[b])) for a, b in pairwise(cuts)]
        self._groups = groups

    def members(self, scope: str) -> list[str]:
        """Names of the channels of a group, sorted; none for what is no group."""
        i = self.number.get(scope)
        if i is None:
            return []
        return [self.names[row] for row in self.rows[self.starts[i] : self.starts[i] + self.sizes[i]]]

    def groups(self, row: int) -> list[str]:
        """Scopes of the groups of a channel, sorted."""
        return sorted(scope for scope in self._groups(self.names[row]) if scope in self.number)


class Day:
    """What a judged day gave all channels, ``[channel, …]``: the material of the groups."""

    def __init__(self, channels: int) -> None:
        shape = (channels, CLOCKS_JUDGED)
        self.judged = np.zeros(shape, dtype=bool)
        self.special = np.zeros(shape, dtype=bool)
        self.exits: Floats = np.zeros(shape)
        self.expected: Floats = np.zeros(shape)
        self.raw: Floats = np.zeros((*shape, len(ev.ALTERNATIVES)))
        self.before: Floats = np.zeros((*shape, len(ev.ALTERNATIVES)))
        self.lately: Floats = np.zeros((*shape, len(ev.ALTERNATIVES)))
        self.first: Floats = np.zeros((channels, AGES))  # least hazard of a first scan, by age
        self.handed: Floats = np.zeros(channels)  # parcels registered within the time that a facet remembers


def without_the_best(
    raw: Floats, before: Floats, active: NDArray[np.bool_], group: Ints, starts: Ints
) -> tuple[Floats, Ints]:
    """Σ ℓ of the active members without that of the one whose CUSUM + ℓ is largest, and how many are active.

    ``raw`` and ``before`` are ``[member, clock, alternative]``, ``active`` is ``[member, clock]``; members of a group
    stand together from its start on. The results are ``[group, clock, alternative]`` and ``[group, clock]``.
    """
    on = active[..., None]
    score = np.where(on, before + raw, -np.inf)
    best = on & (score == np.maximum.reduceat(score, starts)[group])
    left_out = np.maximum.reduceat(np.where(best, raw, -np.inf), starts)
    number: Ints = np.add.reduceat(active.astype(np.int64), starts)
    total = np.add.reduceat(np.where(on, raw, 0.0), starts)
    return np.where(number[..., None] > 1, total - np.where(np.isfinite(left_out), left_out, 0.0), 0.0), number


def _active(found: Day, membership: Membership, explained: Sequence[str]) -> NDArray[np.bool_]:
    """Which members speak for their groups, ``[member, clock]``: those judged, if no group explains them but this."""
    rows, group = membership.rows, membership.group
    active = found.judged[rows]
    if explained:
        taken = np.zeros(len(membership.names), dtype=bool)
        own = np.isin(group, [membership.number[scope] for scope in explained])
        taken[rows[own]] = True
        active = active & (~taken[rows] | own)[:, None]
    return active


def best_witness(
    found: Day, membership: Membership, explained: Sequence[str], scope: str, clock: int, alternative: int
) -> str | None:
    """The channel k that a group's ℓ of a day leaves out; None for what is no group, or has one judged member at most.

    ``explained`` as in :func:`judge_groups`.
    """
    i = membership.number.get(scope)
    if i is None:
        return None
    part = slice(int(membership.starts[i]), int(membership.starts[i]) + membership.sizes[i])
    rows, on = membership.rows[part], _active(found, membership, explained)[part, clock]
    if on.sum() < 2:
        return None
    score = found.before[rows, clock, alternative] + found.raw[rows, clock, alternative]
    return membership.names[int(rows[int(np.argmax(np.where(on, score, -np.inf)))])]


def judge_groups(
    day: int,
    found: Day,
    membership: Membership,
    groups: MutableMapping[str, Group],
    explained: Sequence[str],
    learn_ln_m: float,
    ln_prior: Floats | None = LN_PRIOR,
) -> dict[str, Judged]:
    """Judge all groups on a ``day`` that was judged for their channels; verdicts of those with evidence.

    ``explained``: scopes of the open incidents of groups. Their channels speak for them only: other groups are judged
    without these channels. A week on which ln M is above ``learn_ln_m`` does not count for φ. ``ln_prior``: the
    weights of the mixture; None: all the same.
    """
    if not membership.scopes:
        return {}
    active = _active(found, membership, explained)
    shape = len(membership.scopes), CLOCKS_JUDGED
    raw, fit, beside = np.empty((3, *shape, len(ev.ALTERNATIVES)))
    exits, expected = np.empty((2, *shape))
    number, special = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=bool)
    for some, members in membership.parts:
        rows, on = membership.rows[members], active[members]
        starts = membership.starts[some] - members.start
        raw[some], number[some] = without_the_best(
            found.raw[rows], found.before[rows], on, membership.group[members] - some.start, starts
        )
        exits[some] = np.add.reduceat(found.exits[rows] * on, starts)
        expected[some] = np.add.reduceat(found.expected[rows] * on, starts)
        special[some] = np.logical_or.reduceat(on & found.special[rows], starts)
        lately = np.where(on[..., None], found.lately[rows], 0.0)
        fit[some] = np.add.reduceat(lately, starts)
        beside[some] = fit[some] - np.maximum(np.maximum.reduceat(lately, starts), 0.0)
    expected = expected.round(9)
    states = [groups.get(scope) or new_group() for scope in membership.scopes]
    spread = stacked([state.spread for state in states])
    trail = stacked([state.trail for state in states])
    evidence = stacked([state.evidence for state in states])
    judged: NDArray[np.bool_] = np.greater(number, 1)
    cv2 = cv2_of(spread)
    phi = tempering_of_all(cv2 + SPECIAL_CV2 * special, trail.sum(axis=-1))
    ev.accumulate(evidence, judged, raw / phi[..., None], exits, expected, day)
    mixed = ev.mixture(evidence[:, ev.LN_M], ln_prior)
    ln_m = mixed.tolist()
    seasoned = np.array([state.judged_days >= SEASONED_DAYS for state in states])
    end_of_week(spread, exits, expected, day, seasoned & (mixed <= learn_ln_m), cv2)
    trail = trail_with(trail, expected)
    heard = number.max(axis=-1).tolist()
    flat = beside.reshape(len(beside), -1)
    most = flat.max(axis=-1)
    cells = np.where(most > 0, flat.argmax(axis=-1), strongest(evidence))
    fits, besides = (np.round(x, 6).tolist() for x in (fit.reshape(len(fit), -1).max(axis=-1), most))
    verdicts = say_all(evidence, ln_m, cells)
    out: dict[str, Judged] = {}
    for i, scope in enumerate(membership.scopes):
        if not heard[i]:
            continue
        state = states[i]
        state.spread, state.trail, state.evidence = spread[i], trail[i], evidence[i]
        state.judged_days += 1
        if heard[i] > 1:
            state.before, state.ln_m, state.fit, state.beside = state.ln_m, ln_m[i], fits[i], besides[i]
            out[scope] = verdicts[i]
            state.cell = out[scope].clock, out[scope].alternative
        groups[scope] = state
    return out


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=arrays.to_plain)
_decoder: Final = msgspec.msgpack.Decoder(Group, dec_hook=arrays.from_plain)


def encode(group: Group) -> bytes:
    """Bytes of the state."""
    return _encoder.encode(group)


def decode(data: bytes) -> Group:
    """Inverse of :func:`encode`."""
    return _decoder.decode(data)
