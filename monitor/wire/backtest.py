"""What ``backtest --json`` prints, and what of a truth file it reads.

Days between two moments are counted in days of 24 hours with two decimals. Where a figure is null, its description
says when.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.wire.fields import Model, Time
from monitor.wire.recommendations import Lane, Saving
from monitor.wire.records import Mode, Scope, Severity

_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Days = Annotated[float, Field(allow_inf_nan=False, description="Days of 24 hours.")]

SwitchVerdict = Literal["saves", "costs", "cannot_tell", "none_advised"]
Outcome = Literal["paged_before_alarm", "paged_after_alarm", "paged_without_alarm", "missed", "not_judged"]


class Bounds(Model):
    """The 95% interval of the figure beside it, and the number it rests on."""

    low: _Number | None = Field(description="Lower bound; null where the figure is null.")
    high: _Number | None = Field(description="Upper bound; null where the figure is null.")
    n: Annotated[int | float, Field(ge=0)] = Field(
        description="What the figure rests on: incidents, degradations or weeks."
    )


class Spread(Model):
    """Quartiles of the values whose median stands beside it, and the median's 95% interval by order statistics."""

    q25: _Days | None = Field(description="First quartile; null where n is 0.")
    q75: _Days | None = Field(description="Third quartile; null where n is 0.")
    low: _Days | None = Field(description="Lower bound of the median; null below six values, where there is none.")
    high: _Days | None = Field(description="Upper bound of the median; null below six values, where there is none.")
    n: _Count = Field(description="Number of values.")


class TestedIncident(Model):
    """An incident as it was when it became known, and what the complaints said later."""

    incident_id: str = Field(min_length=1, description="Id of the incident.")
    scope: Scope = Field(description="What it is about.")
    mode: Mode = Field(description="The rule that raised it.")
    severity: Severity = Field(description="The highest it reached, at `known_by`.")
    known_by: Time = Field(description="Recorded time of the tick at which it was known with its severity.")
    members: list[str] = Field(description="Channels concerned.")
    ln_m: _Number = Field(description="Evidence at `known_by`.")
    degradation_id: str | None = Field(description="The degradation it tells of; null if it matches none.")
    mode_matches: bool | None = Field(
        description="Whether the planted degradation is of this mode; null without a truth file or a match."
    )
    right: bool | None = Field(
        description="Whether it tells of a degradation; null where nobody can say yet: no complaint wave so far, and "
        "the log ends too early or holds no complaints."
    )
    alarm_at: Time | None = Field(description="First complaint alarm of a member that belongs to it; null if none.")
    lead_days: _Days | None = Field(
        description="Days from `known_by` to `alarm_at`, positive when the incident was earlier; null without alarm."
    )


class Degradation(Model):
    """Something that went wrong: planted, as the truth file says, or a wave of complaints in the log."""

    degradation_id: str = Field(min_length=1, description="Id within this backtest.")
    source: Literal["planted", "complaint_wave"] = Field(description="Where it is known from.")
    scope: Scope = Field(description="What it was about.")
    modes: list[Mode] = Field(description="Modes under which it may rightly be reported; empty for a wave.")
    channels: list[str] = Field(description="Channels it touched.")
    start: Time = Field(description="Planted start; of a wave, the Monday of its first week of alarm.")
    end: Time = Field(description="Planted end; of a wave, the end of its last week of alarm.")
    peak: Time | None = Field(description="Monday of the week with most complaints; null for what was planted.")
    peak_complaints: _Count | None = Field(description="Complaints of that week; null for what was planted.")
    outcome: Outcome = Field(
        description="`not_judged`: it began before the monitor was allowed to page (shadow); not counted."
    )
    missed: bool = Field(description="No page told of it.")
    incident_id: str | None = Field(description="First right page; null if there was none.")
    known_by: Time | None = Field(description="When that page was known; null if there was none.")
    days_to_page: _Days | None = Field(description="From `start` to that page; null if there was none.")
    ticket_id: str | None = Field(description="First ticket, where there was no page; null if there was none.")
    alarm_at: Time | None = Field(description="First complaint alarm; null if there was none.")
    days_to_alarm: _Days | None = Field(description="From `start` to it; null if there was none.")
    calibrated_alarm_at: Time | None = Field(description="First alarm with the calibrated threshold; null if none.")
    days_to_calibrated_alarm: _Days | None = Field(description="From `start` to it; null if there was none.")
    lead_days: _Days | None = Field(description="From the page to the complaint alarm; null where one is missing.")


