"""``python -m monitor.wire.schemas [--check] [DIR]``: the JSON Schemas of all that goes in and comes out.

One file per event type and per record, and ``event.schema.json`` for any event; same models, same bytes.
``--check`` writes nothing: it says which files differ from the models and which fields were broken for programs
written against ``DIR/baseline``, and ends with status 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from monitor.wire.backtest import Backtest
from monitor.wire.carriers import CarriersPublished
from monitor.wire.compat import breaking_changes
from monitor.wire.fields import Model
from monitor.wire.models import EVENT_MODELS
from monitor.wire.records import RECORD_MODELS

Schema = dict[str, Any]

#: What we write: the records, what ``backtest`` prints, and what ``push`` posts.
WRITTEN_MODELS: Final[dict[str, type[Model]]] = {
    **RECORD_MODELS,
    "backtest": Backtest,
    "carriers.published.v1": CarriersPublished,
}
SUFFIX: Final = ".schema.json"
BASELINE: Final = "baseline"


class _Tidy(GenerateJsonSchema):
    """Without a title on every field."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def generate() -> dict[str, Schema]:
    """File name → schema (JSON Schema 2020-12)."""
    events = {
        f"{name}{SUFFIX}": _tidy(model.model_json_schema(schema_generator=_Tidy))
        for name, model in EVENT_MODELS.items()
    }
    records = {
        f"{name}{SUFFIX}": _tidy(model.model_json_schema(schema_generator=_Tidy))
        for name, model in WRITTEN_MODELS.items()
    }
    union: Schema = {
        "title": "Event",
        "description": "Any event that the monitor takes: CloudEvents 1.0, told apart by `type`.",
        "type": "object",
        "required": ["type"],
        "oneOf": [{"$ref": file} for file in events],
    }
    return {
        file: {"$schema": GenerateJsonSchema.schema_dialect, "$id": file, **schema}
        for file, schema in sorted({f"event{SUFFIX}": union, **events, **records}.items())
    }


def _tidy(node: Any) -> Any:
    """Description of an optional field beside, not inside, its alternatives; absence instead of a null default."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _tidy(value) for key, value in node.items()}
    if "anyOf" in node:
        for key in ("description", "examples"):
            inner = [one.pop(key) for one in node["anyOf"] if key in one]
            if inner:
                node.setdefault(key, inner[0])
        if node.get("default", ...) is None:
            del node["default"]
    first = ("title", "description")
    return {key: node[key] for key in (*first, *node) if key in node}


def text_of(schema: Schema) -> str:
    """The text of a schema file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(directory: Path) -> None:
    """Write all schemas and remove the files of those that are no more."""
    directory.mkdir(parents=True, exist_ok=True)
    schemas = generate()
    for stale in directory.glob(f"*{SUFFIX}"):
        if stale.name not in schemas:
            stale.unlink()
    for file, schema in schemas.items():
        (directory / file).write_text(text_of(schema), encoding="utf-8")


def problems(directory: Path) -> list[str]:
    """Files that differ from the models, then changes that break what was written against the baseline."""
    schemas = generate()
    found = []
    present = {path.name: path.read_text(encoding="utf-8") for path in directory.glob(f"*{SUFFIX}")}
    for file in sorted(schemas.keys() | present.keys()):
        if file not in present:
            found.append(f"{file}: missing; write it with `python -m monitor.wire.schemas`")
        elif file not in schemas:
            found.append(f"{file}: no model has this schema")
        elif present[file] != text_of(schemas[file]):
            found.append(f"{file}: differs from its model; write it with `python -m monitor.wire.schemas`")
    for path in sorted((directory / BASELINE).glob(f"*{SUFFIX}")):
        if path.name not in schemas:
            found.append(f"{path.name}: removed since the baseline")
            continue
        old = json.loads(path.read_text(encoding="utf-8"))
        written = path.name.removesuffix(SUFFIX) in WRITTEN_MODELS
        changes = breaking_changes(old, schemas[path.name], written=written)
        found += [f"{path.name}: {change}" for change in changes]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Write or check the schemas; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m monitor.wire.schemas", description="JSON Schemas.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is wrong")
    parser.add_argument("directory", nargs="?", type=Path, default=Path("schemas"), metavar="DIR")
    options = parser.parse_args(arguments)
    if not options.check:
        write(options.directory)
        return 0
    found = problems(options.directory)
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
