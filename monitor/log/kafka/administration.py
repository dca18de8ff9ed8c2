"""Making, looking at and deleting topics, with kafka-python's admin client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.errors import explain, explained
from monitor.log.kafka.layout import REPLICATION, TopicPlan, TopicSeen
from monitor.log.records import LogBusyError

_POLL_S: Final = 0.05


class Administration:
    """A connection for administration; use :func:`administration`. Every method blocks, and may raise ``LogError``."""

    def __init__(self, client: Any, settings: KafkaSettings) -> None:
        self._client = client
        self._settings = settings

    def brokers(self) -> int:
        """How many brokers there are."""
        with explained(self._settings):
            return sum(not broker.get("is_fenced") for broker in self._client.describe_cluster()["brokers"])

    def replication(self) -> int:
        """How many copies of a partition there should be."""
        return self._settings.replication or min(REPLICATION, self.brokers())

    def partitions(self, names: Iterable[str]) -> dict[str, int]:
        """The partitions of those topics that exist."""
        return {topic["name"]: len(topic["partitions"]) for topic in self._described(list(names))}

    def look(self, names: Iterable[str]) -> dict[str, TopicSeen]:
        """Those topics that exist, as they are."""
        described = self._described(list(names))
        if not described:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic["name"]) for topic in described]
        with explained(self._settings):
            configs = self._client.describe_configs(resources, config_filter="all").get("topic", {})
        return {
            topic["name"]: TopicSeen(
                len(topic["partitions"]),
                min(len(partition["replica_nodes"]) for partition in topic["partitions"]),
                {name: entry["value"] for name, entry in configs.get(topic["name"], {}).items()},
            )
            for topic in described
        }

    def _described(self, names: list[str]) -> list[dict[str, Any]]:
        with explained(self._settings):
            described = self._client.describe_topics(names)
        for topic in described:
            error = for_code(topic["error_code"])
            if topic["error_code"] and error is not UnknownTopicOrPartitionError and not error.retriable:
                raise explain(error(topic["name"]), self._settings)
        return [topic for topic in described if not topic["error_code"]]

    def create(self, plans: Sequence[TopicPlan]) -> None:
        """Make those topics that are missing and wait until they can be used; another process may do it too."""
        missing = self._missing(plans)
        if not missing:
            return
        copies = self.replication()
        insync = {"min.insync.replicas": str(min(2, copies - 1))} if copies > 1 else {}
        wanted = {
            plan.name: {
                "num_partitions": plan.partitions,
                "replication_factor": copies,
                "configs": {**plan.config, **insync},
            }
            for plan in missing
        }
        with explained(self._settings):
            answer = self._client.create_topics(wanted, raise_errors=False)
        for topic in answer["topics"]:
            error = for_code(topic["error_code"])
            if topic["error_code"] and error is not TopicAlreadyExistsError:
                raise explain(error(f"{topic['name']}: {topic['error_message'] or error.__name__}"), self._settings)
        self._wait_until_there(missing)

    def _missing(self, plans: Sequence[TopicPlan]) -> list[TopicPlan]:
        there = self.partitions(plan.name for plan in plans)
        return [plan for plan in plans if plan.name not in there]

    def _wait_until_there(self, plans: Sequence[TopicPlan]) -> None:
        deadline = time.monotonic() + self._settings.timeout_s
        names = [plan.name for plan in plans]
        while True:
            described = self._described(names)
            if len(described) == len(names) and all(
                partition["leader_id"] >= 0 for topic in described for partition in topic["partitions"]
            ):
                return
            if time.monotonic() > deadline:
                raise LogBusyError(f"{self._settings.name}: the new topics have no leaders yet; try again.")
            time.sleep(_POLL_S)

    def delete(self, names: Iterable[str]) -> None:
        """Delete topics; those that are not there are no error."""
        with explained(self._settings):
            there = list(self.partitions(names))
            if not there:
                return
            answer = self._client.delete_topics(there, raise_errors=False)
        for topic in answer["topics"]:
            error = for_code(topic["error_code"])
            if topic["error_code"] and error is not UnknownTopicOrPartitionError:
                raise explain(error(topic["name"]), self._settings)

    def delete_group(self, group: str) -> None:
        """Delete a consumer group, if there is one and nobody is in it."""
        with explained(self._settings):
            self._client.delete_groups([group])  # says what hindered it, and raises nothing

    def delete_records(self, topic: str, partition: int, before_offset: int) -> int:
        """Delete the records below ``before_offset``, and return the first offset that is kept."""
        place = TopicPartition(topic, partition)
        with explained(self._settings):
            return int(self._client.delete_records({place: before_offset})[place]["low_watermark"])


@contextmanager
def administration(settings: KafkaSettings) -> Iterator[Administration]:
    """Connect for administration; blocks for ``timeout_s`` at most. Raises :class:`LogError`."""
    with explained(settings):
        client = KafkaAdminClient(**settings.kafka_python())
    try:
        yield Administration(client, settings)
    finally:
        with suppress(KafkaError):
            client.close()
