"""Faust tables that hold the folds' state: Python objects in memory, written at checkpoints, restored in bulk.

Plain Faust encodes a value and sends it to the changelog at every assignment, and restores some thousand entries a
second. These tables differ in two places, and in those only:

* an assignment notes the key; the checkpoint encodes each changed value once and writes all of them together with
  the outputs and the position they follow from (see :mod:`monitor.live.checkpoint`);
* when Faust assigns a partition, its state is read from the changelog in one go (:meth:`_FoldStore.on_rebalance`),
  and the offset reached is reported as the store's persisted offset, as a store on disk would. Faust's own recovery
  then finds nothing left to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, NoReturn, Protocol, TypeVar

import faust
from faust.stores.memory import Store
from faust.streams import current_event
from faust.types import TP

from monitor.log.records import Change, TableChange

V = TypeVar("V")

_ENTRIES_PER_TURN: Final = 5_000  # the web server answers in between


class Changelog(Protocol):
    """Where tables are restored from."""

    def changes(self, table: str, partition: int, after_offset: int = -1) -> Iterator[Change]:
        """The last change of every key by rising offset; a deleted key may come with ``None``."""
        ...

    def changelog_end(self, table: str, partition: int) -> int:
        """The offset that the next change gets."""
        ...


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
        self._restored: dict[int, int] = {}

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Drop the state of revoked partitions and restore that of new ones: the bulk recovery."""
        topic = self.table.changelog_topic_name
        for tp in sorted(revoked):
            if tp.topic == topic:
                self.partitions.pop(tp.partition, None)
                self._restored.pop(tp.partition, None)
        for tp in sorted(newly_assigned):
            if tp.topic == topic:
                await self._restore(tp.partition)

    async def _restore(self, partition: int) -> None:
        table: FoldTable[Any] = self.table
        state: PartitionState[Any] = PartitionState()
        set_unnoted = super(PartitionState, state).__setitem__
        end = table.changelog.changelog_end(table.name, partition)
        for n, (_, key, value) in enumerate(table.changelog.changes(table.name, partition)):
            if value is None:
                dict.pop(state, key.decode(), None)
            else:
                set_unnoted(key.decode(), table.decode(value))
            table.restored_entries += 1
            if n % _ENTRIES_PER_TURN == _ENTRIES_PER_TURN - 1:
                await asyncio.sleep(0)
        self.partitions[partition] = state
        self._restored[partition] = end - 1

    def persisted_offset(self, tp: TP) -> int | None:
        """The offset of the last change that was restored."""
        return self._restored.get(tp.partition)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Do nothing: :meth:`on_rebalance` has dropped what is not ours."""

    def apply_changelog_batch(self, batch: Iterable[Any], to_key: Any, to_value: Any) -> None:
        """Refuse changes from Faust's recovery: the state would be older than the changelog."""
        if list(batch):
            raise RuntimeError(f"Table {self.table_name} was restored, yet Faust found more in its changelog.")

    @property
    def data(self) -> PartitionState[Any]:
        """The mapping behind ``table[key]``: the partition of the event being worked on."""
        event = current_event()
        if event is None:
            raise RuntimeError(f"Table {self.table_name} is used outside of an agent; say which partition().")
        return self.partitions[event.message.partition]


class FoldTable(faust.Table, Generic[V]):  # type: ignore[misc]
    """A table with text keys and values of one Python type, spread like its source topic.

    Inside an agent ``table[key]`` is the current event's partition, as ever in Faust; ``partition(p)`` is the dict
    itself, for folds that work through a packed record.
    """

    def __init__(
        self,
        app: faust.App,
        *,
        name: str,
        partitions: int,
        changelog: Changelog,
        encode: Callable[[V], bytes],
        decode: Callable[[bytes], V],
        **kwargs: Any,
    ) -> None:
        super().__init__(app, name=name, partitions=partitions, **kwargs)
        self.changelog = changelog
        self.encode = encode
        self.decode = decode
        self.restored_entries = 0

    def _new_store(self) -> _FoldStore:
        return _FoldStore("memory://", self.app, self, table_name=self.name, loop=self.loop)

    def partition(self, partition: int) -> PartitionState[V]:
        """The state of a partition; ``KeyError`` before it has been restored."""
        state: PartitionState[V] = self.data.partitions[partition]
        return state

    def held_partitions(self) -> list[int]:
        """The partitions that have been restored here."""
        return sorted(self.data.partitions)

    def changed_count(self) -> int:
        """How many keys were changed since :meth:`forget_changes`."""
        return sum(len(state.changed) for state in self.data.partitions.values())

    def changes(self) -> Iterator[TableChange]:
        """The changed keys with their values, encoded, or ``None`` for deleted ones."""
        for partition, state in sorted(self.data.partitions.items()):
            for key in state.changed:
                value = self.encode(state[key]) if key in state else None
                yield TableChange(self.name, partition, key.encode(), value)

    def forget_changes(self) -> None:
        """Take note that the changes have been written."""
        for state in self.data.partitions.values():
            state.changed.clear()

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
