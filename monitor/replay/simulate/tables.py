"""The stage: destinations, carriers and products of the simulated shop, as data.

Figures are invented but of the size the field reports: registered mail to Russia takes 60–75 days, express 6–10.
Durations are means in days for an ordinary destination; a country's factors multiply them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Country:
    """A destination. ``weight`` is its share of orders; the factors multiply the carrier's stage durations."""

    code: str
    weight: float
    haul: float
    delivery: float
    hold: float
    """base probability that customs holds a parcel"""
    gateway: str
    cities: tuple[str, ...]
    weekend: tuple[int, int] = (5, 6)
    """weekdays (0 = Monday) on which little is delivered"""

    @property
    def second_hub(self) -> str:
        """Where parcels arrive that do not come through the gateway, in worlds where some do not."""
        return f"{self.cities[0]} hub"


@dataclass(frozen=True, slots=True)
class Carrier:
    """A carrier's service to every destination in ``only`` (empty: all).

    ``stages`` are the mean days of the four stages; ``spread`` is the exponent put on the country's factors (an
    express company feels a far country less than the post does); ``lag_h`` is the median of the reporting lag.
    """

    name: str
    service: str | None
    weight: float
    stages: tuple[float, float, float, float]
    spread: float
    lag_h: float
    postage_usd: float
    id_prefix: str
    post: str | None
    """issuing country of the S10 tracking numbers of a post; None for a commercial carrier"""
    refuses: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    transit: tuple[str, str] | None = None
    """country and place of a transit hub, where the carrier has one"""
    unseen: tuple[tuple[str, float], ...] = ()
    """(milestone, probability that it is not scanned), where it differs from the ordinary"""

    @property
    def part(self) -> str:
        """The carrier part of a channel id: ``carrier`` or ``carrier/service``."""
        return f"{self.name}/{self.service}" if self.service else self.name


@dataclass(frozen=True, slots=True)
class Product:
    """What is sold. ``sometimes`` is an attribute that some parcels of the product carry."""

    name: str
    weight: float
    value_usd: float
    kilograms: float
    attributes: tuple[str, ...] = ()
    sometimes: tuple[str, float] | None = None


_GULF_WEEKEND: Final = (4, 5)
_EU: Final = ("DE", "FR", "ES", "IT", "NL", "PL", "SE", "CZ", "PT", "FI", "GR", "RO", "HU", "BE", "AT", "IE")

COUNTRIES: Final[tuple[Country, ...]] = (
    Country("US", 14, 1.1, 1.0, 0.012, "Chicago ORD", ("Los Angeles", "Houston", "Newark")),
    Country("DE", 9, 1.0, 0.8, 0.030, "Frankfurt", ("Berlin", "Hamburg", "Koeln")),
    Country("GB", 8, 1.0, 0.8, 0.020, "London Langley", ("Leeds", "Bristol", "Glasgow")),
    Country("FR", 7, 1.0, 0.9, 0.025, "Paris Roissy", ("Lyon", "Lille", "Toulouse")),
    Country("RU", 7, 5.0, 4.0, 0.045, "Moskva PCI", ("Sankt-Peterburg", "Ekaterinburg", "Novosibirsk")),
    Country("ES", 5, 1.2, 1.1, 0.035, "Madrid", ("Barcelona", "Sevilla", "Valencia")),
    Country("IT", 5, 1.4, 1.3, 0.050, "Milano", ("Roma", "Napoli", "Torino")),
    Country("BR", 5, 2.2, 2.6, 0.110, "Curitiba", ("Sao Paulo", "Recife", "Porto Alegre")),
    Country("AU", 4, 1.2, 1.0, 0.010, "Sydney", ("Melbourne", "Brisbane", "Perth")),
    Country("CA", 4, 1.3, 1.4, 0.020, "Vancouver", ("Toronto", "Calgary", "Montreal")),
    Country("NL", 3, 0.9, 0.7, 0.020, "Amsterdam", ("Utrecht", "Rotterdam", "Eindhoven")),
    Country("PL", 3, 1.1, 0.9, 0.020, "Warszawa", ("Krakow", "Gdansk", "Wroclaw")),
    Country("IL", 3, 1.5, 1.5, 0.040, "Tel Aviv", ("Haifa", "Jerusalem", "Beer Sheva"), weekend=_GULF_WEEKEND),
    Country("TR", 3, 1.4, 1.4, 0.080, "Istanbul", ("Ankara", "Izmir", "Bursa")),
    Country("UA", 2, 1.8, 1.5, 0.020, "Kyiv", ("Lviv", "Odesa", "Dnipro")),
    Country("SE", 2, 1.0, 0.9, 0.030, "Stockholm Arlanda", ("Malmo", "Goteborg", "Uppsala")),
    Country("MX", 2, 1.6, 1.9, 0.060, "Mexico City", ("Monterrey", "Guadalajara", "Puebla")),
    Country("CL", 2, 1.8, 1.7, 0.035, "Santiago", ("Valparaiso", "Concepcion", "Temuco")),
    Country("JP", 2, 0.5, 0.5, 0.010, "Tokyo", ("Osaka", "Nagoya", "Fukuoka")),
    Country("KR", 2, 0.4, 0.5, 0.012, "Incheon", ("Seoul", "Busan", "Daegu")),
    Country("SA", 2, 1.3, 1.5, 0.060, "Riyadh", ("Jeddah", "Dammam", "Medina"), weekend=_GULF_WEEKEND),
    Country("AE", 1.5, 1.0, 1.0, 0.030, "Dubai", ("Abu Dhabi", "Sharjah", "Ajman")),
    Country("CZ", 1.5, 1.0, 0.8, 0.025, "Praha", ("Brno", "Ostrava", "Plzen")),
    Country("PT", 1.5, 1.2, 1.2, 0.045, "Lisboa", ("Porto", "Braga", "Faro")),
    Country("BE", 1.5, 0.9, 0.8, 0.025, "Bruxelles", ("Antwerpen", "Gent", "Charleroi")),
    Country("AT", 1.2, 1.0, 0.8, 0.025, "Wien", ("Graz", "Linz", "Salzburg")),
    Country("FI", 1.2, 1.1, 0.9, 0.030, "Helsinki", ("Tampere", "Turku", "Oulu")),
    Country("GR", 1.2, 1.5, 1.6, 0.040, "Athina", ("Thessaloniki", "Patra", "Larisa")),
    Country("RO", 1.2, 1.2, 1.1, 0.030, "Bucuresti", ("Cluj", "Iasi", "Timisoara")),
    Country("HU", 1.2, 1.1, 0.9, 0.025, "Budapest", ("Debrecen", "Szeged", "Pecs")),
    Country("NZ", 1, 1.3, 1.0, 0.012, "Auckland", ("Wellington", "Christchurch", "Hamilton")),
    Country("NO", 1, 1.1, 1.0, 0.045, "Oslo", ("Bergen", "Trondheim", "Stavanger")),
    Country("IE", 1, 1.1, 0.9, 0.025, "Dublin", ("Cork", "Galway", "Limerick")),
    Country("ZA", 0.8, 1.9, 2.4, 0.050, "Johannesburg", ("Cape Town", "Durban", "Pretoria")),
)  # fmt: skip