class Rule(Model):
    """How one rule (mode) did."""

    mode: Mode = Field(description="The rule.")
    pages: _Count = Field(description="Incidents that paged.")
    tickets: _Count = Field(description="Incidents that stayed tickets.")
    right: _Count = Field(description="Pages that told of a degradation.")
    wrong: _Count = Field(description="Pages that did not.")
    undecided: _Count = Field(description="Pages of which nobody can say yet.")
    precision: _Share | None = Field(description="right / (right + wrong); null where nothing is decided.")
    precision_bounds: Bounds = Field(description="Wilson interval; n = right + wrong.")
    pages_per_week_per_500_channels: Annotated[float, Field(ge=0)] | None = Field(
        description="Pages a week of a shop with 500 channels; null where nothing could page."
    )
    pages_per_week_per_500_channels_bounds: Bounds = Field(description="Poisson interval; n = channel-weeks.")
    median_lead_days: _Days | None = Field(description="Median `lead_days` of right pages; null without any.")
    median_lead_days_bounds: Spread = Field(description="Quartiles and interval of it.")


class BacktestSummary(Model):
    """The figures of the whole run."""

    source: Literal["planted", "complaint_wave"] = Field(description="What counts as a degradation.")
    degradations: _Count = Field(description="Degradations that could have been paged.")
    not_judged: _Count = Field(description="Degradations that began before the monitor was allowed to page.")
    paged: _Count = Field(description="Degradations with a right page.")
    paged_before_alarm: _Count = Field(description="… before the complaint alarm.")
    paged_after_alarm: _Count = Field(description="… not before the complaint alarm.")
    paged_without_alarm: _Count = Field(description="… and no complaint alarm ever came.")
    missed: _Count = Field(description="Degradations without a right page.")
    missed_bounds: Bounds = Field(description="Wilson interval of missed / degradations; n = degradations.")
    missed_with_ticket: _Count = Field(description="Missed ones that had a ticket.")
    pages: _Count = Field(description="Incidents that paged.")
    tickets: _Count = Field(description="Incidents that stayed tickets.")
    right: _Count = Field(description="Pages that told of a degradation.")
    wrong: _Count = Field(description="Pages that did not.")
    undecided: _Count = Field(description="Pages of which nobody can say yet.")
    precision: _Share | None = Field(description="right / (right + wrong); null where nothing is decided.")
    precision_bounds: Bounds = Field(description="Wilson interval; n = right + wrong.")
    precision_by_chance: _Share | None = Field(
        description="Precision that pages at random would have: with a truth file at any time on any channel, without "
        "at any time on the channels that were paged; null like `precision`."
    )
    pages_per_week_per_500_channels: Annotated[float, Field(ge=0)] | None = Field(
        description="Pages a week of a shop with 500 channels; null where nothing could page."
    )
    pages_per_week_per_500_channels_bounds: Bounds = Field(description="Poisson interval; n = channel-weeks.")
    median_lead_days: _Days | None = Field(
        description="Median over degradations of the days from first right page to complaint alarm; null without any."
    )
    median_lead_days_bounds: Spread = Field(description="Quartiles and interval of it.")
    median_days_to_page: _Days | None = Field(description="Median over degradations with a right page.")
    median_days_to_page_bounds: Spread = Field(description="Quartiles and interval of it.")
    median_days_to_alarm: _Days | None = Field(description="Median over degradations with a complaint alarm.")
    median_days_to_alarm_bounds: Spread = Field(description="Quartiles and interval of it.")
    median_days_to_calibrated_alarm: _Days | None = Field(description="The same with the calibrated threshold.")
    median_days_to_calibrated_alarm_bounds: Spread = Field(description="Quartiles and interval of it.")
    complaints: _Count = Field(description="Complaints counted to a channel.")
    complaints_elsewhere: _Count = Field(description="Complaints that name no channel, parcel or order that is known.")
    alarms: _Count = Field(description="Complaint alarms since the monitor may page.")
    false_alarms: _Count | None = Field(description="… that no degradation explains; null without a truth file.")
    alarm_missed: _Count = Field(description="Degradations without a complaint alarm.")
    calibrated_threshold_sd: _Number | None = Field(
        description="Standard deviations at which the complaint alarm is as frequent as the pages; null if none is."
    )
    calibrated_alarms: _Count | None = Field(description="Alarms at that threshold; null where there is none.")
    calibrated_alarm_missed: _Count | None = Field(description="Degradations without one; null where there is none.")
    false_pages_per_channel_year: Annotated[float, Field(ge=0)] | None = Field(
        description="Wrong pages per channel and year; null where nothing could page, or no complaint could tell."
    )
    false_pages_per_channel_year_bounds: Bounds = Field(description="Poisson interval; n = channel-weeks.")
    channels: _Count = Field(description="Channels of the log.")
    parcels: _Count = Field(description="Parcels registered.")
    pages_possible_from: Time | None = Field(description="End of the shadow time; null without events.")


