"""Metrics of each channel by clock: parcels in its stages, how long these usually take, and the evidence of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from monitor.core.channel import Channel
from monitor.core.evidence import LN_M, mixture
from monitor.core.rare import RARE
from monitor.core.vocabulary import CLOCKS, STAGE_CLOCKS, UNDERWAY_CLOCK

Samples = list[tuple[dict[str, str], float]]
#: Every clock with evidence, in the order of ``Channel.evidence``.
NAMES: Final = (*CLOCKS, *RARE, UNDERWAY_CLOCK)


def clock_families(channels: Mapping[str, Channel]) -> dict[str, Samples]:
    """``stage_parcels`` and ``stage_days``, channels with most parcels under way first; ``clock_evidence_ln``, the
    strongest first. No series of a stage that 95% do not leave before the age cap.
    """
    parcels, days, evidence = [], [], []
    for name in sorted(channels):
        channel = channels[name]
        labels = dict(zip(("country", "product", "carrier"), name.split("|"), strict=True))
        waiting = channel.risk[:STAGE_CLOCKS].sum(axis=-1).tolist()
        for clock, n in zip(CLOCKS, waiting, strict=False):
            parcels.append((-sum(waiting), {**labels, "clock": clock}, float(n)))
        for clock, usual in zip(CLOCKS, channel.p95, strict=False):
            if usual < channel.risk.shape[1] - 1:  # else the curve does not get there before the age cap
                days.append((-sum(waiting), {**labels, "clock": clock, "quantile": "0.95"}, float(usual)))
        # One alternative axis, and one clock at a time: the mean over alternatives alone.
        by_clock = mixture(channel.evidence[LN_M][:, None, :]).tolist()
        for clock, ln_m in zip(NAMES, by_clock, strict=True):
            if ln_m > -1e300:
                evidence.append((-ln_m, {**labels, "clock": clock}, float(ln_m)))
    return {
        family: [(labels, value) for _, labels, value in sorted(samples, key=lambda sample: sample[0])]
        for family, samples in (("stage_parcels", parcels), ("stage_days", days), ("clock_evidence_ln", evidence))
    }
