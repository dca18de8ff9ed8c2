"""``backtest`` as a person uses it: figures that a little script finds too, one report for one set of events."""

from __future__ import annotations

import json
import random
import re
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hand_logs import complained, registered, validator
from made_events import write_lines
from made_lanes import BAD, GOOD, parcels

from monitor.cli.main import main
from monitor.connectors.files import read_events
from monitor.core.params import Params
from monitor.replay.backtest.observation import Observation
from monitor.replay.driver import Replay
from monitor.replay.simulate import write_world

Json = dict[str, Any]
#: A product's name that would be markup if anything forgot to escape it.
HOSTILE = "<img src=x onerror=alert(1)>&\"'</title><script>"


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["backtest", *(str(one) for one in arguments)], prog_name="channel-monitor")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def printed(*arguments: str | Path, status: int = 0) -> Json:
    result = run(*arguments, "--json")
    assert result.exit_code == status, result.stderr
    found: Json = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 days of six channels; one takes twice as long from day 103 on. The truth lies beside it."""
    path = tmp_path_factory.mktemp("world") / "world.jsonl"
    write_world("stretch2", 1, path, 160, 6, None, 0.5, None)
    return path


@pytest.fixture(scope="module")
def lines(world: Path) -> list[Json]:
    return [json.loads(line) for line in world.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def report(world: Path) -> Path:
    return world.parent / "report.html"


@pytest.fixture(scope="module")
def told(world: Path, report: Path) -> Json:
    return printed(world, "--html", report)


# The figures


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def alarms_of(lines: list[Json]) -> dict[str, list[tuple[datetime, datetime]]]:
    """Channel → (first alarm, end) of its waves: the rules of docs/backtest.md once more, in another way."""
    known = {"parcel": {}, "order": {}}  # type: dict[str, dict[str, str]]
    first: dict[str, datetime] = {}
    opened = []
    for line in sorted(lines, key=lambda line: moment(line["recordedtime"])):
        data = line["data"]
        if line["type"] == "parcel.registered.v1":
            service = f"/{data['service']}" if data.get("service") else ""
            channel = f"{data['destination']}|{data['product']}|{data['carrier']}{service}"
            known["parcel"][data["parcel_id"]] = known["order"][data["order_id"]] = channel
            first.setdefault(channel, moment(line["recordedtime"]))
        elif line["type"] == "complaint.opened.v1":
            opened.append((moment(line["recordedtime"]), data))
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    found: dict[str, list[tuple[datetime, datetime]]] = {}
    for channel, begun in first.items():
        mine = [
            when
            for when, data in opened
            if channel
            in (known["parcel"].get(data.get("parcel_id", "")) or known["order"].get(data.get("order_id", "")),)
        ]
        weeks = Counter((when - monday).days // 7 for when in mine)
        start = (begun - monday).days // 7 + 5
        runs: list[tuple[int, datetime, int]] = []
        for week in range(start + 8, max(weeks, default=0) + 1):
            before = [weeks[w] for w in range(max(start, week - 26), week)]
            limit = statistics.mean(before) + 3 * statistics.stdev(before)
            inside = [when for when in mine if (when - monday).days // 7 == week]
            passing = [when for n, when in enumerate(inside, 1) if n > limit + 1e-9 and n >= 3]
            if passing and runs and week - runs[-1][2] <= 4:
                runs[-1] = (*runs[-1][:2], week)
            elif passing:
                runs.append((week, passing[0], week))
        found[channel] = [(alarm, monday + timedelta(weeks=last + 1)) for _, alarm, last in runs]
    return found


def test_the_figures_are_those_of_a_script_that_knows_only_the_documents(
    world: Path, lines: list[Json], told: Json, tmp_path: Path
) -> None:
    CliRunner().invoke(main, ["replay", str(world), "--out", str(tmp_path)])
    incidents = [json.loads(line) for line in (tmp_path / "incidents.jsonl").read_text().splitlines()]
    alarms = alarms_of(lines)
    (truth,) = json.loads((world.parent / "world.jsonl.truth.json").read_text())["planted"]
    horizon = timedelta(days=60)
    pages = []
    assert [one["incident_id"] for one in told["incidents"]] == [one["incident_id"] for one in incidents]
    for mine, theirs in zip(incidents, told["incidents"], strict=True):
        known = moment(mine["known_by"])
        right = bool({*mine["members"]} & {*truth["channels"]}) and moment(truth["start"]) <= known
        follow = [alarm for name in mine["members"] for alarm, end in alarms[name] if alarm - horizon <= known <= end]
        lead = round((min(follow) - known) / timedelta(days=1), 2) if follow else None
        assert (theirs["right"], theirs["lead_days"]) == (right, lead)
        assert theirs["known_by"] == mine["known_by"]
        if mine["severity"] == "page":
            pages.append((known, right, lead))
    summary = told["summary"]
    assert pages
    assert summary["precision"] == pytest.approx(sum(right for _, right, _ in pages) / len(pages), abs=1e-6)
    first = min(known for known, right, _ in pages if right)
    assert summary["missed"] == 0
    assert summary["median_days_to_page"] == round((first - moment(truth["start"])) / timedelta(days=1), 2)
    assert summary["complaints"] == sum(line["type"] == "complaint.opened.v1" for line in lines)
    (fault,) = told["degradations"]
    in_time = [
        alarm
        for name in truth["channels"]
        for alarm, _ in alarms[name]
        if moment(truth["start"]) <= alarm <= moment(truth["end"]) + horizon
    ]
    assert in_time
    assert moment(fault["alarm_at"]) == min(in_time)
    assert fault["lead_days"] == summary["median_lead_days"] > 7


def test_the_json_keeps_to_its_schema_and_holds_the_keys_of_the_contract(told: Json) -> None:
    validator("backtest").validate(told)
    assert all({"incident_id", "lead_days"} <= incident.keys() for incident in told["incidents"])
    assert {"median_lead_days", "pages_per_week_per_500_channels", "precision", "missed"} <= told["summary"].keys()


def test_without_a_truth_the_waves_of_complaints_are_what_went_wrong(
    world: Path, lines: list[Json], tmp_path: Path
) -> None:
    alone = tmp_path / "alone.jsonl"
    alone.write_bytes(world.read_bytes())
    told = printed(alone)
    assert told["summary"]["source"] == "complaint_wave"
    expected = {(name, alarm) for name, some in alarms_of(lines).items() for alarm, _ in some}
    assert {(one["channels"][0], moment(one["alarm_at"])) for one in told["degradations"]} == expected
    assert expected


def test_an_observed_replay_ends_in_the_same_state(world: Path) -> None:
    states = []
    for observer in (None, Observation()):
        work = Replay(Params(), observer=observer)
        work.add(read_events(str(world)))
        states.append(work.run().sha256())
    assert states[0] == states[1]


# The same events, the same report


def test_the_same_events_in_any_order_and_twice_give_the_same_bytes(
    world: Path, report: Path, told: Json, tmp_path: Path
) -> None:
    mixed = world.read_bytes().splitlines(keepends=True)
    random.Random(7).shuffle(mixed)
    half = len(mixed) // 2
    (tmp_path / "b.jsonl").write_bytes(b"".join(mixed[:half]))
    (tmp_path / "a.jsonl").write_bytes(b"".join(mixed[half - 100 :]))
    truth = world.parent / "world.jsonl.truth.json"
    again = tmp_path / "again.html"
    assert printed(tmp_path / "b.jsonl", tmp_path / "a.jsonl", "--truth", truth, "--html", again) == told
    assert again.read_bytes() == report.read_bytes()


# The report


class Page(HTMLParser):
    """Tags and what they would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.loads += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data") and v != "data:,"]
        self.handlers += [k for k, _ in attrs if k.startswith("on")]


