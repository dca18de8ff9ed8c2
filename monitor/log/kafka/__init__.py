"""The durable log on Apache Kafka, for any number of workers: topics of events, outputs and state."""

from __future__ import annotations

from monitor.log.kafka.client import KafkaSettings
from monitor.log.kafka.inspection import inspect
from monitor.log.kafka.log import KafkaLog
from monitor.log.kafka.state import KafkaState

__all__ = ["KafkaLog", "KafkaSettings", "KafkaState", "inspect"]
