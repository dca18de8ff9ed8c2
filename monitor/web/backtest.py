"""The report of a backtest: sentences and figures in words, and one self-contained page in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from markupsafe import Markup

from monitor.read.backtest import Gallery
from monitor.web import backtest_charts as charts
from monitor.web.formats import DASH, Clock, number, number_span, percent, percent_span
from monitor.web.i18n import HTML_LANG, Translator
from monitor.web.render import assets, environment
from monitor.web.settings import LANGUAGES
from monitor.wire.backtest import Backtest

Record = Mapping[str, Any]
#: Rows of the page's tables; the JSON holds all.
MOST_ROWS: Final = 100


def counted(t: Translator, what: str, n: int) -> str:
    """``1 page``, ``12 pages``; ``what`` is ``waves``, ``faults`` or ``pages``."""
    return t(f"backtest.{what}_one" if n == 1 else f"backtest.{what}_many", n=number(n))


def sentences(record: Record, t: Translator) -> list[str]:
    """What a supervisor should know, one sentence after the other."""
    s = record["summary"]
    kind = "faults" if s["source"] == "planted" else "waves"
    out = []
    if not s["complaints"]:
        out.append(t("backtest.no_complaints"))
    if s["degradations"]:
        parts = [
            t(f"backtest.part_{name}", n=number(n))
            for name, n, always in (
                ("before", s["paged_before_alarm"], True),
                ("after", s["paged_after_alarm"], False),
                ("without", s["paged_without_alarm"], False),
                ("missed", s["missed"], True),
            )
            if n or always
        ]
        told = t("backtest.between_parts").join(parts)
        out.append(t("backtest.of_them", what=counted(t, kind, s["degradations"]), parts=told))
    elif s["complaints"] or kind == "faults":
        out.append(t("backtest.none_of_them", what=counted(t, kind, 0)))
    lead = s["median_lead_days"]
    if lead is not None:
        key = "backtest.earlier" if lead >= 0 else "backtest.later"
        out.append(t(key, days=number(abs(lead)), bounds=lead_bounds(s["median_lead_days_bounds"], t)))
    pace = s["pages_per_week_per_500_channels"]
    if pace is not None:
        bounds = s["pages_per_week_per_500_channels_bounds"]
        out.append(t("backtest.pace", pace=number(pace), bounds=number_span(bounds["low"], bounds["high"])))
    if s["right"] + s["wrong"]:
        bounds = s["precision_bounds"]
        out.append(
            t(
                "backtest.were_right",
                right=s["right"],
                what=counted(t, "pages", s["right"] + s["wrong"]),
                share=percent(s["precision"]),
                bounds=percent_span(bounds["low"], bounds["high"]),
            )
        )
        out.append(t(f"backtest.by_chance_{s['source']}", share=percent(s["precision_by_chance"])))
    if s["undecided"]:
        out.append(t("backtest.still_open", what=counted(t, "pages", s["undecided"])))
    if s["not_judged"]:
        out.append(t("backtest.in_shadow", what=counted(t, kind, s["not_judged"])))
    return out


def lead_bounds(spread: Record, t: Translator) -> str:
    """``95%: 12–27, n = 11``; below six values there is no interval, only n."""
    if spread["low"] is None:
        return t("backtest.n_only", n=spread["n"])
    return t("backtest.n_and_bounds", bounds=_span(spread["low"], spread["high"]), n=spread["n"])


def _span(low: float | None, high: float | None) -> str:
    """An interval of days; its ends may lie below nought."""
    if low is None or high is None:
        return DASH
    return f"{number(low)} … {number(high)}" if low < 0 or high < 0 else number_span(low, high)


def days(value: float | None, spread: Record, t: Translator) -> str:
    """A median of days with its interval: ``19 (95%: 12–27, n = 11)``."""
    return DASH if value is None else f"{number(value)} ({lead_bounds(spread, t)})"


def share(value: float | None, bounds: Record) -> str:
    """``75% (47–91%, n = 12)``."""
    if value is None:
        return DASH
    return f"{percent(value)} ({percent_span(bounds['low'], bounds['high'])}, n = {number(bounds['n'])})"


def pace(value: float | None, bounds: Record) -> str:
    """``1.4 (0.9–2.1)``."""
    return DASH if value is None else f"{number(value, 2)} ({number_span(bounds['low'], bounds['high'], 2)})"


def figures(summary: Record, t: Translator) -> list[tuple[str, str]]:
    """The figures of a summary: (what it is, text), always the same ones in the same order."""
    s = summary
    per_week = "pages_per_week_per_500_channels"
    missed = s["missed"] / s["degradations"] if s["degradations"] else None
    shown = {
        "degradations": number(s["degradations"]),
        "paged_before_alarm": number(s["paged_before_alarm"]),
        "missed": f"{s['missed']}; {share(missed, s['missed_bounds'])}" if s["degradations"] else DASH,
        "lead": days(s["median_lead_days"], s["median_lead_days_bounds"], t),
        "days_to_page": days(s["median_days_to_page"], s["median_days_to_page_bounds"], t),
        "days_to_alarm": days(s["median_days_to_alarm"], s["median_days_to_alarm_bounds"], t),
        "days_to_calibrated": days(
            s["median_days_to_calibrated_alarm"], s["median_days_to_calibrated_alarm_bounds"], t
        ),
        "alarm_missed": f"{s['alarm_missed']}; {number(s['calibrated_alarm_missed'])}" if s["degradations"] else DASH,
        "pages": number(s["pages"]),
        "precision": share(s["precision"], s["precision_bounds"]),
        "per_week": pace(s[per_week], s[f"{per_week}_bounds"]),
        "false_per_year": pace(s["false_pages_per_channel_year"], s["false_pages_per_channel_year_bounds"]),
        "tickets": number(s["tickets"]),
        "alarms": number(s["alarms"]),
        "calibrated_sd": number(s["calibrated_threshold_sd"], 2),
    }
    return [(t(f"backtest.{name}"), text) for name, text in shown.items()]


def rule_rows(record: Record, t: Translator) -> list[list[str]]:
    """The table of rules: name, pages, right, wrong, open, precision, lead, quartiles, pages a week, tickets."""
    rows = []
    for rule in record["rules"]:
        lead = rule["median_lead_days_bounds"]
        rows.append(
            [
                t.name("mode", rule["mode"]),
                *(number(rule[name]) for name in ("pages", "right", "wrong", "undecided")),
                share(rule["precision"], rule["precision_bounds"]),
                days(rule["median_lead_days"], lead, t),
                _span(lead["q25"], lead["q75"]),
                pace(rule["pages_per_week_per_500_channels"], rule["pages_per_week_per_500_channels_bounds"]),
                number(rule["tickets"]),
            ]
        )
    return rows


def rule_heads(t: Translator) -> list[str]:
    """Its column heads."""
    return [
        t("backtest.rule"),
        t("backtest.pages"),
        t("backtest.right"),
        t("backtest.wrong"),
        t("backtest.undecided"),
        t("backtest.precision"),
        t("backtest.lead"),
        t("backtest.quartiles"),
        t("backtest.per_week"),
        t("backtest.tickets"),
    ]


def verdict(right: bool | None) -> str:
    """The key of the word for right, wrong or open."""
    return "undecided" if right is None else "right" if right else "wrong"


def switch_sentences(switch: Record, t: Translator) -> list[str]:
    """What following the advice about carriers would have saved, in sentences."""
    verdict = switch["verdict"]
    if verdict == "none_advised":
        return [t("switchback.none_advised")]
    saved = switch["saved"]
    amount = {name: number(abs(saved[name]), 0) for name in ("value", "low", "high")}
    if verdict == "costs":
        amount["low"], amount["high"] = amount["high"], amount["low"]
    elif verdict == "cannot_tell":
        amount = {name: number(saved[name], 0) for name in amount}
    moved = number(switch["parcels_moved"], 0)
    out = [t(f"switchback.{verdict}", currency=switch["currency"], parcels=moved, **amount)]
    if switch["parcels_untold"]:
        whole = switch["parcels_moved"] + switch["parcels_untold"]
        out.append(t("switchback.untold", share=percent(switch["parcels_untold"] / whole)))
    if switch["judged"]:
        out.append(t("switchback.advice", n=switch["judged"], paid=switch["paid"], as_forecast=switch["as_forecast"]))
    if any(one["imbalances"] for one in switch["lanes"]):
        out.append(t("switchback.imbalanced"))
    out.append(
        t(
            "switchback.basis",
            parcels=number(switch["parcels"]),
            left=number(switch["parcels_left_out"]),
        )
    )
    return out


def switch_heads(t: Translator) -> list[str]:
    """Columns of the lanes on which a switch was advised."""
    return [t(f"switchback.{name}") for name in ("lane", "days", "moved", "untold_parcels", "saved", "remarks")]


def switch_rows(switch: Record, t: Translator) -> list[list[str]]:
    """Their rows, those with most parcels moved first."""
    rows = sorted(switch["lanes"], key=lambda one: (-one["parcels_moved"], str(one["lane"])))
    return [
        [
            f"{one['lane']['country']} {one['lane']['product']}",
            number(one["days"]),
            number(one["parcels_moved"], 0),
            number(one["parcels_untold"], 0),
            _total(one["saved"], t),
            "; ".join([*([one["why_not"]] if one["why_not"] else []), *one["imbalances"]]),
        ]
        for one in rows
    ]


def _total(saved: Record | None, t: Translator) -> str:
    if saved is None:
        return t("switchback.unknown")
    return f"{number(saved['value'], 0)} ({number(saved['low'], 0)} … {number(saved['high'], 0)})"


def render(backtest: Backtest, gallery: Gallery) -> str:
    """The page: one file that loads nothing, with both languages in it."""
    record = backtest.model_dump(mode="json")
    clock = Clock("UTC")
    by_id = {incident["incident_id"]: incident for incident in record["incidents"]}
    return (
        environment()
        .get_template("backtest.html.j2")
        .render(
            record=record,
            gallery=gallery,
            stories=[(shown, by_id[shown.incident_id]) for shown in gallery.stories],
            translators=[Translator(language) for language in LANGUAGES],
            look=Markup(assets()["backtest.css"].body.decode()),  # noqa: S704 — our own file
            report=_WORDS,
            charts=charts,
            clock=clock,
            most_rows=MOST_ROWS,
            html_lang=HTML_LANG,
        )
    )


#: What the template says with the functions of this module.
_WORDS: Final = {
    "sentences": sentences,
    "figures": figures,
    "rule_heads": rule_heads,
    "rule_rows": rule_rows,
    "verdict": verdict,
    "switch_sentences": switch_sentences,
    "switch_heads": switch_heads,
    "switch_rows": switch_rows,
}
