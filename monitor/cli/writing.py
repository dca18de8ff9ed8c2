"""A file that a verb writes: whole or not at all, packed as its name says."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import zstandard

from monitor.cli.common import WrongUse


@contextmanager
def writing(out: str) -> Iterator[IO[bytes]]:
    """The file to write; it takes its name only when all is written, so a failure leaves no half file."""
    if out == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as plain:
            with _packed(plain, path.suffix) as file:
                yield file
            plain.flush()
            os.fsync(plain.fileno())
        part.replace(path)
    except OSError as error:
        raise WrongUse(f"{out} cannot be written: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def _packed(plain: IO[bytes], suffix: str) -> Iterator[IO[bytes]]:
    if suffix == ".gz":
        # No name and no time in it: the same log gives the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=6, mtime=0) as file:
            yield file  # type: ignore[misc]
    elif suffix == ".zst":
        with zstandard.ZstdCompressor().stream_writer(plain, closefd=False) as writer:
            yield writer
    else:
        yield plain
