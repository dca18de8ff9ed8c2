"""What comes out: incidents, channels, watchlist, recommendations, dead letters and the summary of a replay.

These models are the types of the API and the source of their schemas. A field may be null only where its
description says when.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from monitor.core.vocabulary import Reason
from monitor.wire.fields import Country, Model, Name, Text, Time
from monitor.wire.recommendations import Recommendation

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
