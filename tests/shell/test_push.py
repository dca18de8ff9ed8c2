"""The table of carriers, pushed to a shipping system: signed, when it changes, for as long as it takes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator, FormatChecker
from made_events import write_lines
from made_lanes import BAD, GOOD, advice, offered, parcels
from receivers import Receiver

from monitor.cli.main import main
from monitor.push import message
from monitor.push.message import TYPE, SecretError, event, key_of
from monitor.push.pusher import FIRST_REST_S, LONGEST_REST_S, Pusher, PushError, known
from monitor.read.routing import routing_rows
from monitor.wire.carriers import CarriersPublished

ROOT = Path(__file__).resolve().parents[2]
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ROW = {"country": "RU", "product": "tablet", "carrier": "bravo", "share": 0.7, "valid_from": "a", "valid_to": "b"}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def pusher(receiver: Receiver, path: Path, clock: Clock, timeout_s: float = 5.0) -> Pusher:
    url = f"http://127.0.0.1:{receiver.port}/carriers"
    return Pusher(url, key_of(SECRET), path / "push.json", timeout_s, 86_400, clock)


def test_what_arrives_is_a_cloudevent_whose_signature_holds(tmp_path: Path) -> None:
    clock = Clock()
    with Receiver(200) as receiver:
        assert pusher(receiver, tmp_path, clock).offer([ROW], "2026-03-01T00:00:00Z")
    ((headers, body),) = receiver.requests
    said = json.loads(body)
    assert said["type"] == TYPE
    assert said["data"] == {"as_of": "2026-03-01T00:00:00Z", "rows": [ROW]}
    assert headers["Content-Type"] == "application/cloudevents+json"
    assert headers["webhook-id"] == said["id"]
    assert headers["webhook-timestamp"] == str(int(clock.now))
    signed = f"{said['id']}.{headers['webhook-timestamp']}.".encode() + body
    right = base64.b64encode(hmac.new(bytes(range(32)), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{right}"


def test_what_is_pushed_is_what_the_schema_says() -> None:
    schema = json.loads((ROOT / "schemas" / "carriers.published.v1.schema.json").read_text())
    lane = [*parcels(GOOD, BAD, days=50), offered("bravo", refuses=["battery"]), offered("alpha")]
    told = advice(lane, until=50.0)
    rows = routing_rows([told])
    assert {row["attribute"] for row in rows} == {"", "battery"}
    right = event(rows, told["as_of"], "channel-monitor")
    judge = Draft202012Validator(schema, format_checker=FormatChecker())
    judge.validate(right)
    judge.validate(message.test_event(1_800_000_000_000_000, "channel-monitor"))
    assert CarriersPublished.model_validate_json(json.dumps(right)).data.rows[0].carrier == "alpha"
    for field in rows[0]:
        damaged = event([{name: value for name, value in rows[0].items() if name != field}], told["as_of"], "x")
        assert not judge.is_valid(damaged), field


def test_it_is_sent_when_it_changes_and_once_a_day(tmp_path: Path) -> None:
    clock = Clock()
    with Receiver(200) as receiver:
        ours = pusher(receiver, tmp_path, clock)
        assert ours.offer([ROW], "1")
        assert not ours.offer([{**ROW, "valid_from": "later", "valid_to": "later still"}], "2")
        assert ours.offer([{**ROW, "share": 0.8}], "3")
        clock.now += 86_399
        assert not ours.offer([{**ROW, "share": 0.8}], "4")
        clock.now += 1
        assert ours.offer([{**ROW, "share": 0.8}], "5")
        assert not pusher(receiver, tmp_path, clock).offer([{**ROW, "share": 0.8}], "6")  # another run knows it
    assert len(receiver.taken) == 3


def test_what_does_not_arrive_is_tried_again_with_the_newest_table(tmp_path: Path) -> None:
    clock = Clock()
    with Receiver(503, 429, 200) as receiver:
        ours = pusher(receiver, tmp_path, clock)
        assert not ours.offer([ROW], "1")
        assert not ours.offer([ROW], "1")  # it rests
        clock.now += FIRST_REST_S
        assert not ours.offer([ROW], "1")
        clock.now += 2 * FIRST_REST_S
        assert ours.offer([{**ROW, "share": 0.9}], "2")
    assert [one["data"]["as_of"] for one in receiver.asked] == ["1", "1", "2"]
    assert receiver.asked[0]["id"] == receiver.asked[1]["id"] != receiver.asked[2]["id"]


@pytest.mark.parametrize("answer", [400, 401, 302, 410])
def test_a_refusal_is_an_error_and_is_tried_slowly(
    answer: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    with Receiver(answer, 200) as receiver:
        ours = pusher(receiver, tmp_path, clock)
        assert not ours.offer([ROW], "1")
        clock.now += LONGEST_REST_S - 1
        assert not ours.offer([ROW], "1")
        clock.now += 1
        assert ours.offer([ROW], "1")
    told = "".join(capfd.readouterr())
    assert f"it answered with status {answer}" in told
    assert str(receiver.port) not in told


def test_silence_and_absence_are_told_without_the_address(tmp_path: Path) -> None:
    clock = Clock()
    with Receiver("stall") as receiver:
        assert pusher(receiver, tmp_path, clock, 0.2).send(event([ROW], "1", "x")) == (
            "it did not answer in time",
            True,
        )
    assert pusher(receiver, tmp_path, clock).send(event([ROW], "1", "x")) == ("it cannot be reached", True)


def test_a_state_that_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "push.json").write_bytes(b"{")
    with Receiver(200) as receiver:
        with pytest.raises(PushError, match=r"cannot be read.*remove it"):
            pusher(receiver, tmp_path, Clock())
        ours = pusher(receiver, tmp_path / "nowhere", Clock())
        with pytest.raises(PushError, match="cannot be written"):
            ours.offer([ROW], "1")


def test_a_secret_must_be_long_enough_and_base64() -> None:
    with pytest.raises(SecretError, match="must be base64"):
        key_of("whsec_?")
    with pytest.raises(SecretError, match="it has 3 bytes"):
        key_of("whsec_YWJj")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with one lane on which a switch is advised, ended in time so that it is not old."""
    path = tmp_path_factory.mktemp("log")
    file = write_lines(path / "lane.jsonl", parcels(GOOD, BAD, days=60))
    CliRunner().invoke(main, ["ingest", str(file), "--history", "--data", str(path / "data")], catch_exceptions=False)
    return path / "data"


