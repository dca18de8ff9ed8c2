"""Quix Streams, with state in its own store and a changelog of it.

``partition``: a record is one step on the state of its partition, which holds a total for each channel. ``parcels``:
that holds a value for each parcel, too. ``group``: events are grouped by channel, through the topic that Quix makes for
that; each is then a step on the state of its channel. ``-exactly-once``: with Quix's guarantee of that name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quixstreams import Application, State
from quixstreams.models import Deserializer
from task import Channels, Event, Stopwatch, Tally, asked, delay_s, events_of, parcel_step

Total = list[int]


class SameKey(Deserializer):
    """One key for all records of a partition, so that they share a state."""

    def __call__(self, value: bytes, ctx: Any) -> bytes:
        """The key."""
        return b"*"


def main() -> None:
    """Read until all events are counted, and let Quix commit the rest."""
    task = asked("partition", "partition-exactly-once", "parcels", "parcels-exactly-once", "group")
    way, _, guarantee = task.mode.partition("-")
    app = Application(
        broker_address=task.bootstrap,
        consumer_group=f"quix-{task.scratch.name}",
        auto_offset_reset="earliest",
        state_dir=task.scratch / "state",
        consumer_extra_config={"isolation.level": "read_committed"},
        processing_guarantee="exactly-once" if guarantee else "at-least-once",
        loglevel="WARNING",
    )
    channels, tally, watch = Channels(), Tally(), Stopwatch()

    def add(state: State, key: str, channel: str, count: int, delays_s: int) -> None:
        """Add to a total in the state; what the tally has of it is for the report."""
        total: Total = state.get(key, [0, 0])
        state.set(key, [total[0] + count, total[1] + delays_s])
        tally.add(channel, count, delays_s)
        if tally.events >= task.events:
            app.stop()

    def channel_of(event: Event, state: State) -> str:
        """The channel, from the state of the parcel, which comes along."""
        if (parcel_id := event.data.parcel_id) is None:
            return channels.of(event)
        parcel = parcel_step(state.get(parcel_id), event)
        state.set(parcel_id, parcel)
        return parcel[0]

    def on_partition(value: bytes, state: State) -> None:
        watch.start()
        part = Tally()
        for event in events_of(value):
            channel = channel_of(event, state) if way == "parcels" else channels.of(event)
            part.add(channel, 1, delay_s(event))
        for channel, (count, delays_s) in part.of.items():
            add(state, f"total {channel}", channel, count, delays_s)

    def split(value: bytes) -> Iterator[dict[str, Any]]:
        watch.start()
        for event in events_of(value):
            yield {"channel": channels.of(event), "delay_s": delay_s(event)}

    def on_channel(value: dict[str, Any], state: State) -> None:
        add(state, "total", value["channel"], 1, value["delay_s"])

    frame = app.dataframe(app.topic(task.topic, value_deserializer="bytes", key_deserializer=SameKey()))
    if way == "group":
        frame.apply(split, expand=True).group_by("channel").apply(on_channel, stateful=True)
    else:
        frame.apply(on_partition, stateful=True)
    app.run()
    watch.report(tally)


if __name__ == "__main__":
    main()
