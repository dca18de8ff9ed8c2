"""Arrays in a state, as msgpack has them: [type, shape, bytes]."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_plain(value: Any) -> Any:
    """An array as [type, shape, bytes]."""
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), value.tobytes()]
    raise TypeError(f"cannot encode {type(value).__name__}")


def from_plain(kind: type, value: Any) -> Any:
    """Inverse of :func:`to_plain`."""
    del kind
    dtype, shape, data = value
    return np.frombuffer(data, dtype=dtype).reshape(shape).copy()
