"""Why bytes are no event: the reason code and one plain sentence, worked out after decoding has failed.

The sentence names the field by its path, what was found there (cut to ``SHOWN`` characters) and what is
expected. That comes from the types of :mod:`monitor.core.events`, so it cannot differ from what is checked.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Final

import msgspec
from msgspec import Raw, inspect

from monitor.core.events import EVENT_TYPES, Rejected
from monitor.core.vocabulary import MILESTONES, Reason

#: Objects and arrays within each other. Python's own bound depends on the caller's stack, this one does not.
MAX_DEPTH: Final = 500
#: Characters of a value shown in a sentence.
SHOWN: Final = 80
#: No more words than this are listed in a sentence.
MANY: Final = 12

_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_items: Final = msgspec.json.Decoder(list[Raw]).decode
_any_json: Final = msgspec.json.Decoder(Raw).decode
_STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_UNPAIRED: Final = re.compile(
    r"(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F])"
)
_AT: Final = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_BYTE: Final = re.compile(r" \(byte (\d+)\)$")
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_MISSING: Final = re.compile(r"missing required field `([^`]+)`")
_EXAMPLES: Final = {
    "^[A-Z]{2}$": "two capital letters (ISO 3166) such as 'RU'",
    "^[A-Z]{3}$": "three capital letters (ISO 4217) such as 'USD'",
}


def too_deep(raw: bytes) -> bool:
    """Whether brackets nest deeper than ``MAX_DEPTH`` levels."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(raw):
        mark = token.group()
        if mark in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif mark in (b"]", b"}"):
            depth -= 1
    return False


def diagnose(raw: bytes, error: Exception | None) -> Rejected:
    """The reason why ``raw`` was refused with ``error`` (None: it nests too deep)."""
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError as wrong:
        return Rejected(
            "not_text",
            f"the bytes are not text in UTF-8: byte {wrong.start} is 0x{raw[wrong.start]:02x}; "
            "save or export the file as UTF-8",
        )
    if error is None or isinstance(error, RecursionError) or too_deep(raw):
        return Rejected("invalid_event", f"objects and arrays may nest at most {MAX_DEPTH} levels deep")
    try:
        _any_json(raw)
    except msgspec.DecodeError as wrong:
        return _malformed(raw, text, str(wrong))
    if not raw.lstrip().startswith(b"{"):
        return Rejected("not_an_event", f"an event is a JSON object, found {_shown(raw)}")
    members = _members(raw)
    if not members.keys() & {"specversion", "type", "source"}:
        names = ", ".join(list(members)[:5])
        return Rejected(
            "not_an_event",
            "the object has no CloudEvents envelope (specversion, id, source, type, time, data), "
            f"found {_cut(names) if names else 'no members at all'}",
        )
    if (unknown := _unknown_type(members)) is not None:
        return unknown
    return _invalid(members, str(error))


def _malformed(raw: bytes, text: str, message: str) -> Rejected:
    if not text.strip():
        detail = "the line is empty"
    elif text.startswith("\ufeff"):
        detail = "the text starts with a byte order mark; only the beginning of a file may hold one"
    elif (unpaired := _UNPAIRED.search(text)) is not None:
        at = len(text[: unpaired.end()].encode())
        detail = f"half a character (an unpaired surrogate \\ud…) is escaped before byte {at}; was the text cut?"
    elif (found := _BYTE.search(message)) is None:
        detail = f"the JSON ends too early, after {len(raw)} bytes; the line may be cut off"
    else:
        at = int(found[1])
        what = _BYTE.sub("", message).removeprefix("JSON is malformed: ")
        near = raw[max(0, at - 20) : at + 20].decode("utf-8", "replace")
        detail = f"the JSON is broken at byte {at} ({what}), near {near!r}"
    return Rejected("malformed_json", detail)


def _unknown_type(members: dict[str, Raw]) -> Rejected | None:
    if "type" not in members:
        return Rejected("unknown_type", "type is missing; it must be the type of an event such as parcel.scanned.v1")
    found = _string(members["type"])
    if found in EVENT_TYPES:
        return None
    near = _nearest(found, EVENT_TYPES)
    return Rejected("unknown_type", f"type must be the type of an event, found {_shown(members['type'])}{near}")


