"""Numbers and times as a person reads them. What is not known reads as a dash, never as nought."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

DASH: Final = "–"


def number(value: float | None, digits: int = 1) -> str:
    """``1,234`` or ``74.2``: thousands marked, at most ``digits`` decimals, no trailing noughts."""
    if value is None:
        return DASH
    text = f"{value:,.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def percent(ratio: float | None) -> str:
    """A ratio 0–1 as ``92.4%``; what is nearly nought or nearly all never reads as nought or all."""
    if ratio is None:
        return DASH
    if 0 < ratio < 0.0005:
        return "<0.1%"
    if 0.9995 < ratio < 1:
        return ">99.9%"
    return f"{number(ratio * 100)}%"


def percent_span(low: float | None, high: float | None) -> str:
    """An interval of ratios as ``90.1–94.2%``."""
    if low is None or high is None:
        return DASH
    return f"{number(low * 100)}{DASH}{number(high * 100)}%"


def number_span(low: float | None, high: float | None, digits: int = 1) -> str:
    """An interval as ``25–52``; an end that is not reached stays open: ``25–``."""
    if low is None and high is None:
        return DASH
    return DASH.join("" if end is None else number(end, digits) for end in (low, high))


def instant(text: str) -> datetime | None:
    """An RFC 3339 time with offset, or a UTC day; ``None`` when the text is neither."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def is_time(text: str) -> bool:
    """Whether the text is a moment, not merely a day."""
    return len(text) >= len("2026-03-09T00:00Z") and text[10] == "T" and instant(text) is not None


class Clock:
    """Times in the operator's zone, minutes precise, marked up for machines in UTC."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)

    def text(self, time: str | None) -> str:
        """``2026-03-09 08:00`` in the operator's zone; text that is no time is given back."""
        if not time:
            return DASH
        value = instant(time)
        if value is None:
            return time
        try:
            return value.astimezone(self._zone).strftime("%Y-%m-%d %H:%M")
        except OverflowError:  # the first or last hours of the calendar
            return time

    def __call__(self, time: str | None) -> Markup:
        """The same inside a ``<time>`` element whose ``datetime`` is the time as the record says it."""
        if not time:
            return Markup("–")
        return Markup('<time datetime="{}">{}</time>').format(time, self.text(time))
