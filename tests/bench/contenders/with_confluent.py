"""A bare consumer of confluent-kafka that decodes every event and counts by channel, in memory only."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition
from task import Channels, Stopwatch, Tally, asked, events_of


def main() -> None:
    """Read until all events are counted."""
    task = asked("count")
    consumer = Consumer(
        {
            "bootstrap.servers": task.bootstrap,
            "group.id": "contender",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.assign([TopicPartition(task.topic, partition, 0) for partition in range(task.partitions)])
    channels, tally, watch = Channels(), Tally(), Stopwatch()
    watch.start()
    while tally.events < task.events:
        for message in consumer.consume(200, timeout=0.05):
            if (error := message.error()) is not None:
                raise KafkaException(error)
            tally.add_all(events_of(message.value()), channels)
    watch.report(tally)
    consumer.close()


if __name__ == "__main__":
    main()
