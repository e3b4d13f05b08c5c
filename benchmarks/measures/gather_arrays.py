"""Owns how long 100 results of 10 MB each take until the client has all of them at once, and until it has read them."""

import time
from statistics import median
from typing import cast

import numpy as np

from benchmarks.readings import Reading, Scale
from benchmarks.systems import DATA, running
from benchmarks.tasks import ARRAY_BYTES, array_of, sum_of

NAME = "gather-arrays"
SYSTEMS = DATA
TIMEOUT = 90.0
REPETITIONS = 3

ARRAYS = 100
ROUNDS = 5
#: Seconds between two rounds, in which a system may let go of the last arrays.
PAUSE = 0.5


def run(name: str, scale: Scale) -> list[Reading]:
    count = scale.count(ARRAYS)
    having, reading = [], []
    with running(name) as system:
        for number in range(ROUNDS + 1):
            begun = time.perf_counter()
            arrays = list(system.map(array_of, range(count)))
            arrived = time.perf_counter()
            sums = [sum_of(array) for array in cast("list[np.ndarray[tuple[int], np.dtype[np.float64]]]", arrays)]
            read = time.perf_counter()
            if sums != [float(index * ARRAY_BYTES // 8) for index in range(count)]:
                raise AssertionError("gather-arrays: wrong arrays")
            if number:  # the first warms up
                having.append(arrived - begun)
                reading.append(read - begun)
            del arrays
            time.sleep(PAUSE)
    return [
        Reading(key, min(seconds), "s", "lower", {"rounds": ROUNDS, "median": median(seconds), "arrays": count})
        for key, seconds in ((NAME, having), (f"{NAME}.read", reading))
    ]