def test_the_report_loads_nothing_and_is_in_both_languages(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    page = Page(text)
    assert page.loads == []
    assert not re.search(r"https?://|@import|url\(", text)
    assert page.tags["script"] == 1
    assert "Pages and complaint alarms by week" in text
    assert "每周告警与投诉警报" in text
    assert page.tags["svg"] > 4


def test_the_report_escapes_what_the_log_says(world: Path, report: Path, tmp_path: Path) -> None:
    product = json.loads((world.parent / "world.jsonl.truth.json").read_text())["planted"][0]["scope"]["product"]
    for name in ("world.jsonl", "world.jsonl.truth.json"):
        text = (world.parent / name).read_text()
        inside = json.dumps(HOSTILE)[1:-1]
        text = text.replace(f'"product":"{product}"', f'"product":"{inside}"')
        text = text.replace(f'"product": "{product}"', f'"product": "{inside}"').replace(f"|{product}|", f"|{inside}|")
        (tmp_path / name).write_text(text)
    told = printed(tmp_path / "world.jsonl", "--html", tmp_path / "hostile.html")
    assert any(HOSTILE in incident["scope"]["product"] for incident in told["incidents"])
    hostile, plain = (Page(path.read_text(encoding="utf-8")) for path in (tmp_path / "hostile.html", report))
    assert hostile.tags == plain.tags
    assert (hostile.loads, hostile.handlers) == ([], [])


def test_the_text_begins_with_what_a_supervisor_wants_to_know(world: Path) -> None:
    first, second, *_ = run(world).stdout.splitlines()
    assert re.fullmatch(r"Of 1 planted fault: 1 paged before the complaint alarm, 0 missed\.", first)
    assert re.match(r"The page came [0-9.]+ days before the complaint alarm in the median", second)


# Options and ends


def test_another_threshold_is_set_beside_the_first(world: Path, told: Json, tmp_path: Path) -> None:
    config = tmp_path / "calm.toml"
    config.write_text("[detection]\npage_ln_m = 900\ncorroborate_ln_m = 900\n")
    compared = printed(world, "--compare", config)
    other = compared["compared"]
    assert {name: compared[name] for name in told if name != "compared"} == {
        name: told[name] for name in told if name != "compared"
    }
    assert other["config"] == "calm.toml"
    assert (other["summary"]["pages"], other["summary"]["missed"], other["summary"]["precision"]) == (0, 1, None)
    assert other["summary"]["missed_with_ticket"] == 1
    validator("backtest").validate(compared)


def test_what_had_not_begun_yet_is_no_degradation(world: Path) -> None:
    told = printed(world, "--until", "2024-06-01T00:00:00Z")
    assert told["as_of"] == "2024-06-01T00:00:00Z"
    assert told["degradations"] == []


def test_a_log_without_complaints_says_so(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", [registered("P1", 0), registered("P2", 3)])
    told = printed(log, "--html", tmp_path / "out.html")
    assert (told["summary"]["precision"], told["summary"]["missed"], told["summary"]["complaints"]) == (None, 0, 0)
    assert "holds no complaints" in run(log).stdout
    assert "holds no complaints" in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_what_following_the_advice_would_have_saved_is_estimated_when_asked_for(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "lane.jsonl", parcels(GOOD, BAD, days=100, product=HOSTILE.replace("|", "")))
    assert printed(path)["switch"] is None
    told, html = printed(path, "--switch", "--html", tmp_path / "report.html"), tmp_path / "report.html"
    assert told["switch"]["verdict"] == "saves"
    assert told["switch"]["saved"]["low"] > 0
    (lane,) = told["switch"]["lanes"]
    assert lane["parcels_moved"] > 50
    text = run(path, "--switch").stdout
    assert "Had the advice about carriers been followed\nIt would have saved" in text
    assert "would have saved" not in run(path).stdout
    page = html.read_text(encoding="utf-8")
    assert "Had the advice about carriers been followed" in page
    assert "若采纳换承运商建议" in page
    assert HOSTILE not in page


def test_an_empty_log_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    told = printed(tmp_path / "empty.jsonl", "--html", tmp_path / "out.html")
    assert (told["as_of"], told["incidents"], told["summary"]["pages_possible_from"]) == (None, [], None)


def test_complaints_that_come_twice_or_name_nothing_known_are_counted_as_such(tmp_path: Path) -> None:
    events = [
        registered("P1", 0, order_id="O1"),
        complained("C1", 2, parcel_id="P1"),
        complained("C1", 2, parcel_id="P1"),
        complained("C2", 3, order_id="O1"),
        complained("C3", 4, parcel_id="nobody"),
        complained("C4", 5, destination="RU", product="tablet", carrier="china-post"),
    ]
    summary = printed(write_lines(tmp_path / "log.jsonl", events))["summary"]
    assert (summary["complaints"], summary["complaints_elsewhere"]) == (3, 1)


def test_dead_letters_end_with_status_1_and_a_report(tmp_path: Path) -> None:
    log = write_lines(tmp_path / "log.jsonl", [registered("P1", 0), "no event"])
    assert printed(log, status=1)["dead_letters"] == 1
    result = run(log)
    assert (result.exit_code, "1 record could not be used" in result.stdout) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no-such.jsonl"], "no-such.jsonl"),
        (["log.jsonl", "--truth", "no-such.json"], "no-such.json"),
        (["log.jsonl", "--truth", "log.jsonl"], "is no truth file"),
        (["log.jsonl", "--until", "yesterday"], "yesterday"),
        (["log.jsonl", "--config", "no-such.toml"], "no-such.toml"),
        (["log.jsonl", "--compare", "no-such.toml"], "no-such.toml"),
        (["log.jsonl", "--html", "no/such/directory.html"], "directory.html"),
        (["-", "--compare", "same.toml"], "standard input"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "log.jsonl", [registered("P1", 0)])
    (tmp_path / "same.toml").write_text("")
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
