"""A made-up monitor for tests of the page: one that is busy, and one that has just started."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from made_accepted import made_accepted
from made_records import (
    AS_OF,
    COUNTRIES,
    HOSTILE_IDS,
    HOSTILE_NAME,
    Record,
    made_advice,
    made_channels,
    made_dead_letters,
    made_incidents,
    made_watchlist,
    text,
)

from monitor.core.switch.outcomes import balance, balance_record, outcome_record


class MadeViews:
    """The made-up monitor. Attributes may be changed by a test before it asks."""

    def __init__(self) -> None:
        self.channel_rows = made_channels()
        names = [str(row["channel"]) for row in self.channel_rows]
        self.incident_rows = made_incidents(names)
        self.watch_rows = made_watchlist(names[:-1])
        self.advice_rows = made_advice()
        self.accepted = made_accepted()
        self.outcome_rows = [outcome_record(lane, one) for lane, one in self.accepted]
        self.dead_rows = made_dead_letters()
        self.state: Record = {
            "recovered": True,
            "lag_records": 12,
            "last_tick": text(AS_OF),
            "watermark": text(AS_OF - timedelta(days=2)),
            "ready": True,
            "reasons": [],
        }
        self.samples: dict[str, list[tuple[dict[str, str], float]]] = {
            "events_total": [({"type": "parcel.scanned.v1"}, 91_204.0), ({"type": "parcel.registered.v1"}, 15_002.0)],
            "duplicates_total": [({}, 17.0)],
            "dead_letters_total": [({"reason": "malformed_json"}, 1.0)],
            "event_watermark_timestamp_seconds": [({}, (AS_OF - timedelta(days=2)).timestamp())],
            "parcels_in_flight": [
                ({"country": country, "carrier": HOSTILE_NAME + "\n"}, 100.0 - place)
                for place, country in enumerate(COUNTRIES)
            ],
            "transit_days": [
                ({"country": "RU", "carrier": "yanwen", "quantile": quantile}, days)
                for quantile, days in (("0.5", 34.0), ("0.8", 43.5), ("0.95", 59.5))
            ],
            "incident_info": [
                (
                    {
                        "incident_id": str(row["incident_id"]),
                        "severity": str(row["severity"]),
                        "mode": str(row["mode"]),
                        "scope": str(row["scope"]["kind"]),
                        **{name: str(row["scope"][name] or "") for name in ("country", "product", "carrier")},
                    },
                    1.0,
                )
                for row in self.incident_rows
                if row["closed_at"] is None
            ],
        }

    def as_of(self) -> str | None:
        tick = self.state["last_tick"]
        return str(tick) if tick else None

    def channels(self) -> list[Record]:
        return self.channel_rows

    def incidents(self) -> list[Record]:
        return self.incident_rows

    def watchlist(self) -> list[Record]:
        return self.watch_rows

    def parcel(self, parcel_id: str) -> Record | None:
        item = next((row for row in self.watch_rows if row["parcel_id"] == parcel_id), None)
        if item is None:
            return None
        start = AS_OF - timedelta(days=44)
        country = str(item["channel"])[:2]

        def event(days: float, type_: str, offset: int, **body: Any) -> Record:
            return {
                "time": text(start + timedelta(days=days)),
                "recordedtime": text(start + timedelta(days=days + 1)),
                "type": type_,
                **body,
                "position": {"topic": "events", "partition": 1, "offset": offset, "index": offset % 7},
            }

        scan = "parcel.scanned.v1"
        return {
            "parcel_id": parcel_id,
            "channel": item["channel"],
            "state": "in_flight",
            "registered_at": text(start),
            "promised_by": text(start + timedelta(days=40)),
            "last_scan_at": text(start + timedelta(days=21)),
            "events": [
                event(0, "parcel.registered.v1", 11),
                event(
                    1, scan, 42, milestone="accepted", country="CN", place="Shenzhen", raw_code="PCK", raw_text="揽收"
                ),
                event(4, scan, 97, milestone="origin_hub", country="CN", place="Guangzhou Baiyun", raw_text="处理中心"),
                event(
                    9, scan, 310, milestone="departed_origin", country="CN", raw_code="<b>DEP</b>", raw_text="航班起飞"
                ),
                event(
                    21, scan, 902, milestone="customs_held", country=country, raw_text="Held <script>alert(2)</script>"
                ),
                event(38, "complaint.opened.v1", 1204, kind="not_received", via="paypal"),
            ],
        }

    def explain(self, id_: str) -> Record | None:
        if id_ != "8f2c1d90a4b7e365":
            return None
        return {
            "kind": "incident",
            "basis": "stored",
            "verify": "channel-monitor explain 8f2c1d90a4b7e365",
            "record": self.incident_rows[0],
            "parcels": list(HOSTILE_IDS),
            "figures": {"now": {"ln_m": 13.4}, "channel": {"hidden_on_the_page": 1}},
            "rule": "page when ln M reaches 12.0 and the log is older than 90 days",
            "threshold": {"page_ln_m": 12.0, "ticket_ln_m": 7.5, "close_ln_m": 2.0},
            "sums": [
                {
                    "day": f"2026-03-{day:02}",
                    "at_risk": 388 + day,
                    "observed": 31 - 3 * (day % 4),
                    "expected": 11.2 + day,
                    "ln_m": round(0.9 * day + 1.1, 2),
                }
                for day in range(3, 13)
            ],
            "baseline": {
                "clock": "departed_origin>arrived_destination",
                "age_days": 9.5,
                "theta": 1.04,
                "parent": "RU",
            },
            "members": {"RU|tablet|yanwen": {"ln_m": 6.1, "observed": 9, "expected": 21.5}},
            "events": [{"topic": "events", "partition": 1, "offset": offset, "index": 3} for offset in range(60)],
            "<img src=x onerror=alert(3)>": "<script>alert(4)</script>",
        }

    def recommendations(self) -> list[Record]:
        return self.advice_rows

    def outcomes(self) -> list[Record]:
        return self.outcome_rows

    def balance(self) -> Record:
        return balance_record(balance(one for _, one in self.accepted))

    def dead_letters(self) -> list[Record]:
        return self.dead_rows

    def health(self) -> Record:
        return self.state

    def families(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        return self.samples


class EmptyViews(MadeViews):
    """A monitor that has just started on an empty log."""

    def __init__(self) -> None:
        super().__init__()
        self.channel_rows, self.incident_rows, self.watch_rows, self.dead_rows, self.samples = [], [], [], [], {}
        self.advice_rows = []
        self.accepted = []
        self.outcome_rows = []
        self.state = {
            "recovered": False,
            "lag_records": 0,
            "last_tick": None,
            "watermark": None,
            "ready": False,
            "reasons": ["The state is being restored: 3 of 4 partitions done."],
        }
