"""What the fleet keeps of one channel: integer totals, and what its stage clocks have shown.

``life`` and ``recent`` hold counters (kind and ``b`` of :mod:`monitor.core.cells`; the cohort is summed away in
``life`` and kept apart in ``recent``, hours of the day stand only there). The arrays belong to the stage clocks:
``risk`` counts parcels in each clock by age on the next day to be judged; the last place is the open bucket beyond the
age cap, which is never judged.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from monitor.core import arrays
from monitor.core import cells as c
from monitor.core import evidence as ev
from monitor.core.baseline import Floats, Ints
from monitor.core.lateness import OPEN, PLACES, ROWS
from monitor.core.rare import RARE, bands_of
from monitor.core.vocabulary import CLOCKS

KINDS: Final = len(CLOCKS)
#: What has evidence: stage clocks, then those of rare events, last the stages after departure together.
JOINT: Final = KINDS + len(RARE)
CLOCKS_JUDGED: Final = JOINT + 1
#: The mixture's weights, as logarithms, ``[clock, alternative]``: what is believed to go wrong before anything is seen.
#: What slows a channel slows mostly its way after departure; of the others each stage, and each rare event, weighs as
#: much as the next.
LN_PRIOR: Final = np.log(
    np.outer(
        [0.15 / KINDS] * KINDS + [0.15 / len(RARE)] * len(RARE) + [0.7],
        np.full(len(ev.ALTERNATIVES), 1 / len(ev.ALTERNATIVES)),
    )
)
#: Clocks about parcels that have grown old: a log knows what is usual of them only after ``late_shadow_days``.
LATE: Final = tuple(KINDS + RARE.index(name) for name in ("returned", "complaints", "empty_box"))
#: An exit that became known later than this many days is no evidence of a day; the parcel just leaves the risk set.
TOO_LATE_FOR_EVIDENCE: Final = 30


def none_unseen() -> Ints:
    """Of a channel of which no parcel is set aside."""
    return np.zeros(0, dtype=np.int64)


def no_canary() -> Floats:
    """Of a channel that is not followed as a new one."""
    return np.zeros((0, 0, 0))


class Mark(Struct, array_like=True, frozen=True, gc=False):
    """The usual duration of a channel on a UTC day, in days, and its variance: see monitor.core.drift."""

    day: int
    days: float
    variance: float


class Channel(Struct):
    """State of a channel. ``ages`` = age cap + 2: ages 0 … cap, and the open bucket."""

    life: dict[int, int]
    recent: dict[int, dict[int, int]]
    booked: dict[int, dict[int, int]]  # day to be judged → clock cell → count
    risk: Ints  # [clock, age]
    tally: Floats  # [exits | at risk, clock, age], without the open bucket: what the baseline learnt
    weekday: Floats  # [exits | expected, clock, weekday]
    spread: Floats  # [row, clock]
    trail: Floats  # [clock, 7]: expected exits of the last 7 judged days
    evidence: Floats  # [row, clock, alternative]
    judged_days: int
    ln_m: float
    p95: list[int]  # days by which 95% have left each stage clock; empty before the first judgement
    cohorts: Ints  # parcels registered by age on the next day to be judged, whatever became of them
    rare: Floats  # [events | at risk, rare clock, band]: what the baseline of the rare events learnt
    routes: dict[int, int]  # number of a country → parcels first seen there; DELIVERED → parcels delivered
    ghosts: Floats  # [clock, age]: parcels of ``risk`` that may have left while their feed was silent; empty if none
    overdue: Floats  # [row, days past the promised day]: see monitor.core.overdue
    pace: Floats  # complaints that nothing came, expected; arrivals, expected: of the last weeks
    missed: dict[int, int]  # complaints that nothing came, known since midnight, by place in ``overdue``
    canary: Floats = msgspec.field(default_factory=no_canary)  # [row, clock, alternative]: evidence of a new channel
    unseen: Ints = msgspec.field(default_factory=none_unseen)  # [age]: parcels of ``risk`` that others are named for
    marks: list[Mark] = []  # what the usual duration was, every quarter of the last year


def no_evidence() -> Floats:
    """Evidence before any day is judged, ``[row, clock, alternative]``."""
    evidence = np.zeros((ev.ROWS, CLOCKS_JUDGED, len(ev.ALTERNATIVES)))
    evidence[ev.LN_M] = -np.inf
    return evidence


def new_channel(ages: int) -> Channel:
    """A channel nothing is known of."""
    return Channel(
        life={},
        recent={},
        booked={},
        risk=np.zeros((KINDS, ages), dtype=np.int64),
        tally=np.zeros((2, KINDS, ages - 1)),
        weekday=np.zeros((2, KINDS, 7)),
        spread=np.zeros((7, CLOCKS_JUDGED)),
        trail=np.zeros((CLOCKS_JUDGED, 7)),
        evidence=no_evidence(),
        judged_days=0,
        ln_m=-np.inf,
        p95=[],
        cohorts=np.zeros(ages - 1, dtype=np.int64),
        rare=np.zeros((2, len(RARE), len(bands_of(ages - 1)))),
        routes={},
        ghosts=np.zeros((0, 0)),
        overdue=np.zeros((ROWS, PLACES)),
        pace=np.zeros(4),
        missed={},
    )


def add(channel: Channel, changes: dict[int, int], open_day: int, window: int) -> None:
    """Apply signed changes of cells.

    ``open_day`` is the next day to be judged; cohorts up to ``window`` are no longer recent.
    """
    life, recent, booked = channel.life, channel.recent, channel.booked
    last = channel.risk.shape[1] - 1
    for key, n in changes.items():
        kind, a = key >> 40, key >> 20 & c.MASK
        if kind < c.ENTER:
            counter = kind << 40 | key & c.MASK
            lasting = kind << 40 if kind in c.HOURLY else counter
            if kind == c.OVERDUE_COMPLAINT:
                place = key & c.MASK
                channel.missed[place] = channel.missed.get(place, 0) + n
                counter = lasting = kind << 40
            life[lasting] = life.get(lasting, 0) + n
            if not life[lasting]:
                del life[lasting]
            if a <= window:
                continue
            counters = recent.get(a)
            if counters is None:
                counters = recent[a] = {}
        elif kind < c.EXIT:
            if a <= open_day:
                channel.risk[kind - c.ENTER, min(open_day - a, last)] += n
                if kind == c.ENTER and open_day - a < last:
                    channel.cohorts[open_day - a] += n
                continue
            counter = key
            counters = booked.setdefault(a, {})
        else:
            counter = key
            counters = booked.setdefault(max(key & c.MASK, open_day), {})
        total = counters.get(counter, 0) + n
        if total:
            counters[counter] = total
        else:
            counters.pop(counter, None)


def prune(channel: Channel, window: int) -> None:
    """Forget the cohorts that are no longer recent."""
    for cohort in [day for day in channel.recent if day <= window]:
        del channel.recent[cohort]


def is_warm(channel: Channel) -> bool:
    """Whether time alone can still change this channel's state."""
    return bool(
        channel.recent
        or channel.booked
        or channel.cohorts.any()
        or channel.risk[:, :-1].any()
        or channel.overdue[OPEN].any()
    )


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=arrays.to_plain)
_decoder: Final = msgspec.msgpack.Decoder(Channel, dec_hook=arrays.from_plain)


def encode(channel: Channel) -> bytes:
    """Bytes of the state."""
    return _encoder.encode(channel)


def decode(data: bytes) -> Channel:
    """Inverse of :func:`encode`."""
    return _decoder.decode(data)
