"""Files of lines: plain, gzip or zstandard by their first bytes, whatever their name; ``-`` is standard input.

Rules this module keeps:

1. A file that is not there, a directory, and a file that may not be read are wrong use
   (:class:`UnusableFile`): nothing was read from it.
2. Everything else is read as far as it goes. What cannot be used is handed on as a line with a fault: a line
   longer than ``MAX_EVENT_BYTES`` (its first bytes), the end of a file that was cut off or is damaged, and a
   file that is plainly not text, once, not once for each of its lines.
3. Memory does not grow with the file or with a line.
"""

from __future__ import annotations

import itertools
import os
import select
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol

import zstandard

from monitor.core.events import Rejected
from monitor.core.vocabulary import MAX_EVENT_BYTES
from monitor.wire.incoming import IDLE, Incoming

STDIN: Final = "-"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
#: Bytes kept of a line that is too long, and of a file that is not text.
KEPT_BYTES: Final = 1_000
#: Seconds without new bytes after which standard input counts as idle.
IDLE_S: Final = 0.2

_BLOCK: Final = 1 << 16
# Compressed bytes unpacked at once. They bound the memory that a file made to explode can take: gzip grows at
# most a thousandfold, zstandard thirty thousandfold.
_GZIP_PIECE: Final = 1 << 14
_ZSTD_PIECE: Final = 1 << 10
_LEAST_BLOCK: Final = 512  # a shorter file is judged line by line
_MOST_CONTROL_RATIO: Final = 0.05

_KNOWN: Final = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (.xlsx); unpack it, or save the sheet as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file (.xls, .doc); save the sheet as CSV in UTF-8"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\xff\xfe", "text in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16; save it as UTF-8"),
    (b"BZh", "packed with bzip2; unpack it, or pack it with gzip or zstd"),
    (b"\xfd7zXZ\x00", "packed with xz; unpack it, or pack it with gzip or zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it"),
    (b"PAR1", "a Parquet file"),
    (b"\x7fELF", "a program"),
)
_CONTROL: Final = bytes(code for code in range(32) if code not in b"\t\n\r\x0c\x1b")


class UnusableFile(Exception):
    """A file that cannot be read at all; the message names it and says what to do."""


class Line(NamedTuple):
    """One line without its line feed. With a ``fault``, ``raw`` holds only what could be kept."""

    number: int
    raw: bytes
    fault: Rejected | None = None


class _Damaged(Exception):
    """The compressed stream broke off; the message says how."""


def read_events(path: str) -> Iterator[Incoming | None]:
    """The lines of a file of events; blank ones are left out. ``IDLE`` where standard input has no more for now.

    Raises :class:`UnusableFile`.
    """
    for line in read_lines(path):
        if line is IDLE:
            yield IDLE
        elif line.fault is not None:
            yield Incoming(path, line.number, line.raw, fault=line.fault)
        elif text := line.raw.strip():
            yield Incoming(path, line.number, text, event=text)


def read_lines(path: str) -> Iterator[Line | None]:
    """All lines of a file, blank ones too, unpacked, without byte order mark. Raises :class:`UnusableFile`."""
    with _opened(path) as stream:
        blocks = _from_pipe(stream) if path == STDIN else iter(lambda: stream.read(_BLOCK), b"")
        try:
            yield from _split(_text_blocks(blocks), path)
        except OSError as error:
            raise UnusableFile(f"{path}: {error.strerror or error}; check the file and its disk.") from error


def check_readable(path: str) -> None:
    """Raise :class:`UnusableFile` if ``path`` cannot be opened for reading."""
    if path != STDIN:
        _opened(path).close()


