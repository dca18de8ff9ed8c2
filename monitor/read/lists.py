"""The lists the monitor gives out: channels, incidents, watchlist, dead letters, and the figures for Prometheus.

One picture of the folds' state, whoever holds it: a replay, a worker's tables, or a reader of their changelogs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.core.channel import Channel
from monitor.core.contribution import DeadLetter, Position
from monitor.core.fleet_header import FleetHeader
from monitor.core.forecast import complaints_ahead
from monitor.core.groups import Group
from monitor.core.handovers import is_forwarder
from monitor.core.incidents import Incident, record
from monitor.core.judging import in_flight
from monitor.core.overdue import usual_of
from monitor.core.params import Params
from monitor.core.parcel import Parcel
from monitor.core.switch.advice import ANSWERS, SWITCH, Advice, Lane, answer
from monitor.core.switch.advice import record as advice_record
from monitor.core.switch.outcomes import Balance, balance, outcome_record
from monitor.core.vocabulary import DAY_US
from monitor.read.clock_families import clock_families
from monitor.read.figures import channel_record, merged, recent_cohorts, statistics
from monitor.read.watchlist import watchlist
from monitor.wire.dead_letter import dead_letter

Record = dict[str, Any]
Samples = list[tuple[dict[str, str], float]]


@dataclass(frozen=True, slots=True)
class Picture:
    """The folds' state as of one moment. ``parcels`` may hold open parcels only."""

    params: Params
    parcels: Mapping[str, Parcel]
    channels: Mapping[str, Channel]
    groups: Mapping[str, Group]
    incidents: Mapping[str, Incident]
    fleet: FleetHeader
    as_of_us: int
    lanes: Mapping[str, Lane]

    def open_incidents(self) -> list[Incident]:
        """Open incidents, the oldest first."""
        some = [incident for incident in self.incidents.values() if not incident.closed_us]
        return sorted(some, key=lambda incident: (incident.known_us, incident.incident_id))

    def incident_of(self) -> dict[str, Incident]:
        """Channel → the open incident that tells most of it: of a group before its own; a silent feed is none."""
        out: dict[str, Incident] = {}
        for incident in self.open_incidents():
            if incident.severity == "feed" or self._is_absorbed(incident):
                continue
            for channel in incident.covers:
                known = out.get(channel)
                if known is None or _weight(incident) > _weight(known):
                    out[channel] = incident
        return out

    def _is_absorbed(self, incident: Incident) -> bool:
        """Whether a wider incident that is open explains this one."""
        wider = self.incidents.get(incident.absorbed_by)
        return wider is not None and not wider.closed_us

    def channel_records(self) -> list[Record]:
        """``channels.jsonl``, sorted by channel."""
        severities = {name: incident.severity for name, incident in self.incident_of().items()}
        return [
            channel_record(name, self.channels[name], self.as_of_us, self.params, severities.get(name))
            for name in sorted(self.channels)
        ]

    def incident_records(self) -> list[Record]:
        """``incidents.jsonl``, in the order in which they became known."""
        order = sorted(self.incidents.values(), key=lambda i: (i.known_us, i.incident_id))
        return [record(incident) for incident in order]

    def watch_records(self) -> list[Record]:
        """``watchlist.jsonl``, the most urgent first."""
        ids = {name: incident.incident_id for name, incident in self.incident_of().items()}
        return watchlist(self.parcels.items(), self.channels, ids, self.as_of_us, self.params)

    def advice_records(self) -> list[Record]:
        """``recommendations.jsonl``, sorted by lane."""
        return [
            advice_record(name, lane.advice, lane.accepted)
            for name, lane in sorted(self.lanes.items())
            if lane.advice is not None
        ]

    def outcome_records(self) -> list[Record]:
        """What accepted switches brought, the latest first."""
        found = [(one, name) for name, lane in sorted(self.lanes.items()) for one in lane.accepted]
        found.sort(key=lambda pair: (-pair[0].at_us, pair[1]))
        return [outcome_record(name, one) for one, name in found]

    def balance(self) -> Balance:
        """The accepted switches of all lanes together."""
        return balance(one for _, lane in sorted(self.lanes.items()) for one in lane.accepted)

    def advice_of(self, id_: str) -> tuple[str, Advice] | None:
        """The lane and its advice with this id."""
        held = ((name, lane.advice) for name, lane in self.lanes.items())
        return next(((name, one) for name, one in held if one is not None and one.advice_id == id_), None)

    def families(self) -> dict[str, Samples]:
        """Samples for Prometheus by metric name without prefix; lanes with most recent parcels first."""
        counts = self.fleet.counts
        out: dict[str, Samples] = {
            "events_total": [({"type": k}, n) for k, n in _named(counts, "events|")],
            "dead_letters_total": [({"reason": k}, n) for k, n in _named(counts, "dead|")],
            "duplicates_total": [({}, counts.get("duplicates", 0))],
            "tick_timestamp_seconds": [({}, self.as_of_us / 1e6)],
            "event_watermark_timestamp_seconds": [({}, (self.as_of_us - self.fleet.lag_us) / 1e6)],
            "feed_last_event_timestamp_seconds": [
                ({"carrier": carrier}, time / 1e6) for carrier, time in sorted(self.fleet.feeds.items())
            ],
        }
        self._add_lanes(out)
        self._add_incidents(out)
        self._add_advice(out)
        return out | clock_families(self.channels)

    def _add_lanes(self, out: dict[str, Samples]) -> None:
        lanes: dict[tuple[str, str], list[str]] = {}
        evidence: list[tuple[float, dict[str, str], float]] = []
        for name in sorted(self.channels):
            channel = self.channels[name]
            country, product, carrier = name.split("|")
            lanes.setdefault((country, carrier), []).append(name)
            labels = {"scope": "channel", "country": country, "product": product, "carrier": carrier}
            if channel.ln_m > -1e300:
                evidence.append((-channel.ln_m, labels, channel.ln_m))
        for scope, group in sorted(self.groups.items()):
            if group.ln_m > -1e300 and not is_forwarder(scope):
                labels = dict(zip(("scope", "country", "product", "carrier"), scope.split("|"), strict=True))
                evidence.append((-group.ln_m, labels, group.ln_m))
        out["evidence_ln"] = [(labels, ln_m) for _, labels, ln_m in sorted(evidence, key=lambda e: e[0])]
        usual, today = usual_of([self.channels[name] for name in sorted(self.channels)]), self.as_of_us // DAY_US
        severities = {name: incident.severity for name, incident in self.incident_of().items()}
        rows = []
        for (country, carrier), names in lanes.items():
            channels = [self.channels[name] for name in names]
            cohorts = [recent_cohorts(channel, self.as_of_us, self.params) for channel in channels]
            total = merged(counters for days in cohorts for counters in days.values())
            rows.append(
                (
                    {"country": country, "carrier": carrier},
                    statistics(total, {}, self.as_of_us),
                    sum(in_flight(channel) for channel in channels),
                    complaints_ahead(channels, usual, today, [severities.get(name, "") for name in names]),
                )
            )
        rows.sort(key=lambda row: (-row[1]["registered"], row[0]["country"], row[0]["carrier"]))
        for labels, figures, flying, forecast in rows:
            _add(out, "parcels_in_flight", labels, flying)
            _add(out, "sample_size", labels, figures["registered"])
            for p, quantile in (("p50", "0.5"), ("p80", "0.8"), ("p95", "0.95")):
                _add(out, "transit_days", {**labels, "quantile": quantile}, figures["transit_days"][p]["value"])
            on_time, loss, complaints = (figures[n] for n in ("on_time_ratio", "loss_ratio", "complaints_per_1000"))
            if on_time["n"]:
                _add(out, "late_ratio", labels, 1 - on_time["value"])
                _add(out, "late_ratio_lower_bound", labels, 1 - on_time["high"])
                _add(out, "late_ratio_upper_bound", labels, 1 - on_time["low"])
            if loss["n"]:
                _add(out, "loss_ratio", labels, loss["value"])
                _add(out, "loss_ratio_lower_bound", labels, loss["low"])
                _add(out, "loss_ratio_upper_bound", labels, loss["high"])
            if complaints["n"]:
                _add(out, "complaints_ratio", labels, complaints["value"] / 1000)
                _add(out, "complaints_ratio_lower_bound", labels, complaints["low"] / 1000)
                _add(out, "complaints_ratio_upper_bound", labels, complaints["high"] / 1000)
            _add(out, "expected_complaints_14d", labels, forecast.expected)

    def _add_incidents(self, out: dict[str, Samples]) -> None:
        numbers: dict[tuple[str, str, str], int] = {}
        out["incident_info"] = []
        for incident in sorted(self.open_incidents(), key=lambda incident: incident.scope):
            if self._is_absorbed(incident):
                continue
            kind, country, product, carrier = incident.scope.split("|")[:4]
            key = incident.severity, incident.mode, kind
            numbers[key] = numbers.get(key, 0) + 1
            labels = {
                "incident_id": incident.incident_id,
                "severity": incident.severity,
                "mode": incident.mode,
                "scope": kind,
                "country": country,
                "product": product,
                "carrier": carrier,
            }
            out["incident_info"].append((labels, 1))
            for name, value in _figures(incident).items():
                _add(out, f"incident_{name}", {"incident_id": incident.incident_id}, value)
        out["incidents_open"] = [
            ({"severity": severity, "mode": mode, "scope": kind}, n)
            for (severity, mode, kind), n in sorted(numbers.items())
        ]

    def _add_advice(self, out: dict[str, Samples]) -> None:
        numbers: dict[tuple[str, str], int] = {}
        savings = []
        for name, lane in sorted(self.lanes.items()):
            advice = lane.advice
            if advice is None:
                continue
            country, product = name.split("|")
            numbers[advice.decision, country] = numbers.get((advice.decision, country), 0) + 1
            if advice.decision == SWITCH and advice.saving is not None:
                labels = {"country": country, "product": product, "carrier": advice.from_carrier}
                labels |= {"to_carrier": advice.to_carrier, "currency": advice.currency}
                savings.append((labels, float(advice.saving.value)))
        out["recommendations"] = [
            ({"decision": decision, "country": country}, n) for (decision, country), n in sorted(numbers.items())
        ]
        out["recommended_saving_per_parcel"] = sorted(savings, key=lambda sample: -sample[1])
        found = self.balance()
        results = {
            "paid": found.paid,
            "not_paid": found.measured - found.paid,
            "not_followed": found.not_followed,
            "too_early": found.accepted - found.measured - found.not_followed,
        }
        out["switches_accepted"] = [({"result": result}, n) for result, n in results.items()]
        for bound, name in (("value", ""), ("low", "_lower_bound"), ("high", "_upper_bound")):
            out["switch_saved" + name] = [
                ({"currency": currency}, float(getattr(amount, bound))) for currency, amount in found.saved.items()
            ]
        out["switch_advice_doubtful"] = [({}, int(found.is_warned))]
        out["recommendation_answers_total"] = [
            ({"answer": said}, n) for said, n in _named(self.fleet.counts, "answer|") if said in ANSWERS
        ]
        out["switch_answered_timestamp_seconds"] = _answered(self.lanes)


