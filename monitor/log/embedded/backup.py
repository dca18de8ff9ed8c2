"""Backup of an embedded log while it is written to, and restoring one into an empty directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from monitor.log.embedded import schema
from monitor.log.embedded.schema import FILE_NAME, explained, fsync_directory, transaction
from monitor.log.records import LogError


def copy_to(connection: sqlite3.Connection, out: Path) -> None:
    """Copy the database into the one file ``out``, durably; an earlier ``out`` is replaced only by a whole
    copy.

    The copy is of one moment. Other processes read and write meanwhile; the WAL grows until the copy is done.
    """
    partial = out.with_name(out.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as target:
            connection.backup(target)  # all pages in one step: one snapshot, no restarts
            target.execute("PRAGMA journal_mode = DELETE")  # so that one file holds it all
        _fsync(partial)
        partial.replace(out)
        fsync_directory(out.absolute().parent)
    finally:
        partial.unlink(missing_ok=True)


def restore(file: Path, directory: Path) -> str:
    """Put the backup ``file`` into ``directory``, which must be empty or absent; return the new generation's
    id.

    The restored log begins a new generation: what was folded after the backup is not in it, so state and
    outputs are derived again from its records. ``LogError`` if ``file`` is no whole backup.
    """
    target = directory / FILE_NAME
    with explained(file):
        if not file.is_file():
            raise LogError(f"There is no backup file {file}.")
        _check(file)
    with explained(target):
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise LogError(f"{directory} is not an empty directory; restore into a new one.")
        directory.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(FILE_NAME + ".partial")
        try:
            shutil.copyfile(file, partial)
            _fsync(partial)
            with contextlib.closing(schema.connect(partial, read_only=False)) as connection:
                with transaction(connection):
                    generation = schema.new_generation(connection, None)
                schema.enter_wal_mode(connection)
            partial.replace(target)
            fsync_directory(directory)
        finally:
            for leftover in directory.glob(FILE_NAME + ".partial*"):
                leftover.unlink()
    return generation


def _check(file: Path) -> None:
    # immutable: read the backup without leaving -wal and -shm files beside it
    uri = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        schema.check(connection, file)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise LogError(f"{file} is damaged ({verdict}); use another backup.")


def _fsync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
