"""Steady news for a running monitor, and how long each event takes from its append into a checkpoint."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from kafka_program import Place

from monitor.core.events import from_us
from monitor.core.params import DEFAULTS
from monitor.log.gateway import Gateway, now_us
from monitor.log.kafka import KafkaLog
from monitor.log.partition import partition_of
from monitor.log.protocol import Make
from monitor.log.records import NewRecord, Shard
from monitor.log.topics import EVENTS
from monitor.wire.decode import split_pack, with_recorded
from monitor.wire.incoming import Incoming

RATE = 2_000  # events a second


class NotingLog(KafkaLog):
    """Notes of every record of ``events`` it appends when that returned, where it is and how many events it holds."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.noted: list[tuple[float, int, int, int]] = []
        self.appended_bytes = 0

    def append(self, records: Iterable[NewRecord]) -> list[int]:
        """Append."""
        batch = list(records)
        return self._note(batch, super().append(batch))

    def append_made(self, make: Make) -> list[int]:
        """Append what is made."""
        made: list[NewRecord] = []

        def remember(margin_us: int) -> list[NewRecord]:
            made[:] = make(margin_us)
            return made

        return self._note(made, super().append_made(remember))

    def _note(self, records: list[NewRecord], offsets: list[int]) -> list[int]:
        now = time.perf_counter()
        for record, offset in zip(records, offsets, strict=True):
            if record.topic == EVENTS:
                self.noted.append((now, record.partition, offset, len(split_pack(record.value))))
                self.appended_bytes += len(record.value)
        return offsets


def news() -> Iterator[tuple[str, bytes]]:
    """Parcels' ids with what happens to them now, for ever: a registration and four scans each, four seconds apart."""
    registered = '"destination":"DE","product":"toy","carrier":"china-post","order_id":"O-%s","promised_days":30'
    run, at_once = time.time_ns(), 4 * RATE
    for i in itertools.count():
        step = i // at_once % 5
        parcel_id = f"LIVE-{run:x}-{i // (5 * at_once):04d}-{i % at_once:06d}"
        kind = "parcel.scanned.v1" if step else "parcel.registered.v1"
        milestone = ("", "accepted", "origin_hub", "export_customs", "departed_origin")[step]
        data = f'"milestone":"{milestone}","place":"Shenzhen"' if step else registered % parcel_id
        yield (
            parcel_id,
            f'{{"specversion":"1.0","id":"{parcel_id}-{step}","source":"/bench","type":"{kind}","subject":"{parcel_id}",'
            f'"time":"{from_us(now_us())}","data":{{"parcel_id":"{parcel_id}",{data}}}}}'.encode(),
        )


def send_packed(log: KafkaLog, batch: list[tuple[str, bytes]]) -> None:
    """Through the gateway, which makes a record of the events of each partition."""
    outcome = Gateway(log, DEFAULTS).ingest(Incoming("bench", i, raw, raw) for i, (_, raw) in enumerate(batch))
    assert outcome.accepted == len(batch), outcome


def send_singly(log: KafkaLog, batch: list[tuple[str, bytes]]) -> None:
    """Each event as a record of its own, all in one transaction."""
    now = now_us()
    log.append(
        NewRecord(EVENTS, partition_of(name, log.partitions), with_recorded(raw, now), timestamp_us=now)
        for name, raw in batch
    )


class Watcher(threading.Thread):
    """Looks at the checkpoints again and again: when each partition had come how far."""

    def __init__(self, place: Place) -> None:
        super().__init__(daemon=True, name="watcher")
        self._place = place
        self._enough = threading.Event()
        self.seen: list[tuple[float, list[int]]] = []

    def run(self) -> None:
        """Look until it is enough."""
        with self._place.open() as log:
            while not self._enough.is_set():
                headers = log.headers()
                now = time.perf_counter()
                self.seen.append((now, [headers.get(Shard(EVENTS, p), 0) for p in range(log.partitions)]))
                self._enough.wait(0.01)

    def stop(self) -> None:
        """It is enough."""
        self._enough.set()
        self.join(60)

    def latencies_s(self, noted: list[tuple[float, int, int, int]]) -> np.ndarray:
        """For each event, from its record's append to the first look that found it in a checkpoint."""
        times = np.array([at for at, _ in self.seen])
        positions = np.array([positions for _, positions in self.seen])
        found: list[float] = []
        for appended, partition, offset, events in noted:
            look = int(np.searchsorted(positions[:, partition], offset, side="right"))
            found += [float(times[look]) - appended] * events
        return np.array(found)
