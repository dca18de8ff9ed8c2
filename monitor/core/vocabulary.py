"""The words of the contract: milestones, complaint kinds, stages, reasons, units.

Milestones follow the stages of UPU EMSEVT and of the tracking providers; each has a *stage rank*:
the place in registered → accepted → departed → arrived → delivered that a parcel has reached when the
milestone is seen. Rank ``None`` says nothing about the stage.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Milestone = Literal[
    "info_received",
    "accepted",
    "origin_hub",
    "security_returned",
    "export_customs",
    "departed_origin",
    "arrived_destination",
    "customs_held",
    "customs_released",
    "delivery_office",
    "out_for_delivery",
    "available_for_pickup",
    "attempt_failed",
    "delivered",
    "returning",
    "returned",
    "lost",
    "damaged",
    "other",
]
MILESTONES: Final[tuple[str, ...]] = get_args(Milestone)

ComplaintKind = Literal[
    "not_received",
    "empty_box",
    "damaged",
    "wrong_item",
    "missing_part",
    "quality",
    "counterfeit",
    "intellectual_property",
    "refund_late",
    "other",
]

#: Stage rank reached with a milestone; a milestone of a higher rank ends all earlier clocks.
STAGE_RANK: Final[dict[str, int | None]] = {
    "info_received": None,
    "accepted": 1,
    "origin_hub": 1,
    "security_returned": None,
    "export_customs": 1,
    "departed_origin": 2,
    "arrived_destination": 3,
    "customs_held": 3,
    "customs_released": 3,
    "delivery_office": 3,
    "out_for_delivery": 3,
    "available_for_pickup": 3,
    "attempt_failed": 3,
    "delivered": 4,
    "returning": None,
    "returned": None,
    "lost": None,
    "damaged": None,
    "other": None,
}

#: Stage clocks in order; clock *i* runs from rank *i* to the first milestone of a higher rank. The last is end to end.
CLOCKS: Final[tuple[str, ...]] = (
    "registered>accepted",
    "accepted>departed_origin",
    "departed_origin>arrived_destination",
    "arrived_destination>delivered",
    "registered>delivered",
)
STAGE_CLOCKS: Final = 4
END_TO_END: Final = 4
#: The stage clocks after departure, judged together as one more clock.
UNDERWAY: Final = (2, 3)
UNDERWAY_CLOCK: Final = "departed_origin>delivered"

#: The country where parcels start, unless their registration says otherwise.
ORIGIN: Final = "CN"

#: Why a record is a dead letter. The sentence beside it is made where the reason is found.
Reason = Literal[
    "not_text",
    "malformed_json",
    "too_large",
    "not_an_event",
    "unknown_type",
    "unknown_milestone",
    "invalid_event",
    "subject_mismatch",
    "time_before_2000",
    "time_in_future",
    "too_late",
    "unknown_parcel",
    "conflicting_duplicate",
    "conflicting_registration",
    "misplaced",
    "unreadable_row",
]
REASONS: Final[tuple[str, ...]] = get_args(Reason)

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
#: 2000-01-01T00:00:00Z in microseconds since 1970.
YEAR_2000_US: Final = 946_684_800 * SECOND_US
#: 2089-01-01T00:00:00Z: from then on hours since 1970 no longer fit a cell.
YEAR_2089_US: Final = 3_755_376_000 * SECOND_US

MAX_ID_LENGTH: Final = 512
MAX_NAME_LENGTH: Final = 200
MAX_TEXT_LENGTH: Final = 4_000
#: One event, as bytes. A longer line is a dead letter (its first bytes are kept).
MAX_EVENT_BYTES: Final = 256 * 1024
