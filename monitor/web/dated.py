"""Metrics of the past as OpenMetrics text with timestamps: what ``promtool tsdb create-blocks-from openmetrics`` reads.

The families are those of ``/metrics``; nothing is capped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.samples import Sample

from monitor.web.metrics import CATALOGUE, PREFIX

#: Labels, value, time (seconds since 1970 UTC).
Dated = tuple[Mapping[str, str], float, int]
END: Final = b"# EOF\n"


def exposition(names: Iterable[str], samples_of: Callable[[str], Iterable[Dated]]) -> Iterator[bytes]:
    """The text, family by family in the order of the catalogue. ``samples_of(name)``: samples series by series.

    Raises :class:`ValueError` for a metric that is not in the catalogue.
    """
    given = set(names)
    if strange := sorted(given - {family.name for family in CATALOGUE}):
        raise ValueError(f"metrics not in the catalogue: {', '.join(strange)}")
    for family in CATALOGUE:
        if family.name not in given:
            continue
        name, metric = PREFIX + family.name, family.empty()
        metric.samples = _Samples(name, samples_of(family.name))  # type: ignore[assignment]
        yield generate_latest(_One(metric)).removesuffix(END)  # type: ignore[no-untyped-call]
    yield END


@dataclass(frozen=True, slots=True)
class _One:
    """A registry of one metric."""

    metric: Metric

    def collect(self) -> Iterator[Metric]:
        yield self.metric


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples made as they are written, so that those of one family never stand in memory all at once."""

    name: str
    samples: Iterable[Dated]

    def __iter__(self) -> Iterator[Sample]:
        for labels, value, time in self.samples:
            yield Sample(self.name, dict(labels), value, time)
