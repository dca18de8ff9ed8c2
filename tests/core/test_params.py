"""Parameters are refused by name, value and bound."""

from __future__ import annotations

import pytest

from monitor.core.params import DEFAULTS, Params, numbers


def test_defaults_are_those_of_the_contract() -> None:
    said = DEFAULTS.as_dict()
    assert (said["tick_hours"], said["lateness_days"], said["waiting_days"]) == (6, 60, 30)
    assert (said["dedup_days"], said["age_cap_days"], said["recent_days"], said["first_scan_days"]) == (60, 120, 90, 5)


@pytest.mark.parametrize("name", [spec.name for spec in numbers()])
def test_every_parameter_has_bounds_that_are_named_when_broken(name: str) -> None:
    spec = next(spec for spec in numbers() if spec.name == name)
    low, high = spec.metadata["low"], spec.metadata["high"]
    assert low <= spec.default <= high
    assert spec.metadata["text"]
    for value in (low - 1, high + 1, float("nan")):
        with pytest.raises(ValueError, match=rf"{name} is {value}; it must lie between {low} and {high}"):
            Params(**{name: value})
    for value in ("7", None, True):
        with pytest.raises(ValueError, match=f"{name} must be a number"):
            Params(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("hours", [5, 7, 9, 10, 23])
def test_ticks_must_divide_the_day(hours: int) -> None:
    with pytest.raises(ValueError, match=f"tick_hours is {hours}; it must divide 24"):
        Params(tick_hours=hours)


def test_the_thresholds_keep_their_order() -> None:
    with pytest.raises(ValueError, match="must not exceed page_ln_m"):
        Params(ticket_ln_m=13)
    with pytest.raises(ValueError, match="must be below ticket_ln_m"):
        Params(close_ln_m=7.5)


def test_days_become_microseconds_exactly() -> None:
    assert Params(lateness_days=1.5).days_us("lateness_days") == 129_600_000_000
    assert Params(tick_hours=8).tick_us == 28_800_000_000
