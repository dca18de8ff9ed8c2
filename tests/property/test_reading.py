"""Whatever bytes a file holds, reading it ends, loses nothing silently and counts the lines right."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from pathlib import Path

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.connectors.csv_file import split_rows
from monitor.connectors.files import Line, read_events, read_lines

PACKERS = st.sampled_from([bytes, gzip.compress, zstandard.compress])
LINES = st.lists(
    st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufeff"), max_size=30), max_size=30
)


def written(content: bytes) -> str:
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(content)
    return file.name


@given(st.binary(max_size=2_000), PACKERS, st.integers(0, 50))
def test_any_bytes_can_be_read_to_the_end(content: bytes, pack: type[bytes], cut: int) -> None:
    packed = pack(content)
    path = written(packed[: len(packed) - cut])
    try:
        rows = [row for row in read_events(path) if row is not None]
    finally:
        Path(path).unlink()
    assert all((row.event is None) != (row.fault is None) for row in rows)
    numbers = [row.line for row in rows]
    assert numbers == sorted(set(numbers))


@given(LINES, PACKERS, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_the_lines_written_are_the_lines_read(lines: list[str], pack: type[bytes], end: str, last: bool) -> None:
    text = end.join(lines) + (end if last and lines else "")
    path = written(pack(text.encode()))
    try:
        found = [line.raw.decode().removesuffix("\r") for line in read_lines(path) if line is not None]
    finally:
        Path(path).unlink()
    *whole, rest = text.replace("\r\n", "\n").split("\n")
    assert found == whole + ([rest] if rest else [])


CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=12)


@settings(max_examples=200)
@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_a_table_is_read_as_the_standard_writer_wrote_it(table: list[list[str]], end: str) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows(table)
    physical = out.getvalue().encode().split(b"\n")
    lines = [Line(i, raw) for i, raw in enumerate(physical, 1)]
    rows = [row for row in split_rows(lines, "utf-8", ",") if row is not None]
    assert [row.fault for row in rows] == [None] * len(rows)
    assert [row.cells for row in rows] == table
    for row in rows:
        start = b"\n".join(physical[row.line - 1 :])
        assert start.startswith(row.raw)


@settings(max_examples=200)
@given(st.lists(st.text(st.sampled_from('a,"\r '), max_size=8), max_size=12))
def test_no_line_of_a_broken_table_is_lost(texts: list[str]) -> None:
    lines = [Line(i, text.encode()) for i, text in enumerate(texts, 1)]
    rows = [row for row in split_rows(lines, "utf-8", ",") if row is not None]
    told = [number for row in rows for number in range(row.line, row.line + row.raw.count(b"\n") + 1)]
    assert told == [line.number for line in lines if line.number in told]
    assert all(not lines[i - 1].raw.strip() for i in range(1, len(lines) + 1) if i not in told)
