"""Partitions come and go with their state: nothing is folded before it is restored, nothing twice, nothing never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
from faust.types import TP
from moving import SOURCE, Cluster, Worker
from structlog.testing import capture_logs

from monitor.log.records import FencedError, LogBusyError, LogError, Shard

A, B = Shard(SOURCE, 0), Shard(SOURCE, 1)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 10))

    return run


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster(2)
    made.records[A] += [1, 2, 3]
    made.records[B] += [10, 20, 30]
    return made


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0)


# Taking a shard


@in_loop
async def test_a_shard_is_acquired_then_restored_and_folded_only_when_it_is_whole(cluster: Cluster) -> None:
    cluster.headers[A] = 2
    cluster.state[A] = {("sums", b"sum"): b"3", ("sums", b"other"): b"7", ("gone", b"sum"): b"9"}
    worker = Worker(cluster)
    worker.store.reading.clear()
    taking = asyncio.create_task(worker.take(0))
    await until(lambda: worker.store.calls[-1:] == [("restore", A)])
    assert worker.store.calls == [("acquire", A), ("restore", A)]
    assert worker.shards.expected(A) is None
    assert worker.fold(0) == 0
    assert worker.folds == {}
    assert not worker.shards.ready.is_set()
    worker.store.reading.set()
    assert await taking
    assert worker.shards.ready.is_set()
    assert worker.folds == {0: 3}
    assert dict(worker.sums.partition(0)) == {"sum": 3, "other": 7}
    assert worker.shards.expected(A) == 2
    assert worker.shards.restored_entries == 3


@in_loop
async def test_what_was_restored_is_not_written_again(cluster: Cluster) -> None:
    cluster.headers[A] = 2
    cluster.state[A] = {("sums", b"sum"): b"3", ("sums", b"other"): b"7"}
    worker = Worker(cluster)
    assert await worker.take(0)
    assert worker.sums.take_changes(0) == []
    worker.fold(0)
    assert [change.key for change in worker.sums.take_changes(0)] == [b"sum"]


@in_loop
async def test_state_that_is_ahead_of_the_log_is_refused(cluster: Cluster) -> None:
    cluster.headers[B] = 5
    with pytest.raises(LogError, match=r"folded events-1 up to offset 5, but the log ends at 3.*--rebuild"):
        await Worker(cluster).take(0, 1)


@in_loop
async def test_folding_begins_where_the_log_does_when_its_beginning_is_gone(cluster: Cluster) -> None:
    cluster.first[A] = 2
    worker = Worker(cluster)
    assert await worker.take(0)
    assert worker.shards.expected(A) == 2


@in_loop
async def test_the_position_of_a_partition_is_asked_for_by_the_name_of_its_topic(cluster: Cluster) -> None:
    cluster.headers[B] = 2
    worker = Worker(cluster)
    assert await worker.take(1)
    assert worker.shards.position(TP("toy-events", 1)) == 2
    assert worker.shards.position(TP("toy-events", 0)) == 0


# Giving it up


@in_loop
async def test_before_partitions_move_what_is_pending_is_saved(cluster: Cluster) -> None:
    worker = Worker(cluster)
    assert await worker.take(0, 1)
    worker.fold(0)
    await worker.shards.give_up()
    assert (cluster.told(0), cluster.headers) == ([1, 2, 3], {A: 3})


@in_loop
async def test_a_shard_given_up_and_taken_again_goes_on_exactly_where_others_left_it(cluster: Cluster) -> None:
    one, other = Worker(cluster), Worker(cluster)
    assert await one.take(0, 1)
    one.fold(0, 1)
    one.fold(1, 2)
    await one.shards.give_up()
    assert await one.take(1)
    assert one.folds == {1: 0}
    assert one.shards.expected(A) is None
    with pytest.raises(KeyError):
        one.sums.partition(0)
    assert one.store.calls[-1] == ("release", A)
    assert await other.take(0)
    assert other.folds == {0: 1}
    other.fold(0, 1)
    await other.shards.give_up()
    assert await other.take()
    assert await one.take(0, 1)
    assert one.folds == {0: 3, 1: 0}  # what stayed was not restored again
    assert await one.finish()
    assert cluster.sums() == [6, 60]
    assert (cluster.told(0), cluster.told(1)) == ([1, 2, 3], [10, 20, 30])


@in_loop
async def test_what_could_not_be_saved_of_a_shard_that_goes_is_folded_again_by_its_next_owner(cluster: Cluster) -> None:
    one, other = Worker(cluster), Worker(cluster)
    assert await one.take(0, 1)
    one.store.error = LogBusyError("not now")
    one.fold(0)
    one.fold(1, 1)
    await one.shards.give_up()
    assert cluster.headers == {}
    assert await one.take(1)
    one.store.error = None
    assert await other.take(0)
    assert await one.finish()
    assert await other.finish()  # of the shard that stayed all is still pending
    assert cluster.sums() == [6, 60]
    assert (cluster.told(0), cluster.told(1)) == ([1, 2, 3], [10, 20, 30])


@in_loop
async def test_who_does_not_know_yet_that_a_shard_is_gone_can_write_no_more_of_it(cluster: Cluster) -> None:
    one, other = Worker(cluster), Worker(cluster)
    assert await one.take(0)
    one.fold(0, 2)
    assert await other.take(0)
    assert not await one.save()
    assert isinstance(one.failure, FencedError)
    assert await other.finish()
    assert (cluster.told(0), cluster.sums()) == ([1, 2, 3], [6, 0])


@in_loop
async def test_at_the_end_everything_is_given_back(cluster: Cluster) -> None:
    worker = Worker(cluster)
    assert await worker.take(0, 1)
    await worker.shards.release_all()
    assert worker.store.calls[-2:] == [("release", A), ("release", B)]
    assert worker.folds == {}
    assert worker.sums.held_partitions() == []


# When moves overlap


@in_loop
async def test_a_restore_is_given_up_when_partitions_move_again_and_begins_anew(cluster: Cluster) -> None:
    cluster.headers[A], cluster.state[A] = 1, {("sums", b"sum"): b"1"}
    worker = Worker(cluster)
    worker.store.reading.clear()
    taking = asyncio.create_task(worker.take(0))
    await until(lambda: worker.store.calls[-1:] == [("restore", A)])
    await worker.shards.give_up()
    worker.store.reading.set()
    assert not await taking
    assert worker.shards.expected(A) is None
    assert not worker.shards.ready.is_set()
    cluster.headers[A], cluster.state[A] = 2, {("sums", b"sum"): b"3"}  # another worker was quicker
    assert await worker.take(0)
    assert worker.folds == {0: 3}
    assert await worker.finish()
    assert cluster.sums() == [6, 0]
    assert cluster.told(0) == [3]


@in_loop
async def test_what_was_acquired_but_goes_elsewhere_before_it_is_restored_is_given_back(cluster: Cluster) -> None:
    worker = Worker(cluster)
    worker.store.reading.clear()
    taking = asyncio.create_task(worker.take(0, 1))
    await until(lambda: worker.store.calls[-1:] == [("restore", A)])
    await worker.shards.give_up()
    worker.store.reading.set()
    assert not await taking
    assert await worker.take(1)
    assert ("release", A) in worker.store.calls
    assert worker.sums.held_partitions() == [1]
    assert worker.folds == {1: 0}


@in_loop
async def test_a_rebalance_does_not_wait_for_ever_for_a_checkpoint_and_does_not_write_it_twice(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.live.shards._GIVE_UP_S", 0.02)
    worker = Worker(cluster)
    assert await worker.take(0, 1)
    worker.fold(0)
    worker.store.writing.clear()
    with capture_logs() as lines:
        await worker.shards.give_up()
    assert [line["event"] for line in lines] == ["rebalance_without_checkpoint"]
    assert await worker.take(0, 1)
    worker.fold(1)
    worker.store.writing.set()
    assert await worker.finish()
    assert (cluster.told(0), cluster.told(1)) == ([1, 2, 3], [10, 20, 30])
    assert cluster.headers == {A: 3, B: 3}
