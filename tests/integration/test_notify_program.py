"""``channel-monitor notify`` as it runs: from events in a log to messages in a chat, through a kill."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_logs import complained, registered
from killing import SOURCE, wait_until
from made_events import write_lines
from messages import days_ago, looked
from played import Played
from program import PROGRAM, verb
from receivers import Receiver

from monitor.core.params import DEFAULTS
from monitor.log.embedded import EmbeddedLog
from monitor.notify.queue import FILE_NAME, waiting_in

pytestmark = pytest.mark.slow
SECRET = "T0PSECRET"


def grave(number: int, days: float) -> dict[str, Any]:
    """A complaint of which one is enough for an incident, on a channel of its own."""
    return complained(f"C{number}", days_ago(days), parcel_id=f"P{number}", kind="counterfeit")


class Notified:
    """A log, a chat, and the program between them."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.folder, self.data, self.receiver = folder, folder / "data", receiver
        sinks = folder / "sinks"
        sinks.write_text(f"ops zh-CN json://127.0.0.1:{receiver.port}/{SECRET}\n")
        self.env = {
            "CHANNEL_MONITOR_NOTIFY__SINKS_FILE": str(sinks),
            "CHANNEL_MONITOR_NOTIFY__DIGEST_S": "0",
            "CHANNEL_MONITOR_NOTIFY__TIMEOUT_S": "1",
            "CHANNEL_MONITOR_LOGGING__LEVEL": "debug",
        }
        self.errors = folder / "errors"
        self.process: subprocess.Popen[bytes] | None = None

    def know(self, *events: dict[str, Any]) -> None:
        """Put events into the log, and fold them."""
        verb("ingest", "--history", write_lines(self.folder / "e.jsonl", events), "--data", self.data)
        with EmbeddedLog.open(self.data, create=False) as log:
            Played(log, DEFAULTS).fold_all()

    def start(self) -> None:
        """Start the program, and wait until it has looked for the first time."""
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [*PROGRAM, "notify", "--data", str(self.data)],
                stdout=errors,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": SOURCE, **self.env},
            )

    def end(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[Callable[[Receiver], Notified]]:
    made: list[Notified] = []

    def make(receiver: Receiver) -> Notified:
        made.append(Notified(tmp_path, receiver))
        parcels = [registered(f"P{n}", days_ago(5), product=f"product {n}") for n in range(3)]
        made[-1].know(*parcels, registered("P9", days_ago(3)))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def test_an_incident_arrives_once_and_the_secret_nowhere(notified: Callable[[Receiver], Notified]) -> None:
    with Receiver(429, 200) as receiver:
        one = notified(receiver)
        one.know(grave(0, 2.0), registered("P10", days_ago(1.7)))
        one.start()
        wait_until(lambda: (one.data / FILE_NAME).exists(), "the queue", 30)
        wait_until(lambda: looked(one.data / FILE_NAME), "the first look", 30)
        one.know(grave(1, 1.5), registered("P11", days_ago(1.1)))
        (message,) = receiver.wait(1)
        assert message["title"].startswith("渠道监控｜新事件：")
        assert "product 1" in message["message"]
        assert "product 0" not in json.dumps(receiver.asked, ensure_ascii=False)  # it was there before
        assert len(receiver.asked) == 2  # the first was refused
        wait_until(lambda: waiting_in(one.data / FILE_NAME) == {}, "nothing that waits", 30)
        assert one.end() == 0
        said = one.errors.read_text()
        assert "message_sent" in said
        assert "refused with status 429" in said
        assert SECRET not in said
        assert SECRET not in (one.data / FILE_NAME).read_bytes().decode("latin-1")


def test_a_kill_while_the_far_side_is_silent_repeats_the_message_and_says_so(
    notified: Callable[[Receiver], Notified],
) -> None:
    with Receiver("stall", 200) as receiver:
        one = notified(receiver)
        one.env["CHANNEL_MONITOR_NOTIFY__TIMEOUT_S"] = "60"
        one.start()
        wait_until(lambda: looked(one.data / FILE_NAME), "the first look", 30)
        one.know(grave(1, 1.5), registered("P11", days_ago(1.1)))
        wait_until(lambda: receiver.asked, "the message on its way", 30)
        assert one.process is not None
        one.process.kill()
        one.process.wait()
        assert waiting_in(one.data / FILE_NAME) == {"ops": 1}
        one.start()
        (message,) = receiver.wait(1)
        assert message["message"].startswith("本消息可能重复")
        assert message["title"] == receiver.asked[0]["title"]
        assert one.end() == 0


def test_check_and_a_test_message_try_the_sinks(notified: Callable[[Receiver], Notified]) -> None:
    with Receiver(200, 500) as receiver:
        one = notified(receiver)
        free = {**one.env, "CHANNEL_MONITOR_WEB__PORT": "0"}
        assert "ok    messages: 1 sink: ops." in verb("check", "--data", one.data, env=free)
        assert verb("notify", "--test", "--data", one.data, env=one.env) == "ops: sent\n"
        assert receiver.taken[0]["title"] == "渠道监控｜测试消息"
        told = verb("notify", "--test", "--data", one.data, env=one.env, exit_code=1)
        assert told == "ops: refused with status 500\n"
        (one.folder / "sinks").write_text(f"ops zh-CN nonsense://{SECRET}\n")
        told = verb("check", "--data", one.data, env=free, exit_code=1)
        assert "FAIL  messages: sink ops: Apprise knows no service for its URL" in told
        assert SECRET not in told
    verb("notify", "--data", one.data, exit_code=2)  # nobody to notify
