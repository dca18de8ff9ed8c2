"""What settings there are: one model a section, with default, bounds and text of every key.

The environment and the file are read elsewhere (:mod:`monitor.settings`); nothing here looks outside.
"""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from monitor.core.params import Params, numbers
from monitor.settings_switch import IN_WORDS, SwitchSection, no_bool

PREFIX: Final = "CHANNEL_MONITOR_"


class ConfigError(ValueError):
    """The settings are wrong. ``problems`` holds one sentence for each fault; the message is all of them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def why_unreadable(error: OSError | UnicodeDecodeError, file: Path) -> str:
    """In words, why ``file`` could not be read."""
    return f"{file} is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"{file}: {error.strerror}"


def first_line(key: str, file: Path) -> str:
    """The secret in the first line of ``file``. Raises :class:`ConfigError`; ``key`` is the setting that names it."""
    try:
        line = file.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{key}: {why_unreadable(error, file)}."]) from None
    if not line:
        raise ConfigError([f"{key}: {file} holds nothing in its first line."])
    return line


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint in words, or nothing when no known name is near."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(known)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


Whole = Annotated[int, BeforeValidator(no_bool)]
Number = Annotated[float, BeforeValidator(no_bool)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class _Detection(_Section):
    """``[detection]``: the parameters of the folds."""

    @model_validator(mode="after")
    def _agree(self) -> _Detection:
        Params(**self.model_dump())  # the rules between parameters stand there
        return self


def _detection_fields() -> dict[str, Any]:
    """The fields of :class:`Params` with its defaults, bounds and texts, so that they stand in one place."""
    hints = get_type_hints(Params)
    found: dict[str, Any] = {}
    for spec in numbers():
        bounds = {"ge": spec.metadata["low"], "le": spec.metadata["high"]}
        kind = Whole if hints[spec.name] is int else Number
        found[spec.name] = (kind, Field(default=spec.default, description=spec.metadata["text"], **bounds))
    return found


if TYPE_CHECKING:
    Detection = _Detection
else:
    Detection = create_model("Detection", __base__=_Detection, **_detection_fields())


class LogSection(_Section):
    """``[log]``: where the log is."""

    broker: str | None = Field(
        None, description="Kafka as kafka://host:9092,host:9092; without it the log is embedded, in log.data"
    )
    data: Path = Field(Path("data"), description="directory of the embedded log; relative to the working directory")
    partitions: Whole = Field(4, ge=4, le=64, description="partitions of the topic events; fixed when a log is created")


class KafkaSection(_Section):
    """``[kafka]``: how the brokers of ``log.broker`` are used."""

    topic_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]{0,60}$", description="put before the name of every topic, group and transaction"
    )
    replication: Whole = Field(
        0, ge=0, le=9, description="copies of each topic when it is created; 0: three, or fewer on fewer brokers"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to speak with the brokers"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="how to log in, with SASL"
    )
    username: str | None = Field(None, description="user to log in as, with SASL")
    password: SecretStr | None = Field(None, description="its password; better set by variable or file")
    password_file: Path | None = Field(None, description="file that holds the password (its first line)")
    ssl_cafile: Path | None = Field(
        None, description="certificates (PEM) that the brokers' is checked against; none: the system's"
    )
    ssl_certfile: Path | None = Field(None, description="certificate (PEM) to show to the brokers")
    ssl_keyfile: Path | None = Field(None, description="its private key (PEM)")
    timeout_s: Number = Field(30.0, ge=1, le=600, description="seconds after which brokers count as out of reach")
    session_timeout_s: Number = Field(
        30.0, ge=6, le=1_800, description="seconds without a sign of life after which a worker's partitions move"
    )

    @model_validator(mode="after")
    def _one_password(self) -> KafkaSection:
        if self.password is not None and self.password_file is not None:
            raise PydanticCustomError("token", "give password or password_file, not both")
        if (self.ssl_keyfile is None) != (self.ssl_certfile is None):
            raise PydanticCustomError("pair", "give ssl_certfile and ssl_keyfile together")
        return self

    def secret(self) -> str | None:
        """The password, from the setting or its file; None when there is none. Raises :class:`ConfigError`."""
        if self.password_file is not None:
            return first_line("kafka.password_file", self.password_file)
        return None if self.password is None else self.password.get_secret_value()


class LiveSection(_Section):
    """``[live]``: the live driver."""

    checkpoint_interval_s: Number = Field(1.0, ge=0.1, le=60, description="seconds between checkpoints at most")
    checkpoint_records: Whole = Field(
        2_000, ge=1, le=1_000_000, description="records folded between checkpoints at most"
    )
    watchdog_s: Number = Field(
        60.0,
        ge=5,
        le=3_600,
        description="seconds without progress, though records wait, before the monitor ends itself",
    )
    lag_ready_records: Whole = Field(
        200,
        ge=0,
        le=1_000_000_000,
        description="records (of up to 200 events each) behind the end of the log up to which /readyz says ready",
    )


class WebSection(_Section):
    """``[web]``: page, API, webhooks and metrics."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="address to listen on; any but loopback needs an access token"
    )
    port: Whole = Field(8080, ge=0, le=65_535, description="port to listen on; 0 takes a free one")
    access_token: SecretStr | None = Field(
        None, description="token that callers must show; better set by variable or file"
    )
    access_token_file: Path | None = Field(None, description="file that holds the access token (its first line)")
    timezone: str = Field("UTC", description="the operator's time zone on the page, an IANA name such as Asia/Shanghai")
    language: Literal["auto", "en", "zh"] = Field("auto", description="language of the page; auto asks the browser")
    max_request_bytes: Whole = Field(1 << 20, ge=1_024, le=1 << 30, description="largest body of a request, in bytes")
    page_size: Whole = Field(50, ge=1, le=1_000, description="rows on a page of a list")
    series_cap: Whole = Field(
        2_000, ge=1, le=1_000_000, description="time series per metric family; the rest is counted"
    )
    refresh_s: Whole = Field(
        60, ge=0, le=86_400, description="seconds after which an open page renews itself; 0: never"
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        zones = zoneinfo.available_timezones()
        if name not in zones:
            raise PydanticCustomError("zone", "unknown time zone{hint}", {"hint": nearest(name, zones)})
        return name

    @model_validator(mode="after")
    def _one_token(self) -> WebSection:
        if self.access_token is not None and self.access_token_file is not None:
            raise PydanticCustomError("token", "give access_token or access_token_file, not both")
        if self.access_token is not None and not self.access_token.get_secret_value().strip():
            raise PydanticCustomError("token", "access_token must not be empty")
        return self

    def token(self) -> str | None:
        """The access token, from the setting or its file; None when there is none. Raises :class:`ConfigError`."""
        if self.access_token is not None:
            return self.access_token.get_secret_value().strip()
        if self.access_token_file is None:
            return None
        return first_line("web.access_token_file", self.access_token_file)


class NotifySection(_Section):
    """``[notify]``: messages of incidents, sent by ``channel-monitor notify``."""

    sinks: SecretStr | None = Field(
        None, description="where messages go, a line each: NAME LANGUAGE URL (Apprise); better set by variable or file"
    )
    sinks_file: Path | None = Field(None, description="file that holds these lines")
    severities: Literal["page", "ticket", "all"] = Field(
        "ticket", description="page: only pages; ticket: tickets too; all: problems of feeds too"
    )
    digest_s: Number = Field(30.0, ge=0, le=3_600, description="seconds a change waits for others to go with it")
    per_minute: Whole = Field(20, ge=1, le=600, description="messages a minute and sink at most; DingTalk takes 20")
    timeout_s: Number = Field(10.0, ge=0.1, le=120, description="seconds to wait for a connection, and for an answer")
    queue: Path | None = Field(
        None, description="file of the messages that wait; without it notify.sqlite3 in log.data or --data"
    )
    page: str | None = Field(None, description="address of the monitor's page, for links: http://monitor.example:8080")

    @model_validator(mode="after")
    def _one_source(self) -> NotifySection:
        if self.sinks is not None and self.sinks_file is not None:
            raise PydanticCustomError("token", "give sinks or sinks_file, not both")
        return self

    def lines(self) -> str | None:
        """The lines of the sinks; None when there are none. Raises :class:`ConfigError`."""
        if self.sinks_file is None:
            return None if self.sinks is None else self.sinks.get_secret_value()
        try:
            return self.sinks_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"notify.sinks_file: {why_unreadable(error, self.sinks_file)}."]) from None

    def heard(self) -> frozenset[str]:
        """The severities that are told."""
        every = ("page", "ticket", "feed")
        return frozenset(every[: {"page": 1, "ticket": 2, "all": 3}[self.severities]])


