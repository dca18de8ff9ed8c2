"""The gateway: what readers hand on is checked, put in order, and appended to the log; what is bad goes to the
dead letters.

Rules this module keeps:

1. An event enters the log with its recorded time. Live that is the time of ingest, for history the time of the event,
   unless the event states one; a stated one is never taken to lie after now.
2. Events are appended in the order (recorded time, sequence, source, id, canonical bytes), of all files of one call
   together; those of a pipe in the order of each chunk.
3. History that goes beyond the end of the log is appended with the ticks of the grid between the events, so that all
   partitions come forward together. History from before the end of the log gets no ticks: they are closed, until
   :mod:`monitor.log.embedded.merging` puts the whole log in order.
4. A file that is plainly history is refused before anything of it is appended (:func:`refuse_history`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from sys import intern
from typing import Final

from monitor.core.bounds import check_times
from monitor.core.events import ClockTicked, Rejected, from_us, route, to_us
from monitor.core.ordering import AFTER_ALL, normal_sequence, ticks_between
from monitor.core.params import Params
from monitor.core.vocabulary import DAY_US
from monitor.log.appending import Appender
from monitor.log.dead_letters import DeadLetterBox
from monitor.log.protocol import Log
from monitor.log.records import NewRecord
from monitor.log.sorting import MAX_BYTES, Admitted, EventSorter
from monitor.wire.decode import decode, with_recorded, without_sequence
from monitor.wire.incoming import Flow, Incoming

#: A file is plainly history when most of this many first rows are.
FIRST_ROWS: Final = 1_000
#: A chunk of a pipe is appended after so many events, or so many seconds after its first.
CHUNK_EVENTS: Final = 20_000
CHUNK_S: Final = 0.5
_LETTERS_AT_ONCE: Final = 500

Clock = Callable[[], int]
Progress = Callable[[int, int], None]  # events read, events appended


def now_us() -> int:
    """The wall clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1_000


class Refused(Exception):
    """A file that must not be ingested as it is; nothing was appended. The message names it and the remedy."""


@dataclass(slots=True)
class Outcome:
    """What an ingest did. Counts of events; ``behind`` of them were recorded before ``frontier_us``, up to which the
    log had come already.
    """

    accepted: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)  # by reason
    known_dead_letters: int = 0  # of these, open already, so not written again
    skipped: Counter[str] = field(default_factory=Counter)  # rows left out on purpose, by reason
    ticks: int = 0
    behind: int = 0
    frontier_us: int | None = None


class Admission:
    """The checks at the entrance. ``history``: what is loaded happened long ago, and was known when it happened."""

    def __init__(self, params: Params, *, history: bool = False) -> None:
        self._lateness_us = params.days_us("lateness_days")
        self._history = history

    def admit(self, raw: bytes, now: int) -> Admitted:
        """The event with its recorded time set, ready for the log. Raises :class:`Rejected`."""
        event = decode(raw)
        time_us = to_us(event.time)
        sequence = normal_sequence(event.sequence)
        if isinstance(event, ClockTicked):
            sequence = AFTER_ALL
            recorded_us = to_us(event.data.at)
            if recorded_us > now:
                raise Rejected("time_in_future", f"the clock cannot tick at {from_us(recorded_us)}, which is to come")
        elif event.recordedtime is not None:
            recorded_us = to_us(event.recordedtime)
            if recorded_us - now > DAY_US:
                raise Rejected("time_in_future", f"recordedtime {from_us(recorded_us)} is more than one day after now")
        else:
            recorded_us = time_us if self._history else now
        recorded_us = min(recorded_us, now)  # clocks of other machines may be ahead of ours
        check_times(time_us, recorded_us, self._lateness_us, self._history or event.history)
        if event.sequence is not None:  # that of an export has done its work when the events are sorted
            raw = without_sequence(raw)
        raw = with_recorded(raw, recorded_us)
        if self._history and not event.history:
            raw = _marked_as_history(raw)
        return Admitted(recorded_us, sequence, intern(event.source), event.id, route(event) or "", raw)


def _marked_as_history(raw: bytes) -> bytes:
    # Of a member that stands twice the last counts, so it is put behind a "history": false.
    end = raw.rindex(b"}")
    return b'%b,"history":true%b' % (raw[:end], raw[end:])


def refuse_history(rows: Iterable[Incoming], params: Params, now: int) -> None:
    """Look at the first rows of a file; raise :class:`Refused` if most of them are too late, and state no recorded
    time that would explain it.
    """
    lateness_us = params.days_us("lateness_days")
    seen: set[int] = set()
    late: set[int] = set()
    name = ""
    for row in rows:
        name = row.file
        seen.add(row.line)
        if row.event is None:
            continue
        try:
            event = decode(row.event)
        except Rejected:
            continue
        if event.recordedtime is None and not event.history and now - to_us(event.time) > lateness_us:
            late.add(row.line)
    if 2 * len(late) > len(seen):
        raise Refused(
            f"{name}: {len(late):,} of its first {len(seen):,} rows happened more than {params.lateness_days:g} days "
            "ago and have no recordedtime, so they would all be dead letters. Nothing was appended. If this is "
            "history, load it with --history."
        )


