"""Where the log is: one directory or one cluster, told by an option or by the settings, and named again in messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli.main import main
from monitor.cli.places import Place, kafka_settings, opened, opened_directory
from monitor.log.embedded import EmbeddedLog
from monitor.settings import Settings, load_settings

BROKER = "kafka://one:9092,two:9093"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), prog_name="channel-monitor")


def settings(**log: str) -> Settings:
    lines = [f"{name} = {value!r}" for name, value in log.items()]
    Path("channel-monitor.toml").write_text("\n".join(["[log]", *lines]), encoding="utf-8")
    return load_settings()


@pytest.mark.parametrize(
    ("place", "log", "broker", "directory"),
    [
        (Place(), {}, None, "data"),
        (Place(), {"data": "elsewhere"}, None, "elsewhere"),
        (Place(), {"broker": BROKER, "data": "elsewhere"}, BROKER, "elsewhere"),
        (Place(data=Path("mine")), {}, None, "mine"),
        (Place(data=Path("mine")), {"broker": BROKER}, None, "mine"),
        (Place(broker="kafka://three"), {"broker": BROKER, "data": "elsewhere"}, "kafka://three", "elsewhere"),
    ],
)
def test_an_option_wins_over_the_settings_and_brokers_over_a_directory(
    place: Place, log: dict[str, str], broker: str | None, directory: str
) -> None:
    ours = settings(**log)
    assert place.broker_of(ours) == broker
    assert place.directory_of(ours) == Path(directory)


@pytest.mark.parametrize(
    ("place", "log", "option"),
    [
        (Place(), {}, "--data data"),
        (Place(), {"broker": BROKER}, f"--broker {BROKER}"),
        (Place(data=Path("my log")), {"broker": BROKER}, "--data my log"),
        (Place(broker=BROKER), {}, f"--broker {BROKER}"),
    ],
)
def test_a_message_names_the_place_by_the_option_that_leads_there(
    place: Place, log: dict[str, str], option: str
) -> None:
    ours = settings(**log)
    assert place.option_of(ours) == option
    assert place.name_of(ours) == option.split(" ", 1)[1]


@pytest.mark.parametrize(
    "verb",
    [
        ["run"],
        ["ingest", "events.jsonl"],
        ["export", "events", "--out", "out.jsonl"],
        ["channels"],
        ["incidents"],
        ["watchlist"],
        ["explain", "P1"],
        ["act", "P1", "mute"],
        ["check"],
        ["dead-letters", "list"],
        ["dead-letters", "replay"],
    ],
    ids=" ".join,
)
def test_both_options_are_wrong_use(verb: list[str]) -> None:
    Path("events.jsonl").write_text("", encoding="utf-8")
    result = run(*verb, "--data", "data", "--broker", BROKER)
    assert result.exit_code == 2
    assert "--data and --broker name two logs; give one of them." in result.stderr
    assert not Path("data").exists()


def test_a_url_that_names_no_brokers_is_wrong_use() -> None:
    result = run("channels", "--broker", "http://one:9092")
    assert result.exit_code == 2
    assert "given as kafka://host:port,host2:port, not as http://" in result.stderr


def test_the_brokers_are_reached_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("password").write_text("s3cret\nrest\n", encoding="utf-8")
    Path("channel-monitor.toml").write_text(
        '[kafka]\ntopic_prefix = "shop-"\nsecurity_protocol = "SASL_PLAINTEXT"\nusername = "monitor"\n'
        'password_file = "password"\nreplication = 2\ntimeout_s = 7\n',
        encoding="utf-8",
    )
    found = kafka_settings(load_settings(), BROKER)
    assert found.name == f"{BROKER}/shop-"
    assert (found.username, found.password, found.replication, found.timeout_s) == ("monitor", "s3cret", 2, 7)
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize("role", ["worker", "web"])
def test_a_role_is_for_brokers_only(role: str) -> None:
    result = run("run", "--role", role, "--data", "data")
    assert result.exit_code == 2
    assert f"--role {role} is for several programs on one Kafka: give --broker too." in result.stderr
    assert not Path("data").exists()


def test_a_directory_without_a_log_is_named_and_not_made(tmp_path: Path) -> None:
    result = run("channels", "--data", "nowhere")
    assert result.exit_code == 2
    assert "There is no event log in nowhere; name its directory with --data." in result.stderr
    assert not Path("nowhere").exists()


def test_a_log_that_is_made_has_the_partitions_of_the_settings_and_keeps_them() -> None:
    ours = settings(partitions=6)  # type: ignore[arg-type]
    with opened(ours, Place(data=Path("log")), create=True) as log:
        assert isinstance(log, EmbeddedLog)
        assert log.partitions == 6
    with opened_directory(settings(partitions=9), Path("log"), create=True) as log:  # type: ignore[arg-type]
        assert log.partitions == 6
