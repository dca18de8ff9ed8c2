"""Work clocks: a stage takes an amount of *work*, and the days differ in how much work they do.

With ``speed[d]`` the days of work done on day ``d``, a stage begun at ``t`` that takes ``w`` days of work ends when
∫ₜ speed = w. Weekdays, holidays, stalls and slow-downs are then nothing but speeds, also for parcels that are in
the middle of the stage.
"""

from __future__ import annotations

import numpy as np

from monitor.replay.simulate.streams import FloatArray

_CREEP = 1e-9  # a stopped day does a trace of work, so that work maps back to one time


class WorkClock:
    """Calendar time ↔ work, for the days of the world. Times are days since its start."""

    def __init__(self, speed: FloatArray) -> None:
        self._work = np.concatenate(([0.0], np.cumsum(np.maximum(speed, _CREEP))))
        self._time = np.arange(len(self._work), dtype=np.float64)

    def advance(self, start: FloatArray, work: FloatArray) -> FloatArray:
        """When ``work`` (> 0 days) begun at ``start`` is done; infinity beyond the end of the world."""
        begun = np.interp(start, self._time, self._work)
        done: FloatArray = np.interp(begun + work, self._work, self._time, right=np.inf)
        done[~np.isfinite(start)] = np.inf
        return done
