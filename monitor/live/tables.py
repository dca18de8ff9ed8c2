"""Faust tables that hold the folds' state: Python objects in memory, written at checkpoints, restored in bulk.

Plain Faust encodes a value and sends it to a changelog topic at every assignment, and restores some thousand entries a
second. These tables differ in two places, and in those only:

* an assignment notes the key; the checkpoint encodes each changed value once and writes all of them together with
  the outputs and the position they follow from (see :mod:`monitor.live.checkpoint`);
* when a shard comes to this worker, its state is read in one go (see :mod:`monitor.live.shards`). Faust's own recovery
  has nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, NoReturn, TypeVar

import faust
from faust.stores.memory import Store
from faust.streams import current_event

from monitor.log.records import Change, TableChange

V = TypeVar("V")


class PartitionState(dict[str, V]):
    """The state of one partition: a dict that remembers which keys were assigned or deleted.

    Reading costs what it costs with a dict. A value changed in place counts only once it is assigned again.
    """

    __slots__ = ("changed",)

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[str, None] = {}  # in the order of the first change

    def __setitem__(self, key: str, value: V) -> None:
        self.changed[key] = None
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.changed[key] = None

    def _unsupported(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("Assign and delete keys one by one: other changes would not reach the changelog.")

    pop = popitem = setdefault = update = clear = __ior__ = _unsupported


class _FoldStore(Store):  # type: ignore[misc]
    """What Faust calls a store: the partitions of one table that this worker holds."""

    def __post_init__(self) -> None:
        self.partitions: dict[int, PartitionState[Any]] = {}

    @property
    def data(self) -> PartitionState[Any]:
        """The mapping behind ``table[key]``: the partition of the event being worked on."""
        event = current_event()
        if event is None:
            raise RuntimeError(f"Table {self.table_name} is used outside of an agent; say which partition().")
        return self.partitions[event.message.partition]


class FoldTable(faust.Table, Generic[V]):  # type: ignore[misc]
    """A table with text keys and values of one Python type, spread like the source topic it is folded from.

    Inside an agent ``table[key]`` is the current event's partition, as ever in Faust; ``partition(p)`` is the dict
    itself, for folds that work through a packed record.
    """

    def __init__(
        self,
        app: faust.App,
        *,
        name: str,
        source: str,
        partitions: int,
        encode: Callable[[V], bytes],
        decode: Callable[[bytes], V],
        **kwargs: Any,
    ) -> None:
        super().__init__(app, name=name, partitions=partitions, **kwargs)
        self.source = source
        self.encode = encode
        self.decode = decode

    def _new_store(self) -> _FoldStore:
        return _FoldStore("memory://", self.app, self, table_name=self.name, loop=self.loop)

    def partition(self, partition: int) -> PartitionState[V]:
        """The state of a partition; ``KeyError`` before it was opened."""
        state: PartitionState[V] = self.data.partitions[partition]
        return state

    def held_partitions(self) -> list[int]:
        """The partitions that are open here."""
        return sorted(self.data.partitions)

    # A shard comes and goes

    def open(self, partition: int) -> None:
        """Begin with an empty partition."""
        self.data.partitions[partition] = PartitionState()

    def restore(self, partition: int, changes: Iterable[Change]) -> None:
        """Put saved values back in their places; they do not count as changes."""
        state = self.partition(partition)
        put = super(PartitionState, state).__setitem__
        for change in changes:
            if change.value is None:
                dict.pop(state, change.key.decode(), None)
            else:
                put(change.key.decode(), self.decode(change.value))

    def close(self, partition: int) -> None:
        """Forget a partition; harmless when it is not open."""
        self.data.partitions.pop(partition, None)

    # Checkpoints

    def take_changes(self, partition: int) -> list[TableChange]:
        """The changed keys of a partition with their values, encoded, or ``None`` for deleted ones; they no longer
        count as changed."""
        state = self.partition(partition)
        changes = [
            TableChange(self.name, key.encode(), self.encode(state[key]) if key in state else None)
            for key in state.changed
        ]
        state.changed.clear()
        return changes

    # Faust would send each of these to the changelog at once.

    def on_key_get(self, key: str) -> None:
        """Do nothing."""

    def on_key_set(self, key: str, value: V) -> None:
        """Do nothing: the partition's dict has noted the key."""

    def on_key_del(self, key: str) -> None:
        """Do nothing: the partition's dict has noted the key."""

    def on_clear(self) -> None:
        """Refuse: deleting every key at once is no step of a fold."""
        raise TypeError("Assign and delete keys one by one: other changes would not reach the changelog.")