def _invalid(members: dict[str, Raw], message: str) -> Rejected:
    at = _AT.search(message)
    path = at[1] if at else ""
    if missing := _MISSING.search(message):
        path = f"{path}.{missing[1]}"
    steps = [name or int(index) for name, index in _STEP.findall(path)]
    name = path.removeprefix(".") or "the event"
    event_type = _string(members["type"]) or ""
    expected = _expected(EVENT_TYPES[event_type], steps)
    value = None if missing else _value(members, steps)
    reason: Reason = "invalid_event"
    if missing:
        detail = f"{name} is missing; it must be {expected}"
    elif value is None or not expected:  # only a member that stands twice leads here
        detail = f"{name} is not as the contract says: {_cut(_AT.sub('', message))}"
    elif event_type == "parcel.scanned.v1" and name == "data.milestone" and (found := _string(value)) is not None:
        reason = "unknown_milestone"
        near = _nearest(found, MILESTONES)
        detail = f"data.milestone must be a milestone of the contract, found {_shown(value)}{near}"
    else:
        detail = f"{name} must be {expected}, found {_shown(value)}"
    return Rejected(reason, detail)


def _value(members: dict[str, Raw], steps: list[str | int]) -> Raw | None:
    """The JSON text at a path, if there is one."""
    value: Raw | None = None
    try:
        for depth, step in enumerate(steps):
            if isinstance(step, int):
                value = _items(value or b"")[step]
            else:
                value = (_members(value or b"") if depth else members)[step]
    except (msgspec.MsgspecError, LookupError):
        return None
    return value


@cache
def _type_info(event_class: type) -> inspect.Type:
    return inspect.type_info(event_class)


def _expected(event_class: type, steps: list[str | int]) -> str:
    """What stands at a path by the type of the event, in words; empty if nothing does."""
    kind = _type_info(event_class)
    for step in steps:
        if isinstance(kind, inspect.UnionType):
            kind = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
        if isinstance(kind, inspect.ListType):
            kind = kind.item_type
        elif isinstance(kind, inspect.StructType):
            known = {field.encode_name: field.type for field in kind.fields}
            if step not in known:
                return ""
            kind = known[str(step)]
    return _words(kind)


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType(types=types):
            return " or ".join(_words(one) for one in types if not isinstance(one, inspect.NoneType))
        case inspect.LiteralType(values=values):
            words = [str(value) for value in values]
            few = f"one of {', '.join(words)}" if len(words) > 1 else repr(words[0])
            return few if len(words) <= MANY else f"a word of the contract such as {words[0]!r}"
        case inspect.StrType(pattern=str(pattern)):
            return _EXAMPLES.get(pattern, "a region (ISO 3166-2) such as 'RU-MOW'")
        case inspect.StrType(min_length=low, max_length=high):
            return f"text of {low} to {high} characters" if low else f"text of at most {high} characters"
        case inspect.FloatType(ge=low, le=high):
            return f"a number of at least {low:g}" if high is None else f"a number from {low:g} to {high:g}"
        case inspect.ListType(item_type=item, max_length=high):
            return f"a list of at most {high} entries, each {_words(item)}"
        case inspect.StructType(fields=fields):
            return f"an object with {', '.join(field.encode_name for field in fields if field.required)}"
        case inspect.DateTimeType():
            return "a time in RFC 3339 with an offset such as 2026-03-09T00:00:00Z"
        case inspect.BoolType():
            return "true or false"
        case _:
            return "a whole number"


def _string(value: Raw) -> str | None:
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.ValidationError:
        return None


def _nearest(found: str | None, words: tuple[str, ...] | dict[str, type]) -> str:
    near = difflib.get_close_matches((found or "")[:SHOWN], tuple(words), n=1)
    return f"; is {near[0]!r} meant?" if near else ""


def _shown(value: bytes | Raw) -> str:
    """A JSON text, on one line and cut."""
    return _cut(" ".join(str(memoryview(value), "utf-8").split()))


def _cut(text: str) -> str:
    text = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
