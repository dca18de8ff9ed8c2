"""What early warning is held to, and whether it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from proof.scores import Fault, Score, quantile
from proof.table import STRATA, days, false_rate, faults_of, missed, only, percent

LARGE, SMALL, HUGE = "large", "small", "huge"


@dataclass(frozen=True)
class Goal:
    """A figure of the worlds of a scenario, and its bound: at most, or at least where ``least``."""

    scenario: str
    stratum: str
    figure: str
    bound: float
    least: bool = False

    def line(self, scores: Iterable[Score]) -> str:
        """The goal, the figure and the verdict."""
        mine = only([one for one in scores if one.scenario == self.scenario], self.stratum)
        value, text, n = FIGURES[self.figure](mine)
        what = f"{self.scenario} {STRATA.get(self.stratum, '')}".strip()
        sign = ">=" if self.least else "<="
        bound = percent(self.bound) if "missed" in self.figure else f"{self.bound:g}"
        if math.isnan(value):
            return f"{what:20} {self.figure:28} {sign} {bound:>5}  {'-':>22}  n={n:<4} nothing to judge by"
        good = value >= self.bound if self.least else value <= self.bound
        return f"{what:20} {self.figure:28} {sign} {bound:>5}  {text:>22}  n={n:<4} {'reached' if good else 'MISSED'}"


Figure = tuple[float, str, int]


def _median(value: Callable[[Fault], float | None], lacking: float = math.inf) -> Callable[[Sequence[Score]], Figure]:
    def figure(scores: Sequence[Score]) -> Figure:
        found = [lacking if (one := value(fault)) is None else one for fault in faults_of(scores)]
        middle = quantile(found, 0.5)
        return middle, f"{days(middle)} ({days(quantile(found, 0.25))}-{days(quantile(found, 0.75))})", len(found)

    return figure


def _missed(after: float) -> Callable[[Sequence[Score]], Figure]:
    def figure(scores: Sequence[Score]) -> Figure:
        found = faults_of(scores)
        share = missed(found, after)
        return math.nan if share is None else share, percent(share), len(found)

    return figure


def _mean(value: Callable[[Fault], int]) -> Callable[[Sequence[Score]], Figure]:
    def figure(scores: Sequence[Score]) -> Figure:
        found = [value(fault) for fault in faults_of(scores)]
        mean = sum(found) / len(found) if found else math.nan
        return mean, f"{mean:.2f} (most {max(found, default=0)})", len(found)

    return figure


def _false(scores: Sequence[Score]) -> Figure:
    count, rate, low, high = false_rate(scores)
    return rate, f"{rate:.2f} ({low:.2f}-{high:.2f})", count


def _lead(scores: Sequence[Score]) -> Figure:
    found = [fault.lead_days for fault in faults_of(scores) if fault.lead_days is not None]
    middle = quantile(found, 0.5)
    return middle, f"{days(middle)} ({days(quantile(found, 0.25))}-{days(quantile(found, 0.75))})", len(found)


FIGURES: dict[str, Callable[[Sequence[Score]], Figure]] = {
    "days to page, median": _median(lambda fault: fault.days_to_page),
    "missed at 30 days": _missed(30),
    "days to name, median": _median(lambda fault: fault.days_to_name),
    "pages an event, mean": _mean(lambda fault: fault.pages),
    "feed incidents, mean": _mean(lambda fault: fault.feed_incidents),
    "lead over complaints, median": _lead,
    "false pages/week/500": _false,
}
PAGE, MISSED, NAME, PAGES, FEED, LEAD, FALSE = FIGURES

GOALS = (
    Goal("quiet", "", FALSE, 1.0),
    Goal("stretch", LARGE, PAGE, 8),
    Goal("stretch", LARGE, MISSED, 0.05),
    Goal("stretch", LARGE, LEAD, 14, least=True),
    Goal("stretch", SMALL, PAGE, 18),
    Goal("stretch", SMALL, MISSED, 0.25),
    Goal("stretch", SMALL, LEAD, 14, least=True),
    Goal("stretch2", LARGE, PAGE, 5),
    Goal("stretch2", LARGE, LEAD, 14, least=True),
    Goal("stall", LARGE, PAGE, 4),
    Goal("stall", LARGE, LEAD, 14, least=True),
    Goal("no_tracking", LARGE, PAGE, 4),
    Goal("no_tracking", LARGE, LEAD, 14, least=True),
    Goal("misroute", LARGE, PAGE, 10),
    Goal("misroute", LARGE, LEAD, 14, least=True),
    Goal("stretch13", LARGE, PAGE, 28),
    Goal("stretch13", LARGE, MISSED, 0.40),
    Goal("loss", HUGE, PAGE, 21),
    *(
        goal
        for name in ("carrier", "country", "country_product")
        for goal in (
            Goal(name, "", NAME, 6),
            Goal(name, "", PAGES, 2),
            Goal(name, "", LEAD, 14, least=True),
        )
    ),
    Goal("feed_outage", "", FEED, 1),
    Goal("feed_outage", "", FEED, 1, least=True),
    Goal("feed_outage", "", PAGES, 0),
)


def verdicts(scores: Sequence[Score]) -> list[str]:
    """A line for every goal of a scenario that was run."""
    run = {one.scenario for one in scores}
    return [goal.line(scores) for goal in GOALS if goal.scenario in run]
