"""A bare consumer of kafka-python: it only polls, or it decodes every event with the standard library's ``json``."""

from __future__ import annotations

import json

from kafka import KafkaConsumer, TopicPartition
from task import Stopwatch, asked


def main() -> None:
    """Read all that is there."""
    task = asked("poll", "json")
    decode = task.mode == "json"
    consumer = KafkaConsumer(
        bootstrap_servers=task.bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    )
    places = [TopicPartition(task.topic, partition) for partition in range(task.partitions)]
    consumer.assign(places)
    ends = consumer.end_offsets(places)
    watch = Stopwatch()
    watch.start()
    while any(consumer.position(place) < ends[place] for place in places):
        for records in consumer.poll(timeout_ms=200, max_records=2_000).values():
            if decode:
                for record in records:
                    json.loads(record.value)
    watch.report(None)
    consumer.close()


if __name__ == "__main__":
    main()
