"""``simulate`` on the command line: what it prints, what it writes, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli.simulate import simulate
from monitor.replay.simulate import SCENARIOS

SMALL = ("--seed", "1", "--days", "30", "--channels", "4", "--volume", "0.5")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(simulate, arguments)


def test_it_writes_the_events_and_the_truth_and_says_what_was_planted(tmp_path: Path) -> None:
    out = tmp_path / "world.jsonl"
    result = run("--scenario", "stretch", *SMALL, "--start", "2025-03-03", "--out", str(out))
    truth = json.loads((tmp_path / "world.jsonl.truth.json").read_text())
    lines = out.read_text().splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert truth["world"]["start"] == "2025-03-03T00:00:00Z"
    assert truth["world"]["events"] == len(lines)
    assert f"{len(lines)} events" in result.stdout
    assert "planted: transit_slow at channel" in result.stdout


def test_json_gives_the_summary_as_one_object(tmp_path: Path) -> None:
    out = tmp_path / "world.jsonl.zst"
    summary = json.loads(run("--scenario", "quiet", *SMALL, "--out", str(out), "--json").stdout)
    assert summary["planted"] == []
    assert summary["file"] == str(out)
    assert Path(summary["truth"]).exists()
    assert summary["events"] > summary["parcels"] > 0


def test_list_names_every_scenario_on_a_line() -> None:
    lines = run("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(SCENARIOS)
    assert [entry["scenario"] for entry in json.loads(run("--list", "--json").stdout)] == list(SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "missing --scenario, --seed, --out"),
        (("--scenario", "strech", "--seed", "1", "--out", "x.jsonl"), "no scenario 'strech'; known are: quiet"),
        (("--scenario", "quiet", "--seed", "one", "--out", "x.jsonl"), "not a valid integer"),
        (("--scenario", "quiet", "--seed", "1", "--days", "0", "--out", "x.jsonl"), "days is 0"),
        (("--scenario", "quiet", *SMALL, "--out", "missing/x.jsonl"), "cannot write missing/x.jsonl: No such file"),
    ],
)
def test_wrong_use_exits_with_2_and_says_what_is_wrong(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []
