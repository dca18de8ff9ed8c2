"""Events as bytes: decoding, packs of a log record, canonical encoding.

``decode`` is the hot path: one call of a msgspec decoder, then :func:`monitor.core.events.check`. Whatever is
wrong with the bytes, it raises :class:`~monitor.core.events.Rejected` and nothing else; the reason and the
sentence are worked out in :mod:`monitor.wire.diagnose`, only once decoding has failed.

Where JSON leaves room (RFC 8259): of a member that stands twice the last counts; members nobody knows are
ignored but must be JSON in UTF-8; nothing may nest deeper than ``MAX_DEPTH`` levels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from monitor.core.events import (
    CarrierOfferedData,
    ClaimFiledData,
    ClockTickedData,
    ComplaintOpenedData,
    Event,
    ParcelRegistered,
    ParcelScanned,
    Rejected,
    RuleDeclaredData,
    Time,
    check,
    from_us,
    to_us,
    type_of,
)
from monitor.core.vocabulary import MAX_EVENT_BYTES
from monitor.wire.diagnose import MAX_DEPTH, diagnose, too_deep

_decode: Final = msgspec.json.Decoder(Event).decode
_slices: Final = msgspec.json.Decoder(list[Raw]).decode
_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


def decode(raw: bytes) -> Event:
    """The event in one JSON text. Raises :class:`Rejected`, and nothing else, for every other input."""
    size = len(raw)
    if size > MAX_EVENT_BYTES:
        raise Rejected("too_large", f"the event has {size} bytes; an event may have at most {MAX_EVENT_BYTES} bytes")
    # A text of 2 x MAX_DEPTH bytes cannot close that many brackets; longer ones are rare and looked at.
    if size > 2 * MAX_DEPTH and too_deep(raw):
        raise diagnose(raw, None)
    try:
        # msgspec does not look at the encoding of members it skips, Python does.
        event: Event = _decode(raw if raw.isascii() else str(raw, "utf-8"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise diagnose(raw, error) from None
    recorded = event.recordedtime
    if (
        not 1 < event.time.year < 9999
        or (recorded is not None and not 1 < recorded.year < 9999)
        or event.__class__ not in _NO_OTHER_TIMES
    ):
        _check_range_of_times(event)
    check(event)
    return event


_NO_OTHER_TIMES: Final = frozenset({ParcelScanned, ParcelRegistered})
_OTHER_TIMES: Final[dict[type[Struct], tuple[str, ...]]] = {
    ComplaintOpenedData: ("respond_by",),
    ClaimFiledData: ("deadline",),
    CarrierOfferedData: ("valid_from", "valid_to"),
    RuleDeclaredData: ("valid_from", "valid_to"),
    ClockTickedData: ("at",),
}


def _check_range_of_times(event: Event) -> None:
    """Raise :class:`Rejected` when an instant lies outside the years 1 to 9999 in UTC: it has no text."""
    data = event.data
    others = _OTHER_TIMES.get(data.__class__, ())
    times = [("time", event.time), ("recordedtime", event.recordedtime)]
    times += [(f"data.{name}", getattr(data, name)) for name in others]
    for path, time in times:
        if time is not None and not has_utc(time):
            raise Rejected("invalid_event", f"{path} must lie in the years 1 to 9999 in UTC, found {time.isoformat()}")


def has_utc(time: datetime) -> bool:
    """Whether the instant lies in the years 1 to 9999 in UTC; an offset can carry it out of them."""
    if 1 < time.year < 9999:
        return True
    try:
        from_us(to_us(time))
    except (ValueError, OverflowError, OSError):
        return False
    return True


def split_pack(raw: bytes) -> list[bytes]:
    """The JSON texts of the events in a log record: one object, or each element of an array.

    Elements are not looked at, so one that is no event does not harm its neighbours. Raises :class:`Rejected`
    when the array itself is broken.
    """
    if not raw.lstrip(_SPACE).startswith(b"["):
        return [raw]
    try:
        return [bytes(piece) for piece in _slices(raw)]
    except RecursionError:
        return list(_split_nested(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise diagnose(raw, error) from None


def decode_pack(raw: bytes) -> list[tuple[bytes, Event | Rejected]]:
    """Each event of a log record beside its own bytes; what is no event stands there as :class:`Rejected`.

    A record that is a broken array gives one pair: all its bytes, and why.
    """
    try:
        pieces = split_pack(raw)
    except Rejected as rejected:
        return [(raw, rejected)]
    pairs: list[tuple[bytes, Event | Rejected]] = []
    for piece in pieces:
        try:
            pairs.append((piece, decode(piece)))
        except Rejected as rejected:
            pairs.append((piece, rejected))
    return pairs


_SPACE: Final = b" \t\r\n"
# A string (an unclosed one runs to the end), a bracket or a comma.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


_CLOSED_BY: Final = {b"[": b"]", b"{": b"}"}


def _split_nested(raw: bytes) -> Iterator[bytes]:
    """Elements of an array with content that nests too deep for the decoder; only the brackets are looked at."""
    open_brackets: list[bytes] = []
    start = raw.index(b"[") + 1
    for token in _TOKEN.finditer(raw):
        mark = token.group()
        if mark in _CLOSED_BY:
            open_brackets.append(mark)
        elif mark in _CLOSED_BY.values() and _CLOSED_BY[open_brackets.pop()] != mark:
            break
        if not open_brackets or (mark == b"," and len(open_brackets) == 1):
            element = raw[start : token.start()].strip(_SPACE)
            if not element:
                break
            yield element
            start = token.end()
        if not open_brackets:
            if raw[start:].strip(_SPACE):
                break
            return
    raise Rejected("malformed_json", "the array of events is broken, cut off or followed by something else")


def encode(event: Event) -> bytes:
    """Canonical JSON of an event: members in a fixed order, none that is not set, times in UTC with ``Z``.

    ``decode(encode(event)) == event``.
    """
    members: dict[str, Any] = {
        "specversion": event.specversion,
        "id": event.id,
        "source": event.source,
        "type": type_of(event),
        "subject": event.subject,
        "time": event.time.astimezone(UTC),
    }
    if event.recordedtime is not None:
        members["recordedtime"] = event.recordedtime.astimezone(UTC)
    if event.sequence is not None:
        members["sequence"] = event.sequence
    if event.history:
        members["history"] = True
    if event.timeunknown:
        members["timeunknown"] = True
    data: dict[str, Any] = {}
    for name in event.data.__struct_fields__:
        value = getattr(event.data, name)
        if value is not None:
            data[name] = value.astimezone(UTC) if isinstance(value, datetime) else value
    members["data"] = data
    return _encode(members)


class _Stated(Struct, frozen=True, gc=False):
    recordedtime: Time | UnsetType | None = UNSET
    statedrecordedtime: Any = UNSET


_stated: Final = msgspec.json.Decoder(_Stated).decode


def with_recorded(raw: bytes, recorded_us: int) -> bytes:
    """The event ``raw`` (one that :func:`decode` accepts) with ``recordedtime`` = ``recorded_us``.

    ``raw`` itself when it states that instant already. All other members, also unknown ones, stay as they are; only
    the note of :func:`with_raised` is taken away.
    """
    members = _stated(raw)
    if members.statedrecordedtime is not UNSET:
        rest = _members(raw)
        del rest[_NOTE]
        return _encode(rest | {"recordedtime": from_us(recorded_us)})
    stated = members.recordedtime
    if stated is UNSET:
        start = raw.index(b"{") + 1
        return b'%b"recordedtime":"%b",%b' % (raw[:start], from_us(recorded_us).encode(), raw[start:])
    if isinstance(stated, datetime) and to_us(stated) == recorded_us:
        return raw
    return _encode(_members(raw) | {"recordedtime": from_us(recorded_us)})


_NOTE: Final = "statedrecordedtime"


def with_raised(raw: bytes, recorded_us: int) -> bytes:
    """Like :func:`with_recorded`, for a log that has passed the time that ``raw`` states: that time stays as a note,
    the member ``statedrecordedtime``.
    """
    stated = _stated(raw).recordedtime
    raised = with_recorded(raw, recorded_us)
    if raised is raw or not isinstance(stated, datetime):
        return raised
    end = raised.rindex(b"}")
    return b'%b,"%b":"%b"}' % (raised[:end], _NOTE.encode(), from_us(to_us(stated)).encode())


def raised_from_us(raw: bytes) -> int | None:
    """The recorded time that an event stated before :func:`with_raised`; None where nothing was raised."""
    try:
        return to_us(msgspec.convert(_stated(raw).statedrecordedtime, Time))
    except msgspec.ValidationError:
        return None


_SEQUENCE_AT_END: Final = re.compile(rb',?"sequence":"[0-9]{20}"(?=\}[ \t\r\n]*\Z)')


def with_sequence(raw: bytes, sequence: int) -> bytes:
    """The event ``raw`` with ``"sequence":"<20 digits>"`` as its last member; every other byte stays."""
    if not 0 <= sequence < 10**20:
        raise ValueError(f"sequence is {sequence}; it must lie between 0 and 10**20 - 1")
    end = raw.rindex(b"}")
    comma = b"" if raw[:end].rstrip(_SPACE).endswith(b"{") else b","
    return b'%b%b"sequence":"%020d"%b' % (raw[:end], comma, sequence, raw[end:])


def without_sequence(raw: bytes) -> bytes:
    """Exact inverse of :func:`with_sequence`; ``raw`` itself when it does not end so."""
    return _SEQUENCE_AT_END.sub(b"", raw, count=1)
