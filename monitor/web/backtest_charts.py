"""The pictures of a backtest as inline SVG: weeks, evidence over complaints, survival now against before.

Colours come from classes in ``static/backtest.css``, so the pictures follow light and dark. Each has a title that
says in words what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from markupsafe import Markup

from monitor.core.events import day_text
from monitor.read.backtest import Steps, Story, Week
from monitor.web.formats import number
from monitor.web.i18n import Translator
from monitor.web.pictures import nice_ceiling

WIDTH: Final = 460
_LEFT, _RIGHT = 40, 12
#: Evidence below this is drawn at the bottom: it says nothing.
_FLOOR: Final = -4.0
#: Evidence above this many page thresholds is drawn at the top.
_MOST_THRESHOLDS: Final = 3.0
#: The survival chart ends some days after both curves came down to where they stay, within this share.
_FLAT: Final = 0.005


class _Axis:
    """A straight scale from values to the units of a picture."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = low, max(high, low + 1e-9)
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return round(self._start + share * (self._end - self._start), 1)


def _svg(css: str, width: float, height: float, title: str, parts: Sequence[Markup]) -> Markup:
    head = Markup('<svg class="chart {}" viewBox="0 0 {} {}" role="img"><title>{}</title>').format(
        css, width, height, title
    )
    return Markup("").join([head, *parts, Markup("</svg>")])


