"""Why an incident or a watch item is there: the rule, the figures it was decided on, and the parcels behind it.

Two explanations of an incident: :func:`explain` answers at once, with the figures as the state keeps them;
:func:`proven` is made from the log folded again up to ``known_by``, and is what the verb ``explain`` prints.
"""

from __future__ import annotations

from typing import Any, Final

from monitor.core.events import from_us
from monitor.core.groups import Day, Membership
from monitor.core.incidents import CANARY, DRIFT, Incident, record
from monitor.core.parcel import stage
from monitor.core.scope import channel_of
from monitor.core.switch.advice import BACK_DAYS, KEEP, Advice
from monitor.core.switch.advice import record as advice_record
from monitor.core.vocabulary import CLOCKS
from monitor.read.behind import PARCELS_SHOWN, WAITS, in_stage
from monitor.read.lists import Picture
from monitor.read.rules import kind_of, rule_of
from monitor.read.sums import Baselines, Tallies, baseline, drift_figures, group_members, node_figures, strongest
from monitor.read.watchlist import LEGS

Record = dict[str, Any]
STORED: Final = "stored"
REFOLDED: Final = "refolded"
_MONEY_TERMS: Final = ("value", "late_per_day", "complaint", "margin")
_BARS: Final = ("margin_ratio", "caution", "probability", "back_probability", "min_parcels", "half_life_days")


def explain(picture: Picture, id_: str, watch: list[Record]) -> Record | None:
    """The explanation of an incident, a recommendation or a parcel on the watchlist by id; None for anything else."""
    incident = picture.incidents.get(id_)
    if incident is not None:
        return _incident(picture, incident, watch)
    advised = picture.advice_of(id_)
    if advised is not None:
        return _advice(picture, *advised)
    row = next((row for row in watch if row["parcel_id"] == id_), None)
    if row is None:
        return None
    channel = picture.channels[row["channel"]]
    leg = min(stage(picture.parcels[id_]), len(LEGS) - 1)
    return {
        "kind": "watch_item",
        "record": row,
        "rule": (
            f"An open parcel is listed when nothing was heard of it for longer than 95% of the parcels of its channel "
            f"take for this leg ({CLOCKS[leg]}): {channel.p95[leg]} days."
        ),
        "figures": {"p95_days": dict(zip(CLOCKS, channel.p95, strict=False)), "as_of": from_us(picture.as_of_us)},
        "parcels": [row["parcel_id"]],
    }


def _advice(picture: Picture, lane: str, advice: Advice) -> Record:
    terms = picture.params.switch
    value = {name: float(getattr(terms, name)) for name in _MONEY_TERMS}
    bars = {name: getattr(terms, name) for name in _BARS}
    told = advice_record(lane, advice, picture.lanes[lane].accepted)
    return {
        "kind": "recommendation",
        "basis": STORED,
        "record": told,
        "rule": (
            "Carriers that a rule or an offer excludes, or with an open incident, are left out first. Of the others "
            "the cost of a parcel is postage, goods lost, days late and complaints, from posteriors in which parcels "
            "in flight count. A switch is advised where the saving exceeds the margin with a probability above "
            f"{terms.probability:.0%}: the greater of {terms.margin} {terms.currency} and {terms.margin_ratio:.0%} of "
            f"the present cost, and {terms.caution:g} standard deviations more. Once advised it stays down to "
            f"{KEEP:.0%}; a carrier left in the last {BACK_DAYS} days comes back only above "
            f"{terms.back_probability:.0%}."
        ),
        "parameters": {**value, **bars},
        "figures": {"carriers": told["carriers"], "currency": terms.currency, "as_of": told["as_of"]},
        "declared_by": sorted({subject for one in advice.carriers for subject in one.declared_by}),
        "parcels": [],
    }


def _incident(picture: Picture, incident: Incident, watch: list[Record]) -> Record:
    chased = [row["parcel_id"] for row in watch if row["incident_id"] == incident.incident_id]
    about = {one["channel"]: one for one in picture.channel_records() if one["channel"] in incident.covers}
    name = channel_of(incident.scope)
    figures: Record = {"at_known_by": record(incident)["evidence"]}
    if name is not None and name in picture.channels:
        figures["p95_days"] = dict(zip(CLOCKS, picture.channels[name].p95, strict=False))
        figures["channel"] = about[name]
    else:
        figures["channels"] = list(about.values())
    figures["now"] = {**node_figures(picture, incident), "as_of": from_us(picture.as_of_us)}
    rule, parameters = rule_of(incident, picture.params)
    standing = in_stage(picture, incident) if incident.clock in WAITS else []
    return {
        "kind": "incident",
        "basis": STORED,
        "verify": f"channel-monitor explain {incident.incident_id}",
        "record": record(incident),
        "rule": rule,
        "parameters": parameters,
        "figures": figures,
        "parcels": (standing or chased)[:PARCELS_SHOWN],
    }


def proven(
    then: Picture, incident: Incident, tallies: Tallies | None, judged: tuple[int, Membership, Day] | None
) -> Record:
    """Rule and figures of an ``incident`` from the picture of ``known_by``: its sums, the baseline they were judged
    against (of a group, that of the channel which says most), and of a group its channels.

    ``tallies``: what the baselines had learnt before; ``judged``: the last judged day. Both None where none was judged.
    """
    rule, parameters = rule_of(incident, then.params)
    fixed = record(incident)
    figures: Record = {
        "as_of": from_us(then.as_of_us),
        "at_known_by": fixed["evidence"],
        "parcels_at_risk": fixed["parcels_at_risk"],
        "forecast": fixed["forecast"],
        **node_figures(then, incident),
    }
    name = channel_of(incident.scope)
    if incident.judged_by == DRIFT:
        figures["drift"] = drift_figures(then, incident)
    if kind_of(incident) != "feed" and incident.judged_by != CANARY and tallies is not None:
        baselines = Baselines(tallies)
        if name is None:
            figures |= group_members(then, incident, judged, baselines)
        elif name in then.channels:
            channel = then.channels[name]
            figures["baseline"] = baseline(baselines, name, channel, strongest(channel.evidence))
    return {"kind": "incident", "basis": REFOLDED, "rule": rule, "parameters": parameters, "figures": figures}
