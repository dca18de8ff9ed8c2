"""Writes what stands in the topics on Kafka as an AsyncAPI 3.0 document:
``python -m monitor.asyncapi schemas/asyncapi.json`` (``make schemas``).

Names, partitions and settings of the topics are those of :mod:`monitor.log.kafka.layout`; contents are the schemas that
stand beside the document. Operations are seen from the monitor: it *sends* what it writes. Channels that are tagged
``internal`` belong to its own workers, and change without notice.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from msgspec.json import schema_components

from monitor import __version__
from monitor.log.kafka.client import CLIENT_ID
from monitor.log.kafka.layout import REPLICATION, SHORT_DIGITS, SOURCES, Layout, TopicPlan
from monitor.log.kafka.reading import EXPECTED, GENERATION, TIMESTAMP
from monitor.log.kafka.states import Position
from monitor.log.topics import (
    CONTRIBUTIONS,
    DEAD_LETTERS,
    DEFAULT_PARTITIONS,
    EVENTS,
    INCIDENTS,
    RECOMMENDATIONS,
    REFERENCE,
)

Part = dict[str, Any]

_BINDING: Final = {"bindingVersion": "0.5.0"}
_LAYOUT: Final = Layout("{prefix}")
_ANY_GENERATION: Final = "0" * SHORT_DIGITS
_WHOLE_NUMBERS: Final = ("retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes")
_MSGPACK: Final = "application/msgpack"


def _string(text: str, **more: str) -> Part:
    return {"type": "string", **more, "description": text}


def _whole(least: int, text: str) -> Part:
    return {"type": "integer", "minimum": least, "description": text}


_TICK: Final = _whole(
    0, "Number of the tick at whose close it changed: hours since 1970 UTC, divided by detection.tick_hours."
)
_TIMESTAMP: Final = {
    TIMESTAMP: _string(
        "Time of the record in microseconds since 1970 UTC, as decimal digits; every record that the monitor writes "
        "bears one. Kafka's own timestamp is the same, cut to milliseconds.",
        pattern="^-?[0-9]+$",
    )
}
_EXPECTED: Final = {
    EXPECTED: _string(
        "Offset that the gateway expected the record to get. Where it is the true one, no other writer's record came "
        "between.",
        pattern="^[0-9]+$",
    )
}
_DERIVED: Final = {
    GENERATION: _string(
        "Id of the generation whose fold wrote the record; absent where it came from outside.", pattern="^[0-9a-f]{32}$"
    )
}


def document() -> Part:
    """The AsyncAPI document."""
    plans = [
        *_LAYOUT.plan(DEFAULT_PARTITIONS),
        _LAYOUT.plan_meta(),
        *_LAYOUT.plan_generation(_ANY_GENERATION, DEFAULT_PARTITIONS),
    ]
    channels = {_channel_id(plan): _channel(plan) for plan in plans}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "channel-monitor on Apache Kafka",
            "version": __version__,
            "description": "The topics of one log: events in, incidents and dead letters out. Every record is written "
            "in a transaction, so read with isolation.level=read_committed. docs/kafka.md tells how to run it.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "plain": _server("kafka", "PLAINTEXT or SASL_PLAINTEXT, for a network that nobody can listen to."),
            "secure": _server("kafka-secure", "SSL or SASL_SSL.")
            | {"security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _SECURITY]},
        },
        "channels": channels,
        "operations": {
            f"{action}{''.join(word.capitalize() for word in channel.split('-'))}": _operation(action, channel, text)
            for channel, actions in _OPERATIONS.items()
            for action, text in actions.items()
        },
        "components": {"securitySchemes": _SECURITY, "parameters": _PARAMETERS},
    }


_SECURITY: Final[Part] = {
    "certificate": {"type": "X509", "description": "A certificate of the client (ssl_certfile, ssl_keyfile)."},
    "password": {"type": "plain", "description": "PLAIN."},
    "scram256": {"type": "scramSha256", "description": "SCRAM-SHA-256."},
    "scram512": {"type": "scramSha512", "description": "SCRAM-SHA-512."},
}

_PARAMETERS: Final[Part] = {
    "prefix": {
        "description": "The setting kafka.topic_prefix; it may be empty.",
        "default": "",
        "examples": ["", "shop."],
    },
    "generation": {
        "description": f"The first {SHORT_DIGITS} digits of the id of a generation, which the topic meta tells.",
        "examples": ["12e034f3"],
    },
}


def _server(protocol: str, text: str) -> Part:
    return {
        "host": "{broker}",
        "protocol": protocol,
        "description": text,
        "variables": {"broker": {"default": "localhost:9092", "description": "A broker of the cluster."}},
    }


def _channel_id(plan: TopicPlan) -> str:
    return plan.name.removeprefix(_LAYOUT.prefix).removesuffix(f"-{_ANY_GENERATION}")


def _channel(plan: TopicPlan) -> Part:
    name = _channel_id(plan)
    text, messages = _CONTENTS[name]
    address = plan.name.replace(_ANY_GENERATION, "{generation}")
    internal = "{generation}" in address
    config: Part = dict(plan.config)
    config["cleanup.policy"] = [config["cleanup.policy"]]
    config |= {key: int(config[key]) for key in _WHOLE_NUMBERS if key in config}
    return {
        "address": address,
        "description": text,
        **({"tags": [{"name": "internal", "description": "For the monitor's own workers alone."}]} if internal else {}),
        "parameters": {
            parameter: {"$ref": f"#/components/parameters/{parameter}"}
            for parameter in _PARAMETERS
            if f"{{{parameter}}}" in address
        },
        "messages": messages,
        "bindings": {
            "kafka": {
                "partitions": plan.partitions,
                "replicas": REPLICATION,
                "topicConfiguration": config,
                **_BINDING,
            }
        },
    }


def _message(text: str, payload: Part | None, *, key: str | Part | None, headers: Part, **more: Any) -> Part:
    """``key``: what the key is, if there is one; as a schema where it is no plain text."""
    binding: Part = dict(_BINDING)
    if key is not None:
        binding = {"key": _string(key) if isinstance(key, str) else key, **binding}
    return {
        "description": text,
        **more,
        **({"headers": {"type": "object", "properties": headers}} if headers else {}),
        **({} if payload is None else {"payload": payload}),
        "bindings": {"kafka": binding},
    }


def _operation(action: str, channel: str, text: str) -> Part:
    found: Part = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "description": text}
    if channel in SOURCES and action == "receive":
        group = _LAYOUT.group(_ANY_GENERATION).replace(_ANY_GENERATION, "{generation}")
        found["bindings"] = {
            "kafka": {
                "groupId": _string(f"{group}; its offsets serve tools, nothing depends on them."),
                "clientId": {"type": "string", "const": CLIENT_ID},
                **_BINDING,
            }
        }
    return found


# Contents


def _object(**properties: Part) -> Part:
    return {"type": "object", "required": list(properties), "properties": properties}


def _said(kind: str, text: str, **properties: Part) -> Part:
    said_at = _string("When it was said.", format="date-time")
    return _message(text, _object(kind={"const": kind}, **properties, created_at=said_at), key=None, headers={})


_PARCEL_KEY: Final[Part] = {
    "type": ["string", "null"],
    "description": "From producers other than the monitor the parcel id (of an offer, a rule or an entry of the "
    "calendar the subject, of a decision the target): with Kafka's default partitioner, murmur2, it leads to the "
    "partition where the event belongs. The monitor's own records bear none.",
}
_OF_GENERATION: Final = _string("Id of the generation.")
_POSITION: Final = schema_components((Position,))[1]["Position"]

_CONTENTS: Final[dict[str, tuple[str, dict[str, Part]]]] = {
    EVENTS: (
        "The log of record: canonical events, spread by parcel id, never deleted. The number of partitions is set by "
        "log.partitions when the log is created, and stays. The order of a partition counts.",
        {
            "event": _message(
                "One event. Without recordedtime it counts as known at the timestamp of the record.",
                {"$ref": "./event.schema.json"},
                key=_PARCEL_KEY,
                headers=_TIMESTAMP | _EXPECTED,
            ),
            "pack": _message(
                "Events of one partition, in their order; the monitor packs up to 200 into a record.",
                {"type": "array", "minItems": 1, "items": {"$ref": "./event.schema.json"}},
                key=_PARCEL_KEY,
                headers=_TIMESTAMP | _EXPECTED,
            ),
        },
    ),
    INCIDENTS: (
        "Every change of an incident, in order, written once by each generation. Of the generation you follow, keep "
        "for each key the record with the greatest revision.",
        {
            "incident": _message(
                "An incident after a change.",
                {
                    "allOf": [
                        {"$ref": "./incident.schema.json"},
                        _object(
                            revision=_whole(0, "Rises with each change."),
                            tick=_TICK,
                        ),
                    ]
                },
                key="The incident_id.",
                headers=_TIMESTAMP | _DERIVED,
            )
        },
    ),
    RECOMMENDATIONS: (
        "Every change of what is advised about a lane, in order, written once by each generation. Of the one you "
        "follow, keep for each lane the record with the greatest tick, then revision; none, if that one has ended.",
        {
            "recommendation": _message(
                "Whether to move the parcels of a lane to another carrier.",
                {
                    "allOf": [
                        {"$ref": "./recommendation.schema.json"},
                        _object(tick=_TICK),
                        {
                            "properties": {
                                "ended": {
                                    "type": "boolean",
                                    "description": "True in the last record of a lane that has had no parcels for 40 "
                                    "days; absent from records of earlier versions.",
                                }
                            }
                        },
                    ]
                },
                key="The recommendation_id.",
                headers=_TIMESTAMP | _DERIVED,
            )
        },
    ),
    REFERENCE: (
        "For facts that belong to no parcel; this version writes none here: offers, rules and decisions are events.",
        {
            "fact": _message(
                "An event about no parcel.",
                {"$ref": "./event.schema.json"},
                key="The subject of the event.",
                headers=_TIMESTAMP,
            )
        },
    ),
    DEAD_LETTERS: (
        "What could not be used: at the entrance (no header generation) or by the folds of a generation.",
        {
            "letter": _message(
                "A dead letter.",
                {"$ref": "./dead_letter.schema.json"},
                key="A hash of bytes and reason: the same letter has the same key.",
                headers=_TIMESTAMP | _DERIVED,
            ),
            "settled": _message(
                "The letter with this key was replayed; it is open no longer.",
                _object(replayed=_string("When.", format="date-time")),
                key="That of the letter.",
                headers=_TIMESTAMP,
            ),
        },
    ),
    _channel_id(_LAYOUT.plan_meta()): (
        "What the log is and which generations of state it has; the first that says something is right.",
        {
            "log": _said(
                "log",
                "The identity of the log; the first one counts.",
                id=_string("Id of the log."),
                partitions=_whole(1, "Partitions of events."),
                partitioner={"const": "murmur2", "description": "What chooses among them."},
            ),
            "generation": _said(
                "generation",
                "A generation for a version of the state. The first one counts, behind the last rebuild.",
                generation=_OF_GENERATION,
                state_version=_string("Version of the folds and their parameters."),
            ),
            "rebuild": _said("rebuild", "Every version of the state begins a new generation."),
            "retired": _said("retired", "Its topics are deleted, or will be.", generation=_OF_GENERATION),
        },
    ),
    CONTRIBUTIONS: (
        "What the parcel folds of one generation tell its fleet fold; trimmed behind it.",
        {
            "contribution": _message(
                "Signed integers of one record of events.",
                None,
                key=None,
                headers=_TIMESTAMP | _DERIVED,
                contentType=_MSGPACK,
            )
        },
    ),
    **{
        f"state-{source}": (
            f"The state folded from {source} by one generation: the last value of every key, and the position.",
            {
                "change": _message(
                    "The new value of a key of a table; no value deletes it.",
                    None,
                    key="Name of the table, a zero byte, the key.",
                    headers={},
                    contentType=_MSGPACK,
                ),
                "position": _message(
                    f"The last record of every checkpoint: how far {source} is folded.",
                    {name: _POSITION[name] for name in ("type", "required", "properties")},
                    key="A zero byte and the word position.",
                    headers={},
                ),
            },
        )
        for source in SOURCES
    },
}

_OPERATIONS: Final[dict[str, dict[str, str]]] = {
    EVENTS: {
        "send": "`ingest` and `act` append events, `run` appends ticks.",
        "receive": "Workers fold the events, those of other producers too.",
    },
    INCIDENTS: {"send": "The worker that holds the fleet fold tells every change."},
    RECOMMENDATIONS: {"send": "The worker that holds the fleet fold tells every change."},
    DEAD_LETTERS: {
        "send": "`ingest` and the workers tell what could not be used, `dead-letters replay` what is settled.",
        "receive": "The page, the API and `dead-letters` list what is open.",
    },
    _channel_id(_LAYOUT.plan_meta()): {
        "send": "Who creates the log, begins a generation or gives one up.",
        "receive": "Every program that opens the log.",
    },
    CONTRIBUTIONS: {"send": "Workers that hold parcel folds.", "receive": "The worker that holds the fleet fold."},
    **{
        f"state-{source}": {
            "send": "The worker that holds the partition, with every checkpoint.",
            "receive": "Workers that take a partition over; the page, the API and the lists.",
        }
        for source in SOURCES
    },
}


def text() -> str:
    """The text of the file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
