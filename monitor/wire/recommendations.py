"""What is advised about carriers, and what accepted switches brought. See :mod:`monitor.wire.records`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.wire.fields import Country, Model, Name, Time

CarrierStatus = Literal[
    "present", "compared", "not_compared", "few_parcels", "excluded", "incident", "no_price", "no_room"
]
Verdict = Literal["switch", "stay", "insufficient_data", "no_alternative"]

_Count = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Amount = Annotated[float, Field(allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_AsOf = Annotated[Time, Field(description="Recorded time up to which the log was judged.")]


class Lane(Model):
    """What a recommendation is about."""

    country: Country = Field(description="Destination, ISO 3166 alpha-2.")
    product: str = Field(description="Product group.")


class Saving(Model):
    """Money per parcel with a 90% interval; a saving is negative where a switch costs."""

    value: _Amount = Field(description="Expected amount per parcel, in units of the currency.")
    low: _Amount = Field(description="Lower bound of the 90% interval.")
    high: _Amount = Field(description="Upper bound of the 90% interval.")
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.", examples=["USD"])


class CarrierFigures(Model):
    """What is known of a carrier on a lane; figures are null where it was not weighed: excluded, too few parcels …"""

    carrier: str = Field(min_length=1, description="Carrier, with its service if the channel has one.")
    status: CarrierStatus = Field(description="`present`: in use; `compared` with it; else why it was not compared.")
    parcels: _Count = Field(description="Parcels registered in the last 40 days.")
    known: _NotNegative | None = Field(description="Parcels whose end is known, each by its weight; null: see above.")
    loss_ratio: _Share | None = Field(description="Share lost, parcels in flight counted; null: see above.")
    return_ratio: _Share | None = Field(description="Share that comes back; null: see above.")
    complaints_per_1000: _NotNegative | None = Field(description="Complaints per 1,000 parcels; null: see above.")
    median_days: _NotNegative | None = Field(description="Median days to delivery; null: see above.")
    late_days: _NotNegative | None = Field(description="Mean days after the promise; null: see above.")
    postage: _NotNegative | None = Field(description="Postage of a parcel; null where it is not known.")
    cost: Saving | None = Field(description="What a parcel costs in all; null: see above.")
    saving: Saving | None = Field(description="What it saves against the carrier in use; null where not compared.")
    probability_better: _Share | None = Field(
        description="Probability that it saves more than the margin; null where it was not compared."
    )
    refuses: list[str] = Field(description="Attributes that its offer refuses.")
    capacity_per_day: _NotNegative | None = Field(description="Most parcels a day; null where its offer names none.")
    valid_to: Time | None = Field(description="Until when its offer holds; null without an end, or without an offer.")


class Outcome(Model):
    """What an accepted switch brought, beside what was forecast."""

    recommendation_id: str = Field(description="Id of the recommendation that was accepted.")
    lane: Lane = Field(description="Country and product.")
    from_carrier: str = Field(min_length=1, description="Carrier that was left.")
    to_carrier: str = Field(min_length=1, description="Carrier that was taken.")
    accepted_at: Time = Field(description="When it was accepted.")
    accepted_by: Name | None = Field(description="By whom; null without a name.")
    share_to_move: _Share = Field(description="Share of the lane's parcels that was to be moved.")
    state: Literal["too_early", "measured", "not_followed"] = Field(
        description="`too_early` to tell; `measured`; `not_followed`: hardly any parcel was moved."
    )
    final: bool = Field(description="Whether it changes no more.")
    as_of: Time | None = Field(description="Tick at which it was measured last; null before the first time.")
    parcels: _Count = Field(description="Parcels of the new carrier in the whole weeks since.")
    parcels_moved: _NotNegative = Field(description="Of these, those beyond its share before.")
    against: Literal["same_days", "before"] | None = Field(
        description="What the old carrier costs is measured on the `same_days`, or was known `before`; null until "
        "measured."
    )
    forecast_per_parcel: Saving = Field(description="Saving per parcel that was forecast.")
    saving_per_parcel: Saving | None = Field(description="Saving per parcel that was measured; null until then.")
    probability_paid: _Share | None = Field(description="Probability that it paid; null until measured.")
    saved: Saving | None = Field(description="Saved so far in all, not per parcel; null until measured.")
    as_forecast: bool | None = Field(
        description="Whether the measured saving lies within the forecast's interval, both doubts together."
    )
    regret_per_parcel: _NotNegative | None = Field(
        description="What a parcel costs more than with the cheapest carrier that may be used; null until measured."
    )


class Balance(Model):
    """The accepted switches of all lanes together."""

    accepted: _Count = Field(description="Switches that people accepted.")
    measured: _Count = Field(description="Of these, measured.")
    paid: _Count = Field(description="Of the measured, those that saved.")
    not_followed: _Count = Field(description="Of the accepted, those after which hardly any parcel was moved.")
    as_forecast: _Count = Field(description="Of the measured, those within their forecast's interval.")
    saved: list[Saving] = Field(description="Saved so far in all, by currency.")
    regret_per_parcel: dict[str, _NotNegative] = Field(description="Mean regret of the measured, by currency.")
    warning: str | None = Field(description="Said while advice was wrong too often; null else.")


class Override(Model):
    """What a person decided instead of the advice, when accepting it."""

    carrier: str | None = Field(description="Carrier that is taken; null: the advised one.")
    share: _Share | None = Field(description="Share of the lane's parcels that is moved; null: the advised one.")


class Recommendation(Model):
    """Whether to move parcels of a lane to another carrier."""

    lane: Lane = Field(description="Country and product.")
    from_carrier: str = Field(min_length=1, description="Largest carrier of the lane in the last 40 days.")
    to_carrier: str | None = Field(
        description="Best alternative; null where `decision` is `no_alternative` or `insufficient_data`."
    )
    decision: Verdict = Field(description="What is recommended.")
    probability_better: _Share | None = Field(
        description="Probability that `to_carrier` is better, by more than the margin; null where there is none to "
        "compare."
    )
    saving_per_parcel: Saving | None = Field(
        description="Expected saving per parcel moved; null where there is none to compare."
    )
    share_to_move: _Share = Field(description="Share of the lane's parcels to move; 0 where nothing should.")
    excluded: dict[str, str] = Field(description="Carrier → the rule it breaks.")
    reasons: list[str] = Field(description="Why, in sentences.")
    as_of: _AsOf
    recommendation_id: str | None = Field(
        None, description="Id, for `act` and `explain`; stays while it says the same."
    )
    since: Time | None = Field(None, description="Tick from which on it says the same.")
    answer: Literal["accept", "decline"] | None = Field(None, description="A person's answer; null if nobody gave one.")
    answered_by: Name | None = Field(None, description="Who gave it; null if nobody did, or without a name.")
    answer_note: str | None = Field(None, description="The reason given with it; null without one.")
    override: Override | None = Field(None, description="What was decided instead of the advice; null if nothing.")
    warning: str | None = Field(None, description="That too few accepted switches paid lately; null else.")
    outcome: Outcome | None = Field(
        None, description="What the last accepted switch of the lane brought; null if none was accepted."
    )
    revision: _Count = Field(0, description="Rises with each change; readers keep the greatest.")
    promised_days: _NotNegative | None = Field(
        None, description="Days that all carriers are held to; null where nothing is promised."
    )
    carriers: list[CarrierFigures] = Field(default=[], description="The carriers of the lane, the one in use first.")