#: ISO 3166-2 regions that addresses name, for some countries.
REGIONS: Final[dict[str, tuple[str, ...]]] = {
    "US": ("US-CA", "US-TX", "US-NY", "US-FL", "US-IL"),
    "DE": ("DE-BY", "DE-NW", "DE-BE", "DE-HE"),
    "GB": ("GB-ENG", "GB-SCT", "GB-WLS"),
    "FR": ("FR-IDF", "FR-ARA", "FR-PAC"),
    "RU": ("RU-MOW", "RU-SPE", "RU-SVE"),
    "BR": ("BR-SP", "BR-RJ", "BR-MG"),
    "AU": ("AU-NSW", "AU-VIC", "AU-QLD"),
}

CARRIERS: Final[tuple[Carrier, ...]] = (
    Carrier("china-post", "registered", 9, (0.9, 3.4, 8.2, 5.6), 1.0, 14, 3.2, "R", "CN", refuses=("liquid",)),
    Carrier("china-post", "epacket", 5, (0.7, 2.2, 5.4, 4.2), 0.7, 10, 4.1, "L", "CN", refuses=("liquid",),
            only=("US", "GB", "FR", "DE", "RU", "BR", "AU", "CA", "IL", "ES", "NL", "SA", "UA", "MX", "NO")),
    Carrier("yanwen", "economy", 6, (1.1, 3.6, 9.0, 5.8), 0.9, 22, 2.1, "YE", None,
            unseen=(("accepted", 0.16), ("delivered", 0.10), ("delivery_office", 1.0))),
    Carrier("yanwen", "special-line", 4, (0.6, 2.0, 4.6, 3.4), 0.6, 10, 4.6, "YS", None),
    Carrier("4px", None, 6, (0.7, 2.4, 5.6, 3.8), 0.7, 9, 4.2, "PX", None,
            transit=("BE", "Liege"), only=(*_EU, "GB", "NO", "US", "CA", "AU")),
    Carrier("yunexpress", None, 6, (0.5, 1.8, 4.2, 3.2), 0.6, 6, 5.1, "YT", None),
    Carrier("sunyou", None, 4, (1.2, 3.8, 8.8, 5.4), 0.9, 26, 1.9, "SY", None,
            unseen=(("accepted", 1.0), ("origin_hub", 0.15), ("out_for_delivery", 1.0))),
    Carrier("singapore-post", "air", 3, (0.9, 3.0, 7.4, 5.2), 0.9, 16, 3.4, "R", "SG",
            transit=("SG", "Singapore Changi")),
    Carrier("hongkong-post", "air", 3, (0.8, 2.8, 7.0, 5.2), 0.9, 14, 3.3, "U", "HK", refuses=("battery",)),
    Carrier("sf-express", "e-parcel", 3, (0.5, 2.2, 6.0, 4.4), 0.8, 8, 3.9, "SF", None),
    Carrier("cne", None, 2, (0.7, 2.4, 5.8, 4.2), 0.7, 12, 4.0, "CN", None),
    Carrier("anjun", None, 2, (1.0, 3.0, 7.6, 4.8), 0.8, 20, 2.6, "AJ", None, unseen=(("origin_hub", 0.9),)),
    Carrier("dhl", "express", 1.5, (0.2, 0.7, 3.2, 1.9), 0.3, 2, 21.0, "JD", None, refuses=("liquid",)),
    Carrier("ups", "saver", 1, (0.25, 0.8, 3.4, 2.1), 0.3, 2, 19.5, "1Z", None, refuses=("liquid", "battery")),
)  # fmt: skip

