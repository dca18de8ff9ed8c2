"""The contract's bounds on the times of an event."""

from __future__ import annotations

from monitor.core.events import Rejected, from_us
from monitor.core.vocabulary import DAY_US, YEAR_2000_US, YEAR_2089_US


def check_times(time_us: int, recorded_us: int, lateness_us: int, history: bool = False) -> None:
    """The contract's bounds on time. Raises :class:`Rejected`.

    ``recorded_us`` is the recorded time (live: the time of ingest); ``lateness_us`` the longest delay between
    happening and recording; it does not bind what was loaded as history.
    """
    if time_us < YEAR_2000_US:
        raise Rejected("time_before_2000", f"time {from_us(time_us)} is before 2000; is the unit or the format wrong?")
    if time_us >= YEAR_2089_US:
        raise Rejected("time_in_future", f"time {from_us(time_us)} is after 2088; is the unit or the format wrong?")
    if time_us - recorded_us > DAY_US:
        raise Rejected(
            "time_in_future",
            f"time {from_us(time_us)} is more than one day after it was recorded ({from_us(recorded_us)})",
        )
    if not history and recorded_us - time_us > lateness_us:
        raise Rejected(
            "too_late",
            f"recorded {(recorded_us - time_us) / DAY_US:.1f} days after it happened; the bound is "
            f"{lateness_us / DAY_US:g} days (lateness_days); load old data with --history",
        )
