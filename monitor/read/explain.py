"""Why an incident or a watch item is there: the rule, the figures it was decided on, and the parcels behind it."""

from __future__ import annotations

from typing import Any, Final

from monitor.core.baseline import Floats
from monitor.core.events import day_text, from_us
from monitor.core.evidence import ALTERNATIVES, EXPECTED, LN_M, SEEN, SINCE
from monitor.core.feeds import (
    ALL,
    BACK_RATIO,
    BACK_TICKS,
    LATE_HOURS,
    LATE_TICKS,
    LATE_TIMES,
    SILENT_SCORE,
    SILENT_TICKS,
)
from monitor.core.incidents import Incident, record
from monitor.core.parcel import DELIVERED, outcome, stage
from monitor.core.rare import RARE, TIMES
from monitor.core.scope import channel_of, scope_record
from monitor.core.vocabulary import CLOCKS, END_TO_END
from monitor.read.lists import Picture
from monitor.read.watchlist import LEGS

Record = dict[str, Any]
PARCELS_SHOWN: Final = 50


def explain(picture: Picture, id_: str, watch: list[Record]) -> Record | None:
    """The explanation of an incident id or of a parcel on the watchlist; None for anything else."""
    incident = picture.incidents.get(id_)
    if incident is not None:
        return _incident(picture, id_, watch)
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


def _incident(picture: Picture, id_: str, watch: list[Record]) -> Record:
    incident = picture.incidents[id_]
    chased = [row["parcel_id"] for row in watch if row["incident_id"] == id_]
    about = {one["channel"]: one for one in picture.channel_records() if one["channel"] in incident.covers}
    name = channel_of(incident.scope)
    figures: Record = {"at_known_by": record(incident)["evidence"]}
    if name is not None:
        rule, now = _of_channel(picture, name)
        figures["p95_days"] = dict(zip(CLOCKS, picture.channels[name].p95, strict=False))
        figures["channel"] = about[name]
    else:
        rule, now = _of_feed(picture, incident) if incident.severity == "feed" else _of_group(picture, incident)
        figures["channels"] = list(about.values())
    figures["now"] = {**now, "as_of": from_us(picture.as_of_us)}
    return {
        "kind": "incident",
        "record": record(incident),
        "rule": rule,
        "figures": figures,
        "parcels": (_in_stage(picture, incident) or chased)[:PARCELS_SHOWN],
    }


def _of_channel(picture: Picture, name: str) -> tuple[str, Record]:
    """The rule for channels in words, and what stands now."""
    params, channel = picture.params, picture.channels[name]
    rule = (
        f"Each judged day, the exits of every stage clock are weighed against the channel's own baseline under "
        f"{len(ALTERNATIVES)} kinds of slowness, and its rare events ({', '.join(RARE)}) against as many kinds of "
        f"frequency (e-detector). ln M of their mean opened a ticket at "
        f"{params.ticket_ln_m:g} and pages at {params.page_ln_m:g}, unless a group of channels explains it; it "
        f"closes after {params.close_days} days below {params.close_ln_m:g}. No pages in the first "
        f"{params.shadow_days} days of a log, for complaints and returns in the first {params.late_shadow_days}."
    )
    return rule, {"ln_m": _finite(channel.ln_m), "sums": _sums(channel.evidence)}


def _of_group(picture: Picture, incident: Incident) -> tuple[str, Record]:
    """The same for groups."""
    params, group = picture.params, picture.groups[incident.scope]
    rule = (
        f"Each judged day, the evidence of the channels of the group is added up, that of the one with the most "
        f"left out: what remains is shared. A page of one of them (ln M of {params.page_ln_m:g}) goes to the group "
        f"where ln M of the rest is at least {params.corroborate_ln_m:g}; {params.group_page_ln_m:g} of the rest "
        f"pages by itself. It closes after {params.close_days} days on which the group is below "
        f"{params.close_ln_m:g} and all its channels below {params.ticket_ln_m:g}."
    )
    return rule, {"ln_m": _finite(group.ln_m), "sums": _sums(group.evidence)}


def _of_feed(picture: Picture, incident: Incident) -> tuple[str, Record]:
    """The same for feeds."""
    rule = (
        f"The scans recorded in each tick are compared with what that tick of the week usually brings. The feed is "
        f"silent when a CUSUM of what is missing reaches {SILENT_SCORE:g} over {SILENT_TICKS} ticks, late when its "
        f"scans come {LATE_TIMES:g} times as late as usual and by more than {LATE_HOURS:g} hours for {LATE_TICKS} "
        f"ticks. It is back after {BACK_TICKS} ticks with {BACK_RATIO:.0%} of what is expected. Meanwhile its channels "
        f"are not judged; their incidents stay as they are."
    )
    feed = picture.fleet.reports[scope_record(incident.scope)["carrier"] or ALL]
    return rule, {
        "ln_m": _finite(feed.score),
        "sums": [],
        "scans": _finite(feed.seen),
        "expected": _finite(feed.expected),
        "usual_lag_hours": _finite(feed.lag_hours),
    }


def _sums(evidence: Floats) -> list[Record]:
    """Of each clock with evidence, the alternative that says most."""
    sums = []
    for i, clock in enumerate((*CLOCKS, *RARE)):
        j = int(evidence[LN_M, i].argmax())
        if evidence[LN_M, i, j] > -1e300:
            since = int(evidence[SINCE, i, j])
            sums.append(
                {
                    "clock": clock,
                    "alternative": ALTERNATIVES[j] if i < len(CLOCKS) else f"x{TIMES[j]:g}",
                    "ln_m": _finite(evidence[LN_M, i, j]),
                    "observed": _finite(evidence[SEEN, i, j]),
                    "expected": _finite(evidence[EXPECTED, i, j]),
                    "since": day_text(since) if since else None,
                }
            )
    return sums


def _in_stage(picture: Picture, incident: Incident) -> list[str]:
    """The parcels that stood in the incident's stage when it became known, those first that had stood there longest."""
    if not incident.clock:
        return []
    clock = CLOCKS.index(incident.clock)
    first, last = (DELIVERED, DELIVERED) if clock == END_TO_END else (clock + 1, DELIVERED)
    covers, found = set(incident.covers), []
    for parcel_id, parcel in picture.parcels.items():
        if parcel.channel not in covers:
            continue
        since = parcel.registered_us if clock in (0, END_TO_END) else parcel.times[clock]
        until = min((t for t in parcel.times[first : last + 1] if t), default=None)
        end = outcome(parcel)
        if end is not None:
            until = min(until or end[1], end[1])
        if 0 < since <= incident.known_us and (until is None or until > incident.known_us):
            found.append((since, parcel_id))
    return [parcel_id for _, parcel_id in sorted(found)]


def _finite(value: float) -> float | None:
    return round(float(value), 6) if value > -1e300 else None
