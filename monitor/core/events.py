"""What comes in: one frozen type per event of the contract, in the CloudEvents envelope.

The types are msgspec structs, so the hot path decodes JSON straight into them, with types, lengths and time
stamps checked; :mod:`monitor.wire` holds the pydantic models of the same events (the source of ``schemas/``)
and a property test holds the two equal. ``check`` below adds the rules that types cannot say.

Times are :class:`~datetime.datetime` with an offset on the wire and integer microseconds since 1970 UTC inside.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from monitor.core.calendar_entry import DAY_PATTERN, calendar_fault
from monitor.core.vocabulary import (
    MAX_ID_LENGTH,
    MAX_NAME_LENGTH,
    MAX_TEXT_LENGTH,
    ComplaintKind,
    Milestone,
    Reason,
)

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
Text = Annotated[str, Meta(max_length=MAX_TEXT_LENGTH)]
Country = Annotated[str, Meta(min_length=2, max_length=2, pattern=r"^[A-Z]{2}$")]
Region = Annotated[str, Meta(max_length=6, pattern=r"^[A-Z]{2}-[A-Z0-9]{1,3}(?!\n)$")]
Time = Annotated[datetime, Meta(tz=True)]
Days = Annotated[float, Meta(ge=0, le=3650)]
Names = Annotated[list[Name], Meta(max_length=50)]
Day = Annotated[str, Meta(pattern=DAY_PATTERN)]


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Rejected(Exception):
    """A record that cannot be used: ``reason`` is a code of the contract, ``detail`` a sentence for a person."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


class Money(Struct, frozen=True, gc=False):
    """An amount as a decimal string (never a float) in an ISO 4217 currency."""

    amount: Annotated[str, Meta(min_length=1, max_length=24)]
    currency: Annotated[str, Meta(min_length=3, max_length=3, pattern=r"^[A-Z]{3}$")]


class RegisteredData(Struct, frozen=True, gc=False):
    parcel_id: Id
    destination: Country
    product: Name
    carrier: Name
    order_id: Id | None = None
    origin: Country | None = None
    service: Name | None = None
    forwarder: Name | None = None
    batch_id: Id | None = None
    attributes: Names | None = None
    destination_region: Region | None = None
    promised_days: Days | None = None
    declared_value: Money | None = None
    postage: Money | None = None
    customer_id: Id | None = None
    customer_kind: Literal["retail", "dropship"] | None = None


class ScannedData(Struct, frozen=True, gc=False):
    parcel_id: Id
    milestone: Milestone
    country: Country | None = None
    place: Text | None = None
    carrier: Name | None = None
    raw_code: Text | None = None
    raw_text: Text | None = None


class ComplaintOpenedData(Struct, frozen=True, gc=False):
    complaint_id: Id
    kind: ComplaintKind
    parcel_id: Id | None = None
    order_id: Id | None = None
    customer_id: Id | None = None
    via: Literal["paypal", "ticket", "email", "marketplace", "review"] | None = None
    amount: Money | None = None
    respond_by: Time | None = None
    destination: Country | None = None
    product: Name | None = None
    carrier: Name | None = None


class ComplaintClosedData(Struct, frozen=True, gc=False):
    complaint_id: Id
    parcel_id: Id | None = None
    outcome: Literal["refunded", "won", "lost", "withdrawn"] | None = None
    amount: Money | None = None


class RefundRequestedData(Struct, frozen=True, gc=False):
    refund_id: Id
    stage: Literal["not_shipped", "in_transit", "received_keep", "received_return"]
    parcel_id: Id | None = None
    order_id: Id | None = None
    amount: Money | None = None
    reason: Text | None = None


class RefundCompletedData(Struct, frozen=True, gc=False):
    refund_id: Id
    parcel_id: Id | None = None
    amount: Money | None = None
    by: Literal["merchant", "platform"] | None = None


class ClaimFiledData(Struct, frozen=True, gc=False):
    claim_id: Id
    parcel_id: Id
    amount: Money | None = None
    deadline: Time | None = None


class ClaimSettledData(Struct, frozen=True, gc=False):
    claim_id: Id
    parcel_id: Id
    outcome: Name | None = None
    amount: Money | None = None


class CarrierOfferedData(Struct, frozen=True, gc=False):
    carrier: Name
    destination: Country
    product: Name | None = None
    postage: Money | None = None
    promised_days: Days | None = None
    refuses: Names | None = None
    capacity_per_day: Annotated[float, Meta(ge=0)] | None = None
    valid_from: Time | None = None
    valid_to: Time | None = None


