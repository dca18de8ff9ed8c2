"""Metrics: the catalogue of every family we expose, and the exposition in the formats Prometheus asks for.

Rules the catalogue keeps: prefix ``channel_monitor_``, base units, ratios 0–1, counters end in ``_total``, and
never a parcel, an order or a customer in a label. The number of series per family is capped; what is left out is
counted in ``series_dropped_total``.
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from monitor import __version__
from monitor.read.views import Families

PREFIX: Final = "channel_monitor_"
FORBIDDEN_LABELS: Final = frozenset(
    {"parcel", "parcel_id", "order", "order_id", "customer", "customer_id", "complaint_id", "refund_id", "claim_id"}
)

Samples = Iterable[tuple[Mapping[str, str], float]]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without prefix as Prometheus stores it, type, labels, unit and help.

    Raises :class:`ValueError` for a name or a label that breaks the rules above.
    """

    name: str
    kind: Literal["counter", "gauge", "info"]
    labels: tuple[str, ...]
    unit: str
    text: str

    def __post_init__(self) -> None:
        if (self.kind == "counter") != self.name.endswith("_total"):
            raise ValueError(f"metric {self.name}: counters, and only they, end in _total")
        if (self.kind == "info") != self.name.endswith("_info"):
            raise ValueError(f"metric {self.name}: info metrics, and only they, end in _info")
        if self.unit and not self.name.removesuffix("_total").endswith(f"_{self.unit}"):
            raise ValueError(f"metric {self.name}: the name must end in its unit {self.unit}")
        if bad := FORBIDDEN_LABELS.intersection(self.labels):
            raise ValueError(f"metric {self.name}: label {', '.join(sorted(bad))} could name a person or a parcel")

    def empty(self) -> Metric:
        """The metric of the client library, without samples."""
        name, text = PREFIX + self.name, self.text
        if self.kind == "counter":
            return CounterMetricFamily(name.removesuffix("_total"), text, labels=self.labels, unit=self.unit)
        if self.kind == "gauge":
            return GaugeMetricFamily(name, text, labels=self.labels, unit=self.unit)
        return InfoMetricFamily(name.removesuffix("_info"), text)

    def collected(self, samples: Samples) -> Metric:
        """The samples as a metric of the client library. Raises :class:`ValueError` for other labels than ours."""
        name, metric = PREFIX + self.name, self.empty()
        seen = set()
        for labels, value in samples:
            if set(labels) != set(self.labels):
                raise ValueError(f"metric {self.name}: labels are {sorted(labels)}, not {sorted(self.labels)}")
            values = tuple(labels[label] for label in self.labels)
            if values in seen:
                raise ValueError(f"metric {self.name}: two samples with the labels {values}")
            seen.add(values)
            metric.add_sample(name, dict(zip(self.labels, values, strict=True)), value)
        return metric


_LANE: Final = ("country", "carrier")
_CHANNEL: Final = ("country", "product", "carrier")


def _counter(name: str, labels: tuple[str, ...], text: str) -> Family:
    return Family(name, "counter", labels, "", text)


def _gauge(name: str, labels: tuple[str, ...], unit: str, text: str) -> Family:
    return Family(name, "gauge", labels, unit, text)


def _incident(name: str, unit: str, text: str) -> Family:
    return _gauge(f"incident_{name}", ("incident_id",), unit, text)


def _ratio(name: str, what: str) -> tuple[Family, Family, Family]:
    return (
        _gauge(name, _LANE, "ratio", f"{what}, recent days."),
        _gauge(f"{name}_lower_bound", _LANE, "", f"{what}: lower bound of the 95% interval."),
        _gauge(f"{name}_upper_bound", _LANE, "", f"{what}: upper bound of the 95% interval."),
    )


