"""What comes out: incidents, channels, watchlist, recommendations, dead letters and the summary of a replay.

These models are the types of the API and the source of their schemas. A field may be null only where its
description says when.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from monitor.core.vocabulary import Reason
from monitor.wire.fields import Country, Model, Name, Text, Time

ScopeKind = Literal[
    "channel",
    "country",
    "carrier",
    "carrier_country",
    "country_product",
    "carrier_product",
    "forwarder",
    "batch",
    "customer",
    "feed",
    "all",
]
Mode = Literal[
    "transit_slow",
    "stage_stalled",
    "no_first_scan",
    "loss",
    "customs_hold",
    "security_return",
    "returned",
    "misroute",
    "complaints",
    "empty_box",
    "sentinel",
    "feed_silent",
    "feed_late",
]
Severity = Literal["page", "ticket", "feed"]
Status = Literal["ok", "watch", "degraded", "insufficient_data"]
CarrierStatus = Literal[
    "present", "compared", "not_compared", "few_parcels", "excluded", "incident", "no_price", "no_room"
]
Verdict = Literal["switch", "stay", "insufficient_data", "no_alternative"]

_Count = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Amount = Annotated[float, Field(allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_ChannelId = Annotated[str, Field(description="Channel id.", examples=["RU|tablet|china-post/registered"])]
_AsOf = Annotated[Time, Field(description="Recorded time up to which the log was judged.")]


class Scope(Model):
    """What an incident is about: the facets that all its parcels share; null where they differ."""

    kind: ScopeKind = Field(description="Which facets name the scope.")
    country: Country | None = Field(description="Destination, ISO 3166 alpha-2; null if not part of the scope.")
    product: str | None = Field(description="Product group; null if not part of the scope.")
    carrier: str | None = Field(
        description="Carrier (with its service if the channel has one); null if not part of the scope."
    )
    forwarder: str | None = Field(None, description="Forwarder; only where `kind` is `forwarder`.")
    batch_id: str | None = Field(None, description="Hand-over batch; only where `kind` is `batch`.")
    customer_id: str | None = Field(None, description="Pseudonym; only where `kind` is `customer`.")


class Evidence(Model):
    """Why the incident was opened: what was seen against what the baseline expected."""

    ln_m: _Amount = Field(description="Evidence: natural logarithm of the test martingale M.")
    observed: _Amount = Field(description="Events seen since `since`.")
    expected: _Amount = Field(description="Events the baseline expected since `since`.")
    since: str = Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        description="First UTC day of the evidence.",
        examples=["2026-03-03"],
        json_schema_extra={"format": "date"},
    )


class Interval(Model):
    """An expected number with a 90% interval."""

    expected: _NotNegative = Field(description="Expected number.")
    low: _NotNegative = Field(description="Lower bound of the 90% interval.")
    high: _NotNegative = Field(description="Upper bound of the 90% interval.")


class Forecast(Model):
    """What to expect if nothing is done."""

    complaints_next_14_days: Interval = Field(description="Complaints of the members in the next 14 days.")


class Joined(Model):
    """A channel that an open incident grew to include after it became known."""

    channel: _ChannelId
    known_by: Time = Field(description="Recorded time of the tick at which it joined.")


class Incident(Model):
    """Trouble of a channel or a wider cause, in its last state."""

    incident_id: str = Field(min_length=1, description="Hash of scope, mode and the tick of opening.")
    scope: Scope = Field(description="What it is about; fixed at `known_by`.")
    mode: Mode = Field(description="What goes wrong.")
    clock: str | None = Field(
        description="Stage clock that runs slow; null where the mode is about no clock.",
        examples=["departed_origin>arrived_destination"],
    )
    severity: Severity = Field(
        description="`page` act today, `ticket` look this week, `feed` data problem; the highest ever reached."
    )
    opened_at: Time = Field(description="When the trouble began to show, in event time.")
    closed_at: Time | None = Field(description="When it ended; null while it is open.")
    known_by: Time = Field(description="Recorded time of the tick at which it first had its severity; never changes.")
    members: list[_ChannelId] = Field(description="Channels concerned; fixed at `known_by`.")
    parcels_at_risk: _Count = Field(description="Parcels under way in the channels concerned.")
    evidence: Evidence = Field(description="Why it was opened.")
    forecast: Forecast = Field(description="What to expect if nothing is done.")
    revision: _Count = Field(0, description="Rises with each change; readers keep the greatest.")
    joined: list[Joined] = Field(default=[], description="Channels that joined after `known_by`.")
    absorbed_by: str | None = Field(
        None, description="Id of the wider incident that explains this one; null if there is none."
    )
    judged_by: Literal["drift", "canary"] | None = Field(
        None,
        description="What raised it, if not the channel's evidence against its own baseline. `drift`: the baseline "
        "itself has moved, `observed` are the usual days now, `expected` those at `since`. `canary`: a new channel, "
        "weighed against its lane.",
    )
    acknowledged_by: Name | None = Field(None, description="Who acknowledged it; null if nobody did.")
    muted: bool = Field(False, description="Whether a person muted it.")
    notes: list[Text] = Field(default=[], description="Notes of people, oldest first.")


class Quantile(Model):
    """A quantile in days with a 95% interval; null where the survival curve does not get there."""

    value: _NotNegative | None = Field(description="Days; null where the curve does not get there.")
    low: _NotNegative | None = Field(description="Lower bound in days; null where it does not get there.")
    high: _NotNegative | None = Field(description="Upper bound in days; null where it does not get there.")


class TransitDays(Model):
    """Days from registration to delivery (Kaplan–Meier; parcels in flight, lost and returned are censored)."""

    p50: Quantile = Field(description="Half of the parcels are delivered by then.")
    p80: Quantile = Field(description="80% of the parcels are delivered by then.")
    p95: Quantile = Field(description="95% of the parcels are delivered by then.")


class _Rate(Model):
    n: _Count = Field(description="Number of parcels the figure is about (its denominator).")

    @model_validator(mode="after")
    def _null_only_without_parcels(self) -> Self:
        if self.n and None in (getattr(self, name) for name in ("value", "low", "high")):
            raise ValueError("value, low and high may be null only where n is 0")
        return self


class Ratio(_Rate):
    """A share k/n from 0 to 1 with a 95% interval."""

    value: _Share | None = Field(description="k / n; null only where n is 0.")
    low: _Share | None = Field(description="Lower bound of the 95% interval; null only where n is 0.")
    high: _Share | None = Field(description="Upper bound of the 95% interval; null only where n is 0.")


class PerThousand(_Rate):
    """A number per 1,000 parcels with a 95% interval."""

    value: _NotNegative | None = Field(description="1,000 k / n; null only where n is 0.")
    low: _NotNegative | None = Field(description="Lower bound of the 95% interval; null only where n is 0.")
    high: _NotNegative | None = Field(description="Upper bound of the 95% interval; null only where n is 0.")


class ChannelStatistics(Model):
    """Counts and rates of a channel over a span of time."""

    registered: _Count = Field(description="Parcels handed over to the carrier.")
    in_flight: _Count = Field(description="Registered − delivered − lost − returned.")
    delivered: _Count = Field(description="Parcels delivered.")
    lost: _Count = Field(description="Parcels lost by word of the carrier or a settled claim.")
    returned: _Count = Field(description="Parcels returned.")
    presumed_lost: _Count = Field(description="Parcels in flight that were silent beyond the age cap.")
    transit_days: TransitDays = Field(description="Quantiles of the days from registration to delivery.")
    on_time_ratio: Ratio = Field(description="Delivered by the promise, of those delivered or past their promise.")
    first_scan_ratio: Ratio = Field(description="Scanned by the carrier in time, of those old enough.")
    loss_ratio: Ratio = Field(description="Lost or presumed lost, of those with an outcome or presumed lost.")
    hold_ratio: Ratio = Field(description="Held by customs, of those arrived or held.")
    complaints_per_1000: PerThousand = Field(description="Complaints per 1,000 registered parcels of the cohort.")


class Channel(ChannelStatistics):
    """A channel (destination, product, carrier): figures over the whole log, and in `recent` the last 90 days."""

    channel: _ChannelId
    status: Status = Field(description="State of the channel by its recent figures and open incidents.")
    ln_m: _Amount | None = Field(
        description="Evidence of trouble now (natural logarithm); null where there is no baseline yet."
    )
    as_of: _AsOf
    recent: ChannelStatistics = Field(description="The same over the last 90 days.")
    canary_parcels: int | None = Field(
        None,
        ge=0,
        description="Of a new channel, followed against its lane until its own baseline takes over: its parcels.",
    )


class WatchItem(Model):
    """A parcel that a person should look at."""

    parcel_id: str = Field(min_length=1, description="The parcel's id.")
    channel: _ChannelId
    reason: str = Field(min_length=1, description="Why it is on the list.")
    since: Time = Field(description="Since when the reason holds, in event time.")
    due_at: Time = Field(description="By when the next action should be done.")
    days_left_in_dispute_window: _Amount = Field(
        description="Days in which the buyer may still open a dispute; negative when the window has closed."
    )
    priority: int = Field(ge=1, le=4, description="1 is the most urgent.")
    next_action: str = Field(min_length=1, description="What to do next.")
    incident_id: str | None = Field(description="Incident that the parcel belongs to; null if there is none.")


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
    warning: str | None = Field(None, description="That too few accepted switches paid lately; null else.")
    outcome: Outcome | None = Field(
        None, description="What the last accepted switch of the lane brought; null if none was accepted."
    )
    revision: _Count = Field(0, description="Rises with each change; readers keep the greatest.")
    promised_days: _NotNegative | None = Field(
        None, description="Days that all carriers are held to; null where nothing is promised."
    )
    carriers: list[CarrierFigures] = Field(default=[], description="The carriers of the lane, the one in use first.")


class FilePosition(Model):
    """A line of an input file."""

    file: str = Field(description="Name of the file; `-` is standard input.")
    line: int = Field(ge=1, description="Line, counted from 1.")


class LogPosition(Model):
    """A place in the log."""

    topic: str = Field(description="Topic.")
    partition: _Count = Field(description="Partition.")
    offset: _Count = Field(description="Offset of the record.")
    index: _Count = Field(0, description="Place within a record of several events, counted from 0.")


class DeadLetter(Model):
    """Input that could not be used, with the reason; it can be replayed after a fix."""

    position: FilePosition | LogPosition = Field(description="Where it came from.")
    raw: str = Field(description="What was read; bytes that are no text in UTF-8 as `\\xff`.")
    raw_base64: str | None = Field(None, description="The bytes in base64, where `raw` cannot give them back exactly.")
    reason: Reason = Field(description="Code of the reason.")
    detail: str = Field(min_length=1, description="The reason as a sentence.")
    recordedtime: Time = Field(description="When it was read.")


class Summary(Model):
    """What a replay did."""

    events: _Count = Field(description="Events that were folded.")
    duplicates: _Count = Field(description="Repeats of an event.")
    dead_letters: _Count = Field(description="Records that could not be used.")
    waiting: _Count = Field(description="Events still waiting for their parcel to be registered.")
    parcels: _Count = Field(description="Parcels registered.")
    channels: _Count = Field(description="Channels seen.")
    incidents: _Count = Field(description="Incidents, open and closed.")
    first_time: Time | None = Field(description="Least `time` of all events; null without events.")
    last_time: Time | None = Field(description="Greatest `time` of all events; null without events.")
    as_of: Time | None = Field(description="`--until`, else the last recordedtime; null without events.")
    state_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hash of the folds' state.")


#: Name of a record (of its schema) → model.
RECORD_MODELS: dict[str, type[Model]] = {
    "incident": Incident,
    "channel": Channel,
    "watch_item": WatchItem,
    "recommendation": Recommendation,
    "dead_letter": DeadLetter,
    "summary": Summary,
}
