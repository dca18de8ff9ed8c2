"""The image, docker-compose.yml and the Kubernetes manifests, checked without a container engine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from monitor.cli.main import main
from monitor.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
Json = dict[str, Any]
COMPOSE: Json = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: Json = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
MANIFESTS: list[Json] = [
    one
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
KUBERNETES = "1.31"
IMAGE_COMMAND = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])


def of_kind(kind: str) -> list[Json]:
    return [one for one in MANIFESTS if one["kind"] == kind]


def assert_is_a_verb(words: list[str]) -> None:
    """``channel-monitor WORDS`` would be accepted."""
    command = main.get_command(click.Context(main), words[0])
    assert command is not None, words
    command.make_context(words[0], list(words[1:]))


# The image


def test_the_dockerfile_passes_its_linter() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_has_a_python_that_the_package_takes_and_an_unprivileged_user() -> None:
    bases = re.findall(r"^FROM python:(\d+)\.(\d+)-slim-\w+", DOCKERFILE, re.MULTILINE)
    assert len(bases) == len(re.findall("^FROM", DOCKERFILE, re.MULTILINE)) == 2
    assert len(set(bases)) == 1  # a virtual environment holds the paths of its interpreter
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    assert tuple(map(int, bases[0])) >= (3, 11)
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert f"channel-monitor:{project['version']}" in DOCKERFILE


def test_what_the_image_copies_reaches_the_builder() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        copied |= set(line.split()[:-1])
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


# docker-compose.yml


def test_the_compose_file_is_one_by_the_specification() -> None:
    assert sorted(PyCompose.from_json(json.dumps(COMPOSE)).service_names()) == sorted(SERVICES)


def test_every_image_has_a_version_and_ours_is_that_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for name, service in SERVICES.items():
        image, _, tag = service["image"].rpartition(":")
        assert image, name
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), name
        assert (tag == version) == (name in OURS), name


def test_ports_are_published_on_loopback_only_and_each_once() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports) == 5


def test_every_service_that_stays_has_a_health_check_and_starts_again() -> None:
    for name, service in SERVICES.items():
        assert (service["restart"] == "no") == (name == "demo"), name
        if name in ("demo", "notify", "push"):  # none of them has a port
            assert service["profiles"] == [name]
            continue
        assert service["healthcheck"]["test"][0] == "CMD", name
        for other, wanted in service.get("depends_on", {}).items():
            assert wanted == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[other]


def test_our_containers_can_write_nowhere_but_to_tmp() -> None:
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"]
        assert service["tmpfs"] == ["/tmp"]
        assert service["cap_drop"] == ["ALL"]
        assert "privileged" not in service


def test_files_that_are_mounted_are_there_and_volumes_and_secrets_are_declared() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"], (name, volume)
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())
    assert "/secrets/" in ignored


@pytest.mark.parametrize("name", OURS)
def test_the_program_takes_the_settings_and_the_command_of_a_service(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = SERVICES[name]
    token = tmp_path / "token"
    token.write_text("a token\n")
    monkeypatch.chdir(tmp_path)
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, value.replace("/run/secrets/access-token", str(token)))
    settings = load_settings()
    assert settings.log.broker == "kafka://kafka:9092"
    assert settings.web.token() == "a token"
    if "entrypoint" not in service:
        assert_is_a_verb(service.get("command", IMAGE_COMMAND))
        return
    (script,) = service["command"]
    script = script.replace("$$", "$")
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    written = script.replace("\\\n", " ").replace("$(date -u -d '200 days ago' +%F)", "2026-03-01")
    world = tmp_path / "world.jsonl.gz"
    world.touch()
    verbs = [shlex.split(line.replace("/tmp/world.jsonl.gz", str(world))) for line in written.strip().splitlines()]
    assert [words[:2] for words in verbs] == [["channel-monitor", "simulate"], ["channel-monitor", "ingest"]]
    for words in verbs:
        assert_is_a_verb(words[1:])
    dated = subprocess.run(["sh", "-c", "date -u -d '200 days ago' +%F"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d\n", dated.stdout)


def test_grafana_finds_what_is_mounted_for_it() -> None:
    mounts = dict(volume.split(":")[:2][::-1] for volume in SERVICES["grafana"]["volumes"])
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/channel-monitor.yml").read_text())
    dashboards = provider["providers"][0]["options"]["path"]
    assert mounts[dashboards] == "./deploy/grafana/dashboards"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / mounts[dashboards] / Path(home).relative_to(dashboards)).is_file()
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "$PROMETHEUS_URL"
    assert SERVICES["grafana"]["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"


@pytest.mark.prometheus
def test_prometheus_takes_its_configuration_and_asks_the_services_that_are_there(
    prometheus: str, tmp_path: Path
) -> None:
    text = (DEPLOY / "compose" / "prometheus.yml").read_text(encoding="utf-8")
    (tmp_path / "token").write_text("x")
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/run/secrets/access-token", str(tmp_path / "token")))
    done = subprocess.run(["promtool", "check", "config", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = yaml.safe_load(text)
    (job,) = (job for job in told["scrape_configs"] if job["job_name"] == "channel-monitor")
    assert set(job["dns_sd_configs"][0]["names"]) <= set(SERVICES)
    (targets,) = (one["static_configs"][0]["targets"] for one in told["alerting"]["alertmanagers"])
    assert {target.split(":")[0] for target in targets} <= set(SERVICES)


# Kubernetes


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_is_one_by_the_schema(manifest: Json) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_every_deployment_has_probes_a_disruption_budget_and_a_service() -> None:
    deployments = of_kind("Deployment")
    assert len(deployments) == 2
    for deployment in deployments:
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        for other in [*of_kind("PodDisruptionBudget"), *of_kind("Service")]:
            if other["metadata"]["name"] == deployment["metadata"]["name"]:
                selector = other["spec"]["selector"]
                assert selector.get("matchLabels", selector) == labels
        names = [one["metadata"]["name"] for kind in ("PodDisruptionBudget", "Service") for one in of_kind(kind)]
        assert names.count(deployment["metadata"]["name"]) == 2
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")} == {
            "startupProbe": "/healthz",
            "livenessProbe": "/healthz",
            "readinessProbe": "/readyz",
        }
        assert container["image"] == SERVICES["web"]["image"]
        assert_is_a_verb(container["args"])


def test_pods_run_without_rights_on_a_read_only_root() -> None:
    for deployment in of_kind("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert f"USER {pod['securityContext']['runAsUser']}:" in DOCKERFILE
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_the_network_policy_lets_in_only_whom_it_names_and_out_only_to_names_and_brokers() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in of_kind("NetworkPolicy")}
    everyone = policies["channel-monitor"]
    assert everyone["policyTypes"] == ["Ingress", "Egress"]
    pods = [deployment["spec"]["template"]["metadata"]["labels"] for deployment in of_kind("Deployment")]
    assert all(everyone["podSelector"]["matchLabels"].items() <= labels.items() for labels in pods)
    for rule in [rule for policy in policies.values() for rule in (*policy["ingress"], *policy.get("egress", ()))]:
        assert rule["ports"]
        assert rule.get("from") or rule.get("to")
    assert {port["port"] for rule in everyone["egress"] for port in rule["ports"]} == {53, 9092, 9093}


def test_the_settings_in_the_config_map_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = of_kind("ConfigMap")
    file = tmp_path / "channel-monitor.toml"
    file.write_text(config["data"]["channel-monitor.toml"])
    settings = load_settings(file)
    assert settings.log.broker
    mounts = of_kind("Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert str(settings.web.access_token_file).startswith(next(m["mountPath"] for m in mounts if m["name"] == "secret"))