def _line(css: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(css, x1, y1, x2, y2)


def _text(css: str, anchor: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" text-anchor="{}" x="{}" y="{}">{}</text>').format(css, anchor, x, y, text)


def _path(css: str, d: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(css, d)


def _days(x: _Axis, y: float, top: float, width: float) -> list[Markup]:
    """Dates below the axis of days, on Mondays, as many as fit."""
    first = int(x.low) + (4 - int(x.low)) % 7  # 1970-01-05, day 4, was a Monday
    weeks = max(int(x.high - first) // 7, 0)
    step = max(-(-(weeks + 1) * 82 // max(int(width), 1)), 1)
    parts = []
    for week in range(0, weeks + 1, step):
        at = x(first + 7 * week)
        parts.append(_line("grid", at, top, at, y))
        if at <= width - 34:
            parts.append(_text("axis", "middle", at, y + 14, day_text(first + 7 * week)))
    return parts


def story(shown: Story, thresholds: Mapping[str, float], t: Translator) -> Markup:
    """Evidence by judged day above, complaints by week below, on one axis of time; the incident and alarms marked."""
    days = [day for day, _ in (*shown.evidence, *shown.shared)] + [day for day, _ in shown.complaints]
    last = max([*days, shown.known_day]) + 7 if days else shown.known_day + 7
    x = _Axis(min([*days, shown.known_day]), last, _LEFT, WIDTH - _RIGHT)
    known = x(shown.known_day)
    parts = [
        *_days(x, 246, 20, WIDTH),
        *_evidence(shown, thresholds, x, t),
        *_complaints(shown, x, t),
        _line("known", known, 16, known, 246),
        _text("mark known", "middle", max(known, 110), 12, t("backtest.known")),
    ]
    title = t("backtest.story_title", channel=shown.channel)
    return _svg("story", WIDTH, 266, title, parts)


def _evidence(shown: Story, thresholds: Mapping[str, float], x: _Axis, t: Translator) -> list[Markup]:
    levels = {**thresholds, "page": shown.page_at}
    page = shown.page_at
    peak = max([value for _, value in (*shown.evidence, *shown.shared)], default=0.0)
    top = min(max(peak, 1.25 * page), _MOST_THRESHOLDS * page)
    y = _Axis(_FLOOR, top, 150, 24)
    parts = [
        _text("axis", "end", _LEFT - 5, y(0) + 4, "0"),
        _line("base", _LEFT, y(0), WIDTH - _RIGHT, y(0)),
        _text("label", "start", 2, 12, t("backtest.ln_m")),
    ]
    for name in ("group", "page") if shown.shared else ("ticket", "page"):
        at = y(levels[name])
        parts.append(_line(f"threshold {name}", _LEFT, at, WIDTH - _RIGHT, at))
        parts.append(_text(f"axis {name}", "end", _LEFT - 5, at + 4, number(levels[name])))
    for css, values in (("evidence", shown.evidence), ("evidence shared", shown.shared)):
        points = [f"{x(day + 1)} {y(value)}" for day, value in values]
        if points:
            parts.append(_path(css, "M" + "L".join(points)))
    return parts


def _complaints(shown: Story, x: _Axis, t: Translator) -> list[Markup]:
    most = nice_ceiling(max([n for _, n in shown.complaints], default=1))
    y = _Axis(0, max(most, 4), 246, 178)
    parts = [
        _text("label", "start", 2, 172, t("backtest.weekly_complaints")),
        _text("axis", "end", _LEFT - 5, y(y.high) + 8, number(y.high)),
        _text("axis", "end", _LEFT - 5, 246, "0"),
        _line("base", _LEFT, 246, WIDTH - _RIGHT, 246),
    ]
    for monday, n in shown.complaints:
        left, right = x(monday), x(monday + 7)
        if n and right - left > 0.5:
            parts.append(
                Markup('<rect class="bar-week" x="{}" y="{}" width="{}" height="{}"/>').format(
                    left, y(n), round(max(right - left - 1.5, 1), 1), round(246 - y(n), 1)
                )
            )
    for alarm in shown.alarms:
        at = x(alarm)
        parts.append(_path("alarm", f"M{at} 186l-5 -9h10z"))
        parts.append(_line("alarm", at, 180, at, 246))
    return parts


def survival(shown: Story, t: Translator) -> Markup:
    """The share not delivered by age: parcels registered in the 30 days before, against earlier ones."""
    curves = [curve for curve in (shown.before, shown.now) if curve is not None]
    if not curves:
        return Markup("")
    end = max([7.0, *(_end(curve) for curve in curves)])
    x, y = _Axis(0, end, _LEFT, WIDTH - _RIGHT), _Axis(0, 1, 216, 26)
    parts = [_text("label", "start", 2, 14, t("backtest.not_delivered"))]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line("grid", _LEFT, y(share), WIDTH - _RIGHT, y(share)))
        parts.append(_text("axis", "end", _LEFT - 5, y(share) + 4, f"{share:.0%}"))
    step = nice_ceiling(end / 6)
    ages = [step * i for i in range(int(end / step) + 1)]
    parts += [_text("axis", "middle", x(age), 232, number(age)) for age in ages]
    parts.append(_text("axis", "end", WIDTH - _RIGHT, 248, t("backtest.age_days")))
    for css, curve in (("before", shown.before), ("now", shown.now)):
        if curve is None:
            continue
        inside = [i for i, day in enumerate(curve.days) if day <= end]
        high, low = ([(curve.days[i], values[i]) for i in inside] for values in (curve.high, curve.low))
        outline = _steps(high, x, y) + "L" + _steps(low, x, y, back=True)[1:] + "z"
        parts.append(_path(f"band {css}", outline))
        parts.append(_path(f"curve {css}", _steps([(curve.days[i], curve.survival[i]) for i in inside], x, y)))
    return _svg("survival", WIDTH, 254, t("backtest.survival_title"), parts)


def _end(curve: Steps) -> float:
    """The age from which on the curve has nothing to show: it has come down to where it stays."""
    down = next(
        day for day, share in zip(curve.days, curve.survival, strict=True) if share <= curve.survival[-1] + _FLAT
    )
    return min(1.2 * down + 2, curve.days[-1])


def _steps(points: Sequence[tuple[float, float]], x: _Axis, y: _Axis, back: bool = False) -> str:
    """A stair from left to right, or the same stair from right to left."""
    stair: list[tuple[float, float]] = []
    for day, share in points:
        if stair:
            stair.append((x(day), stair[-1][1]))
        stair.append((x(day), y(share)))
    if back:
        stair.reverse()
    return "M" + "L".join(f"{px} {py}" for px, py in stair)


def timeline(weeks: Sequence[Week], t: Translator) -> Markup:
    """Pages by week upwards, right, wrong and undecided ones stacked; complaint alarms downwards."""
    if not weeks:
        return Markup("")
    width = 1000
    up = nice_ceiling(max(week.right + week.wrong + week.undecided for week in weeks))
    down = nice_ceiling(max(week.alarms for week in weeks))
    most = max(up, down, 4)
    x = _Axis(weeks[0].monday, weeks[-1].monday + 7, _LEFT, width - _RIGHT)
    y, under = _Axis(0, most, 112, 14), _Axis(0, most, 112, 210)
    parts = [
        *_days(x, 214, 8, width),
        _text("axis", "end", _LEFT - 5, 20, number(most)),
        _text("axis", "end", _LEFT - 5, 116, "0"),
        _text("axis", "end", _LEFT - 5, 210, number(most)),
    ]
    rect = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>')
    for week in weeks:
        left = x(week.monday)
        wide = round(max(x(week.monday + 7) - left - 1, 2), 1)
        reached = 0
        for css, n in (("right", week.right), ("wrong", week.wrong), ("undecided", week.undecided)):
            if n:
                name = t(f"backtest.pages_{css}")
                words = f"{day_text(week.monday)}: {name} {n}"
                top = y(reached + n)
                parts.append(rect.format(css, left, top, wide, round(y(reached) - top, 1), words))
                reached += n
        if week.alarms:
            words = f"{day_text(week.monday)}: {t('backtest.alarms')} {week.alarms}"
            parts.append(rect.format("alarm", left, 112, wide, round(under(week.alarms) - 112, 1), words))
    parts.append(_line("base", _LEFT, 112, width - _RIGHT, 112))
    return _svg("timeline", width, 232, t("backtest.timeline"), parts)
