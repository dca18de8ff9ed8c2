"""Where the fleet stands: the one value of its state that is about no channel."""

from __future__ import annotations

from msgspec import Struct

from monitor.core.declared import Declaration
from monitor.core.feeds import Feed
from monitor.core.vocabulary import DAY_US

LAG_DEFAULT_US = DAY_US


class FleetHeader(Struct):
    """Where the fleet stands. Ticks are numbers of grid points; days are UTC day numbers."""

    tick: int | None = None  # last closed
    open_day: int = 0  # next day to be judged
    first_day: int | None = None  # day before whose end the first event was recorded
    lag_us: int = LAG_DEFAULT_US
    marks: dict[int, int] = {}  # partition → offset last applied
    complete: dict[int, int] = {}  # partition → last tick it adds nothing more to
    counts: dict[str, int] = {}
    lags: dict[int, int] = {}
    feeds: dict[str, int] = {}
    reports: dict[str, Feed] = {}  # what each feed usually reports, and whether it does
    calendar: dict[str, Declaration] = {}  # what the operator declared, by calendar_id
    seasoned: bool = False  # the log's first days are over, and evidence begins anew
    late_seasoned: bool = False  # the same for the clocks about old parcels
    first_us: int = 1 << 62
    last_us: int = 0
