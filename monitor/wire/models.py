"""The events of the contract as pydantic models: the types of webhooks and API, and the source of ``schemas/``.

They accept and refuse the same JSON documents as :func:`monitor.wire.decode.decode`, which is several times as fast
and serves the hot path; a property test holds the two equal. (Of what is no JSON or nests deeper than 190 levels
pydantic's parser has its own opinion.)
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from monitor.core.calendar_entry import calendar_fault
from monitor.core.vocabulary import ComplaintKind, Milestone
from monitor.wire.fields import ChannelName, Country, Day, Days, Id, Model, Money, Name, Names, Region, Text, Time

_Parcel = Annotated[Id, Field(description="The parcel's id, as in `subject` of its scans.")]
_Order = Annotated[Id, Field(description="The shop's order number.")]
_Customer = Annotated[Id, Field(description="Pseudonymous id of the customer; never a name or address.")]
_TYPE = Field(description="Type of the event with its version.")


class RegisteredData(Model):
    """A parcel was handed over to the carrier."""

    parcel_id: _Parcel
    destination: Country = Field(description="Country it is sent to, ISO 3166 alpha-2.")
    product: ChannelName = Field(description="Product group; part of the channel.", examples=["tablet"])
    carrier: ChannelName = Field(description="Carrier; part of the channel.", examples=["china-post"])
    order_id: _Order | None = None
    origin: Country | None = Field(None, description="Country it is sent from, ISO 3166 alpha-2.")
    service: ChannelName | None = Field(
        None, description="The carrier's service; part of the channel if given.", examples=["registered"]
    )
    forwarder: Name | None = Field(None, description="Who hands the parcel over to the carrier.")
    batch_id: Id | None = Field(None, description="Hand-over batch it belongs to.")
    attributes: Names | None = Field(
        None, description="Properties that carriers or customs care about.", examples=[["battery", "brand"]]
    )
    destination_region: Region | None = Field(None, description="Region it is sent to, ISO 3166-2.")
    promised_days: Days | None = Field(None, description="Days from registration within which delivery was promised.")
    declared_value: Money | None = Field(None, description="Value on the customs declaration.")
    postage: Money | None = Field(None, description="Cost of sending the parcel.")
    customer_id: _Customer | None = None
    customer_kind: Literal["retail", "dropship"] | None = Field(
        None, description="Whether the customer buys for himself or resells."
    )


class ScannedData(Model):
    """A tracking event of a carrier."""

    parcel_id: _Parcel
    milestone: Milestone = Field(description="What happened, in this contract's words.")
    country: Country | None = Field(None, description="Country of the scan, ISO 3166 alpha-2.")
    place: Text | None = Field(None, description="Place of the scan as the carrier names it.")
    carrier: Name | None = Field(None, description="Carrier that scanned it.")
    raw_code: Text | None = Field(None, description="The provider's own status code.")
    raw_text: Text | None = Field(None, description="The provider's own status text.")


class ComplaintOpenedData(Model):
    """A customer complained or opened a dispute."""

    complaint_id: Id = Field(description="Id of the complaint or dispute.")
    kind: ComplaintKind = Field(description="What the customer complains about.")
    parcel_id: _Parcel | None = None
    order_id: _Order | None = None
    customer_id: _Customer | None = None
    via: Literal["paypal", "ticket", "email", "marketplace", "review"] | None = Field(
        None, description="Where the complaint was made."
    )
    amount: Money | None = Field(None, description="Amount in dispute.")
    respond_by: Time | None = Field(None, description="Last moment for an answer.")
    destination: Country | None = Field(
        None, description="Country of the parcel, ISO 3166 alpha-2; counts if no parcel or order is named."
    )
    product: ChannelName | None = Field(None, description="Product group; counts if no parcel or order is named.")
    carrier: ChannelName | None = Field(None, description="Carrier; counts if no parcel or order is named.")


class ComplaintClosedData(Model):
    """A complaint or dispute ended."""

    complaint_id: Id = Field(description="Id of the complaint or dispute.")
    parcel_id: _Parcel | None = None
    outcome: Literal["refunded", "won", "lost", "withdrawn"] | None = Field(
        None, description="How it ended, seen from the shop."
    )
    amount: Money | None = Field(None, description="Amount paid to the customer.")


class RefundRequestedData(Model):
    """A refund was asked for; its clock starts."""

    refund_id: Id = Field(description="Id of the refund.")
    stage: Literal["not_shipped", "in_transit", "received_keep", "received_return"] = Field(
        description="Where the goods are; decides how fast the refund must be."
    )
    parcel_id: _Parcel | None = None
    order_id: _Order | None = None
    amount: Money | None = Field(None, description="Amount asked for.")
    reason: Text | None = Field(None, description="Why, in the words of the one who asked.")


class RefundCompletedData(Model):
    """A refund was paid; its clock stops."""

    refund_id: Id = Field(description="Id of the refund.")
    parcel_id: _Parcel | None = None
    amount: Money | None = Field(None, description="Amount paid.")
    by: Literal["merchant", "platform"] | None = Field(None, description="Who paid it.")


class ClaimFiledData(Model):
    """A claim for a lost or damaged parcel was filed with the carrier."""

    claim_id: Id = Field(description="Id of the claim.")
    parcel_id: _Parcel
    amount: Money | None = Field(None, description="Amount claimed.")
    deadline: Time | None = Field(None, description="Last moment at which the carrier accepts the claim.")


class ClaimSettledData(Model):
    """The carrier decided a claim."""

    claim_id: Id = Field(description="Id of the claim.")
    parcel_id: _Parcel
    outcome: Name | None = Field(None, description="What was decided, in the carrier's words.")
    amount: Money | None = Field(None, description="Amount paid by the carrier.")


class CarrierOfferedData(Model):
    """A carrier offers a lane: the alternatives that recommendations choose from."""

    carrier: ChannelName = Field(description="Carrier that offers.")
    destination: Country = Field(description="Country it delivers to, ISO 3166 alpha-2.")
    product: ChannelName | None = Field(None, description="Only for this product group.")
    postage: Money | None = Field(None, description="Price of a parcel.")
    promised_days: Days | None = Field(None, description="Days from registration within which it promises delivery.")
    refuses: Names | None = Field(None, description="Attributes of parcels it does not take.")
    capacity_per_day: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Most parcels it takes in a day."
    )
    valid_from: Time | None = Field(None, description="Holds from this moment on.")
    valid_to: Time | None = Field(None, description="Holds until this moment.")


class RuleDeclaredData(Model):
    """A rule of a country or carrier about what may be sent."""

    rule_id: Id = Field(description="Id of the rule.")
    effect: Literal["refuse", "require"] = Field(
        description="`refuse`: what matches may not be sent; `require`: only with `papers`."
    )
    destination: Country | None = Field(None, description="Only for this country, ISO 3166 alpha-2.")
    product: ChannelName | None = Field(None, description="Only for this product group.")
    attribute: Name | None = Field(None, description="Only for parcels with this attribute.")
    carrier: ChannelName | None = Field(None, description="Only for this carrier.")
    papers: Names | None = Field(None, description="Papers that are required.", examples=[["CE"]])
    max_value: Money | None = Field(None, description="Only for declared values above this.")
    valid_from: Time | None = Field(None, description="Holds from this moment on.")
    valid_to: Time | None = Field(None, description="Holds until this moment.")
    reason: Text | None = Field(None, description="Why the rule exists.")


class ClockTickedData(Model):
    """A tick of the grid of recorded time: what was recorded up to it is judged."""

    at: Time = Field(description="Moment of the tick.")


class DecisionRecordedData(Model):
    """A person's decision about an incident, a parcel on the watchlist or a recommendation."""

    target: Id = Field(description="Id of what was decided about.")
    what: Literal["ack", "note", "mute", "done", "accept", "decline"] = Field(description="The decision.")
    by: Name | None = Field(None, description="Who decided.")
    note: Text | None = Field(None, description="Why.")
    carrier: ChannelName | None = Field(
        None, description="Carrier (`carrier/service`) that is taken instead of the advised one; with `accept` only."
    )
    share: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Share of the lane's parcels that is moved instead of the advised one; with `accept` only."
    )


