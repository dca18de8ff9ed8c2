"""What an incident is about, as one text: the kind, then the facets that all its parcels share.

``kind|country|product|carrier``, empty where a facet is not part of the scope; names hold no ``|``. A fifth part
names what is no facet of a channel. So a channel's scope is ``channel|`` and its id.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

#: The scope of everything.
ALL: Final = "all|||"
#: What the fifth part of a scope is called in the contract, by kind.
_FIFTH: Final = {"forwarder": "forwarder", "batch": "batch_id", "customer": "customer_id"}


def scope(kind: str, country: str = "", product: str = "", carrier: str = "") -> str:
    """The text of a scope.

    >>> scope("country_product", "RU", "tablet")
    'country_product|RU|tablet|'
    """
    return f"{kind}|{country}|{product}|{carrier}"


def channel_scope(channel: str) -> str:
    """The scope of one channel."""
    return "channel|" + channel


def customer_scope(customer: str, channel: str = "||") -> str:
    """The scope of a customer, or of a customer's parcels on one channel.

    >>> customer_scope("C7"), customer_scope("C7", "RU|tablet|post")
    ('customer||||C7', 'customer|RU|tablet|post|C7')
    """
    return f"customer|{channel}|{customer}"


def forwarder_scope(forwarder: str, channel: str = "||") -> str:
    """The scope of a forwarder, or of a forwarder's parcels on one channel."""
    return f"forwarder|{channel}|{forwarder}"


def batch_scope(batch: str, channel: str = "||") -> str:
    """The scope of a hand-over batch, or of a batch's parcels on one channel."""
    return f"batch|{channel}|{batch}"


def channel_in(pair: str) -> str:
    """The channel of a scope of a customer's, a forwarder's or a batch's parcels on one channel; else two bars.

    >>> channel_in("forwarder|RU|tablet|post|swift"), channel_in("batch||||swift-0301")
    ('RU|tablet|post', '||')
    """
    return "|".join(pair.split("|", 4)[1:4])


def named_in(scope: str) -> str:
    """What a scope names besides facets of a channel: a customer, a forwarder, a batch.

    >>> named_in("batch|RU|tablet|post|swift-0301")
    'swift-0301'
    """
    return scope.split("|", 4)[4]


def channel_of(scope: str) -> str | None:
    """The channel whose scope this is; None for a wider one."""
    return scope.removeprefix("channel|") if scope.startswith("channel|") else None


def scope_record(scope: str) -> dict[str, str | None]:
    """The scope as the contract writes it.

    >>> scope_record("carrier|||china-post")
    {'kind': 'carrier', 'country': None, 'product': None, 'carrier': 'china-post'}
    """
    kind, country, product, carrier, *rest = scope.split("|", 4)
    out: dict[str, str | None] = {
        "kind": kind,
        "country": country or None,
        "product": product or None,
        "carrier": carrier or None,
    }
    if rest:
        out[_FIFTH[kind]] = rest[0]
    return out


@lru_cache(maxsize=1 << 16)
def groups_of(channel: str) -> tuple[str, ...]:
    """Scopes of the groups that a channel belongs to, a carrier with and without its service.

    >>> groups_of("RU|tablet|post/air")[:3]
    ('carrier_country|RU||post', 'carrier_country|RU||post/air', 'carrier_product||tablet|post')
    """
    country, product, part = channel.split("|")
    out = [scope("country", country), scope("country_product", country, product)]
    for carrier in dict.fromkeys((part, part.split("/", 1)[0])):
        out.append(scope("carrier", carrier=carrier))
        out.append(scope("carrier_country", country, carrier=carrier))
        out.append(scope("carrier_product", "", product, carrier))
    return tuple(sorted(out))
