"""Owns METG: the shortest busy-wait task with which `map` still keeps both slots at work half of the time.

Efficiency is count x duration / (slots x wall time) of one whole `map`, the last result included. The
duration is bracketed by doubling or halving from the measured cost of an empty task, then bisected on a log scale.
"""

import time
from collections.abc import Callable

from benchmarks.readings import SLOTS, Reading, Scale
from benchmarks.systems import JUDGED, PEERS, running
from benchmarks.systems.protocol import System
from benchmarks.tasks import spin

NAME = "shortest-task"
SYSTEMS = (*JUDGED, *PEERS)
TIMEOUT = 90.0
REPETITIONS = 3

EFFICIENCY = 0.5
#: Seconds that one evaluation should take; its number of tasks follows from it.
EVALUATION_TIME = 0.6
SHORTEST, LONGEST = 1e-6, 1.0
MOST_TASKS = 300_000
#: The bisection ends when the bracket is this narrow.
PRECISION = 1.08


def run(name: str, scale: Scale) -> list[Reading]:
    evaluation_time = EVALUATION_TIME / 2 if scale.quick else EVALUATION_TIME
    with running(name) as system:
        cost = _cost_of_a_task(system)
        measured: dict[float, float] = {}

        def efficiency(duration: float) -> float:
            count = round(evaluation_time / (duration / SLOTS + cost))
            count = min(max(count, 10 * SLOTS), MOST_TASKS)
            _wall_time(system, duration, max(count // 10, SLOTS))  # warm-up: durations are learnt
            wall_time = _wall_time(system, duration, count)
            measured[duration] = count * duration / (SLOTS * wall_time)
            return measured[duration]

        shortest = shortest_efficient(efficiency, start=cost * SLOTS)
    detail = {
        "cost_of_an_empty_task": cost,
        "efficiency_there": measured[shortest],
        "evaluations": len(measured),
    }
    return [Reading("shortest-task", shortest, "s", "lower", detail)]


def shortest_efficient(efficiency: Callable[[float], float], start: float) -> float:
    """The shortest duration found at which `efficiency` reaches EFFICIENCY."""
    duration = min(max(start, SHORTEST), LONGEST)
    if efficiency(duration) >= EFFICIENCY:
        high, low = duration, duration / 2
        while low >= SHORTEST and efficiency(low) >= EFFICIENCY:
            high, low = low, low / 2
        if low < SHORTEST:
            return high
    else:
        low, high = duration, duration * 2
        while efficiency(high) < EFFICIENCY:
            low, high = high, high * 2
            if high > LONGEST:
                raise RuntimeError(f"no task of up to {LONGEST:.0f} s reaches {EFFICIENCY:.0%} efficiency")
    while high / low > PRECISION:
        middle = (low * high) ** 0.5
        if efficiency(middle) >= EFFICIENCY:
            high = middle
        else:
            low = middle
    return high


def _cost_of_a_task(system: System) -> float:
    """Wall time of an empty task in a `map` that is long enough to tell."""
    _wall_time(system, 0.0, 100)
    count = 200
    while True:
        wall_time = _wall_time(system, 0.0, count)
        if wall_time > EVALUATION_TIME / 3 or count >= MOST_TASKS:
            return wall_time / count
        count *= 4


def _wall_time(system: System, duration: float, count: int) -> float:
    begun = time.perf_counter()
    for _ in system.map(spin, [duration] * count, chunksize=1):
        pass
    return time.perf_counter() - begun
