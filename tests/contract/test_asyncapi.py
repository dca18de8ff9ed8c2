"""The AsyncAPI document: equal to the code, valid by the official schema, and true of what is written."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import require_tool
from referencing import Registry, Resource
from test_schemas import RECORDS, SCAN

from monitor.asyncapi import document, text
from monitor.log.kafka import meta
from monitor.log.kafka.layout import Layout, TopicPlan
from monitor.log.kafka.states import Position
from monitor.log.topics import DEFAULT_PARTITIONS, TOPICS
from monitor.wire.schemas import generate

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
#: Which package holds the official schema; it is installed into a folder that git does not see.
PACKAGE = ROOT / "tests" / "asyncapi"
INSTALLED = ROOT / "build" / "asyncapi"
OFFICIAL = INSTALLED / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"

GENERATION = "0123456789abcdef0123456789abcdef"
NOW = "2026-03-09T00:00:00.000+00:00"


@pytest.fixture(scope="module")
def official() -> jsonschema.Draft7Validator:
    """The official JSON Schema of AsyncAPI 3.0."""
    npm = require_tool("npm")
    wanted = {name: (PACKAGE / name).read_bytes() for name in ("package.json", "package-lock.json")}
    if not OFFICIAL.exists() or any((INSTALLED / name).read_bytes() != content for name, content in wanted.items()):
        shutil.rmtree(INSTALLED, ignore_errors=True)
        INSTALLED.mkdir(parents=True)
        for name, content in wanted.items():
            (INSTALLED / name).write_bytes(content)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=INSTALLED, check=True, capture_output=True)
    return jsonschema.Draft7Validator(json.loads(OFFICIAL.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def payload() -> Callable[[str, str], jsonschema.Draft202012Validator]:
    """Channel, message → validator of the value of such a record."""
    registry: Registry[Any] = Registry().with_resources(
        (f"./{file}", Resource.from_contents(schema)) for file, schema in generate().items()
    )
    registry = registry.with_resources((file, Resource.from_contents(schema)) for file, schema in generate().items())

    def validator(channel: str, message: str) -> jsonschema.Draft202012Validator:
        schema = document()["channels"][channel]["messages"][message]["payload"]
        return jsonschema.Draft202012Validator(schema, registry=registry)

    return validator


def parts(node: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every object of a document, with the keys that lead to it."""
    if isinstance(node, list):
        return [found for index, item in enumerate(node) for found in parts(item, (*path, str(index)))]
    if not isinstance(node, dict):
        return []
    return [(path, node), *(found for key, item in node.items() for found in parts(item, (*path, key)))]


def test_the_file_is_that_of_the_code() -> None:
    assert (SCHEMAS / "asyncapi.json").read_text(encoding="utf-8") == text(), "write it with `make schemas`"


def test_it_is_valid_by_the_official_schema(official: jsonschema.Draft7Validator) -> None:
    official.validate(document())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("operations/sendEvents/action", "publish"),
        ("channels/events/bindings/kafka/partitions", 0),
        ("channels/events/bindings/kafka/topicConfiguration/cleanup.policy", "delete"),
        ("channels/events/messages/event/payload", []),
        ("servers/plain/protocol", None),
    ],
)
def test_the_official_schema_would_see_a_fault(official: jsonschema.Draft7Validator, path: str, value: object) -> None:
    broken = copy.deepcopy(document())
    *steps, last = path.split("/")
    node = broken
    for step in steps:
        node = node[step]
    assert last in node
    node[last] = value
    assert not official.is_valid(broken)


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    references = [str(part["$ref"]) for _, part in parts(whole) if "$ref" in part]
    for reference in references:
        if reference.startswith("./"):
            assert (SCHEMAS / reference).is_file()
            continue
        node = whole
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    assert {reference for reference in references if reference.startswith("./")} == {
        f"./{name}.schema.json" for name in ("event", "incident", "recommendation", "dead_letter")
    }


