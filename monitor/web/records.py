"""Shapes of the API's answers that are not records of the contract: details, one parcel, health, problems."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from monitor.wire.fields import Model, Time
from monitor.wire.recommendations import Recommendation
from monitor.wire.records import Incident, LogPosition


class IncidentDetail(Incident):
    """An incident with what is known about how it came to be."""

    explanation: dict[str, Any] | None = Field(
        description="Rule, parameters, figures and parcels as stored (`basis`), and the command that proves them from "
        "the log (`verify`); null when none are kept."
    )


class RecommendationDetail(Recommendation):
    """A recommendation with the rule behind it."""

    explanation: dict[str, Any] | None = Field(
        description="Rule, parameters, figures and the offers and rules behind it; null when none are kept."
    )


class TimelineEvent(Model):
    """One event of a parcel. Further members say what it was: `milestone`, `kind`, `stage`, `outcome`, …"""

    model_config = ConfigDict(extra="allow")

    time: Time = Field(description="When it happened.")
    recordedtime: Time = Field(description="When it became known.")
    type: str = Field(description="Event type of the contract.")
    milestone: str | None = Field(None, description="What a scan says, in the contract's words.")
    country: str | None = Field(None, description="Country of a scan.")
    place: str | None = Field(None, description="Place of a scan as the carrier names it.")
    raw_code: str | None = Field(None, description="The provider's own code.")
    raw_text: str | None = Field(None, description="The provider's own text.")
    position: LogPosition = Field(description="Where it stands in the log.")


class ParcelDetail(Model):
    """One parcel and its timeline."""

    parcel_id: str = Field(description="The parcel's id.")
    channel: str = Field(description="The channel it travels by.")
    state: str = Field(description="Where it stands: in flight, delivered, returned, lost, presumed lost.")
    registered_at: Time = Field(description="When it was handed over.")
    promised_by: Time | None = Field(description="The promised time; null without a promise.")
    last_scan_at: Time | None = Field(description="The latest scan; null before the first.")
    events: list[TimelineEvent] = Field(description="What happened to it.")


class Health(Model):
    """The monitor itself."""

    recovered: bool = Field(description="Whether the state is restored after a start.")
    lag_records: int = Field(ge=0, description="Records in the log that are not folded yet.")
    last_tick: Time | None = Field(description="The last closed tick; null before the first.")
    watermark: Time | None = Field(description="Reports are complete up to here; null before the first tick.")
    ready: bool = Field(description="Whether what is shown is complete.")
    reasons: list[str] = Field(description="Why it is not ready; empty when it is.")


class Problem(Model):
    """An error, after RFC 9457."""

    title: str = Field(description="The error in words.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What was wrong with this request.")
