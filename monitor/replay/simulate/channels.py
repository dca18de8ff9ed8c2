"""The channels of a world: which lanes it serves, by whom, how many parcels a day, and each channel's nature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.replay.simulate.streams import FloatArray, stream
from monitor.replay.simulate.tables import (
    CARRIERS,
    COUNTRIES,
    FORWARDERS,
    ORIGINS,
    PRODUCTS,
    UNSEEN,
    Carrier,
    Country,
    Product,
)

MAX_CHANNELS: Final = 2000
#: Spread (sigma of the log) of one parcel's duration about its channel's mean, per stage.
STAGE_SIGMA: Final = (0.55, 0.40, 0.27, 0.48)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel. Durations in days, chances as probabilities, volume in parcels a day."""

    index: int
    country: Country
    product: Product
    carrier: Carrier
    volume: float
    stages: tuple[float, float, float, float]
    """mean days of each stage"""
    sigmas: tuple[float, float, float, float]
    promised_days: int
    chances: dict[str, float]
    unseen: dict[str, float]
    dwell_days: float
    flight_week: FloatArray
    """speed of departure by weekday, mean 1"""
    forwarders: tuple[str, ...]
    forwarder_shares: tuple[float, ...]
    dropship_share: float
    dropshippers: tuple[str, ...]
    origin: str
    quality_per_parcel: float

    @property
    def id(self) -> str:
        """``destination|product|carrier part``, as in the contract."""
        return channel_name(self.country, self.product, self.carrier)

    @property
    def transit_days(self) -> float:
        """Mean days from registration to delivery when nothing is held, returned or lost."""
        return sum(self.stages)


def channel_name(country: Country, product: Product, carrier: Carrier) -> str:
    """The id of a channel."""
    return f"{country.code}|{product.name}|{carrier.part}"


def usual_stages(country: Country, carrier: Carrier) -> tuple[float, float, float, float]:
    """Mean days per stage of a carrier to a country, before the channel's own deviation."""
    accept, depart, haul, deliver = carrier.stages
    return accept, depart, haul * country.haul**carrier.spread, deliver * country.delivery**carrier.spread


def promise(country: Country, carrier: Carrier) -> int:
    """Days a shop promises on the lane: about what 85% of parcels keep; multiples of five where it is long."""
    days = 1.28 * sum(usual_stages(country, carrier))
    return math.ceil(days / 5) * 5 if days > 20 else math.ceil(days)


def postage_cents(country: Country, product: Product, carrier: Carrier) -> int:
    """Postage of one parcel in US cents."""
    return round(100.0 * carrier.postage_usd * (0.6 + product.kilograms) * math.pow(country.haul, 0.3))


def serves(carrier: Carrier, country: Country) -> bool:
    """Does the carrier go to the country?"""
    return not carrier.only or country.code in carrier.only


def takes(carrier: Carrier, product: Product) -> bool:
    """Does the carrier take the product, with everything its parcels may carry?"""
    carried = (*product.attributes, product.sometimes[0]) if product.sometimes else product.attributes
    return not set(carrier.refuses) & set(carried)


def dropshippers_of(country: Country) -> tuple[str, ...]:
    """The big dropship customers of a country, the biggest first."""
    return tuple(f"dropship-{country.code.lower()}-{number}" for number in (1, 2, 3))


