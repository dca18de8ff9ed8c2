"""Small adversarial logs: few parcels, channels, orders and ids, so that everything collides with everything.

A world is a list of lines (JSON texts of events) in no order. Moments lie often on grid points, reports are late by
minutes or by more than the bound, events come before what they are about, and some lines come again, word for word,
recorded later, or with the same identity and another body.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from monitor.core.params import Params
from monitor.core.vocabulary import MILESTONES

Document = dict[str, Any]

START = datetime(2026, 3, 1, tzinfo=UTC)
GRID = timedelta(hours=6)

#: Everything happens soon: presumed loss, expiry, stones, fingerprints, cohorts that are no longer recent.
SHORT = Params(
    age_cap_days=30,
    lateness_days=10,
    waiting_days=2,
    dedup_days=2,
    dispute_window_days=5,
    recent_days=10,
    first_scan_days=2,
    min_sample=2,
)

PARCELS = ("P0", "P1", "P2", "P3")
CHANNELS = (("RU", "tablet", "post", None), ("RU", "tablet", "post", "air"), ("BR", "shoe", "wolf", None))
ORDERS = ("O0", "O1")
COMPLAINTS = ("C0", "C1", "C2")
REFUNDS = ("R0", "R1")


def text(moment: datetime) -> str:
    """RFC 3339."""
    return moment.isoformat().replace("+00:00", "Z")


#: Moments that cannot be meant, and one that could.
ABSURD = [datetime(year, 12, 31, 23, tzinfo=UTC) for year in (3, 1999, 2060, 2087, 2090, 5000, 9998)]
_soon = st.one_of(
    st.integers(0, 80).map(lambda k: START + k * GRID),
    st.integers(0, 20 * 24 * 60).map(lambda k: START + timedelta(minutes=k)),
)
moments = st.one_of(
    *[_soon] * 10,
    st.sampled_from(ABSURD),
    *[st.sampled_from([31, 40, 62, 75, 100, 160]).map(lambda k: START + timedelta(days=k))] * 3,
)
_LAGS = [
    *[timedelta(0)] * 5,
    *(timedelta(minutes=1), timedelta(hours=5), timedelta(days=1), timedelta(days=3), timedelta(days=8)),
    *(timedelta(days=10), timedelta(days=10, seconds=1), timedelta(days=45), timedelta(days=61)),
    *(timedelta(hours=-20), timedelta(hours=-25)),
]
lags = st.sampled_from(_LAGS)
maybe_order = st.sampled_from([None, None, *ORDERS])


def _some(**fields: Any) -> Document:
    return {name: value for name, value in fields.items() if value is not None}


def _registered(
    parcel: str, channel: Any, order: str | None, promised: float | None, whose: tuple[str | None, str | None]
) -> tuple[str, str, Document]:
    destination, product, carrier, service = channel
    data = _some(
        parcel_id=parcel,
        destination=destination,
        product=product,
        carrier=carrier,
        service=service,
        order_id=order,
        promised_days=promised,
        forwarder=whose[0],
        batch_id=whose[0] and f"{whose[0]}-{destination}",
        customer_id=whose[1],
    )
    return "parcel.registered.v1", parcel, data


def _opened(complaint: str, about: tuple[Any, ...], customer: str | None) -> tuple[str, str, Document]:
    parcel, order, lane = about
    kind = {"C1": "empty_box", "C2": "counterfeit"}.get(complaint, "not_received")
    data = _some(complaint_id=complaint, kind=kind, parcel_id=parcel, order_id=order, customer_id=customer)
    if lane is not None:
        data |= {"destination": lane[0], "product": lane[1], "carrier": lane[2]}
    return "complaint.opened.v1", parcel or complaint, data


_about = st.one_of(
    st.sampled_from(PARCELS).map(lambda p: (p, None, None)),
    st.sampled_from(ORDERS).map(lambda o: (None, o, None)),
    st.sampled_from([(None, None, CHANNELS[0]), (None, None, CHANNELS[2]), (None, None, None)]),
)
registrations = st.builds(
    _registered,
    st.sampled_from(PARCELS),
    st.sampled_from([*CHANNELS, CHANNELS[0], CHANNELS[0]]),
    maybe_order,
    st.sampled_from([None, 3, 10.5]),
    st.sampled_from([(None, None), ("F0", None), ("F|1", "U0"), ("F0", "U|1")]),
)
scans = st.builds(
    lambda parcel, milestone, country: (
        "parcel.scanned.v1",
        parcel,
        _some(parcel_id=parcel, milestone=milestone, country=country),
    ),
    st.sampled_from(PARCELS),
    st.sampled_from(MILESTONES),
    st.sampled_from([None, None, "CN", "RU", "BR", "MY"]),
)
_declared = st.builds(
    lambda id_, kind, first, days, whom: (
        "calendar.declared.v1",
        id_,
        {
            "calendar_id": id_,
            "kind": kind,
            "first_day": text(first)[:10],
            "last_day": text(first + timedelta(days=days))[:10],
            **whom,
        },
    ),
    st.sampled_from(["D0", "D1"]),
    st.sampled_from(["holiday", "working_day", "cut_off", "strike", "closure", "surge", "withdrawn"]),
    st.integers(0, 40).map(lambda k: START + timedelta(days=k)),
    st.sampled_from([0, 3, 60]),
    st.sampled_from([{"country": "RU"}, {"country": "CN"}]),
)
others = st.one_of(
    _declared,
    st.builds(_opened, st.sampled_from(COMPLAINTS), _about, st.sampled_from([None, None, "U0", "U|1"])),
    st.builds(
        lambda c, p: ("complaint.closed.v1", p or c, _some(complaint_id=c, parcel_id=p)),
        st.sampled_from(COMPLAINTS),
        st.sampled_from([None, *PARCELS[:2]]),
    ),
    st.builds(
        lambda r, p, o: (
            "refund.requested.v1",
            p or r,
            _some(refund_id=r, stage="in_transit", parcel_id=p, order_id=o),
        ),
        st.sampled_from(REFUNDS),
        st.sampled_from([None, *PARCELS[:2]]),
        maybe_order,
    ),
    st.builds(
        lambda r, p: ("refund.completed.v1", p or r, _some(refund_id=r, parcel_id=p)),
        st.sampled_from(REFUNDS),
        st.sampled_from([None, *PARCELS[:2]]),
    ),
    st.builds(
        lambda p, outcome: (
            "claim.settled.v1",
            p,
            _some(
                claim_id="L" + p,
                parcel_id=p,
                outcome=outcome,
                amount=None if outcome == "rejected" else {"amount": "5.00", "currency": "USD"},
            ),
        ),
        st.sampled_from(PARCELS),
        st.sampled_from([None, "paid", "rejected"]),
    ),
    st.builds(lambda p: ("claim.filed.v1", p, {"claim_id": "L" + p, "parcel_id": p}), st.sampled_from(PARCELS)),
    st.builds(
        lambda target, what: ("decision.recorded.v1", target, {"target": target, "what": what}),
        st.sampled_from([*PARCELS, "no such incident"]),
        st.sampled_from(["mute", "ack", "done"]),
    ),
    st.just(("rule.declared.v1", "X", {"rule_id": "X", "effect": "refuse"})),
)


def _document(body: Any, recorded: datetime, lag: timedelta, identity: tuple[str, int], stated: int) -> Document:
    kind, subject, data = body
    source, number = identity
    document = {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": source,
        "type": kind,
        "subject": subject,
        "time": text(recorded - lag),
        "data": data,
    }
    if stated:  # else the recorded time is the time
        document["recordedtime"] = text(recorded)
    if stated == 9:
        document["history"] = True
    if stated == 8 and number < 10:
        document["timeunknown"] = True
    return document


documents = st.builds(
    _document,
    st.one_of(registrations, registrations, scans, scans, scans, others, others),
    moments,
    lags,
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 60)),
    st.integers(0, 9),
)


def _again(documents: list[Document], repeats: list[tuple[int, int]]) -> list[Document]:
    """The documents and, of some, a repeat: word for word, recorded later, or with another body."""
    out = list(documents)
    for index, how in repeats:
        document = documents[index % len(documents)]
        recorded = datetime.fromisoformat(document.get("recordedtime", document["time"]))
        if how == 1:
            document = document | {"recordedtime": text(recorded + timedelta(days=1, minutes=7))}
        elif how == 2:
            document = document | {"time": text(datetime.fromisoformat(document["time"]) + timedelta(minutes=1))}
        elif how == 3:
            document = document | {"recordedtime": text(recorded + timedelta(days=30)), "history": True}
        out.append(document)
    return out


def line(document: Document) -> bytes:
    """One line of a file."""
    return json.dumps(document, separators=(",", ":")).encode()


repeats = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=5)
#: Lists of documents whose lines are all valid events (their times may yet be out of bounds).
histories = st.builds(
    _again,
    st.one_of(
        st.lists(documents, min_size=1, max_size=6),
        st.lists(documents, min_size=12, max_size=25),
        st.lists(documents, min_size=30, max_size=60),
    ),
    repeats,
)
worlds = histories.map(lambda some: [line(document) for document in some])
#: Lines that are no events.
garbage = st.sampled_from([b"{", b"[]", b"{}", b'{"time":"2026-03-02T00:00:00Z"}', b"\xff\xfe", b'"x"'])
params = st.sampled_from([*[SHORT] * 5, Params()])
