"""Owns how long an array of 100 MB takes to four tasks on two workers of this host, and the memory that it takes."""

import time
from collections.abc import Sequence
from statistics import median
from typing import cast

import numpy as np

from benchmarks.measures.processes import MEGABYTE, family, memory_in_use
from benchmarks.readings import Reading, Scale
from benchmarks.systems import DATA, running
from benchmarks.systems.protocol import DataSystem, Function
from benchmarks.tasks import ends_of, noop, sum_of

NAME = "broadcast"
SYSTEMS = DATA
TIMEOUT = 60.0
REPETITIONS = 3

ELEMENTS = 12_500_000
TASKS = 4
ROUNDS = 8
#: Seconds between two rounds, in which a system may let go of the last array.
PAUSE = 0.3


def run(name: str, scale: Scale) -> list[Reading]:
    with running(name) as started:
        system = cast("DataSystem", started)
        system.gather([system.submit(noop, index) for index in range(100)])
        readings = [_memory(system)]
        for key, function in ((NAME, ends_of), (f"{NAME}.read", sum_of)):
            seconds = [_round(system, function, number) for number in range(1, ROUNDS + 1)]
            detail = {"rounds": ROUNDS, "median": median(seconds), "array_bytes": 8 * ELEMENTS}
            readings.append(Reading(key, min(seconds), "s", "lower", detail))
    return readings


def _memory(system: DataSystem) -> Reading:
    """How much the first array adds to what all processes hold, shared and private, once four tasks have read it."""
    array = _fresh_array(0)
    before = memory_in_use(family())
    handle = system.share(array)
    _check(array, sum_of, system.gather([system.submit(sum_of, handle) for _ in range(TASKS)]))
    growth = (memory_in_use(family()) - before) / MEGABYTE
    return Reading(f"{NAME}.memory", growth, "MB", "lower", {"array_bytes": array.nbytes})


def _round(system: DataSystem, function: Function, number: int) -> float:
    array = _fresh_array(number)
    time.sleep(PAUSE)
    begun = time.perf_counter()
    handle = system.share(array)
    results = system.gather([system.submit(function, handle) for _ in range(TASKS)])
    seconds = time.perf_counter() - begun
    _check(array, function, results)
    return seconds


def _fresh_array(number: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Nothing of it is known from an array before."""
    return np.random.default_rng([number, time.time_ns()]).random(ELEMENTS)


def _check(array: object, function: Function, results: Sequence[object]) -> None:
    if not np.allclose(cast("list[float]", results), function(array), rtol=1e-9):  # sums differ with the alignment
        raise AssertionError(f"broadcast: wrong results {results!r}")
