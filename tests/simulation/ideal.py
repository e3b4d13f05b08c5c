"""The ideal: greedy list scheduling in submit order, by an oracle without delays."""

from __future__ import annotations

import heapq
from collections.abc import Iterable


def list_makespan(seconds: Iterable[float], slots: int) -> float:
    """When the last task ends if each starts, in order, on the slot that is free first (Graham 1966)."""
    free = [0.0] * slots
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)
