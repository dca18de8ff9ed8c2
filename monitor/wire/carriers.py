"""What ``push`` posts to a shipping system: the table of carriers in a CloudEvent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.wire.fields import Country, Model, Time


class CarrierRow(Model):
    """A carrier of a lane, or an attribute that it does not take there."""

    country: Country = Field(description="Destination, ISO 3166 alpha-2.")
    product: str = Field(description="Product group.")
    attribute: str = Field(description="Attribute of the parcel; empty: any.")
    carrier: str = Field(min_length=1, description="Carrier, with its service if the channel has one.")
    allowed: bool = Field(description="Whether it may be used.")
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        description="Share of the lane's parcels, once the advice is followed."
    )
    valid_from: Time = Field(description="From when the row holds.")
    valid_to: Time = Field(description="Until when it holds, unless a newer table comes.")
    recommendation_id: str = Field(description="Id of the recommendation behind it.")
    why: str = Field(description="Why it may not be used; empty where it may.")


class CarriersTable(Model):
    """The whole table; it replaces every earlier one."""

    as_of: Time = Field(description="Recorded time up to which the log was judged.")
    rows: list[CarrierRow] = Field(description="By lane, carrier and attribute.")
    test: bool = Field(False, description="A test: take nothing of it.")


class CarriersPublished(Model):
    """The table of carriers has changed, or is sent again because its rows end."""

    specversion: Literal["1.0"] = Field(description="Version of CloudEvents.")
    id: str = Field(min_length=1, description="Hash of the content: an id that was seen is a repeat.")
    source: str = Field(min_length=1, description="The sender.")
    type: Literal["carriers.published.v1"] = Field(description="What this is.")
    time: Time = Field(description="As `as_of`; of a test, when it was sent.")
    datacontenttype: Literal["application/json"] = Field(description="Media type of `data`.")
    data: CarriersTable = Field(description="The table.")
