"""The rules by which incidents are raised, in words and with their parameters: one table, by the kind of scope."""

from __future__ import annotations

from typing import Final

from monitor.core import batches, bursts, canary, drift, feeds, handovers, stakes
from monitor.core.alarms import FEW, WAIT_DAYS
from monitor.core.block import WARM_UP_DAYS
from monitor.core.evidence import ALTERNATIVES
from monitor.core.facets import SENTINELS
from monitor.core.incidents import CANARY, DRIFT, Incident
from monitor.core.params import Params
from monitor.core.rare import RARE

#: Text with places for parameters, and their names.
_Rule = tuple[str, tuple[str, ...]]

_CHANNEL: Final[_Rule] = (
    f"Each judged day, the exits of every stage clock are weighed against the channel's own baseline under "
    f"{len(ALTERNATIVES)} kinds of slowness, and its rare events ({', '.join(RARE)}) against as many kinds of "
    "frequency (e-detector). ln M of their weighted mean opens a ticket at {ticket_ln_m:g} and pages at "
    "{page_ln_m:g}, of a channel with v parcels a day at {stake_power:g} ln(v / {stake_from:g}) less, v being "
    "{stake_from:g} at least and {stake_to:g} at most, unless a group of channels explains it; a page waits up to "
    "{wait_days} days for a forwarder whose evidence rises. It closes after {close_days} days below {close_ln_m:g}. "
    "Slowness within {margin:.0%} is no evidence, and days above {learn_ln_m:g} are not learnt from. No pages in the "
    "first {shadow_days} days of a log, for complaints and returns in the first {late_shadow_days}.",
    (
        "ticket_ln_m",
        "page_ln_m",
        "stake_power",
        "stake_from",
        "stake_to",
        "wait_days",
        "close_ln_m",
        "close_days",
        "margin",
        "learn_ln_m",
        "shadow_days",
        "late_shadow_days",
    ),
)
_DRIFT: Final[_Rule] = (
    "Once a week the usual duration from registration to delivery, the mean of the fastest {share:.0%} by the "
    "channel's baseline, is compared with what it was a year ago, or when the first days of the log were over. A "
    "ticket, never a page, is opened when it is more than {drift_ratio:.0%} longer and the difference is at least "
    "{sure:g} standard errors; it closes below {calm:.0%} of that, also because a year has passed, and when another "
    "incident speaks for the channel.",
    ("drift_ratio", "share", "sure", "calm", "shadow_days"),
)
_CANARY: Final[_Rule] = (
    "A new channel, younger than {warm_up_days} judged days or with fewer than {canary_parcels} parcels, is weighed "
    "against the other channels of its country and carrier, else of its country, else of all. How much longer channels "
    "of such a parent may take by nature is allowed for, and {canary_margin:.0%} more. ln M of {ticket_ln_m:g} opens a "
    "ticket, never a page; it closes after {close_days} days below {close_ln_m:g}, or when the channel's own baseline "
    "takes over.",
    ("canary_parcels", "warm_up_days", "canary_margin", "ticket_ln_m", "close_ln_m", "close_days", "shadow_days"),
)
_GROUP: Final[_Rule] = (
    "Each judged day, the evidence of the channels of the group is added up, that of the one with the most left out: "
    "what remains is shared. {group_page_ln_m:g} of it pages ({page_ln_m:g} in groups of fewer than {few}), or "
    "{corroborate_ln_m:g} of it if the evidence of the last days, that of the best channel left out, adds up to "
    "{group_page_fit:g}; where it adds up to {shared_fit:g}, the page of one of the channels goes to the group. It "
    "closes after {close_days} days on which the group is below {close_ln_m:g} and all its channels below "
    "{ticket_ln_m:g}.",
    (
        "page_ln_m",
        "group_page_ln_m",
        "few",
        "corroborate_ln_m",
        "group_page_fit",
        "shared_fit",
        "ticket_ln_m",
        "close_ln_m",
        "close_days",
        "margin",
        "learn_ln_m",
        "shadow_days",
    ),
)
_FEED: Final[_Rule] = (
    "The scans recorded in each tick are compared with what that tick of the week usually brings. The feed is silent "
    "when a CUSUM of what is missing reaches {silent_score:g} over {silent_ticks} ticks, late when its scans come "
    "{late_times:g} times as late as usual and by more than {late_hours:g} hours for {late_ticks} ticks. It is back "
    "after {back_ticks} ticks with {back_ratio:.0%} of what is expected. Meanwhile its channels are not judged; their "
    "incidents stay as they are.",
    (
        "silent_score",
        "silent_ticks",
        "late_times",
        "late_hours",
        "late_ticks",
        "back_ticks",
        "back_ratio",
        "tick_hours",
    ),
)
_FORWARDER: Final[_Rule] = (
    "Each judged day, what the forwarder hands over on each channel is weighed: waits for the first scan against the "
    "hazards of the channel, empty boxes against the channel's expectation. The evidence is added up over its "
    "channels, that of the one with the most left out. At ln M of {group_page_ln_m:g} it pages, if the other "
    "forwarders on the same channels show less than {contrast:.0%} of it per expected event; it closes after "
    "{close_days} days below {close_ln_m:g}.",
    ("group_page_ln_m", "contrast", "close_ln_m", "close_days", "margin", "shadow_days"),
)
_BATCH: Final[_Rule] = (
    "A batch is paged instead of a channel or a forwarder that misses first scans if it owes {batch_part:.0%} of them. "
    "Else, each judged day, its parcels without a first scan are looked at whose wait has a chance of "
    "{ticket_chance:g} or less by the baseline of their channel, those that are never scanned by nature apart. "
    "{least_overdue} of them that are {least_share:.0%} of the batch open a ticket, {page_overdue} at a chance of "
    "{page_chance:g} a page, if what else the same channels were handed in these days misses scans "
    "{batch_contrast:.0%} as often at most. It closes after {close_days} days on which little is missing.",
    (
        "batch_part",
        "page_ln_m",
        "ticket_chance",
        "page_chance",
        "least_overdue",
        "least_share",
        "page_overdue",
        "batch_contrast",
        "close_days",
        "margin",
        "shadow_days",
    ),
)
_BURST: Final[_Rule] = (
    "Every tick, the complaints opened on a day are compared with those of the {base_days} days before: a day with "
    "{least} or more, {times:g} times as many as usual, and a chance below exp(-{page_ln_m:g}) is a burst (negative "
    "binomial); of a customer, also {window_days} days together. It is named if {alone:.0%} of what is beyond the "
    "usual about its channels is its own; its complaints are then no evidence against them. It closes after "
    "{close_days} days without a burst.",
    ("page_ln_m", "base_days", "window_days", "least", "times", "alone", "close_days", "shadow_days"),
)
_SENTINEL: Final[_Rule] = (
    "One complaint of this kind ({sentinels}) is enough. It stays until a person acknowledges it.",
    (),
)
_OTHER: Final[_Rule] = (
    "How incidents of this kind are raised is told in docs/detection.md; the parameters beside are those of the "
    "thresholds on evidence.",
    ("ticket_ln_m", "page_ln_m", "group_page_ln_m", "close_ln_m", "close_days"),
)

