"""The figures of a channel as the contract writes them: every rate with its n and a 95% interval.

Ratios carry Wilson intervals; complaints per 1,000, which can exceed one complaint a parcel, carry Byar's Poisson
interval; transit days are Kaplan–Meier quantiles with Brookmeyer–Crowley intervals, from whole hours, with parcels in
flight, lost and returned ones censored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from monitor.core import cells as c
from monitor.core.channel import Channel
from monitor.core.events import from_us
from monitor.core.intervals import poisson, wilson
from monitor.core.params import Params
from monitor.core.survival import kaplan_meier
from monitor.core.vocabulary import DAY_US, HOUR_US

Counters = Mapping[int, int]
NOTHING: Counters = {}


def merged(many: Iterable[Counters]) -> dict[int, int]:
    """Counters summed."""
    out: dict[int, int] = {}
    for counters in many:
        for key, n in counters.items():
            out[key] = out.get(key, 0) + n
    return out


def recent_cohorts(channel: Channel, as_of_us: int, params: Params) -> dict[int, Counters]:
    """The recent cohorts (UTC days of registration) of a channel at ``as_of_us``."""
    window = as_of_us // DAY_US - params.recent_days
    return {day: counters for day, counters in channel.recent.items() if day > window}


def ratio(k: int, n: int) -> dict[str, float | int | None]:
    """``k`` of ``n`` with a Wilson 95% interval; nulls at n = 0."""
    if n <= 0:
        return {"value": None, "low": None, "high": None, "n": 0}
    low, high = wilson(min(max(k, 0), n), n)
    return {"value": _round(k / n), "low": _round(low), "high": _round(high), "n": n}


def per_1000(k: int, n: int) -> dict[str, float | int | None]:
    """``k`` events per 1,000 of ``n`` with a Poisson 95% interval; nulls at n = 0."""
    if n <= 0:
        return {"value": None, "low": None, "high": None, "n": 0}
    low, high = poisson(max(k, 0))
    return {"value": _round(1000 * k / n), "low": _round(1000 * low / n), "high": _round(1000 * high / n), "n": n}


def statistics(total: Counters, young: Counters, as_of_us: int) -> dict[str, Any]:
    """The statistics of some counters at ``as_of_us``.

    ``young`` are the hourly counters among them of parcels whose time for a first scan is not over.
    """
    by_kind: dict[int, dict[int, int]] = {}
    for key, n in total.items():
        by_kind.setdefault(key >> 40, {})[key & c.MASK] = n

    def count(kind: int) -> int:
        return sum(by_kind.get(kind, NOTHING).values())

    def of_age(kind: int) -> int:
        return count(kind) - sum(n for key, n in young.items() if key >> 40 == kind)

    n_delivered, n_returned, n_lost = (count(kind) for kind in (c.DELIVERED, c.RETURNED, c.LOST))
    delivered, returned, lost, flying = (by_kind.get(k, {}) for k in (c.DELIVERED, c.RETURNED, c.LOST, c.OPEN))
    for timed in (delivered, returned, lost):
        timed.pop(c.UNKNOWN, None)  # an outcome of unknown time says nothing about transit
    censored = dict(returned)
    for hours, n in lost.items():
        censored[hours] = censored.get(hours, 0) + n
    for registered_hour, n in flying.items():
        hours = max(as_of_us // HOUR_US - registered_hour, 0)
        censored[hours] = censored.get(hours, 0) + n
    curve = kaplan_meier(delivered, censored)
    presumed = count(c.PRESUMED)
    past_promise = sum(n for due, n in by_kind.get(c.PROMISED_OPEN, NOTHING).items() if due < as_of_us // DAY_US)
    registered = count(c.REGISTERED)
    outcomes = n_delivered + n_returned + n_lost + presumed
    return {
        "registered": registered,
        "in_flight": sum(flying.values()),
        "delivered": n_delivered,
        "lost": n_lost,
        "returned": n_returned,
        "presumed_lost": presumed,
        "transit_days": {name: _quantile(curve.quantile(p)) for name, p in (("p50", 0.5), ("p80", 0.8), ("p95", 0.95))},
        "on_time_ratio": ratio(count(c.ON_TIME), count(c.ON_TIME) + count(c.LATE) + past_promise),
        "first_scan_ratio": ratio(of_age(c.FIRST_SCAN), of_age(c.REGISTERED) - of_age(c.SCAN_UNKNOWN)),
        "loss_ratio": ratio(n_lost + presumed, outcomes),
        "hold_ratio": ratio(count(c.HELD), count(c.ARRIVED)),
        "complaints_per_1000": per_1000(count(c.COMPLAINT), registered),
    }


def channel_record(
    name: str, channel: Channel, as_of_us: int, params: Params, open_severity: str | None
) -> dict[str, Any]:
    """The channel as ``channels.jsonl`` writes it; ``open_severity`` is that of its open incident, if any."""
    cohorts = recent_cohorts(channel, as_of_us, params)
    young = _young(cohorts, as_of_us // HOUR_US - params.first_scan_days * 24)
    recent = statistics(merged(cohorts.values()), young, as_of_us)
    if open_severity == "page":
        status = "degraded"
    elif open_severity is not None:
        status = "watch"
    else:
        status = "insufficient_data" if recent["registered"] < params.min_sample else "ok"
    return {
        "channel": name,
        **statistics(channel.life, young, as_of_us),
        "status": status,
        "ln_m": _round(channel.ln_m) if channel.ln_m > -1e300 else None,
        "as_of": from_us(as_of_us),
        "recent": recent,
        **({"canary_parcels": int(channel.life.get(c.REGISTERED << 40, 0))} if channel.canary.size else {}),
    }


def _young(cohorts: Mapping[int, Counters], last_hour: int) -> dict[int, int]:
    """The hourly counters of the parcels registered after the hour ``last_hour`` (hours since 1970)."""
    return merged(
        {key: n for key, n in counters.items() if key >> 40 in c.HOURLY and day * 24 + (key & c.MASK) > last_hour}
        for day, counters in cohorts.items()
        if day * 24 + 24 > last_hour
    )


def _quantile(quantile: Any) -> dict[str, float | None]:
    def days(hours: float | None) -> float | None:
        return None if hours is None else _round(hours / 24)

    return {"value": days(quantile.value), "low": days(quantile.low), "high": days(quantile.high)}


def _round(value: float) -> float:
    return round(value, 6)
