"""Settings: where they come from, which wins, and what a person is told when they are wrong."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest

from monitor.core.params import DEFAULTS, Params, numbers
from monitor.settings import CONFIG_VARIABLE, ConfigError, load_settings
from monitor.settings_docs import markdown
from monitor.settings_model import PREFIX, WebSection, describe
from monitor.web.settings import WebSettings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours is set, and no settings file lies in the working directory."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "settings.toml") -> Path:
    file = Path(name)
    file.write_text(text, encoding="utf-8")
    return file


def problems(config: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(config)
    return caught.value.problems


def test_without_file_and_variables_all_settings_have_their_defaults() -> None:
    settings = load_settings()
    assert settings.params() == DEFAULTS
    assert (settings.web.host, settings.web.port, settings.web.token()) == ("127.0.0.1", 8080, None)
    assert settings.log.partitions == 4


def test_environment_wins_over_file_and_file_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("[detection]\npage_ln_m = 20\nticket_ln_m = 9\n[web]\nport = 9000\n")
    monkeypatch.setenv("CHANNEL_MONITOR_DETECTION__PAGE_LN_M", "30")
    settings = load_settings(file)
    assert settings.params() == Params(page_ln_m=30.0, ticket_ln_m=9.0)
    assert settings.web.port == 9000


def test_the_file_is_the_one_named_else_that_of_the_variable_else_the_one_lying_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("[web]\nport = 1\n", "channel-monitor.toml")
    assert load_settings().web.port == 1
    monkeypatch.setenv(CONFIG_VARIABLE, str(write("[web]\nport = 2\n", "two.toml")))
    assert load_settings().web.port == 2
    assert load_settings(write("[web]\nport = 3\n", "three.toml")).web.port == 3


def test_detection_has_exactly_the_parameters_of_the_folds_with_their_bounds_and_texts() -> None:
    shown = {s.name: s for s in describe() if s.section == "detection"}
    assert list(shown) == [spec.name for spec in numbers()]
    for spec in numbers():
        assert shown[spec.name].text == spec.metadata["text"]
        assert shown[spec.name].bounds.endswith(f"from {spec.metadata['low']} to {spec.metadata['high']}")


def test_the_page_started_by_hand_has_the_defaults_of_the_settings() -> None:
    ours = WebSection()
    theirs = WebSettings()
    common = {spec.name for spec in fields(WebSettings)} & set(WebSection.model_fields)
    assert {"host", "port", "timezone", "page_size"} <= common
    assert [name for name in sorted(common) if getattr(ours, name) != getattr(theirs, name)] == []


@pytest.mark.parametrize("spec", numbers(), ids=lambda spec: spec.name)
def test_a_parameter_beyond_its_bound_is_refused(spec, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"CHANNEL_MONITOR_DETECTION__{spec.name.upper()}"
    monkeypatch.setenv(variable, str(spec.metadata["high"] + 1))
    (sentence,) = problems()
    for part in (f"detection.{spec.name}", str(spec.metadata["high"] + 1), f"{spec.metadata['high']}", variable):
        assert part in sentence


def test_a_value_equal_to_its_default_leaves_the_written_parameters_as_they_are() -> None:
    params = load_settings(write("[detection]\nlateness_days = 60.0\npage_ln_m = 8.6\n")).params()
    assert repr(params.as_dict()) == repr(DEFAULTS.as_dict())


def test_an_error_names_key_value_bound_and_the_file() -> None:
    assert problems(write("[log]\npartitions = 3\n")) == [
        "log.partitions is 3; it must be a whole number from 4 to 64 (file settings.toml)"
    ]


def test_an_error_names_the_variable_that_caused_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNEL_MONITOR_WEB__PORT", "http")
    assert problems(write("[web]\nport = 80\n")) == [
        "web.port is 'http'; it must be a whole number from 0 to 65535 (environment variable CHANNEL_MONITOR_WEB__PORT)"
    ]


def test_all_errors_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNEL_MONITOR_LIVE__WATCHDOG_S", "0")
    monkeypatch.setenv("CHANNEL_MONITOR_LOG__PARTITION", "8")
    told = problems(write("colour = 'red'\n[web]\npage_size = 0\n[logging]\nlevel = 'loud'\n"))
    assert [sentence.split()[0] for sentence in told] == [
        "colour",
        "CHANNEL_MONITOR_LOG__PARTITION",
        "live.watchdog_s",
        "web.page_size",
        "logging.level",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[detection]\npage_lnm = 9",
            "detection.page_lnm is no setting (file settings.toml); did you mean detection.page_ln_m?",
        ),
        (
            "[detecton]\npage_ln_m = 9",
            "detecton is no section of the settings (file settings.toml); did you mean detection?",
        ),
        ("port = 9", "port is no section of the settings (file settings.toml); did you mean web.port?"),
        ("web = 9", "web is 9; it must be a table, written [web] (file settings.toml)"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(text: str, said: str) -> None:
    assert problems(write(text)) == [said]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CHANNEL_MONITOR_WEB__PROT", "CHANNEL_MONITOR_WEB__PORT"),
        ("CHANNEL_MONITOR_WEB_HOST", "CHANNEL_MONITOR_WEB__HOST"),
        ("CHANNEL_MONITOR_CONFIGURATION", "CHANNEL_MONITOR_CONFIG"),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_the_nearest(
    name: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    assert problems() == [f"{name} is no setting (environment variable); did you mean {nearest}?"]


def test_a_section_given_as_one_variable_is_an_unknown_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNEL_MONITOR_WEB", "port=9")
    (sentence,) = problems()
    assert sentence.startswith("CHANNEL_MONITOR_WEB is no setting")


def test_variables_that_kubernetes_sets_beside_a_service_of_this_name_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"):
        monkeypatch.setenv(PREFIX + name, "tcp://10.0.0.1:8080")
    assert load_settings().web.port == 8080


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNEL_MONITOR_WEB__PORT", "")
    assert load_settings(write("[web]\nport = 81\n")).web.port == 81


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tick_hours = 5", "tick_hours is 5; it must divide 24"),
        ("ticket_ln_m = 13.0", "ticket_ln_m (13.0) must not exceed page_ln_m (8.6)"),
    ],
)
def test_the_rules_between_parameters_hold_for_settings_too(text: str, said: str) -> None:
    (sentence,) = problems(write(f"[detection]\n{text}\n"))
    assert sentence.startswith(f"detection: {said} (")
    assert "file settings.toml" in sentence


@pytest.mark.parametrize(
    "text", ["[log]\npartitions = true", "[detection]\nmargin = nan", "[detection]\nmin_sample = 30.5"]
)
def test_what_is_no_proper_number_is_refused(text: str) -> None:
    assert "number from" in problems(write(text))[0]


def test_the_time_zone_must_exist_and_the_nearest_is_named() -> None:
    assert load_settings(write('[web]\ntimezone = "Asia/Shanghai"')).web.timezone == "Asia/Shanghai"
    (sentence,) = problems(write('[web]\ntimezone = "Asia/Shangai"'))
    assert "web.timezone is 'Asia/Shangai'" in sentence
    assert "did you mean Asia/Shanghai?" in sentence


def test_the_access_token_comes_from_variable_or_file(monkeypatch: pytest.MonkeyPatch) -> None:
    token_file = write("from-file\n", "token")
    assert load_settings(write(f"[web]\naccess_token_file = '{token_file}'")).web.token() == "from-file"
    monkeypatch.setenv("CHANNEL_MONITOR_WEB__ACCESS_TOKEN", "from-variable")
    assert load_settings().web.token() == "from-variable"
    assert problems(Path("settings.toml")) == [
        "web: give access_token or access_token_file, not both "
        "(environment variable CHANNEL_MONITOR_WEB__ACCESS_TOKEN, file settings.toml)"
    ]


@pytest.mark.parametrize(("made", "said"), [(False, "No such file"), (True, "holds nothing")])
def test_a_token_file_that_is_missing_or_empty_is_told(made: bool, said: str) -> None:
    if made:
        write("\n", "token")
    settings = load_settings(write("[web]\naccess_token_file = 'token'"))
    with pytest.raises(ConfigError, match=f"web.access_token_file: token.*{said}"):
        settings.web.token()


def test_a_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNEL_MONITOR_WEB__ACCESS_TOKEN", "hush-hush")
    assert "hush" not in repr(load_settings())
    monkeypatch.delenv("CHANNEL_MONITOR_WEB__ACCESS_TOKEN")
    (sentence,) = problems(write("[web]\naccess_token = 4711471147114711\n"))
    assert "4711" not in sentence


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file or directory"), (b"[web\n", "is not valid TOML"), (b"\xff\xfe", "is not UTF-8")],
)
def test_a_file_that_cannot_be_read_is_told_with_the_reason(content: bytes | None, said: str) -> None:
    file = Path("mine.toml")
    if content is not None:
        file.write_bytes(content)
    (sentence,) = problems(file)
    assert "mine.toml" in sentence
    assert said in sentence


def test_the_page_of_settings_is_up_to_date() -> None:
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == markdown(), "run `make docs`"


def test_the_password_of_the_brokers_comes_from_variable_or_file_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings().kafka.secret() is None
    write("from-file\nrest\n", "password")
    config = write("[kafka]\npassword_file = 'password'\n")
    assert load_settings(config).kafka.secret() == "from-file"
    monkeypatch.setenv("CHANNEL_MONITOR_KAFKA__PASSWORD", "from-variable")
    assert load_settings().kafka.secret() == "from-variable"
    assert "from-variable" not in repr(load_settings())
    (sentence,) = problems(config)
    assert sentence.startswith("kafka: give password or password_file, not both")
    monkeypatch.delenv("CHANNEL_MONITOR_KAFKA__PASSWORD")
    (sentence,) = problems(write("[kafka]\npassword = 4711\n"))
    assert "4711" not in sentence
    with pytest.raises(ConfigError, match=r"kafka\.password_file: absent: No such file"):
        load_settings(write("[kafka]\npassword_file = 'absent'\n")).kafka.secret()


def test_a_certificate_needs_its_key() -> None:
    (sentence,) = problems(write("[kafka]\nssl_keyfile = 'key.pem'\n"))
    assert "give ssl_certfile and ssl_keyfile together" in sentence
