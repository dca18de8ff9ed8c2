"""The proof of early warning; ``make bench PYTEST_ARGS='-s -k early'`` prints its tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from early_warning import CACHE, judge, run
from proof.scores import Score
from proof.table import HEAD, rows
from proof.worlds import Case, Size, cases, fold, plan_of

from monitor.core.params import Params
from monitor.replay.driver import Replay
from monitor.replay.outputs import picture
from monitor.replay.simulate import simulate
from monitor.wire.incoming import Incoming

TINY = Size(channels=8, volume=0.15, days=120)
YOUNG = Params(shadow_days=20)


def test_a_world_from_the_cache_has_the_incidents_of_a_full_replay(tmp_path: Path) -> None:
    whole = Replay(YOUNG)
    lines = list(simulate("stall", 3, 120, 8, None, 0.15))
    whole.add(Incoming("", i, line, line) for i, line in enumerate(lines))
    replayed = whole.run()
    wanted = list(picture(replayed).incident_records())
    assert any(record["mode"] == "stage_stalled" for record in wanted)
    for _ in ("made", "kept"):
        folded = fold(plan_of(Case("stall", 3), TINY), YOUNG, tmp_path)
        assert list(picture(folded.world).incident_records()) == wanted
        assert folded.world.as_of_us == replayed.as_of_us
        assert folded.world.fleet.counts["parcels"] == replayed.fleet.counts["parcels"]


def test_only_the_planted_channel_is_folded_anew(tmp_path: Path) -> None:
    fold(plan_of(Case("quiet", 3), TINY), YOUNG, tmp_path)
    quiet = set(tmp_path.iterdir())
    fold(plan_of(Case("stall", 3), TINY), YOUNG, tmp_path)
    assert len(quiet) == 8
    assert len(set(tmp_path.iterdir()) - quiet) == 1


def test_a_stalled_channel_is_scored(tmp_path: Path) -> None:
    found = judge(Case("stall", 3, stratum="small"), TINY, YOUNG, tmp_path)
    assert isinstance(found, Score)
    (fault,) = found.faults
    assert fault.per_day < 3
    assert fault.days_to_page is None or fault.pages >= 1
    assert len(rows([found])) == 1


@pytest.mark.bench
def test_early_warning() -> None:
    print(f"\n{HEAD}")
    for scenario in ("quiet", "stretch", "stall", "carrier"):
        found, _ = run(cases(scenario, (1,), 2), Size(40, 0.5), Params(), CACHE)
        print("\n".join(rows(found)))
        assert found
