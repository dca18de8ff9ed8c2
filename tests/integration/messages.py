"""What tests of messages share: moments in the past, and whether the program has looked yet."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path


def days_ago(days: float) -> str:
    """A moment before now, RFC 3339."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def looked(queue: Path) -> bool:
    """Whether the program whose messages wait in ``queue`` has looked at the incidents."""
    try:
        with sqlite3.connect(f"file:{queue}?mode=ro", uri=True) as db:
            return bool(db.execute("SELECT value FROM meta WHERE key = 'looked'").fetchone())
    except sqlite3.Error:
        return False
