"""Advice about a lane: what is kept of it, and the record of the contract.

State machine of a lane's advice:

    stay, insufficient_data, no_alternative ──P(saving > margin) > probability──▶ switch
    switch ──P < KEEP, the carrier is excluded, has an incident or no room──▶ the others
    any ──no parcels for ``LANE_DAYS``──▶ insufficient_data, told once; then the lane has no advice

Who was left within ``BACK_DAYS`` comes back only above ``back_probability``. An advice keeps its id while its decision
and, of a switch, its carriers stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from monitor.core.events import from_us
from monitor.core.identity import hash64
from monitor.core.incidents import Note
from monitor.core.switch.carried import LANE_DAYS, Carriage
from monitor.core.switch.money import Money
from monitor.core.switch.outcomes import Accepted, outcome_record
from monitor.core.vocabulary import YEAR_2089_US

SWITCH, STAY, INSUFFICIENT, NONE = "switch", "stay", "insufficient_data", "no_alternative"
DECISIONS: Final = (SWITCH, STAY, INSUFFICIENT, NONE)
#: Probability below which a switch is no longer advised, and days in which a carrier that was left has a higher bar.
KEEP: Final = 0.7
BACK_DAYS: Final = 90
#: How a carrier stands: in use; weighed against that; not weighed, for which reason.
STATUSES: Final = (
    "present",
    "compared",
    "not_compared",
    "few_parcels",
    "excluded",
    "incident",
    "no_price",
    "no_room",
)
#: A person's answers.
ANSWERS: Final = ("accept", "decline")


class Figures(Struct, array_like=True):
    """What is known of one carrier on the lane; None where it was not weighed.

    Ratios are means of posteriors; ``late_days`` is per parcel that arrives.
    """

    carrier: str
    parcels: int  # registered in the last 40 days
    known: float | None  # parcels whose end is known, by their weight
    lost: float | None
    returned: float | None
    complaints: float | None
    days: float | None  # median of the days to delivery
    late_days: float | None
    postage: Decimal | None
    cost: Money | None
    saving: Money | None  # against the present carrier
    probability: float | None  # that it saves more than the margin
    status: str  # see STATUSES
    refuses: list[str]
    capacity_per_day: float | None
    valid_to_us: int
    declared_by: list[str]  # subjects of the events behind: the offer, the rule it breaks


class Advice(Struct, array_like=True):
    """The advice about a lane. Times in µs."""

    advice_id: str
    from_carrier: str
    to_carrier: str
    decision: str
    probability: float | None
    saving: Money | None
    currency: str
    share: float
    excluded: dict[str, str]
    reasons: list[str]
    since_us: int
    as_of_us: int
    promised_days: float | None
    carriers: list[Figures]
    notes: list[Note] = []
    revision: int = 1
    warning: str = ""  # that advice was wrong too often


class Lane(Struct, array_like=True):
    """State of a lane: what its parcels carried by carrier part, the advice, when a carrier was advised away, and the
    switches that were accepted, the oldest first."""

    carriages: dict[str, Carriage] = {}
    advice: Advice | None = None
    left: dict[str, int] = {}
    accepted: list[Accepted] = []


def advice_id(lane: str, decision: str, from_carrier: str, to_carrier: str, since_us: int) -> str:
    """The id of an advice: a hash of what it says and of the tick at which it was first said."""
    to = to_carrier if decision == SWITCH else ""
    return f"{hash64(f'advice|{lane}|{decision}|{from_carrier}|{to}|{since_us}'):016x}"


def same(one: Advice, other: Advice) -> bool:
    """Whether two advices say the same, whatever their figures."""
    return (one.decision, one.from_carrier) == (other.decision, other.from_carrier) and (
        one.decision != SWITCH or one.to_carrier == other.to_carrier
    )


def ended(lane: str, before: Advice, at_us: int) -> Advice:
    """What is said last of a lane without parcels, after the advice ``before``: that there is nothing to move."""
    last = Advice(
        advice_id(lane, INSUFFICIENT, before.from_carrier, "", at_us),
        before.from_carrier,
        "",
        INSUFFICIENT,
        None,
        None,
        before.currency,
        0.0,
        {},
        [f"No parcel of the last {LANE_DAYS} days: the lane has no advice any more."],
        at_us,
        at_us,
        None,
        [],
    )
    if not same(last, before):
        return last
    return replace(
        last,
        advice_id=before.advice_id,
        since_us=before.since_us,
        notes=before.notes,
        revision=before.revision + 1,
    )


def accept(advice: Advice, note: Note) -> Accepted | None:
    """The switch that a person decided for, from the ``advice`` as it stands; their own where they name a carrier or a
    share. None where there is no switch in it: none was advised, or the carrier is the present one, or excluded."""
    to = note.carrier or (advice.to_carrier if advice.decision == SWITCH else "")
    if not to or to == advice.from_carrier or to in advice.excluded:
        return None
    present = advice.carriers[0]
    taken = next((one for one in advice.carriers if one.carrier == to), None)
    nothing = Money(Decimal(0), Decimal(0), Decimal(0))
    is_advised = advice.decision == SWITCH and to == advice.to_carrier
    share = advice.share if is_advised else 0.0
    return Accepted(
        advice.advice_id,
        advice.from_carrier,
        to,
        note.recorded_us,
        note.by,
        advice.currency,
        note.share if note.share >= 0 else share,
        0.0 if taken is None else round(taken.parcels / sum(one.parcels for one in advice.carriers), 6),
        (None if taken is None else taken.saving) or nothing,
        present.cost or nothing,
        advice.promised_days,
    )


def answer(advice: Advice) -> Note | None:
    """The last answer of a person, if any."""
    return next((note for note in reversed(advice.notes) if note.what in ANSWERS), None)


def _override(said: Note | None) -> dict[str, Any] | None:
    """What a person decided instead of the advice."""
    if said is None or not (said.carrier or said.share >= 0):
        return None
    return {"carrier": said.carrier or None, "share": said.share if said.share >= 0 else None}


def _money(amount: Money | None, currency: str) -> dict[str, Any] | None:
    return None if amount is None else amount.record(currency)


def record(lane: str, advice: Advice, accepted: Sequence[Accepted] = ()) -> dict[str, Any]:
    """The advice as ``recommendations.jsonl`` writes it. ``lane``: country, a bar, product; ``accepted``: the switches
    of the lane."""
    country, product = lane.split("|")
    said = answer(advice)
    return {
        "lane": {"country": country, "product": product},
        "from_carrier": advice.from_carrier,
        "to_carrier": advice.to_carrier or None,
        "decision": advice.decision,
        "probability_better": advice.probability,
        "saving_per_parcel": _money(advice.saving, advice.currency),
        "share_to_move": advice.share,
        "excluded": advice.excluded,
        "reasons": advice.reasons,
        "as_of": from_us(advice.as_of_us),
        "recommendation_id": advice.advice_id,
        "since": from_us(advice.since_us),
        "answer": None if said is None else said.what,
        "answered_by": None if said is None else said.by or None,
        "answer_note": None if said is None else said.note or None,
        "override": _override(said),
        "warning": advice.warning or None,
        "outcome": outcome_record(lane, accepted[-1]) if accepted else None,
        "revision": advice.revision,
        "promised_days": advice.promised_days,
        "carriers": [figures_record(one, advice.currency) for one in advice.carriers],
    }


def figures_record(one: Figures, currency: str) -> dict[str, Any]:
    """The figures of a carrier in a record."""
    return {
        "carrier": one.carrier,
        "status": one.status,
        "parcels": one.parcels,
        "known": one.known,
        "loss_ratio": one.lost,
        "return_ratio": one.returned,
        "complaints_per_1000": None if one.complaints is None else round(1000 * one.complaints, 3),
        "median_days": one.days,
        "late_days": one.late_days,
        "postage": None if one.postage is None else float(one.postage),
        "cost": _money(one.cost, currency),
        "saving": _money(one.saving, currency),
        "probability_better": one.probability,
        "refuses": one.refuses,
        "capacity_per_day": one.capacity_per_day,
        "valid_to": None if one.valid_to_us >= YEAR_2089_US else from_us(one.valid_to_us),
    }