class RuleDeclaredData(Struct, frozen=True, gc=False):
    rule_id: Id
    effect: Literal["refuse", "require"]
    destination: Country | None = None
    product: Name | None = None
    attribute: Name | None = None
    carrier: Name | None = None
    papers: Names | None = None
    max_value: Money | None = None
    valid_from: Time | None = None
    valid_to: Time | None = None
    reason: Text | None = None


class ClockTickedData(Struct, frozen=True, gc=False):
    at: Time


class DecisionRecordedData(Struct, frozen=True, gc=False):
    """A person's decision about an incident, a parcel on the watchlist or a recommendation."""

    target: Id
    what: Literal["ack", "note", "mute", "done", "accept", "decline"]
    by: Name | None = None
    note: Text | None = None
    carrier: Name | None = None
    share: Annotated[float, Meta(ge=0, le=1)] | None = None


class CalendarDeclaredData(Struct, frozen=True, gc=False):
    """What the operator knows of some days; a later declaration of the same ``calendar_id`` replaces it."""

    calendar_id: Id
    kind: Literal["holiday", "working_day", "cut_off", "strike", "closure", "surge", "withdrawn"]
    first_day: Day | None = None
    last_day: Day | None = None
    country: Country | None = None
    carrier: Name | None = None
    forwarder: Name | None = None
    reason: Text | None = None