def build_channels(seed: int, count: int, volume_per_day: tuple[float, float]) -> list[Channel]:
    """``count`` channels, the same for the same arguments. Volumes are log-uniform between the two bounds.

    Lanes are drawn by weight and get one to three carriers at a time; the busiest carrier, country and product
    tend to get the larger volumes.
    """
    rng = stream(seed, "channels")
    country_p, product_p, carrier_p = (
        np.array([row.weight for row in rows]) / sum(row.weight for row in rows)
        for rows in (COUNTRIES, PRODUCTS, CARRIERS)
    )
    chosen: dict[str, tuple[Country, Product, Carrier, float]] = {}
    while len(chosen) < count:
        c, p = int(rng.choice(len(COUNTRIES), p=country_p)), int(rng.choice(len(PRODUCTS), p=product_p))
        wanted, order = int(rng.integers(1, 4)), rng.choice(len(CARRIERS), len(CARRIERS), replace=False, p=carrier_p)
        pull = np.exp(rng.normal(0.0, 1.0, len(CARRIERS)))
        country, product = COUNTRIES[c], PRODUCTS[p]
        for k in order:
            carrier = CARRIERS[k]
            name = channel_name(country, product, carrier)
            if (
                wanted
                and len(chosen) < count
                and name not in chosen
                and serves(carrier, country)
                and takes(carrier, product)
            ):
                chosen[name] = (country, product, carrier, country.weight * product.weight * carrier.weight * pull[k])
                wanted -= 1
    names = sorted(chosen)
    low, high = volume_per_day
    by_pull = sorted(names, key=lambda name: (chosen[name][3], name))
    volume = {name: low * (high / low) ** ((rank + 0.5) / count) for rank, name in enumerate(by_pull)}
    return [_channel(seed, index, *chosen[name][:3], volume[name]) for index, name in enumerate(names)]


def _channel(seed: int, index: int, country: Country, product: Product, carrier: Carrier, volume: float) -> Channel:
    """The channel's own nature, from its own stream."""
    rng = stream(seed, f"nature/{channel_name(country, product, carrier)}")
    own = np.exp(rng.normal(0.0, (0.15, 0.15, 0.12, 0.15)))
    usual = usual_stages(country, carrier)
    spread = rng.uniform(0.85, 1.2, 4)
    risk = country.haul**0.5
    carried = {*product.attributes, product.sometimes[0] if product.sometimes else ""}
    chances = {
        "loss": float(np.clip(np.exp(rng.uniform(np.log(0.004), np.log(0.012))) * risk, 0.004, 0.02)),
        "return": float(np.exp(rng.uniform(np.log(0.005), np.log(0.025)))),
        "hold": country.hold * float(rng.uniform(0.7, 1.3)) * (2.0 if "brand" in carried else 1.0),
        "misroute": float(np.exp(rng.uniform(np.log(0.001), np.log(0.004)))),
        "security_return": 0.0012 * float(rng.uniform(0.6, 1.6)) * (6.0 if {"battery", "liquid"} & carried else 1.0),
        "unscanned": float(rng.uniform(0.002, 0.010)),
        "empty_box": 0.0006,
    }
    special = dict(carrier.unseen)
    unseen = {
        milestone: min(1.0, special.get(milestone, ordinary) * float(rng.uniform(0.8, 1.2)))
        for milestone, ordinary in UNSEEN.items()
    }
    unseen.update({milestone: 1.0 for milestone, chance in special.items() if chance >= 1.0})
    flights = np.exp(rng.normal(0.0, 0.35, 7))
    used = rng.choice(len(FORWARDERS), 2, replace=False)
    main = float(rng.uniform(0.55, 0.95))
    return Channel(
        index=index,
        country=country,
        product=product,
        carrier=carrier,
        volume=volume,
        stages=tuple(float(value) for value in own * usual),  # type: ignore[arg-type]
        sigmas=tuple(float(value) for value in spread * STAGE_SIGMA),  # type: ignore[arg-type]
        promised_days=promise(country, carrier),
        chances=chances,
        unseen=unseen,
        dwell_days=float(rng.uniform(4.0, 8.0)),
        flight_week=flights / flights.mean(),
        forwarders=tuple(FORWARDERS[k] for k in used),
        forwarder_shares=(main, 1.0 - main),
        dropship_share=float(rng.uniform(0.15, 0.5)),
        dropshippers=dropshippers_of(country),
        origin=ORIGINS[int(rng.integers(len(ORIGINS)))],
        quality_per_parcel=float(rng.uniform(0.008, 0.022)),
    )