#: Every family, in the order of the exposition. The values of all but those of :data:`OWN` come from the views.
CATALOGUE: Final[tuple[Family, ...]] = (
    Family("build_info", "info", ("version", "python"), "", "The running version."),
    _counter("events_total", ("type",), "Events folded, duplicates not counted."),
    _counter("dead_letters_total", ("reason",), "Records that could not be used."),
    _counter("duplicates_total", (), "Events that came again and changed nothing."),
    _gauge("event_watermark_timestamp_seconds", (), "seconds", "Unix time up to which reports are complete."),
    _gauge("tick_timestamp_seconds", (), "seconds", "Unix time of the last tick closed: what the lists stand for."),
    _gauge("time_seconds", (), "seconds", "Unix time of the monitor's clock."),
    _gauge("feed_last_event_timestamp_seconds", ("carrier",), "seconds", "Unix time of a carrier's latest event."),
    _gauge("ingest_lag_records", ("topic", "partition"), "records", "Records in the log that are not folded yet."),
    _gauge("pending_records", (), "records", "Records folded that no checkpoint holds yet."),
    _gauge("tick_duration_seconds", (), "seconds", "Time the last tick took to close."),
    _gauge("parcels_in_flight", _LANE, "", "Parcels registered, and neither delivered, lost nor returned."),
    _gauge(
        "transit_days",
        (*_LANE, "quantile"),
        "days",
        "Days from registration to delivery, Kaplan-Meier with parcels in flight, recent days.",
    ),
    *_ratio("late_ratio", "Parcels not delivered by their promised day"),
    *_ratio("loss_ratio", "Parcels lost or presumed lost of those with an outcome"),
    *_ratio("complaints_ratio", "Complaints per registered parcel of the cohort"),
    _gauge("sample_size", _LANE, "", "Parcels registered in the recent days: what the ratios rest on."),
    _gauge("evidence_ln", ("scope", "country", "product", "carrier"), "", "Evidence (ln M) of the nodes judged."),
    _gauge("stage_parcels", (*_CHANNEL, "clock"), "", "Parcels between two milestones, as of the last judged day."),
    _gauge(
        "stage_days",
        (*_CHANNEL, "clock", "quantile"),
        "days",
        "Days that a stage usually takes: what the monitor has learnt.",
    ),
    _gauge("clock_evidence_ln", (*_CHANNEL, "clock"), "", "Evidence (ln M) of a channel by what goes wrong."),
    _gauge("incidents_open", ("severity", "mode", "scope"), "", "Open incidents."),
    Family(
        "incident_info",
        "info",
        ("incident_id", "severity", "mode", "scope", "country", "product", "carrier"),
        "",
        "One series for every open incident.",
    ),
    _incident(
        "opened_timestamp_seconds", "seconds", "Unix time at which the trouble of an open incident began to show."
    ),
    _incident("known_timestamp_seconds", "seconds", "Unix time at which an open incident first had its severity."),
    _incident("parcels_at_risk", "", "Parcels in flight on an incident's channels when it became known."),
    _incident("observed", "", "Events observed since the trouble began to show, when the incident became known."),
    _incident("expected", "", "Events that were to be expected in the same time."),
    _incident("evidence_ln", "", "Evidence (ln M) when the incident became known."),
    _incident("expected_complaints_14d", "", "Complaints expected in the 14 days after the incident became known."),
    _incident("expected_complaints_14d_lower_bound", "", "Complaints expected: lower bound of the 90% interval."),
    _incident("expected_complaints_14d_upper_bound", "", "Complaints expected: upper bound of the 90% interval."),
    _gauge("recommendations", ("decision", "country"), "", "Lanes by what is advised about their carrier."),
    _gauge(
        "recommended_saving_per_parcel",
        ("country", "product", "carrier", "to_carrier", "currency"),
        "",
        "Expected saving per parcel of each switch that is advised, in units of the currency.",
    ),
    _gauge("switches_accepted", ("result",), "", "Switches that people accepted, by what they brought."),
    _gauge("switch_saved", ("currency",), "", "What the measured ones saved so far, in units of the currency."),
    _gauge("switch_saved_lower_bound", ("currency",), "", "What they saved: lower bound of the 90% interval."),
    _gauge("switch_saved_upper_bound", ("currency",), "", "What they saved: upper bound of the 90% interval."),
    _gauge("switch_advice_doubtful", (), "", "1 while too few accepted switches paid, else 0."),
    _counter("recommendation_answers_total", ("answer",), "Answers of people to recommendations."),
    _gauge(
        "switch_answered_timestamp_seconds",
        ("country", "product", "carrier", "to_carrier", "answer"),
        "seconds",
        "Unix time at which a person last accepted each switch, or declined the one that is advised.",
    ),
    _gauge("expected_complaints_14d", _LANE, "", "Complaints expected in the next 14 days if nothing is done."),
    _counter("http_requests_total", ("route", "status"), "HTTP requests answered."),
    _gauge("scrape_duration_seconds", (), "seconds", "Time it took to collect these metrics."),
    _counter("series_dropped_total", ("family",), "Series left out by the cap, added up over scrapes."),
)
#: Families this module fills itself.
OWN: Final = frozenset(
    {"build_info", "http_requests_total", "scrape_duration_seconds", "series_dropped_total", "time_seconds"}
)


class Metrics(Collector):
    """The monitor's metrics over ``views``, in a registry of their own.

    ``series_cap`` is the most series of one family: the first that the views give stay, which are the most
    important ones. Collecting raises :class:`ValueError` when the views give a family or a label that is not in
    the catalogue.
    """

    def __init__(self, views: Families, *, series_cap: int = 2_000) -> None:
        self._views = views
        self._cap = series_cap
        self._requests: Counter[tuple[str, str]] = Counter()
        self._dropped: Counter[str] = Counter()
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(namespace=PREFIX.rstrip("_"), registry=self.registry)

    def count_request(self, route: str, status: int) -> None:
        """Count one answered request; ``route`` is the pattern, never the address."""
        self._requests[route, str(status)] += 1

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """(body, content type) in the format the ``Accept`` header asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering does not ask the views, which may not be ready yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families of the catalogue, also the empty ones, so that their types are known from the start."""
        started = time.perf_counter()
        families: dict[str, Samples] = dict(self._views.families())
        known = {family.name for family in CATALOGUE} - OWN
        if strange := sorted(set(families) - known):
            raise ValueError(f"metrics not in the catalogue: {', '.join(strange)}")
        families["build_info"] = [({"version": __version__, "python": platform.python_version()}, 1)]
        families["time_seconds"] = [({}, time.time_ns() / 1e9)]
        families["http_requests_total"] = [
            ({"route": route, "status": status}, count) for (route, status), count in sorted(self._requests.items())
        ]
        kept = {name: self._capped(name, samples) for name, samples in families.items()}
        kept["scrape_duration_seconds"] = [({}, time.perf_counter() - started)]
        kept["series_dropped_total"] = [({"family": name}, count) for name, count in sorted(self._dropped.items())]
        for family in CATALOGUE:
            yield family.collected(kept.get(family.name, ()))

    def _capped(self, name: str, samples: Samples) -> list[tuple[Mapping[str, str], float]]:
        every = list(samples)
        if len(every) > self._cap:
            self._dropped[PREFIX + name] += len(every) - self._cap
        return every[: self._cap]


METRICS: Final = web.AppKey("metrics", Metrics)
