"""Named random streams: every draw of the world comes from a stream of its own.

A stream is fixed by (seed, name) alone. A channel draws only from streams that carry its name, so that what is
planted on one channel, or how many channels there are beside it, changes no other channel's randomness
(common random numbers).
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
AnyArray: TypeAlias = npt.NDArray[Any]


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator (PCG64) of the stream ``name`` in the world ``seed``."""
    words = np.frombuffer(hashlib.blake2b(name.encode(), digest_size=16).digest(), dtype="<u4")
    return np.random.Generator(np.random.PCG64([seed, *(int(word) for word in words)]))


def erlang2(mean: float, first: FloatArray, second: FloatArray) -> FloatArray:
    """Erlang-2 variates with mean ``mean`` from two independent uniforms in [0, 1)."""
    return -0.5 * mean * (np.log1p(-first) + np.log1p(-second))
