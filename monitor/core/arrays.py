"""Arrays in a state: those of many nodes as one, and as msgpack has them: [type, shape, bytes]."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def stacked(arrays: Sequence[NDArray[Scalar]]) -> NDArray[Scalar]:
    """Arrays of one shape (one or more) along a new first axis: as ``np.stack``, without its work for each array."""
    return np.concatenate(arrays).reshape(len(arrays), *arrays[0].shape)


def unstack(rows: NDArray[Scalar], arrays: Iterable[NDArray[Scalar]]) -> None:
    """Write ``rows`` into arrays of the shape of a row, the inverse of :func:`stacked`: so no array of many nodes stays
    in memory because of one of them."""
    for array, row in zip(arrays, rows, strict=True):
        array[...] = row


def fixed(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """The array, which nobody can write to any more."""
    array.flags.writeable = False
    return array


def numbered(keys: Iterable[Hashable]) -> NDArray[np.int64]:
    """The number of each key, in the order in which they first come.

    >>> numbered(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


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
