"""From columns to text: canonical events as JSON lines, a chunk of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from monitor.replay.simulate.cases import KINDS, OUTCOMES, VIAS, Cases
from monitor.replay.simulate.channels import Channel, postage_cents, promise, serves
from monitor.replay.simulate.envelope import as_json, head, money
from monitor.replay.simulate.journeys import Journeys
from monitor.replay.simulate.parcels import Parcels
from monitor.replay.simulate.rows import DAY_S, Kind, Rows
from monitor.replay.simulate.scans import Form
from monitor.replay.simulate.streams import IntArray
from monitor.replay.simulate.tables import CARRIERS, Carrier, Country, Product

CHUNK_ROWS: Final = 50_000
_RESPOND_DAYS: Final = 10
_CLAIM_DAYS: Final = 60


@dataclass(frozen=True, slots=True)
class Offer:
    """A carrier's offer for a lane, made when the world begins."""

    country: Country
    product: Product
    carrier: Carrier


def offers_for(channels: Sequence[Channel]) -> list[Offer]:
    """Every carrier's offer for every lane of the world, in a fixed order."""
    lanes = {(channel.country.code, channel.product.name): channel for channel in channels}
    return [
        Offer(lanes[lane].country, lanes[lane].product, carrier)
        for lane in sorted(lanes)
        for carrier in CARRIERS
        if serves(carrier, lanes[lane].country)
    ]


@dataclass(frozen=True, slots=True)
class _Case:
    """What the events of a complaint say."""

    parcel: int
    serial: int
    kind: str
    via: str
    outcome: str
    by_order: bool
    closed_bare: bool


