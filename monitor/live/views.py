"""The views of a running monitor: built from the saved state and output topics of its log, never from its memory.

A thread of its own reads what the last checkpoints wrote (each value by its rising offset, so only what changed) and
computes the lists once a tick; the page, the API and the metrics take the finished lists. So a slow list never holds
up the folds, and what a page shows is durable.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from monitor.core.channel import Channel
from monitor.core.events import from_us
from monitor.core.fleet_header import FleetHeader
from monitor.core.groups import Group
from monitor.core.incidents import Incident
from monitor.core.params import Params
from monitor.core.parcel import FULL, Parcel, outcome
from monitor.core.switch.advice import Lane
from monitor.core.switch.outcomes import balance, balance_record
from monitor.live.folding import FLEET_TABLES, HEADER, PARCEL_TABLES, decoder
from monitor.live.timeline import parcel_view
from monitor.log.dead_letters import DeadLetterBox
from monitor.log.protocol import Log
from monitor.log.records import ForgottenError, LogBusyError, LogError, Shard
from monitor.log.topics import CONTRIBUTIONS, DEAD_LETTERS, EVENTS
from monitor.read.explain import explain
from monitor.read.lists import Picture, Samples
from monitor.wire.dead_letter import public

Record = dict[str, Any]
_LOG: Final = structlog.get_logger(__name__)
_LOOK_S: Final = 0.25
_LEAST_S: Final = 1.0
_RETRY_S: Final = 2.0
_SHARE: Final = 4  # computing takes at most one part in five of the time
_READ: Final = {"parcels", "channels", "groups", "incidents", "fleet", "lanes"}


class LiveViews:
    """Implements :class:`monitor.read.views.Views` over a log. ``open_log`` opens it for reading, for one thread at a
    time; ``health`` is the engine's word.
    """

    def __init__(
        self,
        open_log: Callable[[], Log],
        params: Params,
        health: Callable[[], Record],
        runtime: Callable[[], dict[str, Samples]],
    ) -> None:
        self._open_log = open_log
        self._params = params
        self._health = health
        self._runtime = runtime
        self._tables: dict[str, dict[str, Any]] = {name: {} for name in _READ}
        self._generation: str | None = None
        self._offsets: dict[Shard, int] = {}
        self._decoders = {name: decoder(kind) for name, kind in (PARCEL_TABLES | FLEET_TABLES).items()}
        self._lists: dict[str, list[Record]] = {
            name: [] for name in ("channels", "incidents", "watchlist", "recommendations", "outcomes", "dead_letters")
        }
        self._balance = balance_record(balance(()))
        self._families: dict[str, Samples] = {}
        self._as_of: str | None = None
        self._picture: Picture | None = None
        self._letters_end = -1
        self._letters_total: Samples = []
        self._failed: str | None = None
        self._changed = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="views", daemon=True)
        self.fresh = threading.Event()

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End the reading thread."""
        self._stop.set()
        self._thread.join(5.0)

    def ended(self) -> str | None:
        """Why the lists will not be renewed any more; None while they are, or may be again."""
        return None if self._thread.is_alive() or self._stop.is_set() else self._failed

    # Following the log

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._read()
                except ForgottenError as error:  # many changes since the last look
                    _LOG.info("views_read_again", reason=str(error))
                    self._generation = None
                except LogBusyError as error:
                    if self._failed is None:
                        _LOG.error("views_blocked", reason=str(error))
                    self._failed = f"The lists are not renewed now: {error}"
                    self._stop.wait(_RETRY_S)
        except Exception as error:
            self._failed = f"The lists are no longer renewed: {error}"
            _LOG.error("views_failed", error=repr(error), exc_info=error)

    def _read(self) -> None:
        with self._open_log() as log:
            while not self._stop.is_set():
                started = time.monotonic()
                with log.snapshot():  # all tables of one checkpoint, so that the lists agree with their tick
                    self._follow(log)
                if self._changed:
                    self._compute()
                    self._changed = False
                if self._failed is not None:
                    self._failed = None
                    _LOG.info("views_unblocked")
                self.fresh.set()
                took = time.monotonic() - started
                self._stop.wait(max(_LEAST_S, _SHARE * took) if took > _LOOK_S else _LOOK_S)

    def _follow(self, log: Log) -> None:
        """Read what changed."""
        if log.generation != self._generation:  # another history of folding
            self._generation = log.generation
            self._offsets.clear()
            self._tables = {name: {} for name in _READ}
        for shard in (*(Shard(EVENTS, p) for p in range(log.partitions)), Shard(CONTRIBUTIONS, 0)):
            for offset, name, key, value in log.changes(shard, self._offsets.get(shard, -1)):
                self._offsets[shard] = offset
                if name in _READ:
                    self._changed = True
                    self._put(self._tables[name], key.decode(), None if value is None else self._decoders[name](value))
        end = log.end_offset(DEAD_LETTERS, 0)
        if end != self._letters_end:
            box = DeadLetterBox(log)
            self._letters_total = [({"reason": reason}, n) for reason, n in sorted(box.totals().items())]
            letters = [public(letter) for letter in box.letters()]
            letters.sort(key=lambda letter: str(letter["recordedtime"]), reverse=True)
            self._lists["dead_letters"] = letters
            self._letters_end = end

    @staticmethod
    def _put(table: dict[str, Any], key: str, value: Any) -> None:
        gone = value is None or (
            isinstance(value, Parcel) and (value.kept != FULL or not value.channel or outcome(value) is not None)
        )
        if gone:
            table.pop(key, None)
        else:
            table[key] = value

    def _compute(self) -> None:
        header: FleetHeader | None = self._tables["fleet"].get(HEADER)
        if header is None or header.tick is None:
            return
        parcels: dict[str, Parcel] = self._tables["parcels"]
        channels: dict[str, Channel] = self._tables["channels"]
        incidents: dict[str, Incident] = self._tables["incidents"]
        as_of_us = header.tick * self._params.tick_us
        # Copies: explanations are made in another thread while this one goes on reading.
        groups: dict[str, Group] = self._tables["groups"]
        lanes: dict[str, Lane] = self._tables["lanes"]
        picture = Picture(
            self._params, parcels, dict(channels), dict(groups), dict(incidents), header, as_of_us, dict(lanes)
        )
        lists = {
            "channels": picture.channel_records(),
            "incidents": picture.incident_records()[::-1],
            "watchlist": picture.watch_records(),
            "recommendations": picture.advice_records(),
            "outcomes": picture.outcome_records(),
        }
        added_up = balance_record(picture.balance())
        families = picture.families()
        with self._lock:
            self._lists |= lists
            self._balance = added_up
            self._families = families
            self._as_of = from_us(as_of_us)
            self._picture = picture

    # Views

    def as_of(self) -> str | None:
        """The last closed tick that the lists stand for."""
        return self._as_of

    def channels(self) -> list[Record]:
        """See :class:`~monitor.read.views.Views`."""
        return self._lists["channels"]

    def incidents(self) -> list[Record]:
        """See :class:`~monitor.read.views.Views`."""
        return self._lists["incidents"]

    def watchlist(self) -> list[Record]:
        """See :class:`~monitor.read.views.Views`."""
        return self._lists["watchlist"]

    def recommendations(self) -> list[Record]:
        """See :class:`~monitor.read.views.Views`."""
        return self._lists["recommendations"]

    def outcomes(self) -> list[Record]:
        """See :class:`~monitor.read.views.Views`."""
        return self._lists["outcomes"]

    def balance(self) -> Record:
        """See :class:`~monitor.read.views.Views`."""
        return self._balance

    def dead_letters(self) -> list[Record]:
        """See :class:`~monitor.read.views.Views`."""
        return self._lists["dead_letters"]

    def parcel(self, parcel_id: str) -> Record | None:
        """See :class:`~monitor.read.views.Views`."""
        try:
            with self._open_log() as log:
                return parcel_view(log, parcel_id, self._params)
        except LogError as error:
            _LOG.error("parcel_not_read", reason=str(error))
            return None

    def explain(self, id_: str) -> Record | None:
        """See :class:`~monitor.read.views.Views`."""
        with self._lock:
            picture = self._picture
        return None if picture is None else explain(picture, id_, self._lists["watchlist"])

    def health(self) -> Record:
        """See :class:`~monitor.read.views.Views`."""
        told = self._health()
        problem = self._failed or (None if self.fresh.is_set() else "The lists are not read yet.")
        if problem is not None:
            told = {**told, "ready": False, "reasons": [*told["reasons"], problem]}
        watermark = self._families.get("event_watermark_timestamp_seconds")
        return {
            **told,
            "last_tick": self._as_of,
            "watermark": from_us(round(watermark[0][1] * 1e6)) if watermark else None,
        }

    def families(self) -> dict[str, Samples]:
        """See :class:`~monitor.read.views.Views`."""
        # Dead letters are counted where they are kept: those of the gateway never reach the folds.
        return {**self._families, "dead_letters_total": self._letters_total, **self._runtime()}
