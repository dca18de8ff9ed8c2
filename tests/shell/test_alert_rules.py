"""The alert rules and routes we ship: nothing missing, nothing that is not ours, and all of it tested."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_rules import DEPLOY, RULES, alerts, hastened, rules

from monitor.web.metrics import CATALOGUE, PREFIX

ROOT = DEPLOY.parent
CASES = DEPLOY / "prometheus" / "tests"
ALERTMANAGER = DEPLOY / "alertmanager" / "alertmanager.yml"
RUNBOOKS = ROOT / "docs" / "runbooks"
NAMES = [alert["alert"] for alert in alerts()]


def run(*command: object) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout[-6_000:]}{done.stderr[-2_000:]}"
    return done.stdout


@pytest.mark.prometheus
def test_promtool_accepts_the_rules_the_example_and_the_rules_of_the_integration_test(
    prometheus: str, tmp_path: Path
) -> None:
    run("promtool", "check", "rules", "--lint-fatal", *RULES.glob("*.yml"))
    run("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    run("promtool", "check", "rules", *hastened(tmp_path / "rules", 120))


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.parametrize("cases", sorted(CASES.glob("*.yml")), ids=lambda path: path.stem)
def test_promtool_proves_every_case(prometheus: str, cases: Path) -> None:
    run("promtool", "test", "rules", cases)


@pytest.mark.parametrize("alert", NAMES)
def test_every_alert_has_a_case_that_waits_one_that_fires_and_one_that_never_does(alert: str) -> None:
    found: dict[str, list[list[Any]]] = {}
    for path in CASES.glob("*.yml"):
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            name, _, kind = case["name"].split(":")[0].partition(", ")
            if name == alert:
                looks = case["alert_rule_test"]
                assert {look["alertname"] for look in looks} == {alert}
                found[kind] = [look["exp_alerts"] for look in looks]
    assert set(found) == {"not yet", "firing", "never"}
    assert not any(found["not yet"] + found["never"])
    assert found["firing"][0]


@pytest.mark.parametrize("alert", alerts(), ids=NAMES)
def test_every_alert_says_what_is_wrong_how_much_and_what_to_do(alert: dict[str, Any]) -> None:
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"
    assert alert["labels"]["kind"] in {"channel", "feed", "lane", "monitor"}
    # The severity of an incident is a label of its own.
    assert alert["labels"].get("severity") in {"page", "ticket"} or "channel_monitor:incident{" in alert["expr"]
    assert {"for", "keep_firing_for"} <= set(alert)
    description = alert["annotations"]["description"]
    assert "n = " in description or "(bounds: " in description or alert["alert"] == "ChannelMonitorDown"


def test_every_alert_has_a_runbook_in_both_languages_and_every_runbook_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(NAMES)
    for path in RUNBOOKS.glob("*.md"):
        english, chinese = path.read_text(encoding="utf-8").split(f"# {path.stem}（中文）")
        assert "## What to do" in english
        assert "## When it ends" in english
        assert "## 如何处理" in chinese
        assert len(re.findall(r"[\u4e00-\u9fff]", chinese)) > 50


def test_every_metric_of_the_rules_is_in_the_catalogue_and_every_state_is_recorded() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in RULES.glob("*.yml"))
    text = re.sub(r"#.*", "", text)
    named = set(re.findall(r"\bchannel_monitor_\w+", text))
    assert named - {PREFIX + family.name for family in CATALOGUE} == set()
    recorded = {rule["record"] for path in RULES.glob("*.yml") for rule in rules(path) if "record" in rule}
    assert set(re.findall(r"\bchannel_monitor:\w+", text)) == recorded


def test_every_kind_of_incident_has_its_alert() -> None:
    words = tomllib.loads((ROOT / "monitor" / "web" / "catalogue.toml").read_text(encoding="utf-8"))
    own = [re.findall(r'mode="(\w+)"', alert["expr"]) for alert in alerts()]
    assert sorted(mode for modes in own for mode in modes) == sorted(words["mode"])
    (rest,) = [re.findall(r'mode!~"([\w|]+)"', a["expr"]) for a in alerts() if a["alert"] == "ChannelTrouble"]
    assert sorted(rest[0].split("|")) == sorted(words["mode"])


def test_the_alerts_document_lists_every_alert() -> None:
    text = (ROOT / "docs" / "prometheus.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in text] == []


@pytest.mark.alertmanager
def test_amtool_accepts_the_routes_and_the_mute_times_are_current(alertmanager: str) -> None:
    run("amtool", "check-config", ALERTMANAGER)
    run(sys.executable, DEPLOY / "alertmanager" / "mute_times.py", "--check", ALERTMANAGER)


@pytest.mark.alertmanager
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("kind=monitor severity=page", "sre"),
        ("kind=monitor severity=ticket", "sre"),
        ("kind=feed severity=feed scope=feed", "data"),
        ("kind=channel severity=page scope=country", "logistics"),
        ("kind=channel severity=ticket scope=channel", "tickets"),
        ("kind=lane severity=ticket scope=lane", "tickets"),
        ("alertname=Other", "sre"),
    ],
)
def test_every_alert_goes_to_those_who_can_act(alertmanager: str, labels: str, receiver: str) -> None:
    said = run("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels.split())
    assert said.strip() == receiver


def test_the_labels_that_routes_and_inhibition_ask_for_are_those_the_rules_put_on() -> None:
    config = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
    asked = {label for route in (config["route"], *config["route"]["routes"]) for label in route.get("group_by", ())}
    matchers = [matcher for route in config["route"]["routes"] for matcher in route["matchers"]]
    for rule in config["inhibit_rules"]:
        asked |= set(rule["equal"])
        matchers += rule["source_matchers"] + rule["target_matchers"]
    asked |= {re.split(r"[=!]", matcher)[0] for matcher in matchers}
    given: set[str] = {"alertname"}
    for path in CASES.glob("*.yml"):
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            given.update(
                label for look in case["alert_rule_test"] for one in look["exp_alerts"] for label in one["exp_labels"]
            )
    assert asked - given == set()


def test_only_tickets_rest_on_holidays() -> None:
    config = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
    resting = [route["receiver"] for route in config["route"]["routes"] if "mute_time_intervals" in route]
    assert resting == ["tickets"]
    days = config["time_intervals"][0]["time_intervals"]
    assert {"years": ["2026"], "months": ["10"], "days_of_month": ["1:17"]} in days  # Golden Week and what follows
