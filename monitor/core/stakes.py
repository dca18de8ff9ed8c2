"""How much less evidence pages a channel that carries more.

A page costs its reader as much whatever the channel, and saves what the channel carries. So false pages, of which only
so many are to be borne, are not shared out evenly: with v parcels a day the evidence of a channel weighs

    w = (v / FROM) ^ power,    v within FROM … TO

and it is paged where ln M + ln w reaches the page level. If all baselines are right, the mean time between false pages
of a channel is at least A / w judged days, and those of n channels are at most Σ w / A a day: a budget that is
weighted, as in Genovese, Roeder and Wasserman, "False discovery control with p-value weighting", Biometrika 93 (2006).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from monitor.core.baseline import Floats
from monitor.core.channel import Channel
from monitor.core.facets import DAYS_KEPT

#: Parcels a day up to which a channel's evidence weighs 1, and from which on it weighs no more.
FROM: Final = 2.0
TO: Final = 6.0


def handed_lately(channel: Channel) -> int:
    """Parcels registered in the ``DAYS_KEPT`` days that ended with the last judged day."""
    return int(channel.cohorts[1 : DAYS_KEPT + 1].sum())  # by age on the next day to be judged


def ln_weight(handed: Floats, power: float) -> Floats:
    """ln w of channels that were handed so many parcels in the last ``DAYS_KEPT`` days."""
    out: Floats = np.round(power * np.log(np.clip(handed / DAYS_KEPT, FROM, TO) / FROM), 9)
    return out
