"""Bytewax, with the totals in its own state and snapshots of what has changed on disk at every epoch.

``group``: an event is a step on the state of its channel. ``summed``: what a record holds of a channel is one.
``parcels``: an event is a step on the state of its parcel first, then on that of its channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from task import NOWHERE, Channels, Event, Parcel, Stopwatch, Tally, asked, delay_s, events_of, parcel_step

Step = tuple[int, int]  # events, sum of their delays in seconds
Message = KafkaSourceMessage[bytes | None, bytes | None]
EPOCH = timedelta(seconds=1)


class Total(StatefulBatchLogic[Step, Step, Step]):
    """The total of one channel, told at the end."""

    def __init__(self, saved: Step | None) -> None:
        self._count, self._delays_s = saved or (0, 0)

    def on_batch(self, values: list[Step]) -> tuple[list[Step], bool]:
        """Add the steps."""
        for count, delays_s in values:
            self._count += count
            self._delays_s += delays_s
        return [], self.RETAIN

    def on_eof(self) -> tuple[list[Step], bool]:
        """Tell the total."""
        return [self.snapshot()], self.RETAIN

    def snapshot(self) -> Step:
        """What is saved."""
        return self._count, self._delays_s


class OneParcel(StatefulBatchLogic[Event, tuple[str, Step], Parcel | None]):
    """The value of one parcel; gives the channel of each of its events."""

    def __init__(self, saved: Parcel | None) -> None:
        self._parcel = saved

    def on_batch(self, values: list[Event]) -> tuple[list[tuple[str, Step]], bool]:
        """Take the events."""
        given = []
        for event in values:
            self._parcel = parcel_step(self._parcel, event)
            channel = NOWHERE if event.data.parcel_id is None else self._parcel[0]
            given.append((channel, (1, delay_s(event))))
        return given, self.RETAIN

    def snapshot(self) -> Parcel | None:
        """What is saved."""
        return self._parcel


class _Partition(StatelessSinkPartition[tuple[str, Step]]):
    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def write_batch(self, items: list[tuple[str, Step]]) -> None:
        for channel, (count, delays_s) in items:
            self._tally.add(channel, count, delays_s)


class Totals(DynamicSink[tuple[str, Step]]):
    """Takes the totals into a tally."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Partition:
        """The sink of a worker."""
        return _Partition(self._tally)


def main() -> None:
    """Read up to the end of the topic."""
    task = asked("group", "summed", "parcels")
    channels, tally, watch = Channels(), Tally(), Stopwatch()

    def of_record(message: Message) -> list[Event]:
        watch.start()
        return events_of(message.value or b"")

    def singles(message: Message) -> Iterator[tuple[str, Step]]:
        for event in of_record(message):
            yield channels.of(event), (1, delay_s(event))

    def sums(message: Message) -> Iterator[tuple[str, Step]]:
        part = Tally()
        part.add_all(of_record(message), channels)
        for channel, total in part.of.items():
            yield channel, (total[0], total[1])

    def by_parcel(message: Message) -> Iterator[tuple[str, Event]]:
        for event in of_record(message):
            yield event.data.parcel_id or NOWHERE, event

    flow = Dataflow("contender")
    config = {"isolation.level": "read_committed", "fetch.queue.backoff.ms": "10"}
    messages = op.input("read", flow, KafkaSource([task.bootstrap], [task.topic], tail=False, add_config=config))
    if task.mode == "parcels":
        told = op.stateful_batch("parcel", op.flat_map("split", messages, by_parcel), OneParcel)
        steps = op.map("by channel", told, lambda pair: pair[1])
    else:
        steps = op.flat_map("split", messages, singles if task.mode == "group" else sums)
    op.output("totals", op.stateful_batch("total", steps, Total), Totals(tally))

    directory = task.scratch / "recovery"
    directory.mkdir(parents=True)
    init_db_dir(directory, 1)
    cli_main(flow, workers_per_process=1, epoch_interval=EPOCH, recovery_config=RecoveryConfig(directory))
    watch.report(tally)


if __name__ == "__main__":
    main()