def _answered(lanes: Mapping[str, Lane]) -> Samples:
    """When a person last accepted each switch, or declined the one that is advised now; the latest first."""
    times: dict[tuple[str, str, str, str], int] = {}
    for name, lane in lanes.items():
        for one in lane.accepted:  # the oldest first
            times[name, one.from_carrier, one.to_carrier, "accept"] = one.at_us
        advice = lane.advice
        said = None if advice is None or advice.decision != SWITCH else answer(advice)
        if advice is not None and said is not None and said.what == "decline":
            times[name, advice.from_carrier, advice.to_carrier, "decline"] = said.recorded_us
    samples: Samples = []
    for (name, old, new, what), at_us in sorted(times.items(), key=lambda one: (-one[1], one[0])):
        country, product = name.split("|")
        labels = {"country": country, "product": product, "carrier": old, "to_carrier": new, "answer": what}
        samples.append((labels, at_us / 1e6))
    return samples


def dead_letter_record(letter: DeadLetter, recorded_us: int) -> Record:
    """A dead letter of the folds or a replay as the contract writes it; ``recorded_us`` where it has none itself."""
    return dead_letter(
        position_record(letter.position), letter.raw, letter.reason, letter.detail, letter.recorded_us or recorded_us
    )


def position_record(position: Position) -> Record:
    """``{"file", "line"}`` of (file, line); ``{"topic", "partition", "offset", "index"}`` of the same four."""
    names = ("file", "line") if len(position) == 2 else ("topic", "partition", "offset", "index")
    return dict(zip(names, position, strict=True))