class Renderer:
    """Holds what rows refer to: the parcels and cases of all channels, and the offers."""

    def __init__(self, start: date, offers: Sequence[Offer]) -> None:
        self._zero = np.datetime64(start, "s")
        self._offers = offers
        self._scans: list[tuple[str, str]] = []
        self._parcels = Parcels()
        self._cases: list[_Case] = []

    @property
    def parcels(self) -> int:
        """Parcels added so far."""
        return len(self._parcels.ids)

    @property
    def cases(self) -> int:
        """Cases added so far."""
        return len(self._cases)

    def add(self, journeys: Journeys, cases: Cases) -> None:
        """Appends a channel's parcels and cases; rows number them in the order of these calls."""
        first = len(self._parcels.ids)
        self._parcels.add(journeys)
        self._cases.extend(
            _Case(parcel + first, serial, KINDS[kind], VIAS[via], OUTCOMES[outcome], by_order, bare)
            for parcel, serial, kind, via, outcome, by_order, bare in zip(
                cases.parcel.tolist(),
                cases.serial.tolist(),
                cases.kind.tolist(),
                cases.via.tolist(),
                cases.outcome.tolist(),
                cases.by_order.tolist(),
                cases.closed_bare.tolist(),
                strict=True,
            )
        )

    def finish(self, forms: Sequence[Form]) -> None:
        """No more will be added; ``forms`` are those that the scans refer to, by number."""
        self._parcels.finish()
        self._scans = [_scan_text(form) for form in forms]

    def chunks(self, rows: Rows) -> Iterator[tuple[int, bytes]]:
        """The rows as (number of events, lines), in order."""
        for first in range(0, len(rows), CHUNK_ROWS):
            part = rows.take(slice(first, first + CHUNK_ROWS))
            texts = np.empty(len(part), dtype=object)
            for kind in Kind:
                index = np.flatnonzero(part.kind == kind)
                if len(index):
                    texts[index] = self._texts(kind, part.take(index))
            yield len(part), ("\n".join(texts.tolist()) + "\n").encode()

    def _instants(self, seconds: IntArray) -> list[str]:
        texts: list[str] = np.datetime_as_string(self._zero + seconds.astype("timedelta64[s]")).tolist()
        return texts

    def _texts(self, kind: Kind, rows: Rows) -> list[str]:
        times, known = self._instants(rows.time_s), self._instants(rows.recorded_s)
        items = rows.item.tolist()
        if kind is Kind.SCAN:
            return self._scanned(items, rows.form.tolist(), times, known)
        if kind is Kind.REGISTERED:
            return self._parcels.registered(items, times, known)
        if kind is Kind.OFFER:
            offers = [self._offers[item] for item in items]
            return [_offered(*row) for row in zip(offers, times, known, strict=True)]
        shift_d = {Kind.OPENED: _RESPOND_DAYS, Kind.CLAIM_FILED: _CLAIM_DAYS}.get(kind, 0)
        until = self._instants(rows.time_s + shift_d * DAY_S)
        cases = [self._cases[item] for item in items]
        return [self._case(kind, *row) for row in zip(cases, times, known, until, strict=True)]

    def _scanned(self, items: list[int], forms: list[int], times: list[str], known: list[str]) -> list[str]:
        """The bulk of a world: one formatted string an event and nothing else."""
        ids, scans = self._parcels.ids, self._scans
        texts = []
        for item, form, time, recorded in zip(items, forms, times, known, strict=True):
            parcel, (after_id, data) = ids[item], scans[form]
            texts.append(
                f'{{"specversion":"1.0","id":"{parcel}{after_id}{parcel}","time":"{time}Z",'
                f'"recordedtime":"{recorded}Z","data":{{"parcel_id":"{parcel}{data}'
            )
        return texts

    def _case(self, kind: Kind, case: _Case, time: str, known: str, until: str) -> str:
        """An event of a complaint, of its refund or of its claim; ``until`` is the deadline, where there is one."""
        parcel = self._parcels.ids[case.parcel]
        value = self._parcels.value_cents(case.parcel)
        amount, name, named = money(value), f"{parcel}-{case.serial}", f'"parcel_id":"{parcel}"'
        match kind:
            case Kind.OPENED:
                order = f'"order_id":"SO-{parcel}"'
                whose = order if case.by_order else f"{named},{order}"
                answer = f',"respond_by":"{until}Z"' if case.via == "paypal" else ""
                return (
                    head(f"C-{name}-open", "/complaints", "complaint.opened.v1", f"C-{name}", time, known)
                    + f'{{"complaint_id":"C-{name}","kind":"{case.kind}",{whose},'
                    f'"customer_id":"{self._parcels.customer(case.parcel)}","via":"{case.via}",'
                    f'"amount":{amount}{answer}}}}}'
                )
            case Kind.CLOSED:
                whose = "" if case.closed_bare else f",{named}"
                return (
                    head(f"C-{name}-close", "/complaints", "complaint.closed.v1", f"C-{name}", time, known)
                    + f'{{"complaint_id":"C-{name}"{whose},"outcome":"{case.outcome}"}}}}'
                )
            case Kind.REFUND_REQUESTED:
                stage = "in_transit" if case.kind == "not_received" else "received_keep"
                return (
                    head(f"R-{name}-ask", "/refunds", "refund.requested.v1", f"R-{name}", time, known)
                    + f'{{"refund_id":"R-{name}","stage":"{stage}",{named},"amount":{amount},"reason":"{case.kind}"}}}}'
                )
            case Kind.REFUND_COMPLETED:
                return (
                    head(f"R-{name}-done", "/refunds", "refund.completed.v1", f"R-{name}", time, known)
                    + f'{{"refund_id":"R-{name}",{named},"amount":{amount},"by":"merchant"}}}}'
                )
            case Kind.CLAIM_FILED:
                return (
                    head(f"L-{name}-file", "/claims", "claim.filed.v1", f"L-{name}", time, known)
                    + f'{{"claim_id":"L-{name}",{named},"amount":{amount},"deadline":"{until}Z"}}}}'
                )
            case _:
                paid = value % 2 == 0  # every other claim is won
                outcome, received = ("paid", amount) if paid else ("rejected", money(0))
                return (
                    head(f"L-{name}-settle", "/claims", "claim.settled.v1", f"L-{name}", time, known)
                    + f'{{"claim_id":"L-{name}",{named},"outcome":"{outcome}","amount":{received}}}}}'
                )


def _scan_text(form: Form) -> tuple[str, str]:
    """What follows the parcel id in the event id (up to the subject) and in the data."""
    place = "" if form.place is None else f',"place":{as_json(form.place)}'
    country = "" if form.country is None else f',"country":"{form.country}"'
    return (
        f'-{form.suffix}","source":"{form.feed}","type":"parcel.scanned.v1","subject":"',
        f'","milestone":"{form.milestone}"{country}{place},'
        f'"raw_code":{as_json(form.code)},"raw_text":{as_json(form.text)}}}}}',
    )


def _offered(offer: Offer, time: str, known: str) -> str:
    country, product, carrier = offer.country, offer.product, offer.carrier
    subject = f"offer-{country.code}-{product.name}-{carrier.part}"
    refuses = f',"refuses":{as_json(carrier.refuses)}' if carrier.refuses else ""
    return (
        head(subject, "/offers", "carrier.offered.v1", subject, time, known)
        + f'{{"carrier":"{carrier.part}","destination":"{country.code}","product":"{product.name}",'
        f'"postage":{money(postage_cents(country, product, carrier))},'
        f'"promised_days":{promise(country, carrier)}{refuses},"valid_from":"{time}Z"}}}}'
    )
