"""A real Prometheus with the alert rules of deploy/prometheus beside the running monitor, while a world goes wrong.

The monitor's time moves from tick to tick (:mod:`stepping`); Prometheus runs on the wall clock, with all durations of
the rules shortened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path

import pytest
from alert_rules import hastened
from program import recorded, verb
from prometheus_server import PrometheusServer
from stepping import Stepped

from monitor.replay.simulate import simulate

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]

JOB = "channel-monitor"
HASTE = 120  # the rules look every half second
Watch = Callable[[str, datetime], tuple[Stepped, PrometheusServer]]


@pytest.fixture
def watch(prometheus: str, tmp_path: Path) -> Iterator[Watch]:
    """Starts a monitor on a scenario at a time, and a Prometheus on it; both end with the test."""
    started: list[tuple[Stepped, PrometheusServer]] = []

    def begin(scenario: str, at: datetime) -> tuple[Stepped, PrometheusServer]:
        world = sorted(simulate(scenario, 3, 200, 12, None, 0.3), key=recorded)
        monitor = Stepped(tmp_path / "monitor", world, at)
        rules = hastened(tmp_path / "rules", HASTE)
        server = PrometheusServer(tmp_path / "prometheus", {JOB: monitor.address}, rules, interval="500ms")
        started.append((monitor, server))
        monitor.start()
        monitor.wait_ready()
        server.start()
        wait_tick(monitor, server, 60)
        return monitor, server

    yield begin
    for monitor, server in started:
        server.stop()
        monitor.kill()


def wait_tick(monitor: Stepped, server: PrometheusServer, timeout_s: float = 30) -> None:
    """Until Prometheus has seen the tick that the monitor's clock shows, and its rules have looked at it."""
    want = monitor.at_us / 1e6
    server.wait(lambda: seen(server) == want, f"the tick of {monitor.now}", timeout_s)
    looked = server.query("max(timestamp(channel_monitor:fresh))")
    server.wait(lambda: server.query("max(timestamp(channel_monitor:fresh))") != looked, "the rules", 10)


def seen(server: PrometheusServer) -> float:
    """The monitor's last tick that Prometheus knows."""
    found = server.query("max(channel_monitor_tick_timestamp_seconds)")
    return found[0][1] if found else 0.0


def fired(server: PrometheusServer, kinds: Sequence[str], severity: str = ".+") -> set[str]:
    """Names of the alerts of some kinds and severities that have fired at any time."""
    chosen = f'ALERTS{{alertstate="firing", kind=~"{"|".join(kinds)}", severity=~"{severity}"}}'
    return {labels["alertname"] for labels, _ in server.query(f"max_over_time({chosen}[1h])")}


def step_until(monitor: Stepped, server: PrometheusServer, alert: str, severity: str, last: datetime) -> datetime:
    """Let time pass until the alert fires; when it was."""
    while monitor.now < last:
        monitor.step()
        wait_tick(monitor, server)
        labels = map(itemgetter("labels"), server.alerts())
        if (alert, severity) in [(one["alertname"], one["severity"]) for one in labels]:
            server.wait(lambda: alert in server.firing(), f"{alert} firing", 15)
            return monitor.now
    raise AssertionError(f"{alert} did not fire until {last}; {server.alerts()}")


def test_a_degrading_channel_fires_its_alert_before_the_complaint_alarm_and_nothing_else(
    watch: Watch, tmp_path: Path
) -> None:
    world, truth = tmp_path / "world.jsonl", tmp_path / "world.jsonl.truth.json"
    size = ("--seed", 3, "--days", 200, "--channels", 12, "--volume", 0.3)
    verb("simulate", "--scenario", "stall", *size, "--out", world)
    monitor, server = watch("stall", datetime(2024, 7, 19, tzinfo=UTC))
    known = step_until(monitor, server, "ChannelSlow", "page", datetime(2024, 7, 23, tzinfo=UTC))

    (alert,) = [one for one in server.alerts() if one["labels"]["severity"] == "page"]
    (planted,) = json.loads(truth.read_text())["planted"]
    where = {name: planted["scope"][name] for name in ("country", "product", "carrier")}
    assert where.items() <= alert["labels"].items()
    assert alert["labels"]["alertname"] == "ChannelSlow"  # so early that it is not sure yet that the stage stands still
    (incident,) = [one for one in monitor.get("/api/incidents") if one["closed_at"] is None]
    id_, forecast = incident["incident_id"], incident["forecast"]["complaints_next_14_days"]
    assert alert["labels"]["incident_id"] == id_
    told = server.query(f'{{__name__=~"channel_monitor_incident_.+", incident_id="{id_}"}}')
    figures = {labels["__name__"].removeprefix("channel_monitor_incident_"): value for labels, value in told}
    del figures["info"]
    assert figures == {
        "opened_timestamp_seconds": datetime.fromisoformat(incident["opened_at"]).timestamp(),
        "known_timestamp_seconds": datetime.fromisoformat(incident["known_by"]).timestamp(),
        "parcels_at_risk": incident["parcels_at_risk"],
        **{name: incident["evidence"][name] for name in ("observed", "expected")},
        "evidence_ln": incident["evidence"]["ln_m"],
        "expected_complaints_14d": forecast["expected"],
        "expected_complaints_14d_lower_bound": forecast["low"],
        "expected_complaints_14d_upper_bound": forecast["high"],
    }
    assert f"n = {incident['parcels_at_risk']} parcels in flight" in alert["annotations"]["description"]
    (degradation,) = json.loads(verb("backtest", world, "--truth", truth, "--json"))["degradations"]
    assert known < datetime.fromisoformat(degradation["alarm_at"])

    # A monitor that is away, and one that begins, resolves nothing and raises nothing of a channel.
    monitor.kill()
    server.wait(lambda: "ChannelMonitorDown" in server.firing(), "ChannelMonitorDown", 30)
    assert "ChannelSlow" in server.firing()
    monitor.start()
    server.wait(lambda: "ChannelMonitorDown" not in server.firing(), "the monitor's return", 60)
    assert "ChannelSlow" in server.firing()
    for _ in range(3):
        monitor.step()
        wait_tick(monitor, server)
    assert fired(server, ["channel", "lane", "feed"], "page") == {"ChannelSlow"}
    assert fired(server, ["channel", "lane", "feed"]) == {"ChannelSlow"}
    assert server.query('changes(ALERTS_FOR_STATE{alertname="ChannelSlow", severity="page"}[1h])')[0][1] == 0
    assert fired(server, ["monitor"]) == {"ChannelMonitorDown"}


def test_a_feed_that_stops_fires_the_feed_alert_and_none_of_a_channel(watch: Watch) -> None:
    monitor, server = watch("feed_outage", datetime(2024, 7, 10, 12, tzinfo=UTC))
    step_until(monitor, server, "FeedSilent", "feed", datetime(2024, 7, 13, tzinfo=UTC))
    (alert,) = [one for one in server.alerts() if one["labels"]["alertname"] == "FeedSilent"]
    assert alert["labels"]["carrier"] == "singapore-post"
    assert alert["labels"]["severity"] == "feed"
    for _ in range(8):
        monitor.step()
        wait_tick(monitor, server)
    assert fired(server, ["channel", "lane", "feed"]) == {"FeedSilent"}
    assert fired(server, ["monitor"]) <= {"ChannelMonitorDown"}  # half a second may be short for a scrape
