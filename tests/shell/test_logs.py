"""Log lines: one form for ours and the libraries', readable or JSON, on stderr, without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from monitor.cli.logs import configure
from monitor.live.faust_app import make_app


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_a_decision_is_one_json_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", as_json=True)
    structlog.get_logger("monitor.live").info("incident opened", incident_id="a1", channel="RU|tablet|邮政")
    out, err = capsys.readouterr()
    assert out == ""
    line = json.loads(err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "incident opened",
        "level": "info",
        "logger": "monitor.live",
        "incident_id": "a1",
        "channel": "RU|tablet|邮政",
    }


def test_what_a_library_logs_has_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", as_json=True)
    logging.getLogger("faust.app").warning("lost %d partitions", 2)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["logger"]) == ("lost 2 partitions", "warning", "faust.app")


def test_what_the_clients_warn_of_is_said_once_when_an_app_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", as_json=True)
    make_app("workers")
    logging.getLogger("aiokafka.consumer.group_coordinator").warning("Heartbeat failed for group %s", "workers")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "Heartbeat failed for group workers"


def test_clients_that_say_the_same_many_times_are_heard_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", as_json=True)
    for number in range(50):
        logging.getLogger("aiokafka").error("Unable to connect to node %s", number)
        logging.getLogger("monitor.log.kafka.librdkafka").error("%s [%s] %s", "FAIL", f"client-{number}", "refused")
    logging.getLogger("monitor.log.kafka.librdkafka").error("%s [%s] %s", "FATAL", "client-1", "fenced")
    structlog.get_logger("monitor.live.engine").info("shards_held")
    structlog.get_logger("monitor.live.engine").info("shards_held")
    said = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "Unable to connect to node 0",
        "FAIL [client-0] refused",
        "FATAL [client-1] fenced",
        "shards_held",
        "shards_held",
    ]


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning")
    structlog.get_logger("monitor").info("quiet")
    configure("info")
    logging.getLogger("faust.app").info("rebalanced")  # talkative libraries only warn, unless at debug
    assert capsys.readouterr().err == ""
    configure("debug")
    logging.getLogger("faust.app").debug("rebalanced")
    assert "rebalanced" in capsys.readouterr().err


def test_a_level_given_again_counts_for_loggers_already_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    log = structlog.get_logger("monitor")
    configure("warning")
    log.info("first")
    configure("info")
    log.info("second")
    err = capsys.readouterr().err
    assert "second" in err
    assert "first" not in err


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_and_local_variables_stay_out_of_the_log(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", as_json=as_json)
    customer = "hush-hush".upper()
    try:
        raise ValueError(len(customer))
    except ValueError:
        structlog.get_logger("monitor").exception("failed", access_token=customer, Authorization=customer)
    err = capsys.readouterr().err
    assert "ValueError: 9" in err
    assert "HUSH" not in err