class CalendarDeclaredData(Model):
    """What the operator knows of some days that no package of holidays knows."""

    calendar_id: Id = Field(description="Id of the entry; a later declaration of the same id replaces it.")
    kind: Literal["holiday", "working_day", "cut_off", "strike", "closure", "surge", "withdrawn"] = Field(
        description="`holiday`: work rests; `working_day`: it does not, whatever the holidays say; `cut_off`: nothing "
        "is handed over; `strike`: of a carrier, or in a country; `closure`: of customs or a border; `surge`: of "
        "parcels; `withdrawn`: takes the entry back."
    )
    first_day: Day | None = Field(None, description="First UTC day; required unless `withdrawn`.")
    last_day: Day | None = Field(None, description="Last UTC day, inclusive; required unless `withdrawn`.")
    country: Country | None = Field(
        None, description="Only there, ISO 3166 alpha-2: a destination, or the origin. Default: everywhere."
    )
    carrier: ChannelName | None = Field(
        None, description="Only channels of this carrier; of one service as `carrier/service`."
    )
    forwarder: Name | None = Field(None, description="Only channels on which this forwarder hands over parcels.")
    reason: Text | None = Field(None, description="Why, in words.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if fault := calendar_fault(self):
            raise ValueError(fault)
        return self


class Envelope(Model):
    """CloudEvents 1.0, structured JSON; `recordedtime`, `sequence` and `history` are extension attributes."""

    specversion: Literal["1.0"] = Field(description="Version of CloudEvents.")
    id: Id = Field(description="With `source` the identity of the event: the same twice is one event.")
    source: Id = Field(description="Who produced the event.", examples=["connector/17track"])
    type: Annotated[str, _TYPE]
    subject: Id = Field(description="The parcel's id; for events about no parcel the id of the thing.")
    time: Time = Field(description="When it happened; RFC 3339 with offset.")
    recordedtime: Time | None = Field(
        None,
        description="When it became known; RFC 3339 with offset. If not given: the time of ingest, or `time` "
        "itself in replay and for history.",
    )
    sequence: Annotated[str, Field(max_length=64)] | Annotated[int, Field(ge=0, le=(1 << 63) - 1)] | None = Field(
        None, description="Place in an exported log, among events of one `recordedtime`."
    )
    history: bool = Field(False, description="Loaded as history: the bound on lateness does not apply.")
    timeunknown: bool = Field(
        False, description="`time` is not when it happened: an outcome counts, and tells nothing of transit or clocks."
    )


class _OfParcel(Envelope):
    data: RegisteredData | ScannedData

    @model_validator(mode="after")
    def _subject_is_the_parcel(self) -> Self:
        if self.subject != self.data.parcel_id:
            raise ValueError("subject must be the parcel id in data.parcel_id")
        return self


class ParcelRegistered(_OfParcel):
    """A parcel was handed over to the carrier: `time` starts every clock."""

    type: Annotated[Literal["parcel.registered.v1"], _TYPE]
    data: RegisteredData


class ParcelScanned(_OfParcel):
    """A tracking event of a carrier, brought onto the milestones of this contract."""

    type: Annotated[Literal["parcel.scanned.v1"], _TYPE]
    data: ScannedData


class ComplaintOpened(Envelope):
    """A customer complained or opened a dispute."""

    type: Annotated[Literal["complaint.opened.v1"], _TYPE]
    data: ComplaintOpenedData


class ComplaintClosed(Envelope):
    """A complaint or dispute ended."""

    type: Annotated[Literal["complaint.closed.v1"], _TYPE]
    data: ComplaintClosedData


class RefundRequested(Envelope):
    """A refund was asked for; its clock starts."""

    type: Annotated[Literal["refund.requested.v1"], _TYPE]
    data: RefundRequestedData


class RefundCompleted(Envelope):
    """A refund was paid; its clock stops."""

    type: Annotated[Literal["refund.completed.v1"], _TYPE]
    data: RefundCompletedData


class ClaimFiled(Envelope):
    """A claim for a lost or damaged parcel was filed with the carrier."""

    type: Annotated[Literal["claim.filed.v1"], _TYPE]
    data: ClaimFiledData


class ClaimSettled(Envelope):
    """The carrier decided a claim."""

    type: Annotated[Literal["claim.settled.v1"], _TYPE]
    data: ClaimSettledData


class CarrierOffered(Envelope):
    """A carrier offers a lane at a price."""

    type: Annotated[Literal["carrier.offered.v1"], _TYPE]
    data: CarrierOfferedData


class RuleDeclared(Envelope):
    """A rule of a country or carrier about what may be sent."""

    type: Annotated[Literal["rule.declared.v1"], _TYPE]
    data: RuleDeclaredData


class ClockTicked(Envelope):
    """A tick of the grid of recorded time. Written by the monitor itself."""

    type: Annotated[Literal["clock.ticked.v1"], _TYPE]
    subject: str = Field("clock", description="Always `clock`.")
    data: ClockTickedData


class DecisionRecorded(Envelope):
    """A person's decision: acknowledged, muted, done, accepted, declined, or a note."""

    type: Annotated[Literal["decision.recorded.v1"], _TYPE]
    data: DecisionRecordedData


class CalendarDeclared(Envelope):
    """An entry of the operator's calendar: made, replaced or withdrawn. `time` is when it was declared."""

    type: Annotated[Literal["calendar.declared.v1"], _TYPE]
    data: CalendarDeclaredData


Event = Annotated[
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
    | CalendarDeclared,
    Field(discriminator="type"),
]

#: Validates any event: ``EVENT.validate_json(raw)`` raises :class:`pydantic.ValidationError`.
EVENT: TypeAdapter[Event] = TypeAdapter(Event)

#: Event type → model, in the order of the contract.
EVENT_MODELS: dict[str, type[Envelope]] = {
    "parcel.registered.v1": ParcelRegistered,
    "parcel.scanned.v1": ParcelScanned,
    "complaint.opened.v1": ComplaintOpened,
    "complaint.closed.v1": ComplaintClosed,
    "refund.requested.v1": RefundRequested,
    "refund.completed.v1": RefundCompleted,
    "claim.filed.v1": ClaimFiled,
    "claim.settled.v1": ClaimSettled,
    "carrier.offered.v1": CarrierOffered,
    "rule.declared.v1": RuleDeclared,
    "clock.ticked.v1": ClockTicked,
    "decision.recorded.v1": DecisionRecorded,
    "calendar.declared.v1": CalendarDeclared,
}
