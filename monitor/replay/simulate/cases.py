"""What the buyers say: complaints, weeks after what caused them, and the refunds and claims that follow.

A buyer of a late parcel waits beyond the promised day for as long as his patience lasts (Erlang-2: the hazard rises
with age) and then complains, unless the parcel came. So a slow-down shows in complaints only weeks later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.replay.simulate.effects import Bulk, Burst, Patience
from monitor.replay.simulate.journeys import Journeys, Setting
from monitor.replay.simulate.planting import Influence
from monitor.replay.simulate.rows import DAY_S, Kind, Rows, concatenate, make_rows
from monitor.replay.simulate.streams import BoolArray, FloatArray, IntArray, erlang2, stream

KINDS: Final = (
    "not_received", "empty_box", "damaged", "wrong_item", "missing_part", "quality", "counterfeit",
    "intellectual_property", "other",
)  # fmt: skip
OUTCOMES: Final = ("refunded", "won", "lost", "withdrawn")
VIAS: Final = ("paypal", "ticket", "email", "marketplace", "review")

#: Shares of the complaints about delivered goods (``KINDS[2:]``).
_QUALITY_MIX: Final = (0.16, 0.14, 0.12, 0.49, 0.0, 0.0, 0.09)
#: Of the complaints that goods are counterfeit, those that come from the owner of a brand.
_OWNERS: Final = 0.1
_OUTCOME_MIX: Final = (0.55, 0.20, 0.10, 0.15)
_VIA_MIX: Final = (0.50, 0.25, 0.15, 0.08, 0.02)
#: Buyers who complain soon after the promise, and those who wait long: shares and mean patience in days.
_SOON, _SOON_DAYS = 0.35, 10.0
_LONG, _LONG_DAYS = 0.35, 36.0
#: Buyers who do not wait for the promise.
_IMPATIENT: Final = 0.003
#: A buyer who sees no tracking complains this much more often.
_BLIND: Final = 2.5
_BURST_LOOKBACK_DAYS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Cases:
    """The complaints of one channel, one row each; times in days, infinity for never."""

    parcel: IntArray
    serial: IntArray
    """which complaint about its parcel it is; makes the id"""
    kind: IntArray
    via: IntArray
    outcome: IntArray
    opened: FloatArray
    closed: FloatArray
    refund_asked: FloatArray
    refunded: FloatArray
    claimed: FloatArray
    settled: FloatArray
    by_order: BoolArray
    """the complaint names the order only"""
    closed_bare: BoolArray
    """the closing does not name the parcel"""


def _pick(shares: Iterable[float], u: FloatArray) -> IntArray:
    """Index drawn with the given shares."""
    edges = np.cumsum(tuple(shares))
    index: IntArray = np.searchsorted(edges[:-1], u * edges[-1], side="right")
    return index


def _not_received(j: Journeys, influence: Influence, u: FloatArray) -> FloatArray:
    """When each buyer complains that nothing came; infinity: never."""
    due = j.registered + j.channel.promised_days
    touchiness = np.where(j.unscanned, _BLIND, 1.0) * influence.factor(Patience, due)
    soon = u[:, 0] < _SOON * touchiness
    waits = soon | (u[:, 0] < (_SOON + _LONG) * touchiness)
    patience = erlang2(1.0, u[:, 1], u[:, 2]) * np.where(soon, _SOON_DAYS, _LONG_DAYS)
    when = np.where(waits, due + patience, np.inf)
    early = j.registered + j.channel.promised_days * (0.4 + 0.5 * u[:, 2])
    when = np.where(u[:, 3] < _IMPATIENT, np.minimum(early, when), when)
    came = np.minimum(j.delivered, j.returned)
    return np.where(when < came, when, np.inf)


def _about_goods(j: Journeys, influence: Influence, u: FloatArray) -> tuple[FloatArray, IntArray]:
    """When each buyer complains about what came, and the kind."""
    empty = influence.chance("empty_box", j.channel.chances["empty_box"], j.delivered, j.by_forwarder())
    is_empty = u[:, 4] < empty
    bad = is_empty | (u[:, 5] < j.channel.quality_per_parcel)
    fake = u[:, 5] > 1.0 - influence.chance("counterfeit", 0.0, j.delivered, j.by_forwarder())
    delay = np.where(is_empty, 1.5, 7.0) * erlang2(1.0, u[:, 6], u[:, 7])
    kind = np.where(is_empty, KINDS.index("empty_box"), 2 + _pick(_QUALITY_MIX, u[:, 8]))
    accused = np.where(u[:, 8] < _OWNERS, KINDS.index("intellectual_property"), KINDS.index("counterfeit"))
    kind = np.where(fake & ~is_empty, accused, kind)
    return np.where(bad | fake, j.delivered + delay, np.inf), kind


def _burst(setting: Setting, j: Journeys, influence: Influence, ordinary: FloatArray) -> list[FloatArray]:
    """Times of the extra complaints of each burst and each bulk complainer, per parcel."""
    extra = []
    for number, (item, effect) in enumerate(influence.effects(Burst)):
        u = stream(setting.seed, f"burst/{number}/{j.channel.id}").random((len(j), 2))
        past = (ordinary >= item.first - _BURST_LOOKBACK_DAYS) & (ordinary < item.first)
        wanted = (effect.factor - 1.0) * past.sum() / _BURST_LOOKBACK_DAYS * (item.end - item.first)
        able = (j.registered >= item.first - 60.0) & (j.registered < item.first - 5.0)
        chance = min(1.0, wanted / max(1, int(able.sum())))
        when = item.first + (item.end - item.first) * u[:, 1]
        extra.append(np.where(able & (u[:, 0] < chance), when, np.inf))
    for number, (item, effect) in enumerate(influence.effects(Bulk)):
        u = stream(setting.seed, f"bulk/{number}/{j.channel.id}").random((len(j), 2))
        mine = np.array([*j.channel.dropshippers, ""])[j.customer] == item.scope["customer_id"]
        able = mine & (j.registered >= item.first - effect.lookback_days) & (j.registered < item.first)
        when = item.first + (item.end - item.first) * u[:, 1]
        extra.append(np.where(able & (u[:, 0] < effect.ratio), when, np.inf))
    return extra


def open_cases(setting: Setting, j: Journeys, influence: Influence) -> Cases:
    """All complaints of a channel, with what becomes of them."""
    n = len(j)
    u = stream(setting.seed, f"complaints/{j.channel.id}").random((n, 9))
    missing = _not_received(j, influence, u)
    about, about_kind = _about_goods(j, influence, u)
    times = [missing, about, *_burst(setting, j, influence, np.minimum(missing, about))]
    kinds = [np.zeros(n, dtype=np.int64), about_kind, *(np.zeros(n, dtype=np.int64) for _ in times[2:])]
    parts = [
        _follow(setting, j, serial, when, kind) for serial, (when, kind) in enumerate(zip(times, kinds, strict=True), 1)
    ]
    return Cases(*(np.concatenate([getattr(part, name) for part in parts]) for name in Cases.__slots__))


def _follow(setting: Setting, j: Journeys, serial: int, when: FloatArray, kind: IntArray) -> Cases:
    """The complaints opened at ``when`` (one per parcel at most) and their course."""
    n = len(j)
    u = stream(setting.seed, f"cases/{serial}/{j.channel.id}").random((n, 12))
    parcel = np.flatnonzero(when < setting.days)
    u, opened, kind = u[parcel], when[parcel], kind[parcel]
    closed = opened + 0.2 + erlang2(7.0, u[:, 0], u[:, 1])
    outcome = _pick(_OUTCOME_MIX, u[:, 2])
    refund = outcome == OUTCOMES.index("refunded")
    asked = np.where(refund, closed - 0.15, np.inf)
    vanished = refund & (kind == 0) & ~np.isfinite(j.delivered[parcel])
    claimed = np.where(vanished & (u[:, 3] < 0.7), closed + 1.0 + 9.0 * u[:, 4], np.inf)
    return Cases(
        parcel=parcel,
        serial=np.full(len(parcel), serial),
        kind=kind,
        via=_pick(_VIA_MIX, u[:, 5]),
        outcome=outcome,
        opened=opened,
        closed=closed,
        refund_asked=asked,
        refunded=asked + erlang2(0.35, u[:, 6], u[:, 7]),
        claimed=claimed,
        settled=claimed + 15.0 + erlang2(20.0, u[:, 8], u[:, 9]),
        by_order=u[:, 10] < 0.12,
        closed_bare=u[:, 11] < 0.30,
    )


def case_rows(cases: Cases) -> Rows:
    """The events of the cases; they become known within the hour."""
    item = np.arange(len(cases.parcel))
    parts = []
    for kind, when in (
        (Kind.OPENED, cases.opened),
        (Kind.CLOSED, cases.closed),
        (Kind.REFUND_REQUESTED, cases.refund_asked),
        (Kind.REFUND_COMPLETED, cases.refunded),
        (Kind.CLAIM_FILED, cases.claimed),
        (Kind.CLAIM_SETTLED, cases.settled),
    ):
        happens = np.flatnonzero(np.isfinite(when))
        time_s = (when[happens] * DAY_S).astype(np.int64)
        parts.append(make_rows(time_s + 60 + time_s % 2_400, time_s, kind, item[happens]))
    return concatenate(parts)
