"""The texts and the look: nothing missing in either language, nothing too faint to read."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import get_args

import pytest

import monitor.notify
import monitor.web
from monitor.core.events import EVENT_TYPES
from monitor.core.vocabulary import CLOCKS, MILESTONES, REASONS, ComplaintKind
from monitor.read.watchlist import LEGS
from monitor.web import formats, pictures
from monitor.web.i18n import HTML_LANG, Translator, catalogue, choose
from monitor.web.render import MENU
from monitor.web.settings import LANGUAGES
from monitor.web.words import clock_text, evidence_sentence, link, position_text, scope_text
from monitor.wire.recommendations import CarrierStatus, Verdict
from monitor.wire.records import Mode, ScopeKind, Severity, Status

WEB = Path(monitor.web.__file__).parent
NOTIFY = Path(monitor.notify.__file__).parent
TEXTS_OF_NOTIFY = [*sorted(NOTIFY.glob("*.py")), NOTIFY.parent / "cli" / "notify.py"]
SOURCES = [*sorted(WEB.glob("*.py")), *sorted((WEB / "templates").iterdir()), *TEXTS_OF_NOTIFY]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_languages_have_every_text_with_the_same_placeholders() -> None:
    assert set(HTML_LANG) == set(LANGUAGES) == {"en", "zh"}
    for key, texts in catalogue().items():
        assert set(texts) == set(LANGUAGES), key
        assert all(texts.values()) or key == "site.between_sentences", key
        assert placeholders(texts["en"]) == placeholders(texts["zh"]), key


def used_keys() -> dict[str, str]:
    """Key (or the beginning of one that is put together) → the file that uses it."""
    found: dict[str, str] = {}
    for file in SOURCES:
        for key in re.findall(r'\bt\(\s*f?"([a-z_0-9.]+)', file.read_text()):
            found[key] = file.name
    return found


def test_every_text_a_page_uses_exists() -> None:
    keys = set(catalogue())
    for key, file in used_keys().items():
        assert key in keys or (key.endswith((".", "_")) and any(k.startswith(key) for k in keys)), (key, file)


def test_every_text_is_used() -> None:
    used = used_keys()
    vocabularies = {name for file in SOURCES for name in re.findall(r't\.name\("([a-z_]+)"', file.read_text())}
    begun = tuple(key for key in used if key.endswith((".", "_")))
    quoted = {key for file in SOURCES for key in re.findall(r'"([a-z_]+\.[a-z_]+)"', file.read_text())}
    for key in catalogue():
        section = key.partition(".")[0]
        assert section in (*vocabularies, "field") or key.startswith(begun) or key in {*used, *quoted}, key


@pytest.mark.parametrize(
    ("section", "codes"),
    [
        ("mode", get_args(Mode)),
        ("severity", get_args(Severity)),
        ("status", get_args(Status)),
        ("scope", get_args(ScopeKind)),
        ("reason", [reason for reason, _ in LEGS]),
        ("action", [action for _, action in LEGS]),
        ("milestone", MILESTONES),
        ("milestone", [part for clock in CLOCKS for part in clock.split(">")]),
        ("event", [type_ for type_ in EVENT_TYPES if not type_.startswith(("carrier.", "rule.", "clock."))]),
        ("detail", get_args(ComplaintKind)),
        ("dead_reason", REASONS),
        ("priority", [1, 2, 3, 4]),
        ("nav", MENU),
        ("decision", get_args(Verdict)),
        ("carrier_status", get_args(CarrierStatus)),
    ],
)
def test_every_code_has_a_name_in_both_languages(section: str, codes: list[object]) -> None:
    assert codes
    for code in codes:
        assert f"{section}.{code}" in catalogue(), code


def test_a_code_of_a_newer_version_reads_as_itself() -> None:
    assert Translator("zh").name("mode", "brand_new") == "brand new"


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("zh-Hans-CN", "zh"),
        ("en;q=0.1, zh;q=0.2", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=x, en;q=0.5", "en"),
        ("", "en"),
        (",;,=", "en"),
        ("zh" + ",zh" * 10_000, "zh"),
    ],
)
def test_the_browsers_best_language_wins(accept: str, language: str) -> None:
    assert choose(None, None, accept, "auto") == language


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (None, "–"),
        (0.0, "0%"),
        (1.0, "100%"),
        (0.0004, "<0.1%"),
        (0.9999, ">99.9%"),
        (0.924, "92.4%"),
        (0.5, "50%"),
        (1e-9, "<0.1%"),
    ],
)
def test_a_percentage_never_reads_as_none_or_all_when_it_is_not(ratio: float | None, text: str) -> None:
    assert formats.percent(ratio) == text


def test_numbers_and_intervals_read_well() -> None:
    assert [formats.number(n) for n in (None, 0, -0.01, 1234567, 74.25, 10, 0.05)] == [
        "–",
        "0",
        "0",
        "1,234,567",
        "74.2",
        "10",
        "0.1",
    ]
    assert formats.number_span(25, 52) == "25–52"
    assert formats.number_span(25, None) == "25–"
    assert formats.percent_span(None, None) == "–"


def test_times_of_any_kind_are_shown_or_given_back() -> None:
    clock = formats.Clock("America/New_York")
    assert clock.text("2026-07-01T03:00:00Z") == "2026-06-30 23:00"
    assert clock.text("2026-01-01T00:00:00.250000+08:00") == "2025-12-31 11:00"
    assert clock.text("0001-01-01T00:00:00Z") == "0001-01-01T00:00:00Z"
    assert clock.text("soon") == "soon"
    assert clock(None) == "–"
    assert "<script>" not in clock("<script>")


@pytest.mark.parametrize(
    ("value", "ceiling"), [(0, 1), (0.3, 0.5), (0.5, 0.5), (0.51, 1), (7, 10), (21, 25), (101, 200), (1e-4, 1e-4)]
)
def test_scales_end_at_round_numbers(value: float, ceiling: float) -> None:
    assert pictures.nice_ceiling(value) == pytest.approx(ceiling)


@pytest.mark.parametrize("figure", [(0.0, 0.0, 0.04), (1.0, 0.96, 1.0), (0.5, 0.5, 0.5), (0.9, 0.2, 1.0)])
@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_an_interval_is_drawn_inside_its_picture(figure: tuple[float, float, float], scale: float) -> None:
    drawn = pictures.interval(dict(zip(("value", "low", "high"), figure, strict=True)), scale)
    boxes = re.findall(r'x="([\d.-]+)" y="\d+" width="([\d.]+)"', drawn)
    assert len(boxes) == 3
    assert all(float(x) >= 0 and float(x) + float(width) <= 100.01 for x, width in boxes)


def test_transit_days_are_drawn_with_open_intervals_and_without_what_is_not_reached() -> None:
    none = {"value": None, "low": None, "high": None}
    open_ended = {"value": 30.0, "low": 25.0, "high": None}
    drawn = pictures.transit_days(
        {"p50": open_ended, "p80": none, "p95": none}, dict.fromkeys(("p50", "p80", "p95"), none)
    )
    assert drawn.count("<circle") == 1
    assert pictures.transit_days(*[dict.fromkeys(("p50", "p80", "p95"), none)] * 2) == ""


def test_scopes_clocks_and_positions_are_put_into_words() -> None:
    t = Translator("en")
    assert (
        scope_text({"kind": "country_product", "country": "RU", "product": "tablet", "carrier": None}, t)
        == "RU × tablet"
    )
    assert scope_text({"kind": "forwarder", "country": None, "forwarder": "Fast & Co"}, t) == "Fast & Co"
    assert scope_text({"kind": "all", "country": None, "product": None, "carrier": None}, t) == "All channels"
    assert clock_text("registered>accepted", t) == "Registered → Accepted"
    assert clock_text(None, t) is None
    assert position_text({"topic": "events", "partition": 2, "offset": 9, "index": 0}) == "events/2 @ 9 #0"
    assert position_text({"file": "a.jsonl", "line": 3}) == "a.jsonl:3"
    assert link("parcels", "a/b ü") == "/parcels/a%2Fb%20%C3%BC"


def test_evidence_on_the_frequent_side_tells_how_many_times_more() -> None:
    incident = {
        "mode": "customs_hold",
        "severity": "page",
        "evidence": {"ln_m": 12.34, "observed": 19.0, "expected": 5.4, "since": "2026-03-03"},
    }
    said = evidence_sentence(incident, Translator("en")).replace("\N{NO-BREAK SPACE}", " ")
    assert said == "Since 2026-03-03: 19 cases where 5.4 were expected (× 3.5). Evidence ln M = 12.3."


def test_a_loss_shows_in_parcels_that_did_not_move_on() -> None:
    evidence = {"ln_m": 6.66, "observed": 105.0, "expected": 121.8, "since": "2026-08-25"}
    said = evidence_sentence({"mode": "loss", "severity": "ticket", "evidence": evidence}, Translator("en"))
    assert "105 parcels moved on where 121.8 were expected" in said.replace("\N{NO-BREAK SPACE}", " ")


def test_a_drift_of_the_baseline_tells_the_usual_days_now_and_before() -> None:
    incident = {
        "mode": "transit_slow",
        "severity": "ticket",
        "judged_by": "drift",
        "evidence": {"ln_m": 5.5, "observed": 14.5, "expected": 12.0, "since": "2025-03-03"},
    }
    assert "14.5; on 2025-03-03 it was 12" in evidence_sentence(incident, Translator("en"))
    assert "14.5" in evidence_sentence(incident, Translator("zh"))


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(scheme: str) -> None:
    style = (WEB / "static" / "style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[0]))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[1]))
    pairs = [(text, ground) for text in ("text", "muted", "link") for ground in ("ground", "card", "sunk")]
    pairs += [(tone, ground) for tone in ("red", "amber", "green", "violet") for ground in (f"{tone}-soft", "card")]
    pairs += [("muted", soft) for soft in ("gray-soft", "red-soft", "amber-soft", "green-soft")]
    pairs += [("text", "amber-soft"), ("on-brand", "brand")]
    for text, ground in pairs:
        lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, ground)


def test_the_page_loads_nothing_from_elsewhere_and_holds_no_inline_style_or_script() -> None:
    for file in [*SOURCES, *sorted((WEB / "static").iterdir())]:
        text = file.read_text()
        assert not re.search(r"(?:src|href|url|@import|fetch)\s*[=(]\s*[\"']?(?:https?:)?//", text), file.name
        if file.suffix == ".j2":
            assert not re.search(r"\s(?:style|on[a-z]+)=", text), file.name
            assert "safe }}" not in text, file.name