class Envelope(Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """The CloudEvents 1.0 envelope; the attributes below ``time`` are extensions.

    ``history`` marks events loaded as history (``ingest --history``): the bound on lateness does not apply.
    ``timeunknown`` says that ``time`` is not when it happened (an export knew the outcome, not its day): an outcome
    counts as such, and tells nothing of transit, promise or clocks.
    """

    specversion: Literal["1.0"]
    id: Id
    source: Id
    time: Time
    recordedtime: Time | None = None
    sequence: Annotated[str, Meta(max_length=64)] | Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None = None
    history: bool = False
    timeunknown: bool = False


class ParcelRegistered(Envelope, frozen=True, kw_only=True, gc=False, tag="parcel.registered.v1"):
    subject: Id
    data: RegisteredData


class ParcelScanned(Envelope, frozen=True, kw_only=True, gc=False, tag="parcel.scanned.v1"):
    subject: Id
    data: ScannedData


class ComplaintOpened(Envelope, frozen=True, kw_only=True, gc=False, tag="complaint.opened.v1"):
    subject: Id
    data: ComplaintOpenedData


class ComplaintClosed(Envelope, frozen=True, kw_only=True, gc=False, tag="complaint.closed.v1"):
    subject: Id
    data: ComplaintClosedData


class RefundRequested(Envelope, frozen=True, kw_only=True, gc=False, tag="refund.requested.v1"):
    subject: Id
    data: RefundRequestedData


class RefundCompleted(Envelope, frozen=True, kw_only=True, gc=False, tag="refund.completed.v1"):
    subject: Id
    data: RefundCompletedData


class ClaimFiled(Envelope, frozen=True, kw_only=True, gc=False, tag="claim.filed.v1"):
    subject: Id
    data: ClaimFiledData


class ClaimSettled(Envelope, frozen=True, kw_only=True, gc=False, tag="claim.settled.v1"):
    subject: Id
    data: ClaimSettledData


class CarrierOffered(Envelope, frozen=True, kw_only=True, gc=False, tag="carrier.offered.v1"):
    subject: Id
    data: CarrierOfferedData


class RuleDeclared(Envelope, frozen=True, kw_only=True, gc=False, tag="rule.declared.v1"):
    subject: Id
    data: RuleDeclaredData


class ClockTicked(Envelope, frozen=True, kw_only=True, gc=False, tag="clock.ticked.v1"):
    data: ClockTickedData
    subject: str = "clock"


class DecisionRecorded(Envelope, frozen=True, kw_only=True, gc=False, tag="decision.recorded.v1"):
    subject: Id
    data: DecisionRecordedData


class CalendarDeclared(Envelope, frozen=True, kw_only=True, gc=False, tag="calendar.declared.v1"):
    subject: Id
    data: CalendarDeclaredData


Event = (
    ParcelRegistered
    | ParcelScanned
    | ComplaintOpened
    | ComplaintClosed
    | RefundRequested
    | RefundCompleted
    | ClaimFiled
    | ClaimSettled
    | CarrierOffered
    | RuleDeclared
    | ClockTicked
    | DecisionRecorded
    | CalendarDeclared
)

#: Event type → class, in the order of the contract.
EVENT_TYPES: Final[dict[str, type[Envelope]]] = {str(cls.__struct_config__.tag): cls for cls in get_args(Event)}

_FORBIDDEN_IN_NAME: Final = re.compile(r"[|\x00-\x1f\x7f-\x9f]")
_AMOUNT: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?")


def type_of(event: Event) -> str:
    """The event's ``type``."""
    return str(event.__struct_config__.tag)


def to_us(time: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z, exactly."""
    since = time - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_us(time_us: int) -> str:
    """RFC 3339 in UTC with ``Z``; fractions of a second only where there are any."""
    return (EPOCH + timedelta(microseconds=time_us)).isoformat()[:-6] + "Z"


def day_text(day: int) -> str:
    """UTC day number (days since 1970) as ``YYYY-MM-DD``."""
    return (EPOCH + timedelta(days=day)).date().isoformat()


def channel_id(destination: str, product: str, carrier: str, service: str | None = None) -> str:
    """``RU|tablet|china-post/registered``: the identity of a channel."""
    return f"{destination}|{product}|{carrier}/{service}" if service else f"{destination}|{product}|{carrier}"


def check_name(label: str, value: str | None) -> None:
    """Raise :class:`Rejected` when a name of a product or carrier holds ``|`` or a control character."""
    if value is not None and _FORBIDDEN_IN_NAME.search(value):
        raise Rejected("invalid_event", f"data.{label} may not hold '|' or control characters; it is {value[:80]!r}")


def check_money(label: str, value: Money | None) -> None:
    """Raise :class:`Rejected` unless the amount is a plain decimal number."""
    if value is not None and not _AMOUNT.fullmatch(value.amount):
        raise Rejected(
            "invalid_event",
            f"data.{label}.amount must be a decimal number such as '12.30'; it is {value.amount!r}",
        )


_OF_PARCEL: Final = frozenset({ParcelRegistered, ParcelScanned})


def check(event: Event) -> None:
    """The rules of the contract that types cannot say. Raises :class:`Rejected`."""
    data = event.data
    if event.__class__ in _OF_PARCEL and event.subject != data.parcel_id:
        raise _mismatch(event.subject, data.parcel_id)
    if event.__class__ is ParcelScanned:  # most events are scans, and a scan has no more rules
        return
    for label in ("product", "carrier", "service"):
        check_name(label, getattr(data, label, None))
    for label in ("amount", "postage", "declared_value", "max_value"):
        check_money(label, getattr(data, label, None))
    if isinstance(data, CalendarDeclaredData) and (fault := calendar_fault(data)):
        raise Rejected("invalid_event", fault)


def _mismatch(subject: str, parcel_id: str) -> Rejected:
    return Rejected(
        "subject_mismatch",
        f"subject must be the parcel id: subject is {subject[:80]!r}, data.parcel_id is {parcel_id[:80]!r}",
    )


#: Where an event is kept and folded: a key (its partition), or every partition.
EVERYWHERE: Final = None


def route(event: Event) -> str | None:
    """The key that chooses the partition of an event; ``EVERYWHERE`` for those that name no parcel.

    Events about an order, complaint or refund that name no parcel may belong to a parcel of any partition, so
    each partition sees them and looks into its own index. Ticks enter every partition.
    """
    if isinstance(event, ParcelScanned):
        return event.subject
    if isinstance(event, ClockTicked):
        return EVERYWHERE
    data = event.data
    parcel_id: str | None = getattr(data, "parcel_id", None)
    if parcel_id is not None:
        return parcel_id
    if isinstance(data, ComplaintOpenedData | ComplaintClosedData | RefundRequestedData | RefundCompletedData):
        return EVERYWHERE
    return data.target if isinstance(data, DecisionRecordedData) else event.subject


_encode_body = msgspec.json.Encoder().encode


def canonical_body(event: Event) -> bytes:
    """The bytes that say whether two events with one identity are the same event.

    Type, subject, instant and the fields of the contract; not the time of recording, the sequence or fields
    nobody reads.
    """
    return _encode_body((event.__struct_config__.tag, event.subject, to_us(event.time), event.data))