def _opened(path: str) -> BinaryIO:
    if path == STDIN:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    try:
        if Path(path).is_dir():
            raise UnusableFile(f"{path} is a directory; name the files in it, for example {path.rstrip('/')}/*.jsonl.")
        return Path(path).open("rb")
    except FileNotFoundError:
        raise UnusableFile(f"{path}: there is no such file; check the spelling and the directory.") from None
    except PermissionError:
        raise UnusableFile(f"{path} may not be read; check its permissions.") from None
    except (OSError, ValueError) as error:
        raise UnusableFile(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from None


def _from_pipe(stream: BinaryIO) -> Iterator[bytes]:
    """What a pipe has, as soon as it has it; an empty block when it has nothing for ``IDLE_S`` seconds."""
    descriptor = stream.fileno()
    told = True
    while True:
        ready, _, _ = select.select([descriptor], [], [], None if told else IDLE_S)
        if ready:
            block = os.read(descriptor, _BLOCK)
            if not block:
                return
            yield block
            told = False
        else:
            yield b""
            told = True


class _Unpacker(Protocol):
    """What zlib and zstandard have in common; ``unused_data`` is what follows the end of the stream."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes) -> bytes: ...


def _text_blocks(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks unpacked, if their first bytes say that they are packed. Raises :class:`_Damaged`."""
    first = b""
    for block in blocks:  # a pipe may bring the first bytes one by one
        first += block
        if len(first) >= 4:
            break
    rest = itertools.chain([first] if first else [], blocks)
    if first.startswith(b"\x1f\x8b"):
        yield from _unpacked(rest, lambda: zlib.decompressobj(31), _GZIP_PIECE, "gzip")
    elif first.startswith(b"\x28\xb5\x2f\xfd"):
        yield from _unpacked(rest, lambda: zstandard.ZstdDecompressor().decompressobj(), _ZSTD_PIECE, "zstd")
    else:
        yield from rest


def _unpacked(blocks: Iterator[bytes], new: Callable[[], _Unpacker], piece: int, name: str) -> Iterator[bytes]:
    unpacker: _Unpacker | None = None
    for block in blocks:
        if not block:
            yield block
        for start in range(0, len(block), piece):
            data = block[start : start + piece]
            while data:
                if unpacker is None:
                    data = data.lstrip(b"\0")  # some writers fill the last block with zeros
                    if not data:
                        break
                    unpacker = new()
                try:
                    text = unpacker.decompress(data)
                except (zlib.error, zstandard.ZstdError) as error:
                    raise _Damaged(f"its {name} data are damaged ({error})") from None
                if text:
                    yield text
                data = b""
                if unpacker.eof:
                    data, unpacker = unpacker.unused_data, None
    if unpacker is not None:
        raise _Damaged(f"its {name} data end too early, the file was cut off")


def _split(blocks: Iterator[bytes], path: str) -> Iterator[Line | None]:
    number = 0
    tail = b""
    skipping = False
    fault: Rejected | None = None
    try:
        for block in blocks:
            if not block:
                yield IDLE
                continue
            if number == 0 and not tail and (what := _not_text(block)):
                yield Line(1, block[:KEPT_BYTES], Rejected("not_text", f"{path} is {what}."))
                return
            lines = (tail + block).split(b"\n")
            tail = lines.pop()
            for raw in lines:
                if skipping:
                    skipping = False
                    continue
                number += 1
                if len(raw) > MAX_EVENT_BYTES + 1:  # one more for a carriage return
                    yield _too_large(number, raw)
                elif number == 1:
                    yield Line(1, raw.removeprefix(BYTE_ORDER_MARK))
                else:
                    yield Line(number, raw)
            if skipping:
                tail = b""
            elif len(tail) > MAX_EVENT_BYTES + 1:
                number += 1
                yield _too_large(number, tail)
                tail, skipping = b"", True
    except _Damaged as damaged:
        fault = Rejected(
            "malformed_json",
            f"{path} breaks off in line {number + 1}: {damaged}; what stood before was used. "
            "Get the file again and ingest it once more.",
        )
    if fault is not None:
        yield Line(number + 1, tail[:KEPT_BYTES], fault)
    elif tail:
        yield Line(number + 1, tail if number else tail.removeprefix(BYTE_ORDER_MARK))


def _too_large(number: int, raw: bytes) -> Line:
    detail = f"the line is longer than {MAX_EVENT_BYTES:,} bytes, the most one event may have"
    return Line(number, raw[:KEPT_BYTES], Rejected("too_large", detail))


def _not_text(block: bytes) -> str | None:
    """What a file is that begins with ``block``, if it is plainly not text."""
    for magic, what in _KNOWN:
        if block.startswith(magic):
            return what
    if len(block) < _LEAST_BLOCK:
        return None
    control = len(block) - len(block.translate(None, _CONTROL))
    return "no text but binary data" if control > _MOST_CONTROL_RATIO * len(block) else None