def test_topics_partitions_and_settings_are_those_of_the_layout() -> None:
    layout = Layout("shop.")
    plans = [
        layout.plan_meta(),
        *layout.plan(DEFAULT_PARTITIONS),
        *layout.plan_generation(GENERATION, DEFAULT_PARTITIONS),
    ]
    assert len(plans) == len(TOPICS) + 3
    described = []
    for channel in document()["channels"].values():
        kafka = channel["bindings"]["kafka"]
        policies = kafka["topicConfiguration"].pop("cleanup.policy")
        config = {name: str(value) for name, value in kafka["topicConfiguration"].items()}
        config["cleanup.policy"] = ",".join(policies)
        address = channel["address"].replace("{prefix}", "shop.").replace("{generation}", GENERATION[:8])
        described.append(TopicPlan(address, kafka["partitions"], config))
        used = {name for name in document()["components"]["parameters"] if f"{{{name}}}" in channel["address"]}
        assert set(channel["parameters"]) == used
    assert sorted(described, key=lambda plan: plan.name) == sorted(plans, key=lambda plan: plan.name)


def test_what_belongs_to_a_generation_is_internal() -> None:
    channels = document()["channels"]
    internal = {
        name for name, channel in channels.items() if {"internal"} & {t["name"] for t in channel.get("tags", [])}
    }
    assert internal == {name for name, channel in channels.items() if "{generation}" in channel["address"]}
    assert internal == {"contributions", "state-events", "state-contributions"}


def test_the_group_is_that_of_the_layout() -> None:
    group = document()["operations"]["receiveEvents"]["bindings"]["kafka"]["groupId"]["description"]
    assert group.startswith(Layout("{prefix}").group("12345678").replace("12345678", "{generation}"))


def test_both_forms_of_a_record_of_events_are_described(
    payload: Callable[[str, str], jsonschema.Draft202012Validator],
) -> None:
    one, several = payload("events", "event"), payload("events", "pack")
    assert one.is_valid(SCAN)
    assert several.is_valid([SCAN, SCAN | {"id": "2"}])
    assert not one.is_valid([SCAN])
    assert not several.is_valid(SCAN)
    assert not several.is_valid([])
    assert not one.is_valid(SCAN | {"type": "parcel.sold.v1"})


def test_records_that_come_out_are_described(payload: Callable[[str, str], jsonschema.Draft202012Validator]) -> None:
    incident = payload("incidents", "incident")
    assert incident.is_valid(RECORDS["incident"] | {"revision": 1, "tick": 82_404})
    assert not incident.is_valid(RECORDS["incident"] | {"revision": 1})
    assert payload("dead-letters", "letter").is_valid(RECORDS["dead_letter"])
    assert payload("dead-letters", "settled").is_valid({"replayed": NOW})
    advice = payload("recommendations", "recommendation")
    assert advice.is_valid(RECORDS["recommendation"] | {"tick": 82_404})
    assert not advice.is_valid(RECORDS["recommendation"])
    assert not advice.is_valid(RECORDS["recommendation"] | {"tick": 82_404, "ended": "2026-03-09T00:00:00Z"})


def test_what_the_log_says_of_itself_is_described(
    payload: Callable[[str, str], jsonschema.Draft202012Validator],
) -> None:
    said = {
        "log": meta.log_record(meta.LogIdentity("an id", 4, meta.PARTITIONER), NOW),
        "generation": meta.generation_record(meta.Generation(GENERATION, "0.1.0/0"), NOW),
        "rebuild": meta.rebuild_record(NOW),
        "retired": meta.retired_record(GENERATION, NOW),
    }
    assert set(said) == set(document()["channels"]["meta"]["messages"])
    for kind, record in said.items():
        fits = [other for other in said if payload("meta", other).is_valid(json.loads(record))]
        assert fits == [kind]
        properties = document()["channels"]["meta"]["messages"][kind]["payload"]["properties"]
        assert set(properties) == set(json.loads(record))
    position = document()["channels"]["state-events"]["messages"]["position"]["payload"]
    assert set(position["properties"]) == set(Position.__struct_fields__)