PRODUCTS: Final[tuple[Product, ...]] = (
    Product("phone", 8, 92, 0.4, ("battery", "brand")),
    Product("tablet", 7, 74, 0.7, ("battery",), ("brand", 0.2)),
    Product("toy", 9, 14, 0.4, (), ("battery", 0.25)),
    Product("dress", 9, 19, 0.3),
    Product("shoes", 6, 27, 0.9, (), ("brand", 0.3)),
    Product("watch", 6, 23, 0.2, (), ("battery", 0.6)),
    Product("cosmetics", 4, 12, 0.3, ("liquid",)),
    Product("headphones", 7, 21, 0.2, ("battery",), ("brand", 0.15)),
    Product("power-bank", 4, 18, 0.4, ("battery",)),
    Product("led-lamp", 5, 16, 0.6),
    Product("fishing-gear", 3, 24, 0.8),
)

FORWARDERS: Final[tuple[str, ...]] = (
    "huayang",
    "dragon-link",
    "seven-seas",
    "east-bridge",
    "blue-whale",
    "kowloon-cargo",
)

#: Last places in China and how a forwarder's parcels enter the post.
ORIGINS: Final[tuple[str, ...]] = ("Shenzhen", "Guangzhou", "Shanghai", "Yiwu", "Dongguan")

#: Where a parcel with an unreadable country ends up. Many, so that none of them looks like a transit country.
WRONG_COUNTRIES: Final[tuple[str, ...]] = ("MY", "PH", "VN", "AR", "EG", "LT", "CH", "SK", "PE", "MA")

#: How often a milestone is not scanned, unless the carrier says otherwise.
UNSEEN: Final[dict[str, float]] = {
    "info_received": 0.45,
    "accepted": 0.03,
    "origin_hub": 0.35,
    "export_customs": 0.65,
    "departed_origin": 0.05,
    "arrived_destination": 0.05,
    "delivery_office": 0.45,
    "out_for_delivery": 0.45,
    "delivered": 0.03,
    "returning": 0.10,
}

#: Milestone → (UPU EMSEVT code, its text) and (code, text) of the commercial carriers.
WORDS: Final[dict[str, tuple[tuple[str, str], tuple[str, str]]]] = {
    "info_received": (("ITMATT", "Item pre-advised"), ("INFO", "已预报 Shipment information received")),
    "accepted": (("EMA", "Posting/collection"), ("PU", "已揽收 Picked up")),
    "origin_hub": (("EMB", "Arrival at outward office of exchange"), ("HUB", "到达处理中心 Arrived at sorting centre")),
    "export_customs": (("EXA", "Item presented to export customs/security"), ("EXP", "出口报关 Export clearance")),
    "departed_origin": (("EMC", "Departure from outward office of exchange"), ("DEP", "已离开始发国 Flight departed")),
    "transit": (("EMJ", "Arrival at transit office of exchange"), ("TRN", "中转 In transit hub")),
    "arrived_destination": (("EMD", "Arrival at inward office of exchange"), ("ARR", "到达目的国 Arrived abroad")),
    "customs_held": (("EME", "Held by import customs"), ("CH", "海关扣留 Held by customs")),
    "customs_released": (("EDC", "Item returned from customs"), ("CR", "海关放行 Released by customs")),
    "delivery_office": (("EMG", "Arrival at delivery office"), ("DO", "到达投递局 Arrived at delivery depot")),
    "out_for_delivery": (("EDG", "Item out for physical delivery"), ("OFD", "派送中 Out for delivery")),
    "attempt_failed": (("EMH", "Attempted/unsuccessful delivery"), ("AF", "投递失败 Delivery attempt failed")),
    "available_for_pickup": (("EDH", "Item arrival at collection point"), ("PUP", "待自提 At pick-up point")),
    "delivered": (("EMI", "Final delivery"), ("DLV", "已签收 Delivered")),
    "returning": (("EMH-R", "Unclaimed, return to sender"), ("RTS", "退回中 Returning to sender")),
    "returned": (("RTN", "Returned to sender"), ("RTD", "已退回 Returned")),
    "security_returned": (("EXC", "Item returned from export customs/security"), ("SEC", "安检退回 Sent back")),
    "lost": (("LST", "Item lost, inquiry closed"), ("LOST", "丢失 Lost")),
}  # fmt: skip
