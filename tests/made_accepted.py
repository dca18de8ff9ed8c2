"""Made-up switches that people accepted."""

from __future__ import annotations

from decimal import Decimal

from made_records import HOSTILE_NAME
from msgspec.structs import replace

from monitor.core.switch.money import Money
from monitor.core.switch.outcomes import Accepted


def made_accepted() -> list[tuple[str, Accepted]]:
    """Accepted switches by lane: one that paid, one that nobody followed, one of which it is too early to tell."""
    saving = Money(Decimal("1.2000"), Decimal("0.8000"), Decimal("1.6000"))
    paid = Accepted(
        "b48b70c2eab7cfa2",
        "china-post",
        HOSTILE_NAME,
        1_769_900_000_000_000,
        "Li <b>",
        "USD",
        0.5,
        0.2,
        saving,
        Money(Decimal("9.0000"), Decimal("8.5000"), Decimal("9.5000")),
        20.0,
        "measured",
        False,
        1_772_300_000_000_000,
        210,
        140.5,
        True,
        Money(Decimal("0.9000"), Decimal("0.5000"), Decimal("1.3000")),
        0.998,
        Money(Decimal("126.4500"), Decimal("70.2500"), Decimal("182.6500")),
        True,
        Decimal("0.1000"),
    )
    early = Accepted("0b", "a", "b", paid.at_us, "", "USD", 0.3, 0.0, saving, saving, None)
    ignored = replace(early, advice_id="0a", state="not_followed", is_final=True, measured_us=paid.at_us)
    return [("RU|tablet", paid), (f"DE|{HOSTILE_NAME}", ignored), ("FR|dress", early)]
