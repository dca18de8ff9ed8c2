"""However partitions move between workers, whoever dies or does not know yet that he is shut out, and whenever the log
refuses or takes its time: each record has its effect once, in order, and nothing is left out.

Real are shards, tables and checkpointer of the live driver; the log is a toy (:mod:`moving`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving import SOURCE, Cluster, Worker

from monitor.log.records import FencedError, LogBusyError, Shard

PARTITIONS = WORKERS = 2
ACTIONS = ["work", "work", "work", "move", "move", "slow", "trouble", "well", "die"]


class Story:
    """What happens to a group of workers."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.cluster = Cluster(PARTITIONS)
        self.dead: list[Worker] = []
        self.workers = [Worker(self.cluster) for _ in range(WORKERS)]
        self.saving: list[asyncio.Task[bool]] = []
        self.count = 0

    async def play(self) -> None:
        """Go through some actions, then let one worker finish all."""
        await self.move()
        for action in self.draw(st.lists(st.sampled_from(ACTIONS), min_size=10, max_size=40)):
            one = self.draw(st.integers(0, WORKERS - 1))
            worker = self.workers[one]
            if action == "move":
                await self.move()
            elif action == "well":
                worker.store.error = None
                worker.store.writing.set()
            elif action != "die":
                if action == "slow":
                    worker.store.writing.clear()
                elif action == "trouble":
                    worker.store.error = LogBusyError("not now")
                self.work(worker)
            await asyncio.sleep(0)
            if action == "die" or worker.failure is not None:
                assert isinstance(worker.failure, FencedError | None)
                self.dead.append(worker)
                self.workers[one] = Worker(self.cluster)
        await self.end()

    async def end(self) -> None:
        """Everything gets well again, and one worker does the rest."""
        last = self.draw(st.sampled_from(self.workers))
        await asyncio.gather(*(worker.shards.give_up() for worker in self.workers))
        for worker in self.workers:
            assert await worker.take(*(range(PARTITIONS) if worker is last else ()))
        for worker in (*self.dead, *self.workers):  # what a dead worker has sent may arrive as late as this
            worker.store.error = None
            worker.store.writing.set()
        await asyncio.gather(*self.saving)
        if not await last.finish():  # it had not heard that a shard was another's for a while
            assert isinstance(last.failure, FencedError)
            last = Worker(self.cluster)
            assert await last.take(*range(PARTITIONS))
            assert await last.finish()

    def work(self, worker: Worker) -> None:
        """Let a worker fold something, and perhaps begin to save it."""
        for partition in range(PARTITIONS):
            numbers = range(self.count, self.count + self.draw(st.integers(0, 2)))
            self.count += len(numbers)
            self.cluster.records[Shard(SOURCE, partition)] += numbers
            worker.fold(partition, self.draw(st.integers(0, 3)))
        if self.draw(st.booleans()):
            self.saving.append(asyncio.create_task(worker.save()))

    async def move(self) -> None:
        """Spread the partitions anew; a worker that has not heard of it goes on with what it had."""
        owner = self.draw(st.lists(st.integers(0, WORKERS - 1), min_size=PARTITIONS, max_size=PARTITIONS))
        deaf = self.draw(st.sets(st.integers(0, WORKERS - 1), max_size=1))
        order = [one for one in self.draw(st.permutations(range(WORKERS))) if one not in deaf]
        await asyncio.gather(*(self.workers[one].shards.give_up() for one in order))
        for one in order:
            assert await self.workers[one].take(*(p for p in range(PARTITIONS) if owner[p] == one))


@pytest.fixture(autouse=True, scope="module")
def _impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.live.shards._GIVE_UP_S", 0.001)
        yield


@settings(max_examples=100)
@given(st.data())
def test_every_record_has_its_effect_once_however_shards_move(data: st.DataObject) -> None:
    story = Story(data)
    asyncio.run(asyncio.wait_for(story.play(), 5))
    for partition in range(PARTITIONS):
        records = story.cluster.records[Shard(SOURCE, partition)]
        assert story.cluster.told(partition) == records
        assert story.cluster.sums()[partition] == sum(records)
