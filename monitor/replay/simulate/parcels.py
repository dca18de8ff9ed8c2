"""All parcels of a world as columns: their names, and the text of their registrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.replay.simulate.channels import Channel, postage_cents
from monitor.replay.simulate.envelope import as_json, head, money
from monitor.replay.simulate.journeys import MAX_PARCELS, Journeys
from monitor.replay.simulate.planting import batch_id
from monitor.replay.simulate.streams import AnyArray
from monitor.replay.simulate.tables import REGIONS

_S10_WEIGHTS = np.array([8, 6, 4, 2, 3, 5, 9, 7])


def tracking_numbers(channel: Channel, count: int) -> list[str]:
    """``count`` tracking numbers of the channel: UPU S10 for posts, the carrier's own pattern otherwise.

    A hundred channels share the second letter of an S10 number.
    """
    carrier = channel.carrier
    if carrier.post is None:
        first = channel.index * MAX_PARCELS
        return [f"{carrier.id_prefix}{number:012d}" for number in range(first, first + count)]
    service = carrier.id_prefix + chr(ord("A") + channel.index // 100)
    serial = channel.index % 100 * MAX_PARCELS + np.arange(count)
    digits = serial[:, None] // 10 ** np.arange(7, -1, -1) % 10
    check = 11 - digits @ _S10_WEIGHTS % 11
    check = np.where(check == 10, 0, np.where(check == 11, 5, check))
    return [
        f"{service}{number:08d}{digit}{carrier.post}"
        for number, digit in zip(serial.tolist(), check.tolist(), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Texts:
    """What the registrations of one channel have in common."""

    first: int
    number: int
    lane: str
    forwarders: tuple[str, ...]
    dropshippers: tuple[str, ...]
    attributes: tuple[str, str]
    """without and with what the product sometimes carries"""
    regions: tuple[str, ...]
    postage: str


class Parcels:
    """Parcels numbered in the order of the calls of :meth:`add`."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.channels: list[_Texts] = []
        self._parts: list[tuple[AnyArray, ...]] = []
        self._columns: tuple[AnyArray, ...] = ()

    def add(self, journeys: Journeys) -> None:
        """Appends a channel's parcels."""
        channel, n = journeys.channel, len(journeys)
        self._parts.append(
            (
                np.full(n, len(self.channels), dtype=np.int16),
                journeys.value_cents.astype(np.int32),
                journeys.customer.astype(np.int8),
                journeys.forwarder.astype(np.int8),
                journeys.optional_attribute,
            )
        )
        self.channels.append(_texts(channel, len(self.ids)))
        self.ids.extend(tracking_numbers(channel, n))

    def finish(self) -> None:
        """No more parcels will come."""
        self._columns = tuple(np.concatenate(column) for column in zip(*self._parts, strict=True))
        self._parts.clear()

    def value_cents(self, parcel: int) -> int:
        """Declared value of a parcel."""
        return int(self._columns[1][parcel])

    def customer(self, parcel: int) -> str:
        """Id of the customer of a parcel."""
        return _customer(self.channels[self._columns[0][parcel]], int(self._columns[2][parcel]), parcel)

    def registered(self, items: Sequence[int], times: Sequence[str], known: Sequence[str]) -> list[str]:
        """The registrations of the parcels ``items``, as JSON."""
        chosen = np.asarray(items)
        columns = [column[chosen].tolist() for column in self._columns]
        texts = []
        for item, time, recorded, channel, value, which, forwarder, optional in zip(
            items, times, known, *columns, strict=True
        ):
            parcel, common = self.ids[item], self.channels[channel]
            name = common.forwarders[forwarder]
            region = common.regions[item % len(common.regions)]
            texts.append(
                head(f"{parcel}-reg", "/shop", "parcel.registered.v1", parcel, time, recorded)
                + f'{{"parcel_id":"{parcel}","order_id":"SO-{parcel}",{common.lane},'
                f'"forwarder":"{name}","batch_id":"{batch_id(name, time)}"{common.attributes[optional]}{region},'
                f'"declared_value":{money(value)},"postage":{common.postage},'
                f'"customer_id":"{_customer(common, which, item)}",'
                f'"customer_kind":"{"dropship" if which >= 0 else "retail"}"}}}}'
            )
        return texts


def _customer(common: _Texts, which: int, parcel: int) -> str:
    if which >= 0:
        return common.dropshippers[which]
    return f"retail-{common.number * MAX_PARCELS + parcel - common.first}"


def _texts(channel: Channel, first: int) -> _Texts:
    product, carrier, country = channel.product, channel.carrier, channel.country
    service = f',"service":"{carrier.service}"' if carrier.service else ""
    sets = [
        product.attributes,
        (*product.attributes, product.sometimes[0]) if product.sometimes else product.attributes,
    ]
    plain, more = (f',"attributes":{as_json(names)}' if names else "" for names in sets)
    return _Texts(
        first=first,
        number=channel.index,
        lane=(
            f'"destination":"{country.code}","product":"{product.name}","carrier":"{carrier.name}"{service},'
            f'"origin":"CN","promised_days":{channel.promised_days}'
        ),
        forwarders=channel.forwarders,
        dropshippers=channel.dropshippers,
        attributes=(plain, more),
        regions=tuple(f',"destination_region":"{region}"' for region in REGIONS.get(country.code, ())) or ("",),
        postage=money(postage_cents(country, product, carrier)),
    )
