"""Advice in the real program: each change goes out once to the topic, and the state is that of a replay."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from made_events import write_lines
from made_lanes import BAD, GOOD, START, event, offered, parcels
from program import Run, assert_equals_replay, verb

from monitor.core.events import to_us
from monitor.core.vocabulary import DAY_US
from monitor.log.embedded import EmbeddedLog
from monitor.log.topics import RECOMMENDATIONS

CLOCKED = (sys.executable, str(Path(__file__).with_name("clocked.py")))
SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "recommendation.schema.json"


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.kill()


def test_each_change_of_advice_goes_out_and_an_answer_and_the_end_of_a_lane_with_it(
    tmp_path: Path, runs: list[Run]
) -> None:
    data = tmp_path / "data"
    lane = [*parcels(BAD, GOOD, days=50), offered("bravo")]
    verb("ingest", write_lines(tmp_path / "lane.jsonl", lane), "--history", "--data", data)
    (now,) = json.loads(verb("recommend", "--json", "--data", data))
    id_ = now["recommendation_id"]
    answer = event("decision.recorded", id_, 49.9, {"target": id_, "what": "accept", "by": "Li"})
    verb("ingest", write_lines(tmp_path / "answer.jsonl", [answer]), "--history", "--data", data)
    for day in (51, 95):  # a day, and forty and more after the last parcel
        run = Run(data, command=CLOCKED, env={"CLOCK": f"{to_us(START) + day * DAY_US} 0 0"})
        runs.append(run)
        run.wait_folded()
        run.stop()
    assert_equals_replay(data, tmp_path / "compared")
    with EmbeddedLog.open(data, read_only=True) as log:
        sent: list[dict[str, Any]] = [json.loads(record.value) for record in log.scan(RECOMMENDATIONS, 0)]
        keys = [record.key for record in log.scan(RECOMMENDATIONS, 0)]
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert all(validator.is_valid(one) for one in sent)
    assert keys == [one["recommendation_id"].encode() for one in sent]
    assert [one["tick"] for one in sent] == sorted(one["tick"] for one in sent)
    assert len({(one["recommendation_id"], one["revision"]) for one in sent}) == len(sent)
    *_, before, answered, last = sent
    assert [before["decision"], answered["decision"], last["decision"]] == ["switch", "switch", "insufficient_data"]
    assert [before["answer"], answered["answer"]] == [None, "accept"]
    assert [one["ended"] for one in sent] == [False] * (len(sent) - 1) + [True]
    assert (last["lane"], last["share_to_move"], last["to_carrier"]) == (now["lane"], 0.0, None)
    assert json.loads(verb("recommend", "--json", "--data", data)) == []
