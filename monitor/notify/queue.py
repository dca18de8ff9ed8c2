"""The durable queue of messages: one SQLite file. What it holds is sent at least once, and told to be sent again when
it may have been.

A message is written in the transaction that notes the change it tells of. Before a batch is sent that is noted too, so
whatever ends the process between sending and noting, the next one knows which batch is in doubt.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from monitor.notify.changes import Change, Told, changes, merged, state_of

FILE_NAME: Final = "notify.sqlite3"
DAY_S: Final = 86_400.0
#: What became known so long before the last look is told to nobody: it is a past that was loaded.
OLD_S: Final = 7 * DAY_S
_KEEP_SENT_S: Final = 30 * DAY_S
_MINUTE_S: Final = 60.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (incident_id TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL, change TEXT NOT NULL, incident BLOB NOT NULL,
    queued_s REAL NOT NULL, batch INTEGER, sent_s REAL);
CREATE INDEX IF NOT EXISTS waiting ON message (sink, id) WHERE sent_s IS NULL;
CREATE TABLE IF NOT EXISTS sink (
    name TEXT PRIMARY KEY, attempts INTEGER NOT NULL DEFAULT 0, next_s REAL NOT NULL DEFAULT 0,
    doubt INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (sink TEXT NOT NULL, at_s REAL NOT NULL);
"""


class QueueError(Exception):
    """The queue cannot be used: another process has it, or the disk does not let us."""


_WAITING: Final = "SELECT sink, count(*) FROM message WHERE sent_s IS NULL GROUP BY sink ORDER BY sink"


def waiting_in(path: Path) -> dict[str, int]:
    """Messages that wait in a queue, by sink, whoever uses it; none where there is no queue yet.

    Raises :class:`QueueError`.
    """
    if not path.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            return dict(db.execute(_WAITING).fetchall())
    except sqlite3.Error as error:
        raise QueueError(f"The queue {path} cannot be read: {error}.") from None


class Message(msgspec.Struct, frozen=True):
    """One change of an incident, for one sink; ``incident`` as it was when the change was seen."""

    id: int
    change: Change
    incident: dict[str, Any]
    queued_s: float


class Queue:
    """The queue in ``path``, for one process. Raises :class:`QueueError`. Times are seconds since 1970."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with ExitStack() as undo:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                undo.callback(os.close, lock)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise QueueError(f"Another `notify` sends what is in {path}.") from None
                os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
                self._db = sqlite3.connect(path, isolation_level=None)
                undo.callback(self._db.close)
                self._db.executescript("PRAGMA synchronous = FULL;" + _SCHEMA)
            except (OSError, sqlite3.Error) as error:
                raise QueueError(f"The queue {path} cannot be used: {error}.") from None
            self._close = undo.pop_all().close

    def close(self) -> None:
        """Give it back."""
        self._close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise QueueError(f"The queue cannot be written: {error}.") from None

    # What is to be told

    def look(
        self, incidents: Iterable[tuple[Mapping[str, Any], float]], sinks: Mapping[str, set[str]], now: float
    ) -> int:
        """Queue what has changed; how many messages. ``incidents``: records, each with when it became known (s);
        ``sinks``: by name the severities it hears of.

        The first look of all tells of nothing: what there is then is the past.
        """
        queued = 0
        with self._transaction() as db:
            last = db.execute("SELECT value FROM meta WHERE key = 'looked'").fetchone()
            known = {key: msgspec.json.decode(state, type=Told) for key, state in db.execute("SELECT * FROM told")}
            for incident, known_s in incidents:
                key, state = str(incident["incident_id"]), state_of(incident)
                told = known.get(key)
                past = last is None or (told is None and known_s < min(last[0], now) - OLD_S)
                found = [] if past else changes(told, state)
                after = state if told is None else merged(told, state)
                if after != told:
                    db.execute("REPLACE INTO told VALUES (?, ?)", (key, msgspec.json.encode(after)))
                for name, severities in sinks.items():
                    if incident["severity"] in severities:
                        rows = [(name, change, msgspec.json.encode(dict(incident)), now) for change in found]
                        db.executemany(
                            "INSERT INTO message (sink, change, incident, queued_s) VALUES (?, ?, ?, ?)", rows
                        )
                        queued += len(rows)
            db.execute("REPLACE INTO meta VALUES ('looked', ?)", (now,))
            db.execute("DELETE FROM message WHERE sent_s < ?", (now - _KEEP_SENT_S,))
            db.execute("DELETE FROM attempt WHERE at_s < ?", (now - 2 * _MINUTE_S,))
        return queued

    # Sending

    def due(self, sink: str, now: float, digest_s: float, per_minute: int) -> list[Message]:
        """What may be sent to a sink now, in order: the batch that was begun, else all that waits, once its oldest
        has waited for ``digest_s``. Nothing while the sink rests or has had its ``per_minute`` attempts.
        """
        (next_s,) = self._db.execute("SELECT max(next_s) FROM sink WHERE name = ?", (sink,)).fetchone()
        recent = "SELECT count(*) FROM attempt WHERE sink = ? AND at_s > ?"
        (attempts,) = self._db.execute(recent, (sink, now - _MINUTE_S)).fetchone()
        if (next_s or 0) > now or attempts >= per_minute:
            return []
        rows = self._db.execute(
            "SELECT id, change, incident, queued_s, batch FROM message WHERE sink = ? AND sent_s IS NULL ORDER BY id",
            (sink,),
        ).fetchall()
        begun = [row for row in rows if row[4] is not None]
        if not begun and rows and rows[0][3] > now - digest_s:
            return []
        return [Message(id_, change, msgspec.json.decode(raw), at) for id_, change, raw, at, _ in begun or rows]

    def begin(self, sink: str, messages: list[Message], now: float) -> bool:
        """Note that these are being sent together; whether they may have arrived before."""
        with self._transaction() as db:
            doubt = db.execute("SELECT doubt FROM sink WHERE name = ?", (sink,)).fetchone()
            ids = [(messages[0].id, message.id) for message in messages]
            db.executemany("UPDATE message SET batch = ? WHERE id = ?", ids)
            db.execute("INSERT INTO attempt VALUES (?, ?)", (sink, now))
            db.execute(
                "INSERT INTO sink (name, doubt) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET doubt = 1", (sink,)
            )
        return bool(doubt and doubt[0])

    def sent(self, sink: str, messages: list[Message], now: float) -> None:
        """They have arrived."""
        with self._transaction() as db:
            db.executemany("UPDATE message SET sent_s = ? WHERE id = ?", [(now, message.id) for message in messages])
            db.execute("UPDATE sink SET attempts = 0, next_s = 0, doubt = 0 WHERE name = ?", (sink,))

    def failed(self, sink: str, next_s: float, *, doubt: bool) -> None:
        """They have not arrived, or (``doubt``) nobody knows; not before ``next_s`` is it tried again."""
        with self._transaction() as db:
            db.execute(
                "UPDATE sink SET attempts = attempts + 1, next_s = ?, doubt = ? WHERE name = ?", (next_s, doubt, sink)
            )

    def attempts(self, sink: str) -> int:
        """Attempts that failed in a row."""
        found = self._db.execute("SELECT attempts FROM sink WHERE name = ?", (sink,)).fetchone()
        return found[0] if found else 0
