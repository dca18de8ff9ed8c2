"""What both Faust transports share: how records come from the fetcher to the agents, and with what said of them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from faust.transport import producer as faust_producer
from faust.transport.consumer import Consumer
from faust.types import TP, ConsumerMessage
from mode import Service

_RECORDS_PER_TURN: Final = 50


class FoldMessage(ConsumerMessage):  # type: ignore[misc]
    """A record on its way to an agent. ``follows``: no record of its partition has an offset from this one up to its
    own, so a reader that stands there or behind misses nothing. ``foreign``: not written by our gateway.
    """

    __slots__ = ("follows", "foreign")

    def __init__(self, *args: Any, follows: int, foreign: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.follows = follows
        self.foreign = foreign


class ReadingMixin(Consumer):  # type: ignore[misc]
    """Replaces Faust's loop between fetcher and agents, for consumers whose positions are kept by checkpoints.

    Faust's own starts two tasks for every record, so that a rebalance can interrupt it, and drops records it believes
    to have seen. Here a fetcher that is stopped has its task cancelled, and the engine tells by ``follows`` and the
    generation of a message whether it belongs where the fold stands.
    """

    async def _drain_messages(self, fetcher: Service) -> None:
        unyielded = 0
        while not (self.should_stop or fetcher.should_stop):
            async for tp, message in self.getmany(timeout=1.0):
                await self.callback(message)
                self._read_offset[tp] = message.offset
                unyielded += 1
                if unyielded == _RECORDS_PER_TURN:
                    unyielded = 0
                    await asyncio.sleep(0)

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: the fetcher waits at the full queue.

        Faust would stop fetching ``tp``, and once no partition is left it sleeps for a second, however soon the
        agent has caught up.
        """

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing, as for a full buffer."""

    async def commit(self, *_: Any, **__: Any) -> bool:
        """Do nothing: positions are part of the checkpoints, so there is nothing to acknowledge."""
        return False


class NoProducer(faust_producer.Producer):  # type: ignore[misc]
    """Faust asks for a producer; nothing passes through it, since outputs and state are written by checkpoints."""

    async def create_topic(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the log has its topics before Faust starts."""