class PushSection(_Section):
    """``[push]``: the table of carriers for a shipping system, sent by ``channel-monitor push``."""

    url: SecretStr | None = Field(None, description="where the table is posted: https://…; it may hold a token")
    secret: SecretStr | None = Field(
        None, description="what it is signed with: whsec_ and base64 of 24 to 64 bytes; better set by variable or file"
    )
    secret_file: Path | None = Field(None, description="file that holds the secret")
    timeout_s: Number = Field(20.0, ge=0.1, le=300, description="seconds to wait for a connection, and for an answer")
    repeat_hours: Number = Field(24.0, ge=1, le=168, description="hours after which an equal table is sent again")
    state: Path | None = Field(
        None, description="file that says which table arrived last; without it push.json in log.data or --data"
    )

    @model_validator(mode="after")
    def _is_whole(self) -> PushSection:
        if self.secret is not None and self.secret_file is not None:
            raise PydanticCustomError("token", "give secret or secret_file, not both")
        if self.url is not None and not self.url.get_secret_value().startswith(("https://", "http://")):
            raise PydanticCustomError("url", "url must begin with https:// or http://")
        return self

    def signing_secret(self) -> str | None:
        """The secret; None when there is none. Raises :class:`ConfigError`."""
        if self.secret_file is None:
            return None if self.secret is None else self.secret.get_secret_value()
        try:
            return self.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"push.secret_file: {why_unreadable(error, self.secret_file)}."]) from None


