"""Small pictures, drawn on the server as inline SVG. They repeat numbers that stand beside them in words.

Colours come from classes in the style sheet, so the pictures follow light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from markupsafe import Markup

_BAR_WIDTH: Final = 100.0
_QUANTILES: Final = ("p50", "p80", "p95")
#: The picture of the transit days, in its own units: size, margins, height of a row.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _ROW = 400, 172, 48, 14, 48


def nice_ceiling(value: float) -> float:
    """The smallest of 1, 2, 2.5, 5, 10 × a power of ten that is not below ``value`` (1 for nought and less)."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    for step in (1.0, 2.0, 2.5, 5.0, 10.0):
        if value <= step * power * (1 + 1e-9):
            return step * power
    return 10.0 * power


def interval(ratio: Mapping[str, Any], scale: float = 1.0) -> Markup:
    """The 95% interval of a ratio with n > 0 as a band and its value as a tick, on a line from 0 to ``scale``."""
    value, low, high = ratio["value"], ratio["low"], ratio["high"]

    def x(at: float) -> float:
        return round(min(max(at / scale, 0.0), 1.0) * _BAR_WIDTH, 1)

    left, width = x(low), max(x(high) - x(low), 1.5)
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="track" x="0" y="4" width="100" height="2"/>'
        '<rect class="band" x="{}" y="2" width="{}" height="6" rx="1"/>'
        '<rect class="tick" x="{}" y="0" width="2" height="10"/></svg>'
    ).format(min(left, _BAR_WIDTH - width), width, min(max(x(value) - 1, 0), 98))


def against(observed: float, expected: float) -> Markup:
    """Observed above expected, as two bars on one scale; empty when nothing was expected."""
    if expected <= 0:
        return Markup("")
    scale = max(observed, expected)
    return Markup(
        '<svg class="against" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="observed" x="0" y="0" width="{}" height="6" rx="1"/>'
        '<rect class="expected" x="0" y="8" width="{}" height="6" rx="1"/></svg>'
    ).format(round(100 * max(observed, 0) / scale, 1), round(100 * max(expected, 0) / scale, 1))


def transit_days(recent: Mapping[str, Any], lifetime: Mapping[str, Any]) -> Markup:
    """Days to P50, P80 and P95 on one axis: the recent figure as a dot, the lifetime one as a ring, with intervals.

    A quantile that is not reached is left out, an interval that is open above runs to the edge. Empty when no
    quantile is reached.
    """
    figures = [
        (row, kind, transit[name])
        for row, name in enumerate(_QUANTILES)
        for kind, transit in (("lifetime", lifetime), ("recent", recent))
        if transit[name]["value"] is not None
    ]
    if not figures:
        return Markup("")
    scale = nice_ceiling(1.02 * max(max(figure["value"], figure["high"] or 0) for _, _, figure in figures))

    def x(days: float) -> float:
        return round(_LEFT + min(days / scale, 1.0) * (_WIDTH - _LEFT - _RIGHT), 1)

    grid = Markup(
        '<line class="grid" x1="{0}" x2="{0}" y1="4" y2="{1}"/>'
        '<text class="axis" text-anchor="middle" x="{0}" y="{2}">{3:g}</text>'
    )
    label = Markup('<text class="label" text-anchor="end" x="{}" y="{}">{}</text>')
    mark = Markup(
        '<g class="{}"><rect x="{}" y="{}" width="{}" height="8" rx="2"/><circle cx="{}" cy="{}" r="4.5"/></g>'
    )
    parts = [
        Markup('<svg class="days" viewBox="0 0 {} {}" aria-hidden="true" focusable="false">').format(_WIDTH, _HEIGHT),
        *(grid.format(x(scale * step / 4), _HEIGHT - 22, _HEIGHT - 5, scale * step / 4) for step in range(5)),
        *(label.format(_LEFT - 12, _ROW * row + 30, name.upper()) for row, name in enumerate(_QUANTILES)),
    ]
    for row, kind, figure in figures:
        middle = _ROW * row + (18 if kind == "recent" else 34)
        start = x(figure["value"] if figure["low"] is None else figure["low"])
        end = x(scale if figure["high"] is None else figure["high"])
        parts.append(mark.format(kind, start, middle - 4, max(round(end - start, 1), 2), x(figure["value"]), middle))
    return Markup("").join([*parts, Markup("</svg>")])
