"""Records of the contract put into words: what an incident says, what an event was, where a record lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from monitor.web.formats import number, percent
from monitor.web.i18n import Translator

#: Modes whose evidence is that fewer parcels than expected moved on; the others count too many cases.
SLOW_MODES: Final = frozenset({"transit_slow", "stage_stalled", "no_first_scan", "loss"})

#: Parts of an incident's scope, widest first; keys not named here follow in their own order.
_SCOPE_PARTS: Final = ("country", "product", "carrier")

#: Keys of an event's body that say what happened, beside its type.
_DETAIL_KEYS: Final = ("kind", "stage", "outcome", "by", "what")


def channel_parts(channel: str) -> tuple[str, str, str]:
    """(country, product, carrier part) of a channel id; missing parts are empty."""
    country, _, rest = channel.partition("|")
    product, _, carrier = rest.partition("|")
    return country, product, carrier


def scope_text(scope: Mapping[str, Any], t: Translator) -> str:
    """``RU × tablet``; the kind's name when the scope names nothing."""
    names = [*_SCOPE_PARTS, *(key for key in scope if key != "kind" and key not in _SCOPE_PARTS)]
    parts = [str(scope[name]) for name in names if scope.get(name)]
    return " × ".join(parts) if parts else t.name("scope", scope.get("kind", "all"))


def title(incident: Mapping[str, Any], t: Translator) -> str:
    """``Transit slower than usual: RU × tablet``."""
    return t("incidents.title_in", mode=t.name("mode", incident["mode"]), scope=scope_text(incident["scope"], t))


def clock_text(clock: str | None, t: Translator) -> str | None:
    """``departed_origin>arrived_destination`` as ``Departed → Arrived in the country``."""
    if not clock:
        return None
    return " → ".join(t.name("milestone", part) for part in clock.split(">"))


def evidence_sentence(incident: Mapping[str, Any], t: Translator) -> str:
    """The evidence in words: what was seen, against what was expected where something was, and how strong that is."""
    evidence = incident["evidence"]
    observed, expected, since = evidence["observed"], evidence["expected"], evidence["since"]
    if incident["severity"] == "feed":
        return t("incidents.feed_words", since=since)
    if incident.get("judged_by") == "drift":
        return t("incidents.drift_words", since=since, observed=number(observed), expected=number(expected))
    if expected <= 0:
        return t("incidents.seen_words", since=since, observed=number(observed))
    key = "incidents.slow_words" if incident["mode"] in SLOW_MODES else "incidents.often_words"
    share = percent(observed / expected) if observed <= expected else f"× {number(observed / expected)}"
    seen = t(key, since=since, observed=number(observed), expected=number(expected), share=share)
    return seen + t("site.between_sentences") + t("incidents.ln_m_words", ln_m=number(evidence["ln_m"]))


def event_words(event: Mapping[str, Any], t: Translator) -> str:
    """What an event of a parcel's timeline was: the milestone of a scan, else the type and its particulars."""
    if event.get("milestone"):
        return t.name("milestone", event["milestone"])
    details = [t.name("detail", event[key]) for key in _DETAIL_KEYS if event.get(key)]
    return (
        ": ".join([t.name("event", event.get("type", "")), ", ".join(details)])
        if details
        else t.name("event", event.get("type", ""))
    )


def position_text(position: object) -> str:
    """``events/2 @ 1045 #3`` for a log position, ``file.jsonl:17`` for a file's line."""
    if not isinstance(position, Mapping):
        return str(position)
    if "file" in position:
        return f"{position['file']}:{position.get('line', '')}"
    text = f"{position.get('topic', '')}/{position.get('partition', '')} @ {position.get('offset', '')}"
    return f"{text} #{position['index']}" if position.get("index") is not None else text


def link(section: str, id_: str) -> str:
    """The address of one thing, for ids of any characters: ``/parcels/A%2F1``.

    Browsers resolve ``.`` and ``..`` in a path even when quoted, so these two ids travel in the query.
    """
    if id_ in (".", ".."):
        return f"/{section}?{urlencode({'id': id_})}"
    return f"/{section}/{quote(id_, safe='')}"