class LoggingSection(_Section):
    """``[logging]``: the monitor's own log lines, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least level that is written")
    as_json: bool = Field(False, alias="json", description="one JSON object a line instead of text for people")


SECTIONS: Final[dict[str, type[BaseModel]]] = {
    "detection": Detection,
    "switch": SwitchSection,
    "log": LogSection,
    "kafka": KafkaSection,
    "live": LiveSection,
    "web": WebSection,
    "notify": NotifySection,
    "push": PushSection,
    "logging": LoggingSection,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: ``section.name``, its default and bounds in words, what it is for."""

    section: str
    name: str
    default: str
    bounds: str
    text: str

    @property
    def key(self) -> str:
        """The key in the TOML file, dotted."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"{PREFIX}{self.section}__{self.name}".upper()


def describe() -> list[Setting]:
    """All settings in the order of the sections."""
    return [
        Setting(section, field.alias or name, _default(field), _bounds(name, field), field.description or "")
        for section, model in SECTIONS.items()
        for name, field in model.model_fields.items()
    ]


def _default(field: FieldInfo) -> str:
    if field.default is None or field.default == []:
        return "none"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def _bounds(name: str, field: FieldInfo) -> str:
    if name == "timezone":
        return "an IANA time zone"
    if name in IN_WORDS:
        return IN_WORDS[name]
    if name == "topic_prefix":
        return "up to 60 letters, digits, dots, dashes and underscores"
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    if low is not None and high is not None:
        return f"{'a whole' if field.annotation is int else 'a'} number from {low} to {high}"
    if field.annotation is bool:
        return "true or false"
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    if choices:
        return "one of " + ", ".join(choices)
    return "a path" if Path in (field.annotation, *get_args(field.annotation)) else "text, not empty"
