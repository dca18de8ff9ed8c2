"""Advice in the real program: each change goes out once to the topic, and the state is that of a replay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from made_events import write_lines
from made_lanes import BAD, GOOD, event, offered, parcels
from program import Run, assert_equals_replay, verb

from monitor.log.embedded import EmbeddedLog
from monitor.log.topics import RECOMMENDATIONS

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "recommendation.schema.json"


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.kill()


def test_each_change_of_advice_goes_out_and_an_answer_with_it(tmp_path: Path, runs: list[Run]) -> None:
    data = tmp_path / "data"
    lane = [*parcels(BAD, GOOD, days=50), offered("bravo")]
    verb("ingest", write_lines(tmp_path / "lane.jsonl", lane), "--history", "--data", data)
    (now,) = json.loads(verb("recommend", "--json", "--data", data))
    id_ = now["recommendation_id"]
    answer = event("decision.recorded", id_, 49.9, {"target": id_, "what": "accept", "by": "Li"})
    verb("ingest", write_lines(tmp_path / "answer.jsonl", [answer]), "--history", "--data", data)
    runs.append(Run(data))
    runs[0].wait_folded()
    runs[0].stop()
    assert_equals_replay(data, tmp_path / "compared")
    with EmbeddedLog.open(data, read_only=True) as log:
        sent: list[dict[str, Any]] = [json.loads(record.value) for record in log.scan(RECOMMENDATIONS, 0)]
        keys = [record.key for record in log.scan(RECOMMENDATIONS, 0)]
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert all(validator.is_valid(one) for one in sent)
    assert keys == [one["recommendation_id"].encode() for one in sent]
    assert [one["tick"] for one in sent] == sorted(one["tick"] for one in sent)
    assert len({(one["recommendation_id"], one["revision"]) for one in sent}) == len(sent)
    assert [one["decision"] for one in sent][-2:] == ["switch", "switch"]
    assert [one["answer"] for one in sent][-2:] == [None, "accept"]
