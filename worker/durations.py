"""How long tasks take: a moving average for each function."""

from __future__ import annotations

from manyhands.worker.pieces import Pace

#: How much one measured task moves the average, and how much one report may at most:
#: a run of a thousand fast tasks that was once preempted must not be believed at once.
WEIGHT = 0.2
WEIGHT_MAX = 0.5

#: A first call that imports modules is hundreds of times slower than the rest. A measurement so much
#: below the average shows that the average was of that kind, and replaces it.
COLLAPSE = 8.0

#: Nothing is faster; keeps divisions finite when a clock stands still.
EACH_MIN = 1e-7

#: Functions remembered; the oldest are forgotten first.
FUNCTIONS_MAX = 4096


class Durations:
    """The paces by function (its hash, or the job's number when tasks bring their own function)."""

    def __init__(self) -> None:
        self._paces: dict[bytes | int, Pace] = {}

    def of(self, function: bytes | int) -> Pace:
        """The pace of a function, unknown at first."""
        pace = self._paces.get(function)
        if pace is None:
            if len(self._paces) >= FUNCTIONS_MAX:
                del self._paces[next(iter(self._paces))]
            pace = self._paces[function] = Pace()
        return pace


def updated(pace: Pace, count: int, seconds: float) -> float:
    """The average after `count` more tasks took `seconds` together."""
    mean = seconds / count
    if mean < EACH_MIN:
        mean = EACH_MIN
    each = pace.each
    if each == 0.0 or mean * COLLAPSE < each:
        return mean
    weight = WEIGHT * count
    if weight > WEIGHT_MAX:
        weight = WEIGHT_MAX
    return each + weight * (mean - each)
