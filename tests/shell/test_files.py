"""Reading files of lines: packed or not, cut off, damaged, not text, or not there."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from monitor.connectors.files import UnusableFile, read_events, read_lines
from monitor.core.vocabulary import MAX_EVENT_BYTES
from monitor.wire.incoming import Incoming

THREE = b'{"a":1}\n{"b":2}\n{"c":3}\n'


def events(path: Path) -> list[Incoming]:
    return [row for row in read_events(str(path)) if row is not None]


def texts(path: Path) -> list[bytes | None]:
    return [row.event for row in events(path)]


def made(tmp_path: Path, content: bytes, name: str = "file") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


PACKED = {
    "plain": THREE,
    "gzip": gzip.compress(THREE),
    "zstd": zstandard.ZstdCompressor().compress(THREE),
    "two gzip members, as cat makes them": gzip.compress(THREE[:10]) + gzip.compress(THREE[10:]),
    "two zstd frames": zstandard.ZstdCompressor().compress(THREE[:10])
    + zstandard.ZstdCompressor().compress(THREE[10:]),
    "gzip filled up with zeros": gzip.compress(THREE) + bytes(500),
    "windows": b"\xef\xbb\xbf" + THREE.replace(b"\n", b"\r\n"),
    "no line feed at the end": THREE[:-1],
    "blank lines": b"\n \r\n" + THREE.replace(b"\n", b"\n\n\t\n"),
}


@pytest.mark.parametrize("content", PACKED.values(), ids=PACKED.keys())
def test_every_way_to_write_the_same_lines_reads_the_same(tmp_path: Path, content: bytes) -> None:
    assert texts(made(tmp_path, content, "name.tells.nothing")) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    path = made(tmp_path, b'{"a":1}\n\n\r\n{"b":2}\n')
    assert [(row.line, row.file) for row in events(path)] == [(1, str(path)), (4, str(path))]


def test_an_empty_file_holds_nothing_and_is_no_error(tmp_path: Path) -> None:
    assert events(made(tmp_path, b"")) == []
    assert events(made(tmp_path, gzip.compress(b""), "empty.gz")) == []


@pytest.mark.parametrize("packed", [gzip.compress, lambda b: zstandard.ZstdCompressor().compress(b)], ids=["gz", "zst"])
def test_of_a_packed_file_that_was_cut_off_everything_readable_is_used(tmp_path: Path, packed: object) -> None:
    rng = random.Random(7)
    lines = [b'{"n":"%s"}' % rng.randbytes(60).hex().encode() for _ in range(20_000)]
    whole: bytes = packed(b"\n".join(lines) + b"\n")  # type: ignore[operator]
    rows = events(made(tmp_path, whole[: len(whole) // 2]))
    good, bad = rows[:-1], rows[-1]
    assert len(good) > 5_000
    assert [row.event for row in good] == lines[: len(good)]
    assert bad.fault is not None
    assert (bad.fault.reason, bad.line) == ("malformed_json", len(good) + 1)
    assert "cut off" in bad.fault.detail
    assert "Get the file again" in bad.fault.detail
    assert lines[len(good)].startswith(bad.raw)


def test_a_packed_file_that_is_damaged_gives_one_fault_at_the_place_of_the_damage(tmp_path: Path) -> None:
    rng = random.Random(7)
    content = bytearray(gzip.compress(b"".join(b"%s\n" % rng.randbytes(30).hex().encode() for _ in range(20_000))))
    content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
    rows = events(made(tmp_path, bytes(content)))
    assert [row.fault is None for row in rows] == [True] * (len(rows) - 1) + [False]
    assert "damaged" in str(rows[-1].fault)


def test_a_line_that_is_too_long_is_a_fault_and_the_next_one_is_read(tmp_path: Path) -> None:
    path = made(tmp_path, b"x" * (MAX_EVENT_BYTES + 2) + b"\n" + b"y" * MAX_EVENT_BYTES + b'\n{"a":1}\n')
    long, longest, last = events(path)
    assert long.fault is not None
    assert (long.fault.reason, long.line, len(long.raw)) == ("too_large", 1, 1_000)
    assert longest.event == b"y" * MAX_EVENT_BYTES
    assert (last.event, last.line) == (b'{"a":1}', 3)


def test_a_line_of_half_a_gigabyte_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "endless"
    with path.open("wb") as file:
        file.truncate(500_000_000)  # a hole: zeros without a line feed
        file.seek(0)
        file.write(b"{" * 100_000)
    tracemalloc.start()
    rows = events(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.fault.reason for row in rows if row.fault] == ["too_large"]
    assert peak < 4_000_000


def test_a_small_file_that_unpacks_to_gigabytes_does_not_fill_the_memory(tmp_path: Path) -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    path = tmp_path / "bomb.zst"
    with path.open("wb") as file:
        for _ in range(150):
            file.write(packer.compress(b"x" * 1_000_000))
        file.write(packer.flush())
    assert path.stat().st_size < 50_000
    tracemalloc.start()
    rows = events(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.fault.reason for row in rows if row.fault] == ["too_large"]
    assert peak < 100_000_000


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("events.jsonl")
        info.size = len(THREE)
        archive.addfile(info, io.BytesIO(THREE))
    return out.getvalue()


NO_TEXT = {
    "PNG image": b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(5_000),
    "Excel workbook": b"PK\x03\x04" + random.Random(2).randbytes(5_000),
    "old Excel": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5_000),
    "binary data": random.Random(3).randbytes(200_000),
    "UTF-16": "id,source\n1,2\n".encode("utf-16"),
    "binary": gzip.compress(tar()),
    "SQLite": b"SQLite format 3\x00" + bytes(4_000),
}


@pytest.mark.parametrize(("what", "content"), NO_TEXT.items(), ids=NO_TEXT.keys())
def test_a_file_that_is_plainly_not_text_is_one_fault_that_says_what_it_is(
    tmp_path: Path, what: str, content: bytes
) -> None:
    rows = events(made(tmp_path, content))
    assert len(rows) == 1
    assert rows[0].fault is not None
    assert rows[0].fault.reason == "not_text"
    assert what in rows[0].fault.detail
    assert str(tmp_path) in rows[0].fault.detail


def test_one_line_of_rubbish_does_not_make_a_whole_file_rubbish(tmp_path: Path) -> None:
    path = made(tmp_path, b'{"a":1}\n' * 200 + b"\x00\xff\xfe rubbish\n" + b'{"b":2}\n' * 200)
    assert len(events(path)) == 401


def test_what_cannot_be_opened_is_named_with_a_remedy(tmp_path: Path) -> None:
    locked = made(tmp_path, THREE, "locked")
    locked.chmod(0)
    cases = {str(tmp_path): "is a directory", str(tmp_path / "nowhere"): "there is no such file"}
    if os.geteuid() != 0:  # root may read everything
        cases[str(locked)] = "check its permissions"
    for path, said in cases.items():
        with pytest.raises(UnusableFile, match=said) as caught:
            list(read_lines(path))
        assert str(caught.value).startswith(path)