class Gateway:
    """Ingests into one log. Methods raise :class:`~monitor.log.records.LogError`, also when the disk is full."""

    def __init__(
        self,
        log: Log,
        params: Params,
        *,
        history: bool = False,
        clock: Clock = now_us,
        sort_bytes: int = MAX_BYTES,
    ) -> None:
        self._log = log
        self._params = params
        self._admission = Admission(params, history=history)
        self._history = history
        self._clock = clock
        self._sort_bytes = sort_bytes
        self._box = DeadLetterBox(log)

    def ingest(self, rows: Iterable[Flow], progress: Progress | None = None) -> Outcome:
        """Append all rows, in order. Memory is bounded by the sorter, not by the rows."""
        outcome = Outcome()
        now = self._clock()
        letters: list[NewRecord] = []
        with EventSorter(self._log.scratch, self._sort_bytes) as sorter:
            for row in rows:
                event = self._take(row, now, outcome, letters)
                if event is not None:
                    sorter.add(event)
                    if progress is not None:
                        progress(outcome.accepted, 0)
                if len(letters) >= _LETTERS_AT_ONCE:
                    self._log.append(letters)
                    letters = []
            appender = Appender(self._log)
            events = sorter.in_order()
            self._append(self._with_ticks(events, appender, outcome), appender, outcome, progress)
            appender.flush(letters)
        outcome.ticks = appender.ticks
        return outcome

    def stream(self, rows: Iterable[Flow], progress: Progress | None = None) -> Outcome:
        """Append the rows of a pipe as they come: what was read is in the log within about a second.

        Raises :class:`Refused` when the pipe begins with history, as a file would.
        """
        outcome = Outcome()
        appender = Appender(self._log)
        rows = self._look_ahead(rows)
        letters: list[NewRecord] = []
        chunk: list[Admitted] = []
        since = 0
        for row in chain(rows, [None]):
            now = self._clock()
            if not chunk and not letters:
                since = now
            event = self._take(row, now, outcome, letters)
            if event is not None:
                chunk.append(event)
            if (chunk or letters) and (
                row is None or len(chunk) + len(letters) >= CHUNK_EVENTS or now - since > CHUNK_S * 1_000_000
            ):
                with EventSorter(self._log.scratch) as sorter:
                    for one in chunk:
                        sorter.add(one)
                    self._append(sorter.in_order(), appender, outcome, progress)
                appender.flush(letters)
                chunk, letters = [], []
        outcome.ticks = appender.ticks
        return outcome

    def _look_ahead(self, rows: Iterable[Flow]) -> Iterator[Flow]:
        """The rows again, after a look at those that come without a pause."""
        rest = iter(rows)
        first: list[Flow] = []
        for row in rest:
            first.append(row)
            if row is None or len(first) >= FIRST_ROWS:
                break
        paused = bool(first) and first[-1] is None
        if not paused:
            refuse_history([row for row in first if row is not None], self._params, self._clock())
        return chain(first, rest)

    def _take(self, row: Flow, now: int, outcome: Outcome, letters: list[NewRecord]) -> Admitted | None:
        """The event of a row, if it has one that may enter the log; the rest is counted."""
        if row is None:
            return None
        fault = row.fault
        if row.event is not None:
            try:
                event = self._admission.admit(row.event, now)
            except Rejected as rejected:
                fault = rejected
            else:
                if event.sequence != AFTER_ALL:
                    outcome.accepted += 1
                elif self._history:
                    return None  # history gets the ticks of the grid
                return event
        if fault is not None:
            outcome.dead_letters[fault.reason] += 1
            letter = self._box.record(row, fault, now)
            if letter is None:
                outcome.known_dead_letters += 1
            else:
                letters.append(letter)
        elif row.skipped is not None:
            outcome.skipped[row.skipped] += 1
        return None

    def _append(
        self, events: Iterable[Admitted], appender: Appender, outcome: Outcome, progress: Progress | None
    ) -> None:
        for event in events:
            if event.sequence == AFTER_ALL and not event.key:
                appender.tick(event.recorded_us, event.raw)
            else:
                appender.add(event)
            if progress is not None:
                progress(outcome.accepted, appender.events)

    def _with_ticks(self, events: Iterable[Admitted], appender: Appender, outcome: Outcome) -> Iterator[Admitted]:
        """History with the ticks between; everything else as it is."""
        if not self._history:
            yield from events
            return
        frontier = outcome.frontier_us = appender.frontier_us
        reached = frontier
        for event in events:
            if frontier is not None and event.recorded_us < frontier:
                outcome.behind += 1
            else:
                if reached is not None:
                    for at in ticks_between(reached, event.recorded_us, self._params.tick_us):
                        appender.tick(at)
                reached = event.recorded_us
            yield event
        if reached is not None and reached != frontier:
            for at in ticks_between(reached, reached + 1, self._params.tick_us):
                appender.tick(at)
