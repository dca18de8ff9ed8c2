"""The sums an incident rests on, and the baseline they were judged against, from a picture of the state.

``ln_m``, ``observed``, ``expected`` and ``since`` are those of :mod:`monitor.core.evidence`; a baseline is that of
:mod:`monitor.core.baseline`, of rare events that of :mod:`monitor.core.rare`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from monitor.core import canary, drift, rare
from monitor.core.baseline import Floats, cumulative, days_until
from monitor.core.channel import JOINT, Channel
from monitor.core.events import day_text
from monitor.core.evidence import ALTERNATIVES, EXPECTED, LN_M, SEEN, SINCE, mixture
from monitor.core.facets import DAYS_KEPT
from monitor.core.feeds import ALL
from monitor.core.groups import Day, Group, Membership, best_witness
from monitor.core.incidents import CANARY, Incident, page_level_of
from monitor.core.judge import StageHazards
from monitor.core.params import Params
from monitor.core.rare import TIMES
from monitor.core.scope import scope_record
from monitor.core.stakes import handed_lately
from monitor.core.vocabulary import CLOCKS, END_TO_END, UNDERWAY
from monitor.read.clock_families import NAMES
from monitor.read.lists import Picture
from monitor.read.rules import kind_of

Record = dict[str, Any]
#: First ages of the rows of a baseline table, days; the table ends where hardly a parcel is left.
_AGES: Final = (0, 1, 2, 3, 5, 7, 10, 14, 18, 22, 28, 35, 45, 60, 75, 90, 120, 180, 240, 300)
_HARDLY: Final = 0.005
#: Members shown, those that say most first.
MEMBERS_SHOWN: Final = 50


def sums(evidence: Floats) -> list[Record]:
    """Of each clock with evidence, the alternative that says most; ``evidence`` is ``[row, clock, alternative]``."""
    found = []
    for clock in range(len(NAMES)):
        alternative = int(evidence[LN_M, clock].argmax())
        if evidence[LN_M, clock, alternative] > -1e300:
            found.append(_at(evidence, clock, alternative))
    return found


def strongest(evidence: Floats) -> tuple[int, int] | None:
    """Clock and alternative that say most; None where nothing was judged yet."""
    clock, alternative = divmod(int(np.argmax(evidence[LN_M])), evidence.shape[-1])
    return (clock, alternative) if evidence[LN_M, clock, alternative] > -1e300 else None


def _at(evidence: Floats, clock: int, alternative: int) -> Record:
    at = evidence[:, clock, alternative]
    since = int(at[SINCE])
    return {
        "clock": NAMES[clock],
        "alternative": f"x{TIMES[alternative]:g}" if len(CLOCKS) <= clock < JOINT else ALTERNATIVES[alternative],
        "ln_m": finite(at[LN_M]),
        "observed": finite(at[SEEN]),
        "expected": finite(at[EXPECTED]),
        "since": day_text(since) if since else None,
    }


def node_figures(picture: Picture, incident: Incident) -> Record:
    """``ln_m`` and sums of the incident's channel or group, or score and scans of its feed; empty for what has no
    evidence of its own in this picture."""
    kind = kind_of(incident)
    if incident.judged_by == CANARY:
        return _canary_figures(picture.channels[incident.members[0]])
    if kind == "feed":
        feed = picture.fleet.reports.get(scope_record(incident.scope)["carrier"] or ALL)
        if feed is None:
            return {}
        return {
            "ln_m": finite(feed.score),
            "sums": [],
            "scans": finite(feed.seen),
            "expected": finite(feed.expected),
            "usual_lag_hours": finite(feed.lag_hours),
        }
    if kind == "channel":
        channel = picture.channels.get(incident.members[0])
        return {} if channel is None else {**_figures(channel), **_stake(channel, picture.params)}
    group = picture.groups.get(incident.scope)
    return {} if group is None else _figures(group)


def _figures(node: Channel | Group) -> Record:
    return {"ln_m": finite(node.ln_m), "sums": sums(node.evidence)}


def _stake(channel: Channel, params: Params) -> Record:
    """What the channel carries, and ln M that pages it."""
    per_day = handed_lately(channel) / DAYS_KEPT
    return {"parcels_a_day": finite(per_day), "page_ln_m": finite(page_level_of(channel, params))}


def _canary_figures(channel: Channel) -> Record:
    """``ln_m`` and sums of a new channel against its parents; empty once its own baseline has taken over."""
    if not channel.canary.size:
        return {}
    best = channel.canary[LN_M].argmax(axis=-1).tolist()
    return {
        "ln_m": finite(float(mixture(channel.canary[LN_M]))),
        "sums": [
            {**_at(channel.canary, clock, alternative), "alternative": f"x{canary.FACTORS[alternative]:g}"}
            for clock, alternative in enumerate(best)
            if channel.canary[LN_M, clock, alternative] > -1e300
        ],
    }


@dataclass(frozen=True, slots=True)
class Tallies:
    """What the baselines of all channels had learnt before the judged day, by channel."""

    stages: Mapping[str, Floats]  # as Channel.tally
    rare: Mapping[str, Floats]  # as Channel.rare

    @classmethod
    def of(cls, channels: Mapping[str, Channel]) -> Tallies:
        """A copy of what they have learnt so far."""
        return cls(
            {name: channel.tally.copy() for name, channel in channels.items()},
            {name: channel.rare.copy() for name, channel in channels.items()},
        )


class Baselines:
    """The baselines that follow from the ``tallies`` of all channels."""

    def __init__(self, tallies: Tallies) -> None:
        self._names = sorted(tallies.stages)
        self._rows = {name: row for row, name in enumerate(self._names)}
        self._tallies = tallies
        self._hazards: StageHazards | None = None
        self._rates: Floats | None = None

    def quantiles(self, channel: str, clock: int) -> Record:
        """Days by which half, 80% and 95% usually have left a stage clock; null where the curve does not get there."""
        increments = cumulative(self._stage(channel, clock))
        total = float(increments.sum())
        return {
            f"p{round(100 * (1 - left))}_days": int(days_until(increments, left)) if total >= -np.log(left) else None
            for left in (0.5, 0.2, 0.05)
        }

    def table(self, channel: str, clock: int, risk: Sequence[int]) -> list[Record]:
        """By age in days: the share that leaves within the row's ages of those that reach it, the share that has left
        by then, and the parcels in the clock now (``risk``, by age)."""
        if clock < len(CLOCKS):
            hazards = self._stage(channel, clock)
            starts = [age for age in _AGES if age < len(hazards)]
            gone = np.exp(-np.concatenate(([0.0], np.cumsum(cumulative(hazards)))))
        else:
            rates = self._rare(channel, clock - len(CLOCKS))
            starts = rare.bands_of(len(risk)).tolist()
            by_age = np.repeat(rates, np.diff([*starts, len(risk)]))
            gone = np.exp(-np.concatenate(([0.0], np.cumsum(cumulative(by_age)))))
        rows = []
        for start, end in zip(starts, [*starts[1:], len(gone) - 1], strict=True):
            rows.append(
                {
                    "from_age_days": start,
                    "to_age_days": end - 1,
                    "chance": round(1 - float(gone[end] / gone[start]), 6),
                    "by_then": round(1 - float(gone[end]), 6),
                    "parcels": int(sum(risk[start:end])),
                }
            )
            if clock < len(CLOCKS) and gone[end] < _HARDLY and not any(risk[end:]):
                break
        return rows

    def _stage(self, channel: str, clock: int) -> Floats:
        if self._hazards is None:
            self._hazards = StageHazards(self._names, [self._tallies.stages[name] for name in self._names])
        hazards: Floats = self._hazards(np.array([self._rows[channel]]))[0, clock]
        return hazards

    def _rare(self, channel: str, clock: int) -> Floats:
        if self._rates is None:
            tallies = np.stack([self._tallies.rare[name] for name in self._names])
            self._rates, _ = rare.hazards(tallies, rare.parents_of(tuple(self._names)))
        rates: Floats = self._rates[self._rows[channel], clock]
        return rates

    def __contains__(self, channel: str) -> bool:
        return channel in self._rows


def baseline(baselines: Baselines, name: str, channel: Channel, best: tuple[int, int] | None) -> Record | None:
    """What a clock of a channel, the first of ``best``, was judged against; None before anything was judged."""
    if best is None or name not in baselines:
        return None
    clock = best[0]
    if clock == JOINT:  # of its stages the one that says most
        clock = max(UNDERWAY, key=lambda one: float(channel.evidence[LN_M, one].max()))
    at = rare.AT_RISK[clock - len(CLOCKS)] if clock >= len(CLOCKS) else clock
    waiting = channel.cohorts if at is None else channel.risk[at, :-1]
    out: Record = {"channel": name, "clock": NAMES[clock]}
    if clock < len(CLOCKS):
        out |= baselines.quantiles(name, clock)
    return out | {"by_age": baselines.table(name, clock, waiting.tolist())}


def drift_figures(picture: Picture, incident: Incident) -> Record:
    """The usual duration of an incident's channel by its baseline, that of its anchor, and how sure the difference is,
    worked out from a ``picture`` of the moment at which it became known."""
    name = incident.members[0]
    now = drift.durations(picture.channels)[name]
    anchor = drift.anchor_of(picture.channels[name].marks, incident.last_judged_day)
    if anchor is None:
        return {}
    ratio, sure = drift.score(now, anchor)
    return {
        "now_days": now.days,
        "anchor_days": anchor.days,
        "anchor_day": day_text(anchor.day),
        "ratio": finite(ratio),
        "standard_errors": finite(sure),
        "deliveries_learnt": finite(picture.channels[name].tally[0, END_TO_END].sum()),
    }


def group_members(
    picture: Picture, incident: Incident, judged: tuple[int, Membership, Day] | None, baselines: Baselines
) -> Record:
    """The channels of a group by what they say of the clock it shows, and which of them was left out.

    ``judged``: the last judged day. ``left_out`` is of that day; null where it was not judged.
    """
    group = picture.groups.get(incident.scope)
    if group is None or strongest(group.evidence) is None:
        return {}
    clock, alternative = group.cell
    names = judged[1].members(incident.scope) if judged is not None else list(incident.members)
    left_out = None
    if judged is not None:
        explained = _explained_before(picture, incident.known_us)
        left_out = best_witness(judged[2], judged[1], explained, incident.scope, clock, alternative)
    rows = []
    for name in names:
        channel = picture.channels[name]
        row = {"channel": name, "channel_ln_m": finite(channel.ln_m), **_at(channel.evidence, clock, alternative)}
        row |= {"named": name in incident.members, "left_out": name == left_out}
        if clock < len(CLOCKS) and name in baselines:
            row |= baselines.quantiles(name, clock)
        rows.append({key: value for key, value in row.items() if key not in ("clock", "alternative")})
    rows.sort(key=lambda row: -1e300 if row["ln_m"] is None else row["ln_m"], reverse=True)
    first = str(rows[0]["channel"])
    return {
        "baseline": baseline(baselines, first, picture.channels[first], group.cell),
        "judged_day": None if judged is None else day_text(judged[0]),
        "left_out": left_out,
        "members_by": _at(group.evidence, clock, alternative)["clock"],
        "fit": finite(group.fit),
        "beside": finite(group.beside),
        "members": rows[:MEMBERS_SHOWN],
        "members_not_shown": max(len(rows) - MEMBERS_SHOWN, 0),
    }


def _explained_before(picture: Picture, at_us: int) -> list[str]:
    """Scopes of the groups that had an open incident when the last day before ``at_us`` was judged."""
    return sorted(
        {
            one.scope
            for one in picture.incidents.values()
            if one.scope in picture.groups and one.known_us < at_us and not 0 < one.closed_us < at_us
        }
    )


def finite(value: float) -> float | None:
    """The value rounded to six digits, None for minus infinity (no evidence)."""
    return round(float(value), 6) if value > -1e300 else None
