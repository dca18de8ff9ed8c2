"""Which topics a log has on Kafka, what they are called and how they are set.

The topics of :mod:`monitor.log.topics` bear their names, behind the prefix. What is derived for one version of the
state alone belongs to a generation, whose first eight digits end the names: ``contributions-…`` and, for each source
topic, ``state-…``. So workers of two versions run side by side, and going back finds the old state where it was.

Nothing is ever deleted by age: the timestamps of records are those of the events, which may be years old. For the same
reason a segment does not end with the time between its records, or history would make thousands of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.core.vocabulary import DAY_US
from monitor.log.kafka.client import MAX_RECORD_BYTES
from monitor.log.records import Shard
from monitor.log.topics import CONTRIBUTIONS, EVENTS, TOPICS, partition_count

META: Final = "meta"
SOURCES: Final = (EVENTS, CONTRIBUTIONS)
"""The topics that are folded; each has state."""
SHORT_DIGITS: Final = 8
REPLICATION: Final = 3

#: A follower of the state that was away for longer may have missed deletions.
DELETIONS_KEPT_MS: Final = 7 * DAY_US // 1_000
_FOREVER_MS: Final = (1 << 63) - 1
_CENTURY_MS: Final = 36_525 * DAY_US // 1_000

_COMMON: Final = {
    "max.message.bytes": str(MAX_RECORD_BYTES),
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": str(_FOREVER_MS),
    "message.timestamp.after.max.ms": str(_FOREVER_MS),
    "unclean.leader.election.enable": "false",
}
KEPT: Final = {
    **_COMMON,
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "segment.ms": str(_CENTURY_MS),
}
STATE: Final = {
    **_COMMON,
    "cleanup.policy": "compact",
    "delete.retention.ms": str(DELETIONS_KEPT_MS),
    "min.cleanable.dirty.ratio": "0.3",  # a restart reads the dirty part too
    "segment.bytes": str(64 << 20),  # the last segment is not compacted, so it must not be large
    "segment.ms": str(DAY_US // 1_000),
}
#: Settings without which records would be lost or misread; the others make a log slow or fragile.
VITAL: Final = ("cleanup.policy", "retention.ms", "retention.bytes")


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as it is to be: its full name, partitions and settings."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of everything behind one prefix."""

    prefix: str

    @property
    def meta(self) -> str:
        """The topic that says what the log is and which generations there are."""
        return f"{self.prefix}{META}"

    def topic(self, topic: str, generation: str) -> str:
        """The full name of a topic of :mod:`monitor.log.topics`; ``generation`` counts for what belongs to one."""
        return f"{self.prefix}{topic}" + (f"-{_short(generation)}" if topic == CONTRIBUTIONS else "")

    def state(self, source: str, generation: str) -> str:
        """The topic with the state of the shards of a source topic."""
        return f"{self.prefix}state-{source}-{_short(generation)}"

    def owner(self, shard: Shard, generation: str) -> str:
        """The transactional id of the worker that owns a shard; two with the same cannot both write."""
        return f"{self.prefix}{_short(generation)}-{shard.topic}-{shard.partition}"

    def group(self, generation: str) -> str:
        """The consumer group of the workers of a generation."""
        return f"{self.prefix}monitor-{_short(generation)}"

    def plan_meta(self) -> TopicPlan:
        """The topic ``meta``, which is there before all others."""
        return TopicPlan(self.meta, 1, KEPT)

    def plan(self, partitions: int) -> list[TopicPlan]:
        """The topics of every generation. ``partitions``: those of ``events``."""
        return [
            TopicPlan(f"{self.prefix}{topic}", partition_count(topic, partitions), KEPT)
            for topic in TOPICS
            if topic != CONTRIBUTIONS
        ]

    def plan_generation(self, generation: str, partitions: int) -> list[TopicPlan]:
        """The topics of one generation."""
        states = [
            TopicPlan(self.state(source, generation), partition_count(source, partitions), STATE) for source in SOURCES
        ]
        return [TopicPlan(self.topic(CONTRIBUTIONS, generation), 1, KEPT), *states]


def _short(generation: str) -> str:
    return generation[:SHORT_DIGITS]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a topic that is not as it should be, with its remedy. ``vital``: no worker may start."""

    vital: bool
    text: str


@dataclass(frozen=True, slots=True)
class TopicSeen:
    """A topic as it is; ``replicas`` of the partition that has the fewest."""

    partitions: int
    replicas: int
    config: Mapping[str, str]


def examine(plans: Sequence[TopicPlan], seen: Mapping[str, TopicSeen], replication: int) -> list[Finding]:
    """Compare topics with what they are to be; ``replication``: copies there should be. Missing ones are vital."""
    found: list[Finding] = []
    for plan in plans:
        topic = seen.get(plan.name)
        if topic is None:
            found.append(Finding(True, f"Topic {plan.name} is missing; `run` creates it if it may create topics."))
            continue
        if topic.partitions != plan.partitions:
            found.append(
                Finding(
                    True,
                    f"Topic {plan.name} has {topic.partitions} partitions, not {plan.partitions}: parcels would lie "
                    "where their past is not. `export events` from the old partitions and `ingest` them into a log "
                    "with another topic_prefix.",
                )
            )
        if not topic.config:
            text = f"The settings of topic {plan.name} cannot be read; grant DescribeConfigs, so that they are checked."
            found.append(Finding(False, text))
        wrong = {name: value for name, value in plan.config.items() if topic.config.get(name, value) != value}
        for name, value in wrong.items():
            if name == "max.message.bytes" and int(topic.config[name]) > int(value):
                continue
            remedy = f"kafka-configs --alter --topic {plan.name} --add-config {name}={value}"
            found.append(
                Finding(name in VITAL, f"Topic {plan.name} has {name}={topic.config[name]}, not {value}; `{remedy}`.")
            )
        if topic.replicas >= REPLICATION and topic.config.get("min.insync.replicas") == "1":
            found.append(
                Finding(
                    False,
                    f"Topic {plan.name} has min.insync.replicas=1: what only one broker has confirmed is lost with it; "
                    f"`kafka-configs --alter --topic {plan.name} --add-config min.insync.replicas=2`.",
                )
            )
        if topic.replicas < replication:
            found.append(
                Finding(
                    False,
                    f"Topic {plan.name} has {topic.replicas} replica(s), not {replication}: a broker that is lost "
                    "takes records with it. `kafka-reassign-partitions` adds replicas.",
                )
            )
    return found
