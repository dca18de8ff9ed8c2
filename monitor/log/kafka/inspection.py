"""What is wrong with a cluster or its topics, for a person who asks."""

from __future__ import annotations

from monitor.log.kafka.administration import administration
from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.generations import Generations
from monitor.log.kafka.layout import Layout, examine
from monitor.log.kafka.reading import Reader
from monitor.log.records import LogError

#: What was looked at, whether it is well, a sentence.
Finding = tuple[str, bool, str]


def inspect(settings: KafkaSettings) -> list[Finding]:
    """Look at the brokers, then at the topics; blocks while they are asked. Nothing is changed."""
    layout = Layout(settings.topic_prefix)
    try:
        reader = Reader(settings)
        try:
            reader.probe()
            generations = Generations(settings, layout, reader)
            with administration(settings) as admin:
                copies = admin.replication()
                found: list[Finding] = [("brokers", True, f"{settings.name} answers.")]
                if layout.meta not in admin.partitions([layout.meta]):
                    text = f"There is no event log at {settings.name}; `run` or `ingest` makes one."
                    return [*found, ("topics", False, text)]
                partitions = generations.identity().partitions
                newest = generations.look().newest
                plans = [layout.plan_meta(), *layout.plan(partitions)]
                if newest is not None:
                    plans += layout.plan_generation(newest.id, partitions)
                differences = examine(plans, admin.look(plan.name for plan in plans), copies)
        finally:
            reader.close()
    except LogError as error:
        return [("brokers", False, str(error))]
    if not differences:
        return [*found, ("topics", True, f"{len(plans)} topics are as they should be; {copies} copies of each.")]
    return [*found, *(("topics", not one.vital, one.text) for one in differences)]