#: Kind of a scope, or what stands in for it, → its rule. What is not here has the last one.
_RULES: Final[dict[str, _Rule]] = {
    "channel": _CHANNEL,
    "feed": _FEED,
    "forwarder": _FORWARDER,
    "batch": _BATCH,
    "customer": _BURST,
    "sentinel": _SENTINEL,
    DRIFT: _DRIFT,
    CANARY: _CANARY,
    "all": _BURST,
    **dict.fromkeys(("country", "carrier", "carrier_country", "country_product", "carrier_product"), _GROUP),
}

_CONSTANTS: Final[dict[str, float]] = {
    "silent_score": feeds.SILENT_SCORE,
    "silent_ticks": feeds.SILENT_TICKS,
    "late_times": feeds.LATE_TIMES,
    "late_hours": feeds.LATE_HOURS,
    "late_ticks": feeds.LATE_TICKS,
    "back_ticks": feeds.BACK_TICKS,
    "back_ratio": feeds.BACK_RATIO,
    "contrast": handovers.CONTRAST,
    "batch_part": batches.SHARE,
    "ticket_chance": batches.TICKET,
    "page_chance": batches.PAGE_CHANCE,
    "least_overdue": batches.LEAST,
    "least_share": batches.LEAST_SHARE,
    "page_overdue": batches.PAGE,
    "batch_contrast": batches.CONTRAST,
    "base_days": bursts.BASE_DAYS,
    "window_days": bursts.WINDOW_DAYS,
    "least": bursts.LEAST,
    "times": bursts.TIMES,
    "alone": bursts.ALONE,
    "share": 1 - drift.TRIM,
    "sure": drift.SURE,
    "calm": drift.CALM,
    "canary_margin": canary.MARGIN,
    "warm_up_days": WARM_UP_DAYS,
    "stake_from": stakes.FROM,
    "stake_to": stakes.TO,
    "wait_days": WAIT_DAYS,
    "few": FEW,
}


def kind_of(incident: Incident) -> str:
    """The kind of an incident's scope: ``channel``, ``country``, ``feed`` …"""
    return incident.scope.split("|", 1)[0]


def rule_of(incident: Incident, params: Params) -> tuple[str, dict[str, float]]:
    """The rule behind an incident as a sentence, and the parameters in it by name."""
    kind = incident.judged_by or ("sentinel" if incident.mode == "sentinel" else kind_of(incident))
    text, names = _RULES.get(kind, _OTHER)
    values = {**_CONSTANTS, **params.as_dict()}
    parameters = {name: values[name] for name in names}
    return text.format(**parameters, sentinels=", ".join(SENTINELS)), parameters
