"""Settings, and the only reader of the environment.

Sources, the later wins: built-in defaults, a TOML file, environment variables. The file is the one named by
``--config``, else by ``CHANNEL_MONITOR_CONFIG``, else ``./channel-monitor.toml`` if it is there. The variable of the
key ``page_ln_m`` in the table ``[detection]`` is ``CHANNEL_MONITOR_DETECTION__PAGE_LN_M``.

Nothing wrong is passed over: an unknown key, a value out of its bound and a file that cannot be read are each told
in one sentence with the key, the value, the bound and the source, all of them at once (:class:`ConfigError`).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariable

from monitor.core.params import Params, numbers
from monitor.settings_model import (
    PREFIX,
    SECTIONS,
    ConfigError,
    Detection,
    KafkaSection,
    LiveSection,
    LoggingSection,
    LogSection,
    NotifySection,
    PushSection,
    Setting,
    WebSection,
    describe,
    nearest,
    why_unreadable,
)
from monitor.settings_switch import SwitchSection

__all__ = ["CONFIG_VARIABLE", "ConfigError", "Settings", "load_settings"]

CONFIG_VARIABLE: Final = PREFIX + "CONFIG"
DEFAULT_FILE: Final = Path("channel-monitor.toml")

# Kubernetes sets these in every pod beside a Service named channel-monitor; they are none of ours.
_KUBERNETES: Final = re.compile(PREFIX + r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")


class Settings(BaseSettings):
    """All settings, checked and frozen. Made by :func:`load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,  # an empty variable is how compose files say "not set"
        extra="forbid",
        frozen=True,
    )

    detection: Detection = Field(default_factory=Detection)
    switch: SwitchSection = Field(default_factory=SwitchSection)
    log: LogSection = Field(default_factory=LogSection)
    kafka: KafkaSection = Field(default_factory=KafkaSection)
    live: LiveSection = Field(default_factory=LiveSection)
    web: WebSection = Field(default_factory=WebSection)
    notify: NotifySection = Field(default_factory=NotifySection)
    push: PushSection = Field(default_factory=PushSection)
    logging: LoggingSection = Field(default_factory=LoggingSection)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over what :func:`load_settings` read from the file."""
        return env_settings, init_settings

    def params(self) -> Params:
        """The parameters of the folds. A value equal to its default is the default itself: 60, not 60.0,
        so that what is written of the parameters is the same however they were set.
        """
        values: dict[str, Any] = self.detection.model_dump()
        for spec in numbers():
            if values[spec.name] == spec.default:
                values[spec.name] = spec.default
        return Params(**values, switch=self.switch.terms())


def load_settings(config: Path | None = None) -> Settings:
    """The settings from ``config`` (a TOML file; see the module's text for the default) and the environment.

    Raises :class:`ConfigError` with one sentence for every fault.
    """
    file, values = _read_file(config)
    problems = [*_unknown_in_file(file, values), *_unknown_variables(os.environ)]
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems += [
            _sentence(detail, file, values)
            for detail in error.errors(include_url=False)
            if detail["type"] != "extra_forbidden"  # told above, with the nearest known name
        ]
    except UnreadableVariable as error:  # a whole section given as one variable, which is an unknown variable
        problems = problems or [f"{error}."]
    else:
        if not problems:
            return settings
    raise ConfigError(problems)


def _read_file(config: Path | None) -> tuple[Path | None, dict[str, Any]]:
    if config is None and os.environ.get(CONFIG_VARIABLE):
        config = Path(os.environ[CONFIG_VARIABLE])
    if config is None and DEFAULT_FILE.exists():
        config = DEFAULT_FILE
    if config is None:
        return None, {}
    try:
        return config, tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"The settings cannot be read: {why_unreadable(error, config)}."]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{config} is not valid TOML: {error}."]) from None


def _unknown_in_file(file: Path | None, values: dict[str, Any]) -> list[str]:
    """Sentences for keys that are no settings. Sections that cannot be understood are taken out of ``values``."""
    keys = {setting.key for setting in describe()}
    problems = []
    for section, table in list(values.items()):
        if section not in SECTIONS:
            inside = {key.split(".")[1]: key for key in keys}
            hint = f"; did you mean {inside[section]}?" if section in inside else nearest(section, SECTIONS)
            problems.append(f"{section} is no section of the settings (file {file}){hint}")
            del values[section]
        elif not isinstance(table, dict):
            problems.append(f"{section} is {table!r}; it must be a table, written [{section}] (file {file})")
            del values[section]
        else:
            unknown = [f"{section}.{name}" for name in table if f"{section}.{name}" not in keys]
            problems += [f"{key} is no setting (file {file}){nearest(key, keys)}" for key in unknown]
    return problems


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = {setting.variable for setting in describe()} | {CONFIG_VARIABLE}
    unknown = sorted(
        name
        for name in environ
        if name.upper().startswith(PREFIX) and name.upper() not in known and not _KUBERNETES.fullmatch(name)
    )
    return [f"{name} is no setting (environment variable){nearest(name, known)}" for name in unknown]


def _sentence(error: ErrorDetails, file: Path | None, values: dict[str, Any]) -> str:
    """One fault: key, value, bound, source. The values of secrets are not shown."""
    section, *rest = (str(part) for part in error["loc"])
    settings = {setting.name: setting for setting in describe() if setting.section == section}
    if not rest:  # a rule between settings of one section
        text = error["msg"].removeprefix("Value error, ")
        sources = [_source(s, file, values) for s in settings.values() if re.search(rf"\b{s.name}\b", text)]
        return f"{section}: {text} ({', '.join(dict.fromkeys(sources))})"
    setting = settings[rest[0]]
    secret = any(word in setting.name for word in ("token", "password", "sinks"))
    shown = "set" if secret else repr(error["input"])
    hint = error.get("ctx", {}).get("hint", "")
    return f"{setting.key} is {shown}; it must be {setting.bounds} ({_source(setting, file, values)}){hint}"


def _source(setting: Setting, file: Path | None, values: dict[str, Any]) -> str:
    if any(name.upper() == setting.variable and value for name, value in os.environ.items()):
        return f"environment variable {setting.variable}"
    return f"file {file}" if setting.name in values.get(setting.section, {}) else "default"
