"""The proof of early warning; ``make bench PYTEST_ARGS='-s -k early'`` prints its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from early_warning import CACHE, judge
from proof.comparators import rivals
from proof.forecasts import Told
from proof.forecasts import lines as forecast_lines
from proof.limits import astray, days_to_know, lost
from proof.scores import Score
from proof.table import rows
from proof.worlds import Case, Size, cases, fold, plan_of
from prove import PROVED, report
from prove import run as prove_all

from monitor.core.params import Params
from monitor.core.vocabulary import DAY_US
from monitor.replay.driver import Replay
from monitor.replay.outputs import picture
from monitor.replay.simulate import SCENARIOS, simulate
from monitor.wire.incoming import Incoming

TINY = Size(channels=8, volume=0.15, days=120)
YOUNG = Params(shadow_days=20)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all tests."""
    return tmp_path_factory.mktemp("kept")


def test_a_world_from_the_cache_has_the_incidents_of_a_full_replay(kept: Path) -> None:
    whole = Replay(YOUNG)
    lines = list(simulate("stall", 3, 120, 8, None, 0.15))
    whole.add(Incoming("", i, line, line) for i, line in enumerate(lines))
    replayed = whole.run()
    wanted = list(picture(replayed).incident_records())
    assert any(record["mode"] == "stage_stalled" for record in wanted)
    for _ in ("made", "kept"):
        folded = fold(plan_of(Case("stall", 3), TINY), YOUNG, kept)
        assert list(picture(folded.world).incident_records()) == wanted
        assert folded.world.as_of_us == replayed.as_of_us
        assert folded.world.fleet.counts["parcels"] == replayed.fleet.counts["parcels"]


def test_only_the_planted_channel_is_folded_anew(kept: Path) -> None:
    fold(plan_of(Case("quiet", 3), TINY), YOUNG, kept)
    before = set(kept.iterdir())
    fold(plan_of(Case("stretch2", 3, strata=("small",)), TINY), YOUNG, kept)
    assert len(before) >= TINY.channels
    assert len(set(kept.iterdir()) - before) == 1


def test_a_stalled_channel_is_scored(kept: Path) -> None:
    found = judge(Case("stall", 3, strata=("small",)), TINY, YOUNG, kept)
    assert isinstance(found, Score)
    (fault,) = found.faults
    assert fault.per_day < 3
    assert fault.days_to_page is None or fault.pages >= 1
    assert len(rows([found])) == 1


def test_the_story_of_a_fault_tells_its_evidence_by_day(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge(Case("stall", 3, strata=("small",)), TINY, YOUNG, kept, explain=True)
    told = capsys.readouterr().out
    assert "== stall seed 3 number 0 small" in told
    assert ", phi " in told


def test_the_proof_holds_every_figure_of_a_fault(kept: Path) -> None:
    wanted = [Case("quiet", 3), Case("stall", 3, strata=("small",))]
    text = "\n".join(report(prove_all(wanted, TINY, YOUNG, kept, jobs=1)))
    assert "stall <3/d" in text.split("Other methods")[1]
    assert "quiet days" in text
    assert "quiet                false pages/week/500" in text


def test_a_survival_chart_rises_when_parcels_take_twice_as_long(kept: Path) -> None:
    case = Case("stretch2", 3, strata=("small",))
    folded = fold(plan_of(case, Size(6, 0.5, 150)), YOUNG, kept)
    (item,) = folded.planted
    charts = rivals(folded, item.members, 20)
    start = folded.first_us // DAY_US + int(item.first)
    quiet = charts.survival[item.members[0]]
    before, after = (part.sum() for part in np.split(quiet.steps, [start - quiet.first_day]))
    assert after > 10 > before


def test_what_nobody_can_know_early_has_a_late_limit() -> None:
    plan = plan_of(Case("loss", 3, strata=("huge",)), Size(40, 1.0))
    channel = next(one for one in plan.channels if one.id in plan.planted[0].members)
    more, less = (days_to_know(channel, SCENARIOS[name].plants[0]) for name in ("loss", "loss5"))
    assert more is not None
    assert less is not None
    assert 3 < more < less


def test_a_parcel_watched_to_the_end_told_the_divergence_of_vanishing() -> None:
    told = lost(0.8 ** np.arange(201.0), 0.01, 0.05)
    assert told[-1] == pytest.approx(0.05 * np.log(5) + 0.95 * np.log(0.95 / 0.99), rel=1e-6)
    assert told[0] < told[-1] / 5


def test_a_parcel_that_may_go_astray_told_the_divergence_of_the_two_chances() -> None:
    told = astray(0.8 ** np.arange(201.0), 0.002, 0.08)
    assert told[-1] == pytest.approx(0.08 * np.log(40) + 0.92 * np.log(0.92 / 0.998), rel=1e-6)
    assert told[4] < told[-1] < told[4] / 0.6


def test_a_forecast_is_compared_with_what_came() -> None:
    (line,) = forecast_lines([Told("fault", 2.0, 0.0, 4.0, 1.0, 3), Told("fault", 2.0, 0.0, 4.0, 3.0, 5)])[1:]
    assert line.split() == ["faults", "2", "50.0%", "0.0%", "50.0%", "2.00", "2.00", "4.00"]


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_early_warning() -> None:
    wanted = [case for name in PROVED for case in cases(name, (9001,), 1)]
    proved = prove_all(wanted, Size(), Params(), CACHE, jobs=2)
    print("\n".join(report(proved)))
    assert len({one.score.scenario for one in proved}) > 15
