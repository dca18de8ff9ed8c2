"""`recommend`, and `act` and `explain` of what it lists, as a person uses them; the terms of ``[switch]``."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from made_events import write_lines
from made_lanes import BAD, GOOD, offered, parcels, ruled
from test_cli_verbs import printed, run

from monitor.cli.main import main
from monitor.core.switch.terms import Rate, SwitchTerms
from monitor.read.routing import COLUMNS
from monitor.settings import ConfigError, load_settings

EVENTS = [
    *parcels(BAD, GOOD, days=45),
    offered("bravo", refuses=["liquid"]),
    offered("charlie", refuses=["liquid"]),
    ruled("R1", carrier="charlie", reason="banned"),
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a lane; tests must leave it as it is."""
    directory = tmp_path_factory.mktemp("lane")
    assert run("ingest", "--history", write_lines(directory / "lane.jsonl", EVENTS), "--data", directory / "data")
    return directory / "data"


def test_the_list_is_that_of_a_replay(filled: Path, tmp_path: Path) -> None:
    run("replay", write_lines(tmp_path / "lane.jsonl", EVENTS), "--out", tmp_path / "out")
    told = printed("recommend", "--data", filled)
    assert told == [json.loads(line) for line in (tmp_path / "out" / "recommendations.jsonl").read_text().splitlines()]
    assert [one["decision"] for one in told] == ["switch"]


def test_on_the_terminal_a_lane_is_one_line_with_its_saving(filled: Path) -> None:
    head, line = run("recommend", "--data", filled).stdout.splitlines()
    assert head.startswith("ID ")
    for word in ("RU tablet", "switch", "alpha", "bravo", "USD", "charlie"):
        assert word in line


def test_a_switch_of_ones_own_is_recorded_unless_it_cannot_be(filled: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(filled, tmp_path / "data"))
    id_ = printed("recommend", "--data", data)[0]["recommendation_id"]

    def act(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["act", *arguments, "--data", str(data)])

    for words, status, said in (
        ((id_, "accept", "--carrier", "charlie"), 1, "charlie may not be used: "),
        ((id_, "accept", "--carrier", "alpha"), 1, "alpha is the carrier in use"),
        ((id_, "accept", "--carrier", "delta"), 1, "delta is no carrier of RU tablet (bravo, charlie)"),
        ((id_, "decline", "--share", "0.2"), 2, "go with accept"),
        ((id_, "accept", "--share", "1.2"), 2, "1.2 is not in the range"),
    ):
        result = act(*words)
        assert result.exit_code == status, result.output
        assert said in " ".join(result.output.split())
    assert printed("recommend", "--data", data)[0]["answer"] is None
    told = json.loads(act(id_, "accept", "--carrier", "bravo", "--share", "0.2", "--by", "Li", "--json").stdout)
    assert told == {"id": id_, "what": "accept", "by": "Li", "note": None, "carrier": "bravo", "share": 0.2}


def test_a_recommendation_is_explained_with_the_offers_and_rules_behind_it(filled: Path) -> None:
    id_ = printed("recommend", "--data", filled)[0]["recommendation_id"]
    told = printed("explain", id_, "--data", filled)
    assert told["kind"] == "recommendation"
    assert told["record"]["recommendation_id"] == id_
    assert {event["subject"]: event["position"]["topic"] for event in told["events"]} == {
        "offer-bravo": "events",
        "offer-charlie": "events",
        "R1": "events",
    }
    assert told["parameters"]["probability"] == 0.85
    text = run("explain", id_, "--data", filled).stdout
    for word in ("SWITCH RU tablet", "rule R1 refuses it", "offer-bravo", "Rule"):
        assert word in text


def test_an_answer_is_kept_with_the_advice(filled: Path, tmp_path: Path) -> None:
    run("backup", "--out", tmp_path / "copy", "--data", filled)
    run("restore", tmp_path / "copy", "--data", tmp_path / "own")
    unknown = run("act", "nobody", "accept", "--data", tmp_path / "own")
    assert unknown.exit_code == 1
    assert "no recommendation" in unknown.stderr
    id_ = printed("recommend", "--data", filled)[0]["recommendation_id"]
    assert run("act", id_, "decline", "--by", "Li", "--data", tmp_path / "own").exit_code == 0


def test_the_export_is_read_by_other_programs(filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "carriers.csv"
    assert run("recommend", "--export", file, "--data", filled).exit_code == 0
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    assert list(rows[0]) == list(COLUMNS)
    allowed = {(row["carrier"], row["attribute"]): row["allowed"] for row in rows}
    assert allowed == {
        ("alpha", ""): "1",
        ("bravo", ""): "1",
        ("bravo", "liquid"): "0",
        ("charlie", ""): "0",
        ("charlie", "liquid"): "0",
    }
    assert run("recommend", "--export", tmp_path / "carriers.json", "--data", filled).exit_code == 0
    assert len(json.loads((tmp_path / "carriers.json").read_text())) == len(rows)
    assert run("recommend", "--export", tmp_path / "carriers.xls", "--data", filled).exit_code == 2


def terms_of(tmp_path: Path, text: str) -> SwitchTerms:
    """The terms in a file of settings."""
    file = tmp_path / "settings.toml"
    file.write_text("[switch]\n" + text)
    return load_settings(file).params().switch


def test_without_settings_the_terms_are_the_built_in_ones(tmp_path: Path) -> None:
    assert terms_of(tmp_path, "") == SwitchTerms()


def test_amounts_and_dated_rates_come_from_the_settings_as_decimals(tmp_path: Path) -> None:
    rates = 'rates = [{currency = "CNY", since = 2026-02-01, rate = "0.15"}, {currency = "CNY", rate = "0.13"}]\n'
    terms = terms_of(tmp_path, f'value = "12.34"\nlate_per_day = 0.25\npapers = ["CE"]\n{rates}')
    assert (terms.value, terms.late_per_day, terms.papers) == (Decimal("12.34"), Decimal("0.25"), ("CE",))
    assert terms.rates[0] == Rate("CNY", date(2026, 2, 1), Decimal("0.15"))
    assert [terms.rate("CNY", day) for day in (20_454, 20_485)] == [Decimal("0.13"), Decimal("0.15")]
    assert terms.rate("EUR", 20_454) is not None
    assert terms_of(tmp_path, 'currency = "EUR"\n').rate("CNY", 20_454) is None  # those built in are for dollars


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("value = -1\n", "switch.value is -1; it must be a number from 0"),
        ("probability = true\n", "switch.probability is True"),
        ('rates = [{currency = "CNY"}]\n', "switch.rates"),
        ("probability = 0.96\n", "back_probability"),
        ('currency = "usd"\n', "switch.currency is 'usd'; it must be three capital letters"),
    ],
)
def test_terms_that_make_no_sense_are_told(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        terms_of(tmp_path, text)
    assert said in str(caught.value)
