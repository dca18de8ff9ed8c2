"""Metrics: readable by Prometheus in both formats, bounded, and without personal labels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from made_views import EmptyViews, MadeViews
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text
from web_client import Asker

from monitor.web.metrics import CATALOGUE, OWN, PREFIX, Family, Metrics

Start = Callable[..., Asker]

#: What the contract promises; programs and alert rules are written against these.
PROMISED = {
    "events_total": {"type"},
    "dead_letters_total": {"reason"},
    "duplicates_total": set(),
    "event_watermark_timestamp_seconds": set(),
    "feed_last_event_timestamp_seconds": {"carrier"},
    "ingest_lag_records": {"topic", "partition"},
    "pending_records": set(),
    "tick_duration_seconds": set(),
    "parcels_in_flight": {"country", "carrier"},
    "transit_days": {"country", "carrier", "quantile"},
    "late_ratio": {"country", "carrier"},
    "late_ratio_lower_bound": {"country", "carrier"},
    "late_ratio_upper_bound": {"country", "carrier"},
    "loss_ratio": {"country", "carrier"},
    "loss_ratio_lower_bound": {"country", "carrier"},
    "loss_ratio_upper_bound": {"country", "carrier"},
    "sample_size": {"country", "carrier"},
    "evidence_ln": {"scope", "country", "product", "carrier"},
    "incidents_open": {"severity", "mode", "scope"},
    "expected_complaints_14d": {"country", "carrier"},
}


def samples(families: list[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_catalogue_keeps_the_contract() -> None:
    ours = {family.name: set(family.labels) for family in CATALOGUE}
    assert {name: ours.get(name) for name in PROMISED} == PROMISED
    assert {"incident_id"} <= ours["incident_info"]
    assert "build_info" in ours
    assert set(ours) >= OWN
    assert len(ours) == len(CATALOGUE)
    assert all(family.text.endswith(".") for family in CATALOGUE)


@pytest.mark.parametrize(
    "wrong",
    [
        ("events", "counter", (), ""),
        ("things_total", "gauge", (), ""),
        ("state", "info", (), ""),
        ("age", "gauge", (), "seconds"),
        ("late", "gauge", ("parcel_id",), ""),
        ("late", "gauge", ("country", "customer"), ""),
        ("late", "gauge", ("order_id",), ""),
    ],
)
def test_a_family_that_breaks_the_rules_cannot_be_made(wrong: tuple[str, str, tuple[str, ...], str]) -> None:
    with pytest.raises(ValueError, match=f"metric {wrong[0]}"):
        Family(*wrong, "Text.")  # type: ignore[arg-type]


@pytest.mark.parametrize("views", [MadeViews, EmptyViews])
def test_prometheus_reads_both_formats_with_the_same_values(ask: Start, views: type[MadeViews]) -> None:
    asker = ask(views())
    plain = asker.ask("/metrics")
    newer = asker.ask("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert newer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert newer.text.endswith("# EOF\n")
    read = samples(list(parse_text(plain.text)))
    again = samples(list(parse_open(newer.text)))
    assert set(read) <= set(again)  # the second scrape counts the first one's request
    assert all(name.startswith(PREFIX) for name, _ in read)
    made = views()
    for name, given in made.samples.items():
        for labels, value in given:
            key = (PREFIX + name, frozenset(labels.items()))
            assert read[key] == again[key] == value
    assert sum(name == f"{PREFIX}build_info" for name, _ in read) == 1


def test_types_and_units_are_told_in_openmetrics(ask: Start) -> None:
    text = ask().ask("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}).text
    types = {family.name: family.type for family in parse_open(text)}
    assert types[f"{PREFIX}events"] == "counter"
    assert types[f"{PREFIX}late_ratio"] == "gauge"
    assert types[f"{PREFIX}incident"] == "info"
    assert f"# UNIT {PREFIX}tick_duration_seconds seconds\n" in text


def test_beyond_the_cap_the_first_series_stay_and_the_rest_is_counted(ask: Start) -> None:
    views = MadeViews()
    names = ("sample_size", "parcels_in_flight")
    for name in names:
        views.samples[name] = [({"country": "RU", "carrier": f"c{place:03}"}, 100.0 - place) for place in range(25)]
    asker = ask(views, series_cap=10)
    for scrape in (1, 2):
        read = samples(list(parse_text(asker.ask("/metrics").text)))
        for name in names:
            kept = sorted(dict(labels)["carrier"] for full, labels in read if full == PREFIX + name)
            assert kept == [f"c{place:03}" for place in range(10)]
            dropped = (f"{PREFIX}series_dropped_total", frozenset({("family", PREFIX + name)}))
            assert read[dropped] == 15 * scrape
    assert (f"{PREFIX}series_dropped_total", frozenset({("family", f"{PREFIX}events_total")})) not in read


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("surprise", [({}, 1.0)], "not in the catalogue: surprise"),
        ("build_info", [({}, 1.0)], "not in the catalogue: build_info"),
        ("late_ratio", [({"country": "RU"}, 1.0)], "labels"),
        ("late_ratio", [({"country": "RU", "carrier": "x", "parcel_id": "1"}, 1.0)], "labels"),
        ("late_ratio", [({"country": "RU", "carrier": "x"}, 1.0)] * 2, "two samples"),
    ],
)
def test_what_is_not_in_the_catalogue_is_our_fault_and_told(
    name: str, given: list[tuple[dict[str, str], float]], told: str
) -> None:
    views = MadeViews()
    views.samples = {name: given}
    with pytest.raises(ValueError, match=told):
        Metrics(views).exposition("")
