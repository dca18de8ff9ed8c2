"""The schemas: equal to the models, compatible with the baseline, and CloudEvents where they say so."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from monitor.core.events import EVENT_TYPES
from monitor.wire.compat import breaking_changes
from monitor.wire.decode import decode, encode, with_recorded, with_sequence
from monitor.wire.records import RECORD_MODELS
from monitor.wire.schemas import generate, main, problems

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
CLOUDEVENTS = ROOT.parent / "shared" / "reference" / "cloudevents_1.0.schema.json"

SCAN = {
    "specversion": "1.0",
    "id": "1",
    "source": "connector/17track",
    "type": "parcel.scanned.v1",
    "subject": "LX1",
    "time": "2026-03-01T12:00:00+08:00",
    "data": {"parcel_id": "LX1", "milestone": "delivered"},
}
INTERVAL = {"expected": 37.0, "low": 25.0, "high": 52.0}
RATIO = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 20}
QUANTILE = {"value": 14.5, "low": 13.0, "high": None}
STATISTICS = {
    **dict.fromkeys(("registered", "in_flight", "delivered", "lost", "returned", "presumed_lost"), 3),
    "transit_days": {"p50": QUANTILE, "p80": QUANTILE, "p95": dict.fromkeys(("value", "low", "high"))},
    **dict.fromkeys(("on_time_ratio", "first_scan_ratio", "loss_ratio"), RATIO),
    "hold_ratio": {"value": None, "low": None, "high": None, "n": 0},
    "complaints_per_1000": {"value": 4.0, "low": 1.0, "high": 9.5, "n": 250},
}
#: The examples of the contract, one of each record.
RECORDS: dict[str, dict[str, Any]] = {
    "incident": {
        "incident_id": "9f2c",
        "scope": {"kind": "country_product", "country": "RU", "product": "tablet", "carrier": None},
        "mode": "transit_slow",
        "clock": "departed_origin>arrived_destination",
        "severity": "page",
        "opened_at": "2026-03-09T00:00:00Z",
        "closed_at": None,
        "known_by": "2026-03-09T00:00:00Z",
        "members": ["RU|tablet|china-post"],
        "parcels_at_risk": 412,
        "evidence": {"ln_m": 9.8, "observed": 31.0, "expected": 74.2, "since": "2026-03-03"},
        "forecast": {"complaints_next_14_days": INTERVAL},
    },
    "channel": {
        "channel": "RU|tablet|china-post/registered",
        **STATISTICS,
        "status": "ok",
        "ln_m": None,
        "as_of": "2026-03-09T00:00:00Z",
        "recent": STATISTICS,
    },
    "watch_item": {
        "parcel_id": "LX1",
        "channel": "RU|tablet|china-post",
        "reason": "silent",
        "since": "2026-03-09T00:00:00Z",
        "due_at": "2026-03-10T02:00:00Z",
        "days_left_in_dispute_window": 120,
        "priority": 1,
        "next_action": "chase the carrier",
        "incident_id": None,
    },
    "recommendation": {
        "lane": {"country": "RU", "product": "tablet"},
        "from_carrier": "china-post",
        "to_carrier": "yanwen",
        "decision": "switch",
        "probability_better": 0.97,
        "saving_per_parcel": {"value": 0.8, "low": 0.1, "high": 1.7, "currency": "USD"},
        "share_to_move": 0.5,
        "excluded": {"sf-express": "refuses battery"},
        "reasons": ["31 of 74 expected"],
        "as_of": "2026-03-09T00:00:00Z",
    },
    "dead_letter": {
        "position": {"file": "march.jsonl", "line": 17},
        "raw": "{",
        "reason": "malformed_json",
        "detail": "the JSON ends too early",
        "recordedtime": "2026-03-09T00:00:00Z",
    },
    "summary": {
        **dict.fromkeys(("events", "duplicates", "dead_letters", "waiting", "parcels", "channels", "incidents"), 0),
        "first_time": None,
        "last_time": None,
        "as_of": None,
        "state_sha256": "0" * 64,
    },
}


@pytest.fixture(scope="module")
def validator() -> Callable[[str], jsonschema.Draft202012Validator]:
    """File name → validator of that schema; references between files are followed."""
    schemas = generate()
    registry: Registry[Any] = Registry().with_resources(
        (file, Resource.from_contents(schema)) for file, schema in schemas.items()
    )
    return lambda file: jsonschema.Draft202012Validator(schemas[file], registry=registry)


def test_the_files_are_those_of_the_models_and_break_nothing_of_the_baseline() -> None:
    assert problems(SCHEMAS) == []
    assert len(list((SCHEMAS / "baseline").glob("*.json"))) >= len(EVENT_TYPES) + len(RECORD_MODELS) + 1


def test_drift_and_breaks_are_named_and_writing_repairs_the_drift(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 0
    baseline = tmp_path / "baseline"
    shutil.copytree(tmp_path, baseline)
    assert main(["--check", str(tmp_path)]) == 0

    (tmp_path / "channel.schema.json").unlink()
    (tmp_path / "summary.schema.json").write_text("{}\n")
    (tmp_path / "stray.schema.json").write_text("{}\n")
    assert main(["--check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "channel.schema.json: missing" in said
    assert "stray.schema.json: no model" in said
    assert "summary.schema.json: differs" in said
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0

    old = json.loads((baseline / "incident.schema.json").read_text())
    old["properties"]["colour"] = {"type": "string"}
    (baseline / "incident.schema.json").write_text(json.dumps(old))
    (baseline / "parcel.sent.v1.schema.json").write_text("{}")
    capsys.readouterr()
    assert main(["--check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "incident.schema.json: colour is removed or renamed" in said
    assert "parcel.sent.v1.schema.json: removed since the baseline" in said


def test_every_schema_is_valid_and_describes_every_field() -> None:
    def fields(node: Any, path: str) -> list[str]:
        if isinstance(node, list):
            return [found for item in node for found in fields(item, path)]
        if not isinstance(node, dict):
            return []
        bare = [
            f"{path}.{name}"
            for name, field in node.get("properties", {}).items()
            if "description" not in field and "$ref" not in field
        ]
        return bare + [found for key, value in node.items() for found in fields(value, f"{path}.{key}")]

    for file, schema in generate().items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert fields(schema, file) == []


def test_an_event_passes_the_schema_of_any_event_and_a_broken_one_does_not(
    validator: Callable[[str], jsonschema.Draft202012Validator],
) -> None:
    schema = validator("event.schema.json")
    assert schema.is_valid(SCAN)
    assert schema.is_valid(json.loads(encode(decode(json.dumps(SCAN).encode()))))
    for broken in (
        SCAN | {"type": "parcel.sent.v1"},
        SCAN | {"data": {"parcel_id": "LX1", "milestone": "gone"}},
        SCAN | {"specversion": "0.3"},
        {name: value for name, value in SCAN.items() if name != "subject"},
    ):
        assert not schema.is_valid(broken)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_like_the_contract_s_passes_its_model_and_its_schema(
    name: str, validator: Callable[[str], jsonschema.Draft202012Validator]
) -> None:
    record = RECORDS[name]
    assert set(RECORDS) == set(RECORD_MODELS)
    model = RECORD_MODELS[name].model_validate_json(json.dumps(record))
    assert json.loads(model.model_dump_json(exclude_unset=True)) == record
    schema = validator(f"{name}.schema.json")
    assert schema.is_valid(record)
    for field in record:
        assert not schema.is_valid({key: value for key, value in record.items() if key != field})
        with pytest.raises(ValueError, match=field):
            RECORD_MODELS[name].model_validate({key: value for key, value in record.items() if key != field})


def test_a_ratio_without_a_value_must_have_no_parcels() -> None:
    record = copy.deepcopy(RECORDS["channel"])
    record["hold_ratio"]["n"] = 1
    with pytest.raises(ValueError, match="may be null only where n is 0"):
        RECORD_MODELS["channel"].model_validate_json(json.dumps(record))


# ------------------------------------------------------------------------------------------- CloudEvents 1.0


def test_what_we_write_is_a_cloudevent() -> None:
    rules = (
        json.loads(CLOUDEVENTS.read_text())
        if CLOUDEVENTS.exists()
        else {  # the rules of the specification that concern our members
            "required": ["id", "source", "specversion", "type"],
            "properties": {
                **{name: {"type": "string", "minLength": 1} for name in ("id", "source", "specversion", "type")},
                **{name: {"type": ["string", "null"], "minLength": 1} for name in ("subject", "time")},
            },
        }
    )
    cloudevent = jsonschema.Draft7Validator(rules, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
    raw = json.dumps(SCAN).encode()
    for written in (raw, encode(decode(raw)), with_sequence(with_recorded(raw, 1_772_000_000_000_000), 7)):
        event = json.loads(written)
        cloudevent.validate(event)
        # Names of attributes: lower-case letters and digits; values of extensions: no objects or lists.
        for name, value in event.items():
            assert name.isalnum()
            assert name == name.lower()
            assert name == "data" or isinstance(value, str | bool | int)
    for name in ("id", "source", "specversion", "type"):
        assert not cloudevent.is_valid({key: value for key, value in SCAN.items() if key != name})


def test_every_envelope_asks_for_at_least_what_cloudevents_asks_for() -> None:
    schemas = generate()
    for name in EVENT_TYPES:
        schema = schemas[f"{name}.schema.json"]
        assert {"id", "source", "specversion", "type"} <= set(schema["required"])
        for field in ("id", "source"):
            assert schema["properties"][field]["minLength"] == 1


# ---------------------------------------------------------------------------------------------- compatibility

OLD: dict[str, Any] = {
    "type": "object",
    "required": ["id", "kind"],
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 10},
        "kind": {"enum": ["a", "b"], "type": "string"},
        "code": {"type": "string", "pattern": "^[A-Z]+$"},
        "days": {"anyOf": [{"type": "number", "minimum": 0, "maximum": 90}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        "free": {},
        "map": {"type": "object", "additionalProperties": {"type": "number"}},
        "money": {"$ref": "#/$defs/Money"},
        "tree": {"$ref": "#/$defs/Tree"},
    },
    "$defs": {
        "Money": {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "string"}}},
        "Tree": {"type": "object", "properties": {"child": {"$ref": "#/$defs/Tree"}, "leaf": {"type": "integer"}}},
    },
}


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(schema: dict[str, Any]) -> None:
        *steps, last = path.split("/")
        for step in steps:
            schema = schema[step]
        schema[last] = value

    return change


def _delete(path: str) -> Callable[[dict[str, Any]], None]:
    def change(schema: dict[str, Any]) -> None:
        *steps, last = path.split("/")
        for step in steps:
            schema = schema[step]
        del schema[last]

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("properties/new", {"type": "string"}),
        _set("properties/kind/enum", ["b", "a", "c"]),
        _set("properties/id/maxLength", 20),
        _set("properties/id/minLength", 0),
        _delete("properties/id/maxLength"),
        _delete("properties/code/pattern"),
        _set("properties/id/description", "words"),
        _set("properties/days/anyOf", [{"type": "null"}, {"type": "number", "minimum": -1, "maximum": 90}]),
        _set("properties/free/title", "Free"),
        _set(
            "properties/money", {"type": "object", "properties": {"amount": {"type": "string"}}, "required": ["amount"]}
        ),
        _set("properties/map/additionalProperties", True),
        _set("$defs/Tree/properties/leaf/type", "number"),
        _set("required", ["kind"]),
    ],
)
def test_loosening_and_optional_fields_are_compatible(change: Callable[[dict[str, Any]], None]) -> None:
    new = copy.deepcopy(OLD)
    change(new)
    assert new != OLD
    assert breaking_changes(OLD, new) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_delete("properties/code"), "code is removed or renamed"),
        (_delete("$defs/Money/properties/amount"), "money.amount is removed or renamed"),
        (_set("required", ["id", "kind", "code"]), "code is newly required"),
        (_set("$defs/Money/required", ["amount", "currency"]), "money.currency is newly required"),
        (_set("properties/kind/enum", ["a"]), "kind may no longer be 'b'"),
        (_set("properties/kind", {"const": "a", "type": "string"}), "kind may no longer be 'b'"),
        (_set("properties/code/enum", ["A"]), "code may only be one of ['A'], it was free"),
        (_set("properties/id/maxLength", 9), "id: maxLength is now 9, it was 10"),
        (_set("properties/id/minLength", 2), "id: minLength is now 2, it was 1"),
        (_set("properties/code/maxLength", 9), "code: maxLength is now 9, it was not set"),
        (_set("properties/code/pattern", "^[A-Z]$"), "code: pattern is now '^[A-Z]$'"),
        (_set("properties/id/pattern", "^x"), "id: pattern is now '^x'"),
        (_set("properties/id/format", "uuid"), "id: format is now 'uuid'"),
        (_set("properties/id/type", "integer"), "id may only be integer, it was string"),
        (_set("properties/free/type", "string"), "free may only be string, it was anything"),
        (_set("properties/days", {"type": "number", "minimum": 0, "maximum": 90}), "days may only be"),
        (
            _set("properties/days/anyOf", [{"type": "number", "minimum": 0, "maximum": 60}, {"type": "null"}]),
            "days: maximum is now 60",
        ),
        (
            _set("properties/days/anyOf", [{"type": "integer", "minimum": 0, "maximum": 90}, {"type": "null"}]),
            "days may only be",
        ),
        (_set("properties/tags/items", {"type": "string", "minLength": 1}), "tags[]: minLength is now 1"),
        (_set("properties/tags/maxItems", 4), "tags: maxItems is now 4"),
        (_set("additionalProperties", False), "the document.* is no longer accepted"),
        (_set("properties/map/additionalProperties", {"type": "integer"}), "map.* may only be integer"),
        (_set("properties/free", False), "free is no longer accepted"),
        (_set("properties/id/not", {"const": "x"}), "id: not is now"),
    ],
)
def test_what_removes_renames_requires_or_tightens_a_field_is_refused(
    change: Callable[[dict[str, Any]], None], words: str
) -> None:
    new = copy.deepcopy(OLD)
    change(new)
    found = breaking_changes(OLD, new)
    assert len(found) == 1
    assert words in found[0]
    assert breaking_changes(OLD, new, written=True) != []


def test_a_schema_that_refers_to_itself_is_compared_to_its_end() -> None:
    new = copy.deepcopy(OLD)
    new["$defs"]["Tree"]["properties"]["leaf"]["minimum"] = 0
    assert "tree.leaf: minimum is now 0, it was not set" in breaking_changes(OLD, new)


def test_what_stands_beside_alternatives_counts_for_each_of_them() -> None:
    def schema(*required: str) -> dict[str, Any]:
        one, two = ({"required": [name], "properties": {name: {"type": "string"}}} for name in ("one", "two"))
        return {"required": list(required), "properties": {"id": {"type": "string"}}, "oneOf": [one, two]}

    assert breaking_changes(schema("id"), schema()) == []
    assert breaking_changes(schema(), schema("id")) == ["id is newly required"] * 2
    assert breaking_changes(schema(), schema() | {"properties": {}}) == ["id is removed or renamed"] * 2


def test_what_we_write_may_not_lose_a_field_or_become_null() -> None:
    new = copy.deepcopy(OLD)
    new["required"] = ["kind"]
    new["properties"]["id"]["type"] = ["string", "null"]
    new["properties"]["tags"] = {"anyOf": [new["properties"]["tags"], {"type": "null"}]}
    assert breaking_changes(OLD, new) == []
    assert breaking_changes(OLD, new, written=True) == [
        "id was always there and may now be missing",
        "id may now be null or string; readers expect string",
        "tags may now be null; readers do not expect it",
    ]


def test_a_type_of_event_may_be_added_to_the_union_but_not_taken_out() -> None:
    one, two = {"oneOf": [{"$ref": "a.json"}]}, {"oneOf": [{"$ref": "a.json"}, {"$ref": "b.json"}]}
    assert breaking_changes(one, two) == []
    assert breaking_changes(two, one) != []
