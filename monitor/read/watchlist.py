"""The watchlist: open parcels whose silence passed the 95% point of their channel for the leg they are on.

A query, not a state: open parcels joined with the P95s of the last closed tick. Priority 1 is the most urgent:

1. the buyer has complained, or at most 14 days are left in the dispute window
2. an incident is open on the channel, or at most 45 days are left
3. everything else inside the window
4. the window is over
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from monitor.core.channel import Channel
from monitor.core.events import from_us
from monitor.core.params import Params
from monitor.core.parcel import FULL, INDEX, Parcel, outcome, silent_since, stage
from monitor.core.vocabulary import DAY_US

#: Reason and next action per leg (stage rank reached).
LEGS: Final = (
    ("no_first_scan", "verify_pickup"),
    ("stuck_before_departure", "ask_forwarder"),
    ("stuck_in_transit", "chase_carrier"),
    ("stuck_at_destination", "chase_last_mile"),
)
_HELD: Final = INDEX["customs_held"]
_RETURNING: Final = INDEX["returning"]
_SECURITY: Final = INDEX["security_returned"]


def watch_item(
    parcel_id: str,
    parcel: Parcel,
    channel: Channel | None,
    as_of_us: int,
    incident_id: str | None,
    params: Params,
) -> dict[str, Any] | None:
    """The parcel's row at ``as_of_us``, or None when it needs no one: not open, not silent, or handled."""
    if not parcel.channel or parcel.kept != FULL or channel is None or not channel.p95 or outcome(parcel) is not None:
        return None
    since = silent_since(parcel)
    if parcel.handled_us > since:
        return None
    leg = min(stage(parcel), len(LEGS) - 1)
    due = since + channel.p95[leg] * DAY_US
    if due >= as_of_us:
        return None
    reason, action = LEGS[leg]
    if parcel.last_milestone == _HELD:
        reason, action = "customs_held", "ask_customs"
    elif parcel.last_milestone in (_RETURNING, _SECURITY):
        reason, action = "returning", "refund_or_reship"
    left = (parcel.registered_us + params.dispute_window_days * DAY_US - as_of_us) // DAY_US
    complained = any(not complaint.closed for complaint in parcel.complaints.values())
    if left < 0:
        priority = 4
    elif complained or left <= 14:
        priority = 1
    elif incident_id is not None or left <= 45:
        priority = 2
    else:
        priority = 3
    if parcel.presumed:
        action = "refund_or_reship"
    return {
        "parcel_id": parcel_id,
        "channel": parcel.channel,
        "reason": reason,
        "since": from_us(since),
        "due_at": from_us(due),
        "days_left_in_dispute_window": left,
        "priority": priority,
        "next_action": action,
        "incident_id": incident_id,
    }


def watchlist(
    parcels: Iterable[tuple[str, Parcel]],
    channels: Mapping[str, Channel],
    open_incidents: Mapping[str, str],
    as_of_us: int,
    params: Params,
) -> list[dict[str, Any]]:
    """All rows by priority, days left and parcel id. ``open_incidents``: channel → incident id."""
    rows = []
    for parcel_id, parcel in parcels:
        row = watch_item(
            parcel_id,
            parcel,
            channels.get(parcel.channel),
            as_of_us,
            open_incidents.get(parcel.channel),
            params,
        )
        if row is not None:
            rows.append(row)
    rows.sort(key=lambda row: (row["priority"], row["days_left_in_dispute_window"], row["parcel_id"]))
    return rows
