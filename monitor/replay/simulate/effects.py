"""What can be planted: each effect is one thing that goes wrong (or only different) from a day on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

Stage = Literal[
    "registered>accepted",
    "accepted>departed_origin",
    "departed_origin>arrived_destination",
    "arrived_destination>delivered",
]
#: Stages in order; stage *i* of a journey is ``STAGES[i]``.
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
#: Chances that belong to a parcel: lost, returned by security, sent to a wrong country, held by customs, returned
#: unsigned, never scanned, delivered as an empty box.
Chance = Literal["loss", "security_return", "misroute", "hold", "return", "unscanned", "empty_box", "counterfeit"]


@dataclass(frozen=True, slots=True)
class Slow:
    """Stages take ``factor`` times as long, ``growth_per_day`` more each day since the start (linear)."""

    stages: tuple[Stage, ...]
    factor: float = 1.0
    growth_per_day: float = 0.0


@dataclass(frozen=True, slots=True)
class Stall:
    """Only the share ``moving_ratio`` of the ordinary pace goes through the stage; 0 stops it."""

    stage: Stage
    moving_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class Rate:
    """The chance of ``what`` becomes at least ``probability`` for parcels that come to it in the window."""

    what: Chance
    probability: float


@dataclass(frozen=True, slots=True)
class Dwell:
    """Parcels that customs holds in the window are held ``factor`` times as long."""

    factor: float


@dataclass(frozen=True, slots=True)
class Volume:
    """``factor`` (at least 1) times as many parcels are handed over."""

    factor: float


@dataclass(frozen=True, slots=True)
class Patience:
    """Buyers who would complain about a late parcel do so ``factor`` times as often (a notice: below 1)."""

    factor: float


@dataclass(frozen=True, slots=True)
class Burst:
    """Disputes a day grow to ``factor`` times the channel's ordinary count."""

    factor: float


@dataclass(frozen=True, slots=True)
class Bulk:
    """A customer opens disputes on the share ``ratio`` of the parcels of the last ``lookback_days``."""

    ratio: float
    lookback_days: int


@dataclass(frozen=True, slots=True)
class Feed:
    """The carrier's scans stop coming in: ``missing`` for good, or ``late``, all together at the end."""

    scans: Literal["missing", "late"]


@dataclass(frozen=True, slots=True)
class Hub:
    """The share ``share`` of the parcels arrives at the country's second hub, before the window, too; in the window the
    hub keeps the share ``keeps`` of what comes to it, for good."""

    share: float
    keeps: float


Effect = Slow | Stall | Rate | Dwell | Volume | Patience | Burst | Bulk | Feed | Hub


def effect_params(effect: Effect) -> dict[str, Any]:
    """The effect as a JSON object: its name and its parameters."""
    params = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(effect).items()}
    return {"effect": type(effect).__name__.lower(), **params}