class BacktestRun(Model):
    """One run of the log under one set of parameters."""

    config: str | None = Field(description="File of the settings; null for the defaults and the environment.")
    incidents: list[TestedIncident] = Field(description="In the order in which they became known.")
    degradations: list[Degradation] = Field(description="By start and id.")
    rules: list[Rule] = Field(description="One for each mode that was raised, by name.")
    summary: BacktestSummary = Field(description="The figures of the whole run.")


class SwitchLane(Model):
    """A lane on which a switch was advised."""

    lane: Lane = Field(description="Country and product.")
    days: _Count = Field(description="Days on which a switch was advised and parcels were registered.")
    horizon_days: _Count = Field(description="A parcel silent for so many days is taken as lost; 99% arrive before.")
    parcels_moved: _NotNegative = Field(description="Parcels that would have moved and of which the log can tell.")
    parcels_untold: _NotNegative = Field(description="Parcels that would have moved to a carrier with too few to tell.")
    saved: Saving | None = Field(description="What that would have saved, in all; null where the log cannot tell.")
    imbalances: list[str] = Field(description="What the two carriers were given that differs: the estimate may err.")
    why_not: str | None = Field(description="Why the log cannot tell; null where it can.")


class SwitchAdvice(Model):
    """An advice to switch as it was first given, and whether its forecast came true."""

    recommendation_id: str = Field(description="Its id.")
    lane: Lane = Field(description="Country and product.")
    given: Time = Field(description="Midnight at which it was given.")
    from_carrier: str = Field(description="Carrier in use.")
    to_carrier: str = Field(description="Carrier that was advised.")
    forecast_per_parcel: Saving = Field(description="Saving a parcel that was forecast.")
    saving_per_parcel: Saving | None = Field(
        description="What parcels of both carriers of the 45 days after it differed by; null where too few were seen."
    )
    as_forecast: bool | None = Field(
        description="Whether that lies within the forecast's interval, both doubts together; null where not known."
    )


class SwitchBacktest(Model):
    """What following all advice to switch would have saved: an estimate from a log in which it was not followed."""

    currency: str = Field(description="ISO 4217 code of all amounts.")
    parcels: _Count = Field(description="Parcels of the lanes on which a switch was advised, old enough to tell.")
    parcels_left_out: _Count = Field(description="Parcels of these lanes that are too young to tell.")
    parcels_moved: _NotNegative = Field(description="Parcels that would have moved and of which the log can tell.")
    parcels_untold: _NotNegative = Field(description="Parcels that would have moved and of which it cannot.")
    saved: Saving = Field(description="What following would have saved, in all, with its 90% interval.")
    verdict: SwitchVerdict = Field(
        description="`cannot_tell` where the interval holds 0, or nothing moved can be told of."
    )
    lanes: list[SwitchLane] = Field(description="Lanes on which a switch was advised, by lane.")
    advice: list[SwitchAdvice] = Field(description="Each advice, by lane and time.")
    judged: _Count = Field(description="Advice of which it is known whether its forecast came true.")
    paid: _Count = Field(description="Of these, those that saved.")
    as_forecast: _Count = Field(description="Of these, those within their forecast.")


class Backtest(BacktestRun):
    """What would have been alerted, when, and how many days before complaints."""

    as_of: Time | None = Field(description="`--until`, else the last recordedtime; null without events.")
    dead_letters: _Count = Field(description="Records that could not be used.")
    switch: SwitchBacktest | None = Field(
        None, description="What following the advice about carriers would have saved."
    )
    compared: BacktestRun | None = Field(None, description="The same log under the settings of `--compare`.")


class Planted(Model):
    """An entry of a truth file."""

    scope: Scope
    mode: Mode | None = None
    modes: list[Mode] = Field([])
    alarm: bool = True
    start: Time
    end: Time
    channels: list[str]


class Truth(Model):
    """A truth file, as ``simulate`` writes it."""

    planted: list[Planted]
