"""Every number the folds depend on, with its bound. Built once, at the edge; the folds only read it.

Two runs give the same bytes when log, build and these parameters are the same.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any, Final

from monitor.core.switch.carried import LANE_DAYS
from monitor.core.switch.terms import SwitchTerms
from monitor.core.vocabulary import DAY_US, HOUR_US

#: Most days that the watermark lies behind the tick.
LAG_MOST_DAYS: Final = 4


def _param(default: float, low: float, high: float, text: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "text": text})


@dataclass(frozen=True, slots=True)
class Params:
    """Parameters of the folds. Raises :class:`ValueError` naming the parameter, its value and its bound."""

    tick_hours: int = _param(6, 1, 24, "hours between ticks; a divisor of 24")
    lateness_days: float = _param(60, 1, 3650, "an event recorded later than this after it happened is a dead letter")
    waiting_days: float = _param(30, 1, 365, "how long an event waits for its parcel before it is a dead letter")
    dedup_days: float = _param(60, 1, 3650, "how long after its outcome a parcel remembers event ids")
    age_cap_days: int = _param(120, 30, 365, "silence beyond this many days is presumed loss; last age of the clocks")
    recent_days: int = _param(90, 7, 366, "registrations of this many UTC days make the recent figures")
    first_scan_days: int = _param(5, 1, 60, "a carrier's scan within this many days counts as first scan in time")
    dispute_window_days: int = _param(180, 1, 730, "days from registration in which a buyer may open a dispute")
    min_sample: int = _param(30, 1, 100_000, "fewer recent parcels than this: insufficient_data")
    shadow_days: int = _param(90, 0, 3650, "no pages in the first days of a log; tickets only")
    late_shadow_days: int = _param(
        200, 0, 3650, "the same for returns and complaints, which a log knows only when its parcels have grown old"
    )
    page_ln_m: float = _param(8.6, 1, 1000, "evidence (ln M) that pages a channel of two parcels a day or fewer")
    stake_power: float = _param(
        1.75, 0, 10, "page_ln_m is less by this times ln(v / 2) for v parcels a day, from 6 on no more; 0: all alike"
    )
    ticket_ln_m: float = _param(5.7, 1, 1000, "evidence (ln M) that opens a ticket")
    group_page_ln_m: float = _param(
        6.0, 1, 1000, "evidence of a group of four channels or more, its best witness left out, that pages"
    )
    shared_fit: float = _param(
        4.0, 0, 1000, "evidence (ln) of late of all channels of a group but one that names it instead of that one"
    )
    group_page_fit: float = _param(
        7.0, 0, 1000, "evidence (ln) of late of all channels of a group but one that pages the group by itself"
    )
    corroborate_ln_m: float = _param(
        2.0, 0, 1000, "evidence (ln M) a group needs beside group_page_fit, and a channel to join an open incident"
    )
    close_ln_m: float = _param(2.0, -1000, 1000, "evidence below which an incident may close")
    close_days: int = _param(7, 1, 365, "judged days in a row below close_ln_m that close an incident")
    margin: float = _param(0.07, 0, 0.9, "slack m of the baseline hazard: slowness within it is no evidence")
    drift_ratio: float = _param(
        0.15, 0.02, 10, "how much slower than a year ago the baseline opens a ticket, as a ratio"
    )
    canary_parcels: int = _param(
        50, 1, 10_000, "a new channel is followed against its lane for so many parcels at least"
    )
    learn_ln_m: float = _param(3.0, 0, 1000, "days with more evidence than this are not learnt from")
    switch: SwitchTerms = field(default_factory=SwitchTerms)

    def __post_init__(self) -> None:
        for spec in numbers():
            value = getattr(self, spec.name)
            low, high = spec.metadata["low"], spec.metadata["high"]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{spec.name} must be a number, it is {value!r}")
            if not low <= value <= high:
                raise ValueError(f"{spec.name} is {value}; it must lie between {low} and {high}")
        if 24 % self.tick_hours:
            raise ValueError(f"tick_hours is {self.tick_hours}; it must divide 24")
        if self.first_scan_days >= self.recent_days:
            raise ValueError(
                f"first_scan_days ({self.first_scan_days}) must be less than recent_days ({self.recent_days})"
            )
        if self.ticket_ln_m > self.page_ln_m:
            raise ValueError(f"ticket_ln_m ({self.ticket_ln_m}) must not exceed page_ln_m ({self.page_ln_m})")
        if self.close_ln_m >= self.ticket_ln_m:
            raise ValueError(f"close_ln_m ({self.close_ln_m}) must be below ticket_ln_m ({self.ticket_ln_m})")

    @property
    def tick_us(self) -> int:
        """Length of a tick in microseconds."""
        return self.tick_hours * HOUR_US

    @property
    def kept_days(self) -> int:
        """UTC days of registrations that channels keep apart: all that a tick may look at, which looks back from the
        watermark. With fewer, counts made anew after a restart would differ."""
        return max(self.recent_days, LANE_DAYS) + LAG_MOST_DAYS + 1

    def days_us(self, name: str) -> int:
        """The parameter ``name`` (days) in microseconds."""
        return round(float(getattr(self, name)) * DAY_US)

    def as_dict(self) -> dict[str, float]:
        """All numbers by name; the terms of the carrier switch are told apart."""
        return {spec.name: getattr(self, spec.name) for spec in numbers()}


def numbers() -> tuple[Field[Any], ...]:
    """The parameters that are numbers with bounds: all but the terms of the carrier switch."""
    return tuple(spec for spec in fields(Params) if spec.metadata)


DEFAULTS: Final = Params()
