"""Made-up records for tests of the page: a few dozen channels in spring 2026, with troubles of every kind.

All records follow the contract; nothing here comes from a real shop.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

Record = dict[str, Any]

AS_OF = datetime(2026, 3, 12, 6, tzinfo=UTC)
#: Ids that break pages which quote or escape carelessly.
HOSTILE_IDS = (
    "a/b/c",
    "100%25 é 包裹",
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "..",
    "%2e%2e/%2F",
    "a?b=c#d&e",
    "{{7*7}} {% raw %}",
    "line\nbreak\ttab",
    " padded ",
    "\U0001f4e6",
    "//evil.example/x",
    "back\\slash",
)
HOSTILE_NAME = "<b onclick='x'>&\"tablet"

_CARRIERS = ("china-post/registered", "china-post/small-packet", "yanwen", "4px", "dhl-ecommerce", "cainiao")
COUNTRIES = {"RU": 34.0, "US": 14.0, "DE": 13.0, "IL": 24.0, "TR": 21.0, "BR": 38.0, "FR": 12.0, "ES": 15.0}
_PRODUCTS = ("tablet", "phone")


def text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def ratio(k: float, n: int, unit: float = 1.0) -> Record:
    """k/n with a Wilson interval, times ``unit``."""
    if n == 0:
        return {"value": None, "low": None, "high": None, "n": 0}
    p, z2 = k / n, 1.96**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = 1.96 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return {"value": round(unit * p, 6), "low": round(unit * low, 6), "high": round(unit * high, 6), "n": n}


def _statistics(chance: random.Random, n: int, days: float, slow: float, loss: float) -> Record:
    delivered, lost, returned = round(n * 0.62), round(n * loss), round(n * 0.02)
    outcome = delivered + lost + returned
    spread = days / math.sqrt(max(n, 4)) * 1.5

    def quantile(factor: float, reached: bool = True) -> Record:
        if not reached or n < 3:
            return {"value": None, "low": None, "high": None}
        value = days * slow * factor
        high = None if n < 30 and factor > 1.2 else round(value + spread * factor, 1)
        return {"value": round(value, 1), "low": round(max(value - spread * factor, 0.5), 1), "high": high}

    return {
        "registered": n,
        "in_flight": n - delivered - lost - returned,
        "delivered": delivered,
        "lost": lost,
        "returned": returned,
        "presumed_lost": lost // 3,
        "transit_days": {
            "p50": quantile(1.0),
            "p80": quantile(1.28, slow < 1.9),
            "p95": quantile(1.75, slow < 1.4),
        },
        "on_time_ratio": ratio(round(delivered * (0.93 / slow**1.5)), delivered),
        "first_scan_ratio": ratio(round(n * 0.9 * (0.97 - 0.02 * chance.random())), round(n * 0.9)),
        "loss_ratio": ratio(lost, outcome),
        "hold_ratio": ratio(round(delivered * 0.03 * chance.random()), delivered),
        "complaints_per_1000": ratio(round(n * 0.018 * slow * slow * chance.random()), n, 1000.0),
    }


def made_channels() -> list[Record]:
    chance = random.Random(11)
    found = []
    for country, days in COUNTRIES.items():
        for product in _PRODUCTS:
            for place, carrier in enumerate(_CARRIERS):
                if chance.random() < 0.35:
                    continue
                name = f"{country}|{product}|{carrier}"
                slow, loss, status, ln_m = 1.0, 0.006, "ok", round(chance.uniform(-2.0, 2.5), 2)
                n = round(chance.lognormvariate(5.6, 1.1))
                if country == "RU" and product == "tablet":
                    slow, status, ln_m = 1.95, "degraded", 13.4
                elif country == "TR" and place < 2:
                    loss, status, ln_m = 0.05, "degraded", 12.3
                elif carrier == "yanwen" and country in ("US", "BR"):
                    slow, status, ln_m = 1.3, "watch", 7.9
                elif n < 60:
                    n, status = max(n // 6, 0), "insufficient_data"
                recent = _statistics(chance, n, days, slow, loss)
                lifetime = _statistics(chance, n * 4, days, 1 + (slow - 1) / 4, 0.007)
                lifetime["in_flight"] = recent["in_flight"]
                found.append(
                    {
                        **lifetime,
                        "channel": name,
                        "status": status,
                        "ln_m": ln_m if n else None,
                        "as_of": text(AS_OF),
                        "recent": recent,
                    }
                )
    hostile = _statistics(chance, 0, 20, 1, 0)
    found.append(
        {
            **hostile,
            "channel": f"XX|{HOSTILE_NAME}|a/b%2F<i>",
            "status": "insufficient_data",
            "ln_m": None,
            "as_of": text(AS_OF),
            "recent": dict(hostile),
        }
    )
    return sorted(found, key=lambda record: str(record["channel"]))


def _incident(
    id_: str,
    mode: str,
    severity: str,
    scope: Record,
    members: list[str],
    numbers: tuple[float, float, float],
    risk: int,
    complaints: tuple[float, float, float],
    age_days: float,
    **more: Any,
) -> Record:
    opened = AS_OF - timedelta(days=age_days)
    ln_m, observed, expected = numbers
    return {
        "incident_id": id_,
        "scope": {"country": None, "product": None, "carrier": None, **scope},
        "mode": mode,
        "clock": None,
        "severity": severity,
        "opened_at": text(opened),
        "closed_at": None,
        "known_by": text(opened + timedelta(days=min(2.0, age_days))),
        "members": members,
        "parcels_at_risk": risk,
        "evidence": {"ln_m": ln_m, "observed": observed, "expected": expected, "since": opened.strftime("%Y-%m-%d")},
        "forecast": {"complaints_next_14_days": dict(zip(("expected", "low", "high"), complaints, strict=True))},
        "revision": 1,
        "joined": [],
        "absorbed_by": None,
        "acknowledged_by": None,
        "muted": False,
        "notes": [],
        **more,
    }


def made_incidents(channels: list[str]) -> list[Record]:
    russia = [name for name in channels if name.startswith("RU|tablet|")]
    turkey = [name for name in channels if name.startswith("TR|") and "china-post" in name]
    yanwen = [name for name in channels if name.endswith("|yanwen")]
    return [
        _incident(
            "8f2c1d90a4b7e365",
            "transit_slow",
            "page",
            {"kind": "country_product", "country": "RU", "product": "tablet"},
            russia[:-1],
            (13.4, 31.0, 74.2),
            412,
            (37.0, 25.0, 52.0),
            6,
            clock="departed_origin>arrived_destination",
            joined=[{"channel": russia[-1], "known_by": "2026-03-11T00:00:00Z"}],
            acknowledged_by="Lin",
            notes=["Asked the carrier; flights to Moscow are cut until 20 March."],
        ),
        _incident(
            "2b77e0c14d9a8f01",
            "loss",
            "page",
            {"kind": "carrier_country", "country": "TR", "carrier": "china-post"},
            turkey,
            (12.3, 19.0, 5.4),
            188,
            (14.2, 8.0, 23.0),
            9,
        ),
        _incident(
            "c0ffee5512aa9034",
            "stage_stalled",
            "ticket",
            {"kind": "carrier", "carrier": "yanwen"},
            yanwen,
            (7.9, 40.0, 61.0),
            263,
            (6.0, 3.0, 11.0),
            4,
            clock="accepted>departed_origin",
        ),
        _incident(
            "77aa01bd6c2e4f58",
            "stage_stalled",
            "ticket",
            {"kind": "channel", "country": "US", "product": "phone", "carrier": "yanwen"},
            [name for name in yanwen if name.startswith("US|")][:1],
            (8.1, 12.0, 22.0),
            80,
            (2.0, 0.0, 5.0),
            5,
            clock="accepted>departed_origin",
            absorbed_by="c0ffee5512aa9034",
        ),
        _incident(
            "5e9d3312f0ab7c64",
            "feed_silent",
            "feed",
            {"kind": "feed", "carrier": "dhl-ecommerce"},
            [],
            (0.0, 0.0, 0.0),
            0,
            (0.0, 0.0, 0.0),
            1,
        ),
        _incident(
            "<svg onload=alert(1)>/..%2f",
            "sentinel",
            "ticket",
            {"kind": "channel", "country": "XX", "product": HOSTILE_NAME, "carrier": "a/b%2F<i>"},
            [f"XX|{HOSTILE_NAME}|a/b%2F<i>"],
            (0.0, 1.0, 0.0),
            1,
            (0.0, 0.0, 1.0),
            1,
            notes=["</li><script>alert(1)</script>"],
        ),
        _incident(
            "10b2d7fe98c3a645",
            "customs_hold",
            "ticket",
            {"kind": "country", "country": "BR"},
            [name for name in channels if name.startswith("BR|")],
            (9.1, 44.0, 17.5),
            120,
            (9.0, 4.0, 15.0),
            40,
            closed_at=text(AS_OF - timedelta(days=12)),
        ),
    ]


def made_watchlist(channels: list[str]) -> list[Record]:
    chance = random.Random(5)
    reasons = (
        ("no_first_scan", "verify_pickup"),
        ("stuck_before_departure", "ask_forwarder"),
        ("stuck_in_transit", "chase_carrier"),
        ("stuck_at_destination", "chase_last_mile"),
        ("customs_held", "ask_customs"),
    )
    ids = [*HOSTILE_IDS, *(f"LX{chance.randrange(10**8, 10**9)}CN" for _ in range(120))]
    rows = []
    for number, id_ in enumerate(ids):
        reason, action = reasons[number % len(reasons)]
        since = AS_OF - timedelta(days=chance.uniform(6, 40))
        channel = chance.choice(channels)
        late = channel.startswith("RU|tablet|")
        rows.append(
            {
                "parcel_id": id_,
                "channel": channel,
                "reason": reason,
                "since": text(since),
                "due_at": text(since + timedelta(days=5)),
                "days_left_in_dispute_window": float(chance.randrange(0, 150)),
                "priority": 1 + number % 4,
                "next_action": action,
                "incident_id": "8f2c1d90a4b7e365" if late else None,
            }
        )
    return sorted(rows, key=lambda row: (row["priority"], row["days_left_in_dispute_window"], row["parcel_id"]))


def made_dead_letters() -> list[Record]:
    made = [
        (
            {"topic": "events", "partition": 2, "offset": 1841, "index": 17},
            '{"specversion":"1.0","type":"parcel.scanned.v1","data":{"milestone":"teleported"}}',
            "unknown_milestone",
            "data.milestone is 'teleported'; it must be one of info_received, accepted, …",
        ),
        (
            {"file": "march/<tracking>.jsonl", "line": 902},
            "<script>alert('raw')</script>\\xff",
            "malformed_json",
            "line 902 is not JSON: it begins with '<'",
        ),
        (
            {"file": "march/tracking.jsonl", "line": 17},
            '{"specversion":"1.0"' + " " * 6000 + "}",
            "too_late",
            "recorded 91.0 days after it happened; the bound is 60 days (lateness_days)",
        ),
    ]
    return [
        {"position": position, "raw": raw, "reason": reason, "detail": detail, "recordedtime": text(AS_OF)}
        for position, raw, reason, detail in made
    ]


def made_advice() -> list[Record]:
    """Recommendations of every decision; the first is a switch with a carrier of every status."""

    def money(value: float) -> Record:
        return {"value": value, "low": value - 0.5, "high": value + 0.7, "currency": "USD"}

    def carrier(name: str, status: str, weighed: bool = True) -> Record:
        figures = dict.fromkeys(("loss_ratio", "return_ratio"), 0.021) if weighed else {}
        unknown = dict.fromkeys(
            (
                "known",
                "loss_ratio",
                "return_ratio",
                "complaints_per_1000",
                "median_days",
                "late_days",
                "postage",
                "cost",
            )
        )
        more = {"known": 180.5, "complaints_per_1000": 31.0, "median_days": 17.2, "late_days": 1.4, "postage": 5.0}
        return {
            "carrier": name,
            "status": status,
            "parcels": 120,
            **unknown,
            **({**more, **figures, "cost": money(7.9)} if weighed else {}),
            "saving": money(1.9) if status == "compared" else None,
            "probability_better": 0.97 if status == "compared" else None,
            "refuses": ["battery"] if status == "excluded" else [],
            "capacity_per_day": None,
            "valid_to": "2026-03-10T00:00:00Z" if status == "compared" else None,
        }

    statuses = ("compared", "few_parcels", "excluded", "incident", "no_price", "no_room", "not_compared")
    carriers = [carrier("china-post", "present"), *(carrier(f"other-{one}", one) for one in statuses)]
    rows = []
    for number, decision in enumerate(("stay", "switch", "insufficient_data", "no_alternative")):
        compared = decision in ("stay", "switch")
        rows.append(
            {
                "lane": {"country": "RU", "product": f"tablet <{number}>"},
                "from_carrier": "china-post",
                "to_carrier": "other-compared" if compared else None,
                "decision": decision,
                "probability_better": 0.97 if compared else None,
                "saving_per_parcel": money(1.9) if compared else None,
                "share_to_move": 0.25 if decision == "switch" else 0.0,
                "excluded": {"other-excluded": "it refuses battery, which parcels of the lane carry"},
                "reasons": ["Lost: 2.1% with <b>other</b>."],
                "as_of": "2026-03-09T00:00:00Z",
                "recommendation_id": f"{number:016x}",
                "since": "2026-03-01T00:00:00Z",
                "answer": "accept" if decision == "switch" else None,
                "answered_by": "Li" if decision == "switch" else None,
                "answer_note": "cheaper <b>" if decision == "switch" else None,
                "override": {"carrier": None, "share": 0.2} if decision == "switch" else None,
                "warning": None,
                "outcome": None,
                "revision": 2,
                "promised_days": 20.0 if compared else None,
                "carriers": carriers if compared else [carrier("china-post", "present", weighed=False)],
            }
        )
    return rows
