"""Whether a new version of a JSON Schema breaks programs written against the old one.

A new version may add optional fields and may loosen what it accepts. It never removes or renames a field, makes
one required, or tightens one: fewer words, a narrower bound, another pattern, a smaller type. In what we write
ourselves a field that was always there stays there and does not become null.

The comparison is conservative: a keyword it does not know may not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

Schema = dict[str, Any]

#: Keywords that say nothing about which documents are valid.
_ANNOTATIONS: Final = frozenset(
    ("$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly")
)
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_UNIONS: Final = ("anyOf", "oneOf")
_STRUCTURE: Final = ("type", "const", "enum", "properties", "required", "additionalProperties", "items")
_COMPARED: Final = frozenset((*_STRUCTURE, *_LOWER, *_UPPER, *_UNIONS))
#: Keywords that only forbid: leaving one out loosens.
_ONLY_FORBID: Final = frozenset(("pattern", "format", "uniqueItems", "multipleOf"))


def breaking_changes(old: Schema, new: Schema, *, written: bool = False) -> list[str]:
    """Sentences, one per change that breaks; none if ``new`` is compatible.

    ``written``: documents that we write and others read; else documents that others write. Raises
    :class:`LookupError` for a ``$ref`` into the schema itself that leads nowhere.
    """
    return list(_Comparison(old, new, written).of(old, new, "", ()))


class _Comparison:
    def __init__(self, old: Schema, new: Schema, written: bool) -> None:
        self._old, self._new, self._written = old, new, written

    def of(self, old: Any, new: Any, path: str, seen: tuple[tuple[int, int], ...]) -> Iterator[str]:
        """Breaking changes from ``old`` to ``new``, which stand at ``path`` of a document."""
        name = path or "the document"
        if isinstance(old, bool) or isinstance(new, bool):
            if old is not False and new is False:
                yield f"{name} is no longer accepted"
            elif old is True and isinstance(new, dict) and new.keys() - _ANNOTATIONS:
                yield f"{name} was free and is now bound"
            return
        if (id(old), id(new)) in seen:
            return
        seen = (*seen, (id(old), id(new)))
        olds, news = _alternatives(old, self._old), _alternatives(new, self._new)
        if len(olds) == len(news) == 1:
            yield from self._plain(olds[0], news[0], path, seen)
            return
        for one in olds:
            attempts = [list(self._plain(one, other, path, seen)) for other in news]
            if all(attempts):
                # The alternative it resembles most tells best what was broken.
                yield from min(attempts, key=len)
        if self._written:
            for one in news:
                if all(_kinds(one) - _kinds(other) for other in olds):
                    yield f"{name} may now be {_kind_words(one)}; readers do not expect it"

    def _plain(self, old: Schema, new: Schema, path: str, seen: tuple[tuple[int, int], ...]) -> Iterator[str]:
        name = path or "the document"
        before, after = _kinds(old), _kinds(new)
        if after and (not before or before - after):
            yield f"{name} may only be {_kind_words(new)}, it was {_kind_words(old)}"
            return
        yield from _words(old, new, name)
        yield from _bounds(old, new, name)
        was, now = set(old.get("required", ())), set(new.get("required", ()))
        for field in sorted(now - was):
            yield f"{_join(path, field)} is newly required"
        if self._written:
            for field in sorted((was - now) & new.get("properties", {}).keys()):
                yield f"{_join(path, field)} was always there and may now be missing"
            if before and (not after or after - before):
                yield f"{name} may now be {_kind_words(new)}; readers expect {_kind_words(old)}"
        for field, schema in sorted(old.get("properties", {}).items()):
            if field in new.get("properties", {}):
                yield from self.of(schema, new["properties"][field], _join(path, field), seen)
            else:
                yield f"{_join(path, field)} is removed or renamed"
        for keyword, label in (("additionalProperties", f"{name}.*"), ("items", f"{name}[]")):
            yield from self.of(old.get(keyword, True), new.get(keyword, True), label, seen)
        for keyword in sorted((old.keys() | new.keys()) - _COMPARED - _ANNOTATIONS):
            was_set, is_set = old.get(keyword), new.get(keyword)
            if was_set != is_set and not (is_set is None and keyword in _ONLY_FORBID):
                yield f"{name}: {keyword} is now {is_set!r}, it was {was_set!r}"


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _alternatives(schema: Schema, root: Schema) -> list[Schema]:
    """What a schema allows, one plain schema per alternative; references into itself are followed."""
    schema = _resolved(schema, root)
    for keyword in _UNIONS:
        if keyword in schema:
            rest = {key: value for key, value in schema.items() if key not in _ANNOTATIONS | {keyword}}
            return [_merged(rest, inner) for one in schema[keyword] for inner in _alternatives(one, root)]
    return [schema]


def _merged(outer: Schema, inner: Schema) -> Schema:
    """One schema that asks for both; what both say is taken from ``inner``, fields and duties are joined."""
    merged = {**outer, **inner}
    if "properties" in outer and "properties" in inner:
        merged["properties"] = {**outer["properties"], **inner["properties"]}
    if "required" in outer and "required" in inner:
        merged["required"] = [*outer["required"], *inner["required"]]
    return merged


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = str(schema.get("$ref", ""))
    if not reference.startswith("#/"):
        return schema  # a reference to another file is compared as a word
    target: Any = root
    for step in reference.removeprefix("#/").split("/"):
        target = target[step.replace("~1", "/").replace("~0", "~")]
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return _merged(_resolved(target, root), beside)


def _kinds(schema: Schema) -> set[str]:
    """Types a schema allows; empty: any."""
    kinds = schema.get("type", [])
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    return found | {"integer"} if "number" in found else found


def _kind_words(schema: Schema) -> str:
    return " or ".join(sorted(_kinds(schema))) or str(schema.get("$ref", "anything"))


def _words(old: Schema, new: Schema, name: str) -> Iterator[str]:
    """Values listed by ``enum`` or ``const``."""
    before, after = ([one["const"]] if "const" in one else one.get("enum") for one in (old, new))
    if after is None:
        return
    if before is None:
        yield f"{name} may only be one of {after}, it was free"
    elif missing := [word for word in before if word not in after]:
        yield f"{name} may no longer be {', '.join(map(repr, missing))}"


def _bounds(old: Schema, new: Schema, name: str) -> Iterator[str]:
    for keyword in (*_LOWER, *_UPPER):
        before, after = old.get(keyword), new.get(keyword)
        if after is None:
            continue
        tighter = before is None or (after > before if keyword in _LOWER else after < before)
        if tighter:
            yield f"{name}: {keyword} is now {after}, it was {'not set' if before is None else before}"