def count_of(fleet: FleetHeader, prefix: str) -> int:
    """Sum of the fleet's counts whose name begins with ``prefix``."""
    return sum(n for _, n in _named(fleet.counts, prefix))


def _figures(incident: Incident) -> dict[str, float]:
    """What stood when the incident became known, by metric; the same that its record shows."""
    return {
        "opened_timestamp_seconds": incident.opened_us / 1e6,
        "known_timestamp_seconds": incident.known_us / 1e6,
        "parcels_at_risk": incident.parcels_at_risk,
        "observed": incident.observed,
        "expected": incident.expected,
        "evidence_ln": incident.ln_m,
        "expected_complaints_14d": incident.complaints_expected,
        "expected_complaints_14d_lower_bound": incident.complaints_low,
        "expected_complaints_14d_upper_bound": incident.complaints_high,
    }


def _weight(incident: Incident) -> tuple[bool, bool]:
    return incident.severity == "page", not incident.scope.startswith("channel|")


def _named(counts: Mapping[str, int], prefix: str) -> Iterable[tuple[str, int]]:
    return [(name.removeprefix(prefix), n) for name, n in sorted(counts.items()) if name.startswith(prefix)]


def _add(out: dict[str, Samples], name: str, labels: dict[str, str], value: float | None) -> None:
    samples = out.setdefault(name, [])
    if value is not None:
        samples.append((labels, value))
