"""Which folds made a state: a state made by others is rebuilt from the log."""

from __future__ import annotations

import json

from monitor import __version__
from monitor.core.identity import hash64
from monitor.core.params import Params

#: Raised whenever the folds' state, or what they make of a log, changes.
STATE_FORMAT = 1


def state_version(params: Params) -> str:
    """Version of the program, format of the state, and a hash of the parameters."""
    return f"{__version__}/{STATE_FORMAT}/{hash64(json.dumps(params.as_dict(), sort_keys=True)):016x}"
