"""The integers between the folds: what one parcel adds to its channel.

A *cell* is a counter of a channel, named by one integer ``kind << 40 | a << 20 | b``. A parcel's cells are a
function of its state; a contribution is the signed difference between the cells after and before, so integer
sums alone decide every statistic and no order, batch or worker can matter. Days and hours count from 1970 UTC;
``a`` is the cohort (UTC day of registration) unless said otherwise.

=====================  ====================  =====================================================
kind                   a, b                  one for each parcel that
=====================  ====================  =====================================================
REGISTERED             cohort, hour of day   is registered
OPEN                   cohort, reg. hour     has no outcome (presumed lost included)
DELIVERED              cohort, transit h     was delivered, ``b`` whole hours after registration
RETURNED, LOST         cohort, hours         came back; is lost by a carrier's or a claim's word
PRESUMED               cohort                has no outcome and was silent beyond the age cap
ON_TIME, LATE          cohort                was delivered by its promised day; after it
PROMISED_OPEN          cohort, due day       has a promised day and is not delivered
FIRST_SCAN             cohort, hour of day   had a carrier's scan within ``first_scan_days``
SCAN_UNKNOWN           cohort, hour of day   has an outcome of unknown time, so nobody knows of its scans
ARRIVED, HELD          cohort                reached the destination country or was held; was held
COMPLAINT              cohort                (one for each complaint about the parcel)
COMPLAINT_DAY          day opened            (one for each complaint counted to the channel)
SENTINEL               day opened, kind      (see :mod:`monitor.core.facets`)
PARCEL_DAY             cohort, forwarder     is registered (of a hand-over batch: see :mod:`monitor.core.facets`)
OVERDUE_COMPLAINT      day opened, place     (one for each complaint that nothing came, by days past the promised day)
ENTER + c              entry day             entered stage clock ``c``
EXIT + c               entry day, exit day   left it by reaching a later stage
CENSOR + c             entry day, last day   left it otherwise: held, returning, lost, …
HELD_DAY               arrival, day          was held by customs, before anything else ended its way
SECURITY_DAY           cohort, day           was sent back by security, likewise
RETURN_DAY             cohort, day           was sent back or came back, likewise
NOT_RECEIVED_DAY       cohort, day opened    (one for each complaint of this kind about the parcel)
EMPTY_BOX_DAY          cohort, day opened    (likewise)
ATTEMPT_DAY            cohort, day           was tried in vain for the second time
ABROAD + country       cohort, day           was first scanned in a country that is neither origin nor destination
=====================  ====================  =====================================================
"""

from __future__ import annotations

from typing import Final

from monitor.core.identity import hash64
from monitor.core.lateness import place_of

REGISTERED: Final = 0
OPEN: Final = 1
DELIVERED: Final = 2
RETURNED: Final = 3
LOST: Final = 4
PRESUMED: Final = 5
ON_TIME: Final = 6
LATE: Final = 7
PROMISED_OPEN: Final = 8
FIRST_SCAN: Final = 9
ARRIVED: Final = 10
HELD: Final = 11
COMPLAINT: Final = 12
COMPLAINT_DAY: Final = 13
SCAN_UNKNOWN: Final = 14
SENTINEL: Final = 15
OVERDUE_COMPLAINT: Final = 16
PARCEL_DAY: Final = 17
#: Kinds counted by hour of the day while recent: the time for a first scan is over by the hour.
HOURLY: Final = frozenset({REGISTERED, FIRST_SCAN, SCAN_UNKNOWN})
ENTER: Final = 32
EXIT: Final = 40
CENSOR: Final = 48
#: Events that are rare on a channel that is well; the day they happened on decides when they are judged.
EVENT: Final = 56
HELD_DAY, SECURITY_DAY, RETURN_DAY, NOT_RECEIVED_DAY, EMPTY_BOX_DAY, ATTEMPT_DAY = range(EVENT, EVENT + 6)
ABROAD: Final = 64
#: Complaints that are judged by the age of the parcel.
COMPLAINT_DAYS: Final = {"not_received": NOT_RECEIVED_DAY, "empty_box": EMPTY_BOX_DAY}

MASK: Final = (1 << 20) - 1
#: In the place of hours: the outcome is known, but not when.
UNKNOWN: Final = MASK


def cell(kind: int, a: int = 0, b: int = 0) -> int:
    """The name of a counter; ``a`` and ``b`` are clipped to 20 bits."""
    return kind << 40 | min(max(a, 0), MASK) << 20 | min(max(b, 0), MASK)


def complaint_cells(kind: str, cohort: int, day: int, promised_days: int | None) -> tuple[int, ...]:
    """The cells of a complaint of a ``kind`` about a parcel registered on ``cohort``, opened on ``day``."""
    out = [cell(COMPLAINT, cohort), cell(COMPLAINT_DAY, day)]
    if kind in COMPLAINT_DAYS:
        out.append(cell(COMPLAINT_DAYS[kind], cohort, max(day, cohort)))
    if kind == "not_received" and promised_days is not None:
        place = place_of(day, cohort + promised_days)
        if place is not None:
            out.append(cell(OVERDUE_COMPLAINT, day, place))
    return tuple(out)


def country_number(code: str) -> int:
    """A country's two letters as a number below 676.

    >>> country_number("AA"), country_number("ZZ")
    (0, 675)
    """
    return (ord(code[0]) - 65) * 26 + ord(code[1]) - 65


def forwarder_number(name: str) -> int:
    """A forwarder's name as a number below 2²⁰, above 0; 0 if it has none. Two names rarely share one."""
    return 1 + hash64(name) % MASK if name else 0


def split(key: int) -> tuple[int, int, int]:
    """``(kind, a, b)`` of a counter's name."""
    return key >> 40, key >> 20 & MASK, key & MASK