def cli(*arguments: Any, **environment: str) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], env=environment, prog_name="channel-monitor")


def variables(receiver: Receiver, secret: str = SECRET) -> dict[str, str]:
    url = f"http://127.0.0.1:{receiver.port}/t0ken"
    return {"CHANNEL_MONITOR_PUSH__URL": url, "CHANNEL_MONITOR_PUSH__SECRET": secret}


def test_the_command_says_what_is_missing(log: Path) -> None:
    result = cli("push", "--data", log)
    assert result.exit_code == 2
    assert "There is nobody to push to" in result.output
    with Receiver(200) as receiver:
        result = cli("push", "--data", log, **variables(receiver, "short"))
        assert result.exit_code == 2
        assert "push.secret" in result.output
        assert "t0ken" not in result.output


def test_a_test_is_sent_and_told(log: Path) -> None:
    with Receiver(200) as receiver:
        assert "The receiver took the test." in cli("push", "--test", "--data", log, **variables(receiver)).output
        assert receiver.taken[0]["data"]["test"]
        assert receiver.taken[0]["data"]["rows"] == []
        receiver.answers = [500]
        result = cli("push", "--test", "--data", log, **variables(receiver))
        assert result.exit_code == 1
        assert "did not take the test: it answered with status 500" in result.output


def test_check_tells_when_the_table_arrived_last(log: Path) -> None:
    with Receiver(200) as receiver:
        assert (
            "push: The table of carriers has not arrived yet."
            in cli("check", "--data", log, **variables(receiver)).output
        )
        assert "push" not in cli("check", "--data", log).output


def test_check_tells_that_a_table_waits_after_a_refusal_and_what_to_do(log: Path, tmp_path: Path) -> None:
    clock = Clock()
    with Receiver(503, 403, 200) as receiver:
        state = {"CHANNEL_MONITOR_PUSH__STATE": str(tmp_path / "push.json")}

        def told() -> tuple[bool, str]:
            found = json.loads(cli("check", "--json", "--data", log, **variables(receiver), **state).output)
            _, *waiting = [one for one in found if one["what"] == "push"]
            return (waiting[0]["ok"], waiting[0]["detail"]) if waiting else (True, "")

        clock.now = time.time()
        assert not pusher(receiver, tmp_path, clock).offer([ROW], "1")
        is_well, said = told()
        assert is_well  # it may pass by itself
        assert "waits for 0 min: it answered with status 503" in said
        clock.now -= 3.5 * 3_600
        (tmp_path / "push.json").unlink()
        assert not pusher(receiver, tmp_path, clock).offer([ROW], "1")
        is_well, said = told()
        assert not is_well
        assert "waits for 3 hours: it answered with status 403 (tried 1 time)" in said
        assert "push.secret" in said
        assert "t0ken" not in said
        assert pusher(receiver, tmp_path, clock).offer([ROW], "1")
        assert told() == (True, "")


def test_a_table_that_is_again_as_it_arrived_waits_no_more(tmp_path: Path) -> None:
    clock = Clock()
    with Receiver(200, 400) as receiver:
        ours = pusher(receiver, tmp_path, clock)
        assert ours.offer([ROW], "1")
        assert not ours.offer([{**ROW, "share": 0.9}], "2")
        assert known(tmp_path / "push.json").waiting is not None
        assert not ours.offer([ROW], "3")
        assert known(tmp_path / "push.json").waiting is None


@pytest.mark.slow
def test_the_process_pushes_what_the_monitor_advises_and_sends_again_what_was_in_doubt(
    log: Path, tmp_path: Path
) -> None:
    with Receiver("stall") as receiver:
        environment = {**os.environ, **variables(receiver), "CHANNEL_MONITOR_PUSH__STATE": str(tmp_path / "push.json")}
        command = [sys.executable, "-m", "monitor"]
        with subprocess.Popen([*command, "run", "--data", log, "--port", "0"], env=environment) as monitor:
            try:
                with subprocess.Popen([*command, "push", "--data", log], env=environment) as first:
                    wait_for(receiver.asked, 1)
                    first.send_signal(signal.SIGKILL)
                in_doubt = len(receiver.asked)
                receiver.answers = [200]
                with subprocess.Popen([*command, "push", "--data", log], env=environment) as second:
                    wait_for(receiver.taken, 1)
                    time.sleep(1.5)
                    second.send_signal(signal.SIGTERM)
                    assert second.wait(60) == 0
            finally:
                monitor.send_signal(signal.SIGTERM)
    assert len(receiver.asked) == in_doubt + 1  # and not once more
    assert receiver.asked[0]["type"] == TYPE


def wait_for(found: list[Any], least: int) -> None:
    """Until so many requests were seen, five minutes at most."""
    end = time.monotonic() + 300
    while len(found) < least:
        assert time.monotonic() < end, "the table was not pushed"
        time.sleep(0.05)
