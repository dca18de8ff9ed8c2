"""``[switch]``: the terms of the carrier switch as settings."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from monitor.core.switch.terms import DEFAULT_RATES, Rate, SwitchTerms


def no_bool(value: object) -> object:
    """TOML's ``true`` is no number, though Python takes it for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number")
    return value


class RateSection(BaseModel):
    """One dated rate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    since: date = date(2000, 1, 1)
    rate: Annotated[Decimal, BeforeValidator(no_bool)] = Field(gt=0)


class _Switch(BaseModel):
    """``[switch]``: money and bars of the carrier switch."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @model_validator(mode="after")
    def _agree(self) -> _Switch:
        self.terms()  # the rules between terms stand there
        return self

    def terms(self) -> SwitchTerms:
        """The terms. Rates that are not set are the built-in ones; what is set comes before them."""
        values: dict[str, Any] = dict(self)
        values["papers"] = tuple(values["papers"])
        said = tuple(Rate(one.currency, one.since, one.rate) for one in values["rates"])
        home = values["currency"]
        built_in = DEFAULT_RATES if home == SwitchTerms().currency else ()
        named = {one.currency for one in said}
        values["rates"] = (*said, *(one for one in built_in if one.currency not in named))
        return SwitchTerms(**values)


_KINDS: Final[dict[type, Any]] = {
    int: Annotated[int, BeforeValidator(no_bool)],
    float: Annotated[float, BeforeValidator(no_bool)],
    Decimal: Annotated[Decimal, BeforeValidator(no_bool)],
}


def _fields() -> dict[str, Any]:
    """The fields of :class:`SwitchTerms` with its defaults, bounds and texts, so that they stand in one place."""
    hints = get_type_hints(SwitchTerms)
    found: dict[str, Any] = {}
    for spec in fields(SwitchTerms):
        text = spec.metadata["text"]
        if "low" in spec.metadata:
            kind = _KINDS[hints[spec.name]]
            bounds = {"ge": spec.metadata["low"], "le": spec.metadata["high"]}
            found[spec.name] = (kind, Field(default=spec.default, description=text, **bounds))
    money = SwitchTerms()
    found["currency"] = (str, Field(default=money.currency, pattern=r"^[A-Z]{3}$", description=_text("currency")))
    found["papers"] = (list[str], Field(default=[], description=_text("papers")))
    found["rates"] = (list[RateSection], Field(default=[], description=_text("rates")))
    return found


def _text(name: str) -> str:
    return next(str(spec.metadata["text"]) for spec in fields(SwitchTerms) if spec.name == name)


if TYPE_CHECKING:
    SwitchSection = _Switch
else:
    SwitchSection = create_model("SwitchSection", __base__=_Switch, **_fields())

#: Bounds in words of the fields that are no numbers, by name.
IN_WORDS: Final = {
    "currency": "three capital letters",
    "papers": 'a list of texts, as ["CE"]',
    "rates": "a list of {currency, since, rate}",
}
