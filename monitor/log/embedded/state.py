"""The state of the shards in an embedded log, for the one `run` that owns them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from monitor.log.embedded.log import EmbeddedLog
from monitor.log.records import Change, Checkpoint, LogError, Shard

_CHANGES_PER_TURN: Final = 5_000  # the web server answers in between


class EmbeddedState:
    """Implements :class:`~monitor.log.protocol.StateStore`. It blocks the event loop while it writes: with a local
    file that is a few milliseconds, and nothing is folded meanwhile.
    """

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log

    @property
    def generation(self) -> str:
        """See :class:`~monitor.log.protocol.StateStore`."""
        return self._log.generation

    async def acquire(self, shard: Shard) -> int:
        """The offset of the next record to fold; one `run` owns all shards anyway."""
        return self._log.headers().get(shard, 0)

    async def release(self, shard: Shard) -> None:
        """Do nothing."""

    async def restore(self, shard: Shard) -> AsyncIterator[Sequence[Change]]:
        """The whole state in parts."""
        part: list[Change] = []
        for change in self._log.changes(shard):
            part.append(change)
            if len(part) == _CHANGES_PER_TURN:
                yield part
                part = []
                await asyncio.sleep(0)
        yield part

    async def write(self, work: Sequence[Checkpoint]) -> list[tuple[Checkpoint, LogError]]:
        """All checkpoints in one transaction: all or none."""
        try:
            self._log.checkpoint(work)
        except LogError as error:
            return [(one, error) for one in work]
        return []

    async def trim(self, shard: Shard, before_offset: int) -> None:
        """Delete the records below ``before_offset``."""
        self._log.trim(*shard, before_offset)
