"""Pieces of JSON text that all rendered events are made of."""

from __future__ import annotations

import json


def as_json(value: object) -> str:
    """``value`` as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def money(cents: int) -> str:
    """The contract's amount, from US cents."""
    return f'{{"amount":"{cents // 100}.{cents % 100:02d}","currency":"USD"}}'


def head(event_id: str, source: str, kind: str, subject: str, time: str, recorded: str) -> str:
    """The envelope up to ``data``; the arguments need no escaping in JSON."""
    return (
        f'{{"specversion":"1.0","id":"{event_id}","source":"{source}","type":"{kind}","subject":"{subject}",'
        f'"time":"{time}Z","recordedtime":"{recorded}Z","data":'
    )
