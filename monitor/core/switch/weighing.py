"""What is believed of every carrier on every lane at a moment: posteriors, prices, promises, values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from monitor.core.baseline import Floats, Ints
from monitor.core.switch import posterior as pos
from monitor.core.switch.advice import Lane
from monitor.core.switch.carried import AGE_WEEKS, Carriage
from monitor.core.switch.counts import Counts
from monitor.core.switch.terms import UNITS, SwitchTerms

#: Half-life of the parcels of a channel while an incident is open on it: it is no longer what it was.
TROUBLED_HALF_LIFE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Posteriors by channel, of it and of its country; the share of complaints that come up to a week of age; and of
    channels in trouble the mean of ln T if they were in none."""

    rows: Mapping[str, int]
    channels: pos.Posterior
    countries: pos.Posterior
    complaint_share: Floats
    usual: Mapping[str, float]

    def of(self, lane: str, part: str) -> pos.Posterior:
        """The posterior of a carrier part that has had parcels on a lane, as one row."""
        return self.channels.take(np.array([self.rows[f"{lane}|{part}"]]))


def believe(
    counts: Counts,
    names: Sequence[str],
    troubled: frozenset[str],
    lanes: Mapping[str, Lane],
    terms: SwitchTerms,
    at_day: float,
    window_days: int,
) -> Beliefs:
    """Weigh all channels (``names``, sorted). ``at_day``: days since 1970 up to which reports are complete;
    ``troubled``: channels on which an incident is open."""
    order = np.array([counts.rows[name] for name in names], dtype=np.int64)
    half_lives = np.array([TROUBLED_HALF_LIFE if name in troubled else terms.half_life_days for name in names])
    seen = counts.weigh(order, at_day, window_days, np.minimum(half_lives, terms.half_life_days))
    share = pos.complaint_share(_complaint_ages(lanes, terms, at_day), seen.registered.sum(axis=0))
    exposed: Floats = (seen.registered * share).sum(axis=1)
    keys = [("|", f"{n.split('|', 1)[0]}|", "{0}|{2}".format(*n.split("|"))) for n in names]
    belief = pos.of_nothing()
    above, parent = np.zeros(1, dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    levels: list[pos.Posterior] = []
    for level in range(3):
        pools = sorted({key[level] for key in keys}) or ["|"]
        index = {key: at for at, key in enumerate(pools)}
        place = np.array([index[key[level]] for key in keys], dtype=np.int64)
        if level:
            above = np.zeros(len(pools), dtype=np.int64)
            above[place] = parent
        sums, rounds = pos.pooled(seen, place, len(pools)), pos.ROUNDS if level else pos.FIRST_ROUNDS
        belief = pos.update(belief.take(above), sums, _pool(exposed, place, len(pools)), rounds)
        levels.append(belief)
        parent = place
    # The prior of a channel is what the other lanes of its carrier in the country say: not what it says itself.
    countries = prior = levels[1].take(above[parent])
    if len(above) < len(names):
        pool, pool_exposed = pos.pooled(seen, parent, len(above)), _pool(exposed, parent, len(above))
        rest = pool.take(parent).less(seen)
        prior = pos.update(prior, rest, np.maximum(pool_exposed[parent] - exposed, 0.0))
    channels = pos.update(prior, seen, exposed)
    usual = _usual(counts, names, troubled, order, prior, terms, at_day, window_days)
    return Beliefs({name: at for at, name in enumerate(names)}, channels, countries, share, usual)


def _usual(
    counts: Counts,
    names: Sequence[str],
    troubled: frozenset[str],
    order: Ints,
    prior: pos.Posterior,
    terms: SwitchTerms,
    at_day: float,
    window_days: int,
) -> dict[str, float]:
    """The mean of ln T of channels in trouble, their parcels weighed as those of others."""
    rows = np.array([at for at, name in enumerate(names) if name in troubled], dtype=np.int64)
    if not rows.size:
        return {}
    seen = counts.weigh(order[rows], at_day, window_days, np.full(len(rows), terms.half_life_days))
    found = pos.update(prior.take(rows), seen, np.zeros(len(rows)))
    return {names[row]: float(mu) for row, mu in zip(rows.tolist(), found.ln_days, strict=True)}


def _pool(values: Floats, place: Ints, size: int) -> Floats:
    out = np.zeros(size)
    np.add.at(out, place, values)
    return out


def _weight(week: int, at_day: float, half_life: float) -> float:
    return float(0.5 ** (max(at_day - 7 * week - 3.5, 0.0) / half_life))


def _complaint_ages(lanes: Mapping[str, Lane], terms: SwitchTerms, at_day: float) -> list[float]:
    """Weighted complaints of all channels by age of the parcel in weeks."""
    counted: dict[tuple[int, int], int] = {}
    for lane in lanes.values():
        for carriage in lane.carriages.values():
            for name, weeks in carriage.weeks.items():
                if name.startswith("age|"):
                    for week, entry in weeks.items():
                        key = int(name[4:]), week
                        counted[key] = counted.get(key, 0) + entry[0]
    out = [0.0] * AGE_WEEKS
    for (age, week), n in sorted(counted.items()):
        out[age] += n * _weight(week, at_day, terms.half_life_days)
    return out


def mean_amount(kind: str, carriages: Sequence[Carriage], terms: SwitchTerms, at_day: float) -> Decimal | None:
    """Weighted mean of the amounts of a kind (``postage``, ``value``) in the currency of the terms; None without."""
    n, total = Decimal(0), Decimal(0)
    for carriage in carriages:
        for name, weeks in sorted(carriage.weeks.items()):
            if not name.startswith(kind + "|"):
                continue
            for week, (parcels, units, _) in sorted(weeks.items()):
                rate = terms.rate(name.split("|", 1)[1], 7 * week + 6)
                if rate is not None:
                    weight = Decimal(f"{_weight(week, at_day, terms.half_life_days):.9g}")
                    n += weight * parcels
                    total += weight * rate * units / UNITS
    return total / n if n > 0 else None


def usual_promise(carriages: Sequence[Carriage], terms: SwitchTerms, at_day: float) -> float | None:
    """Weighted median of the promised days; None where none is promised."""
    weights: dict[float, float] = {}
    for carriage in carriages:
        for name, weeks in sorted(carriage.weeks.items()):
            if name.startswith("promise|"):
                days = float(name.split("|", 1)[1])
                for week, entry in sorted(weeks.items()):
                    weights[days] = weights.get(days, 0.0) + entry[0] * _weight(week, at_day, terms.half_life_days)
    half, so_far = sum(weights[days] for days in sorted(weights)) / 2, 0.0
    for days in sorted(weights):
        so_far += weights[days]
        if so_far >= half:
            return days
    return None
