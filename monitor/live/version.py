"""Which folds made a state: a state made by other folds, or with other parameters, is rebuilt from the log."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files

from monitor import __version__
from monitor.core.params import Params


def state_version(params: Params) -> str:
    """Version of the program and a hash of the core's source and the parameters.

    The source itself is hashed, so nobody has to remember to raise a number when a fold or a state changes.
    """
    said = {**params.as_dict(), "switch": params.switch.as_dict()}
    sha = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for folder in ("monitor.core", "monitor.core.switch"):
        sources = [file for file in files(folder).iterdir() if file.name.endswith(".py")]
        for file in sorted(sources, key=lambda file: file.name):
            sha.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{__version__}/{sha.hexdigest()[:16]}"
