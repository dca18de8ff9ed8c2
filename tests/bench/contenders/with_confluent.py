"""A bare consumer of confluent-kafka that decodes every event and counts by channel, in memory only."""

from __future__ import annotations

import json

from confluent_kafka import Consumer, TopicPartition
from task import Channels, Data, Event, Stopwatch, Tally, asked, events_of
from msgspec import convert


def main() -> None:
    """Read until all events are counted."""
    task = asked("msgspec", "json")
    consumer = Consumer(
        {
            "bootstrap.servers": task.bootstrap,
            "group.id": "contender",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
