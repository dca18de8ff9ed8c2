"""95% intervals of rates, in closed form."""

from __future__ import annotations

import math
from typing import Final

Z95: Final = 1.959963984540054


def wilson(k: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a proportion ``k`` of ``n`` (n ≥ 1, 0 ≤ k ≤ n), within [0, 1].

    Wilson, J. Am. Stat. Assoc. 22 (1927) 209; keeps close to its coverage for small n, where the plain interval
    ``p ± z·sqrt(p(1−p)/n)`` does not.

    >>> [round(x, 4) for x in wilson(10, 100)]
    [0.0552, 0.1744]
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"wilson needs 0 <= k <= n and n >= 1; k is {k}, n is {n}")
    p = k / n
    z2 = z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if k == 0 else max(0.0, centre - half)
    high = 1.0 if k == n else min(1.0, centre + half)
    return low, high


def poisson(k: int, z: float = Z95) -> tuple[float, float]:
    """Byar's approximation to the exact (Garwood) interval of a Poisson mean, given a count ``k`` ≥ 0.

    Breslow and Day, Statistical Methods in Cancer Research II (1987) 69. For rates whose count can exceed the
    number of parcels, such as complaints.

    >>> [round(x, 2) for x in poisson(10)]
    [4.79, 18.39]
    """
    if k < 0:
        raise ValueError(f"poisson needs a count of at least 0; it is {k}")
    low = 0.0 if k == 0 else k * (1 - 1 / (9 * k) - z / (3 * math.sqrt(k))) ** 3
    m = k + 1
    return max(0.0, low), m * (1 - 1 / (9 * m) + z / (3 * math.sqrt(m))) ** 3
