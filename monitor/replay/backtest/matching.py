"""Which incident tells of which degradation, and which complaint alarm belongs to it.

A fault shows in parcels and in complaints for some time after it began and after it ended, so one horizon of
``HORIZON_DAYS`` serves everywhere:

- a *planted* degradation is told of by an incident that shares a channel with it and was known from its start to the
  horizon after its end; of a feed or a customer only by an incident of a fitting mode or kind of scope;
- a *wave of complaints* is told of by an incident that has its channel as a member and was known from the horizon
  before its alarm to its end;
- a complaint alarm belongs to a planted degradation when it was raised on one of its channels in the same span, and to
  an incident when it is that of a wave which the incident could tell of.

Of several degradations the one that began first counts; of several incidents the one that was known first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.core.events import from_us, to_us
from monitor.core.vocabulary import DAY_US
from monitor.replay.backtest.complaints import Wave
from monitor.wire.backtest import Planted
from monitor.wire.records import Mode, Scope

HORIZON_DAYS: Final = 60
HORIZON_US: Final = HORIZON_DAYS * DAY_US
#: Kinds of scope that say nothing against a channel.
_OWN_KINDS: Final = frozenset({"feed", "customer"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A degradation. An incident known from ``from_us`` to ``until_us`` (inclusive) may tell of it."""

    fault_id: str
    planted: bool
    scope: Scope
    modes: tuple[Mode, ...]
    channels: tuple[str, ...]
    start_us: int
    end_us: int
    from_us: int
    until_us: int
    wave: Wave | None = None

    def is_told_by(self, record: Mapping[str, Any], known_us: int) -> bool:
        """Whether the incident ``record``, known at ``known_us``, tells of it."""
        if not self.from_us <= known_us <= self.until_us or not set(self.channels) & set(record["members"]):
            return False
        return self.scope.kind not in _OWN_KINDS or self.fits(record) or record["scope"]["kind"] == self.scope.kind

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Whether the incident's mode is one of its modes."""
        return record["mode"] in self.modes


def planted_faults(planted: Iterable[Planted], as_of_us: int) -> list[Fault]:
    """What the truth says should alarm and had begun by ``as_of_us``, by start."""
    faults = []
    for number, item in enumerate(planted, 1):
        start, end = to_us(item.start), to_us(item.end)
        if not item.alarm or start > as_of_us:
            continue
        modes = tuple(dict.fromkeys([*([item.mode] if item.mode else []), *item.modes]))
        channels = tuple(sorted(item.channels))
        faults.append(
            Fault(f"planted-{number}", True, item.scope, modes, channels, start, end, start, end + HORIZON_US)
        )
    return sorted(faults, key=lambda fault: (fault.start_us, fault.fault_id))


def observed_faults(waves: Iterable[Wave]) -> list[Fault]:
    """The waves as degradations, by start and channel."""
    faults = []
    for wave in waves:
        country, product, carrier = wave.channel.split("|")
        scope = Scope(kind="channel", country=country, product=product, carrier=carrier)
        name = f"{wave.channel}@{from_us(wave.start_us)[:10]}"
        begins = wave.alarm_us - HORIZON_US
        faults.append(
            Fault(name, False, scope, (), (wave.channel,), wave.start_us, wave.end_us, begins, wave.end_us, wave)
        )
    return sorted(faults, key=lambda fault: (fault.start_us, fault.fault_id))


def alarm_of(fault: Fault, waves: Mapping[str, Sequence[Wave]]) -> int | None:
    """The first complaint alarm that belongs to the degradation, among ``waves`` of any threshold."""
    last = fault.until_us if fault.wave is None else fault.end_us
    return min(
        (
            alarm
            for name in fault.channels
            for wave in waves.get(name, ())
            for alarm in wave.alarms_us
            if fault.from_us <= alarm <= last
        ),
        default=None,
    )


def alarm_after(members: Iterable[str], known_us: int, waves: Mapping[str, Sequence[Wave]]) -> int | None:
    """The first complaint alarm of a member that belongs to an incident known at ``known_us``."""
    return min(
        (
            wave.alarm_us
            for name in members
            for wave in waves.get(name, ())
            if wave.alarm_us - HORIZON_US <= known_us <= wave.end_us
        ),
        default=None,
    )


def covered_share(spans: Iterable[tuple[int, int]], first_us: int, last_us: int) -> float:
    """The share of a stretch of time that the union of ``spans`` covers; 0 for an empty stretch."""
    if last_us <= first_us:
        return 0.0
    total, reached = 0, first_us
    for begin, end in sorted(spans):
        begin, end = max(begin, reached), min(end, last_us)
        if end > begin:
            total += end - begin
            reached = end
    return total / (last_us - first_us)
