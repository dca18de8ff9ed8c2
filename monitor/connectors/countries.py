"""Country names to ISO 3166 alpha-2, exactly: a name is known or it is not, nothing is guessed by likeness.

Names and codes come from pycountry (ISO 3166-1); :data:`EVERYDAY` adds what people write and the standard does not.
Letters with accents, capitals, dots and a leading "the" make no difference.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

import pycountry

#: Everyday names by alpha-2 code, in the form that :func:`_plain` gives.
EVERYDAY: Final[Mapping[str, tuple[str, ...]]] = {
    "BA": ("bosnia",),
    "BN": ("brunei",),
    "CD": ("congo drc", "drc", "dr congo", "congo kinshasa", "democratic republic of congo"),
    "CG": ("congo brazzaville", "republic of congo"),
    "CI": ("ivory coast",),
    "CN": ("mainland china", "prc"),
    "CV": ("cape verde",),
    "FK": ("falkland islands",),
    "FM": ("micronesia",),
    "GB": ("uk", "great britain", "britain", "england", "scotland", "wales", "northern ireland"),
    "HK": ("hong kong sar",),
    "KR": ("south korea", "republic of korea"),
    "KP": ("north korea",),
    "MK": ("macedonia",),
    "MM": ("burma",),
    "MO": ("macau", "macao sar"),
    "NL": ("holland",),
    "PS": ("palestine",),
    "RU": ("russia",),
    "SA": ("ksa",),
    "SZ": ("swaziland",),
    "TL": ("east timor",),
    "TR": ("turkey", "turkiye"),
    "AE": ("uae",),
    "US": ("usa", "america"),
    "VA": ("vatican",),
    "XK": ("kosovo",),
}
_CODE: Final = re.compile(r"[A-Z]{2}")
_NO_LETTER: Final = re.compile(r"[\W_]+")


def alpha2(name: str, overrides: Mapping[str, str]) -> str | None:
    """The two-letter code of a country, or None if the name is not known.

    ``overrides`` (name → code, names as :func:`plain_names` gives them) come first. Two capital letters that
    are nobody's name (UK is) count as a code, also if ISO has not assigned it.
    """
    plain = _plain(name)
    code = overrides.get(plain) or _index().get(plain)
    if code is None and _CODE.fullmatch(name.strip()):
        return name.strip()
    return code


def plain_names(overrides: Mapping[str, str]) -> dict[str, str]:
    """``overrides`` with the names in the form in which they are looked up."""
    return {_plain(name): code for name, code in overrides.items()}


@functools.cache
def _index() -> Mapping[str, str]:
    index = {name: code for code, names in EVERYDAY.items() for name in names}
    for country in pycountry.countries:
        for field in ("alpha_2", "alpha_3", "name", "official_name", "common_name"):
            name = getattr(country, field, None)
            if name:
                index.setdefault(_plain(name), country.alpha_2)
    return index


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.replace(".", "").replace("&", " and ")).casefold()
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    words = _NO_LETTER.sub(" ", letters).split()
    return " ".join("saint" if word == "st" else word for word in words if word != "the")
