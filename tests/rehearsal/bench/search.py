"""The highest rate that is held, found by steps."""

from __future__ import annotations

import math
from collections.abc import Callable


def highest(held: Callable[[float], bool], start: float, *, factor: float = 1.5, precision: float = 0.05, least: float = 1.0) -> float:
    """The highest rate at which `held` is true: up by `factor` until it is not, then between the two, by halves.

    Ends when the next rate that failed is at most `precision` (a share) above. Returns 0 where not even `least` is held.
    """
    low, high = 0.0, start
    while held(high):
        low, high = high, high * factor
    while low == 0.0:
        lower = high / factor
        if lower < least:
            return 0.0
        low, high = (lower, high) if held(lower) else (0.0, lower)
    while high / low > 1 + precision:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if held(middle) else (low, middle)
    return low
