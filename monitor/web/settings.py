"""What the HTTP side can be told. Built once by the caller from the real settings; validated here."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

LANGUAGES: Final[tuple[str, ...]] = ("en", "zh")


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or an address, brackets allowed) names this machine only."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Settings of the HTTP side. Raises :class:`ValueError` naming the setting, its value and its bound."""

    host: str = "127.0.0.1"
    port: int = 8080
    #: Secret that opens everything but the probes; ``None`` asks for none and is allowed on loopback only.
    access_token: str | None = field(default=None, repr=False)
    #: IANA name of the operator's time zone; days of statistics stay UTC.
    timezone: str = "UTC"
    #: Language of readers who chose none: ``en``, ``zh``, or ``auto``, which asks the browser (else ``en``).
    language: str = "auto"
    #: Largest body of a request, bytes.
    max_request_bytes: int = 1 << 20
    #: Rows on one page of a list.
    page_size: int = 50
    #: Most series of one metric family.
    series_cap: int = 2_000
    #: Seconds between refreshes of an open page; 0 never refreshes.
    refresh_s: int = 60
    #: Days that make the ``recent`` figures; only shown.
    recent_days: int = 90
    #: Parcels after which a channel is no longer new; only shown.
    canary_parcels: int = 50
    #: Fewer parcels than this behind a ratio are shown as insufficient data.
    min_sample: int = 30

    def __post_init__(self) -> None:
        _between("port", self.port, 0, 65_535)
        _between("max_request_bytes", self.max_request_bytes, 1_024, 1 << 30)
        _between("page_size", self.page_size, 1, 1_000)
        _between("series_cap", self.series_cap, 1, 1_000_000)
        _between("refresh_s", self.refresh_s, 0, 86_400)
        _between("recent_days", self.recent_days, 1, 3_650)
        _between("canary_parcels", self.canary_parcels, 1, 10_000)
        _between("min_sample", self.min_sample, 1, 100_000)
        if self.language not in ("auto", *LANGUAGES):
            raise ValueError(f"language is {self.language!r}; it must be auto or one of {', '.join(LANGUAGES)}")
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"timezone is {self.timezone!r}; it must be an IANA name such as Asia/Shanghai") from error
        if self.access_token is not None and not self.access_token.strip():
            raise ValueError("access_token is empty; leave it out or give a long random one")
        if self.access_token is None and not is_loopback(self.host):
            raise ValueError(f"host is {self.host!r}; another host than loopback needs an access_token")


def _between(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; it must lie between {low} and {high}")
