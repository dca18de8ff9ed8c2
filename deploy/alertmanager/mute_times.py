"""Writes the mute times of alertmanager.yml from the holiday calendar that the detection uses.

``python deploy/alertmanager/mute_times.py alertmanager.yml 2026 2027`` replaces everything from ``time_intervals:`` on
by the days of these years on which the origin is known to be slow: its public holidays with the days around them, and
its sales. With ``--check`` it writes nothing and ends with 1 when the file is not what it would write; the years
are then those that stand in the file.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

from monitor.core.calendar import is_special
from monitor.core.vocabulary import CLOCKS

HEAD = "time_intervals:\n"
NAME = "origin-holidays"
_EPOCH = date(1970, 1, 1)
_BEFORE_DEPARTURE = CLOCKS.index("accepted>departed_origin")


def slow_days(year: int) -> list[date]:
    """Days of the year on which the origin is slow, whatever the destination."""
    first = (date(year, 1, 1) - _EPOCH).days
    last = (date(year, 12, 31) - _EPOCH).days
    return [_EPOCH + timedelta(days=day) for day in range(first, last + 1) if is_special("", _BEFORE_DEPARTURE, day)]


def runs(days: Iterable[date]) -> Iterator[tuple[date, date]]:
    """Days in a row within a month: the first and the last.

    >>> [f"{a:%d}-{b:%d}" for a, b in runs([date(2026, 1, 30), date(2026, 1, 31), date(2026, 2, 1)])]
    ['30-31', '01-01']
    """
    run: list[date] = []
    for day in days:
        if run and (day - run[-1] != timedelta(days=1) or day.month != run[-1].month):
            yield run[0], run[-1]
            run = []
        run.append(day)
    if run:
        yield run[0], run[-1]


def section(years: Iterable[int]) -> str:
    """The text from ``time_intervals:`` on."""
    lines = [f"  - name: {NAME}\n", "    time_intervals:\n"]
    for year in sorted(years):
        for first, last in runs(slow_days(year)):
            days = f"{first.day}:{last.day}"
            lines.append(f"      - {{years: ['{year}'], months: ['{first.month}'], days_of_month: ['{days}']}}\n")
    return HEAD + "".join(lines)


def years_in(text: str) -> list[int]:
    """The years for which a file has mute times."""
    return sorted({int(year) for year in re.findall(r"years: \['(\d{4})'\]", text)})


def main() -> int:
    """Write or check; the exit status."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("file", type=Path)
    words.add_argument("years", type=int, nargs="*")
    words.add_argument("--check", action="store_true")
    asked = words.parse_args()
    text = asked.file.read_text(encoding="utf-8")
    before, found, _ = text.partition(HEAD)
    years = asked.years or years_in(text)
    if not found or not years:
        words.error(f"{asked.file} has no {HEAD.strip()!r}, or no years are given and none stand in it")
    new = before + section(years)
    if asked.check:
        if new != text:
            print(f"{asked.file} is not current; run this without --check", file=sys.stderr)
        return int(new != text)
    asked.file.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
