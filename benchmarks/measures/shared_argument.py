"""Owns the rate of `submit`s that share one array of 10 MB: given as it is, and through a handle where there is one."""

import time
from collections.abc import Callable
from typing import cast

import numpy as np

from benchmarks.measures.processes import MEGABYTE, family, memory_in_use
from benchmarks.readings import Reading, Scale
from benchmarks.systems import DATA, running
from benchmarks.systems.protocol import DataSystem
from benchmarks.tasks import ends_of, noop

NAME = "shared-argument"
SYSTEMS = DATA
TIMEOUT = 90.0
REPETITIONS = 3

ELEMENTS = 1_250_000
TASKS = 1_000
#: Those that send the array with each task get fewer; rates are compared.
PEER_TASKS = {"ray": 200, "dask": 100}
ROUNDS = 3


def run(name: str, scale: Scale) -> list[Reading]:
    tasks = scale.count(TASKS)
    with running(name) as started:
        system = cast("DataSystem", started)
        system.gather([system.submit(noop, index) for index in range(100)])
        as_it_is: Callable[[object], object] = lambda array: array  # noqa: E731
        return [
            *_best(system, NAME, as_it_is, scale.count(PEER_TASKS.get(name, TASKS))),
            *_best(system, f"{NAME}.put", system.share, tasks)[:1],
        ]


def _best(system: DataSystem, key: str, given: Callable[[object], object], tasks: int) -> list[Reading]:
    rates, growths = [], []
    for number in range(ROUNDS):
        array = np.random.default_rng([number, time.time_ns()]).random(ELEMENTS)
        before = memory_in_use(family())
        begun = time.perf_counter()
        argument = given(array)
        results = system.gather([system.submit(ends_of, argument) for _ in range(tasks)])
        rates.append(tasks / (time.perf_counter() - begun))
        growths.append((memory_in_use(family()) - before) / MEGABYTE)
        if results != [ends_of(array)] * tasks:
            raise AssertionError("shared-argument: wrong results")
    detail = {"tasks": tasks, "array_bytes": 8 * ELEMENTS}
    return [
        Reading(key, max(rates), "1/s", "higher", detail),
        # What the system still holds of the first array, before any is let go: of one upload, or of many.
        Reading(f"{key}.memory", growths[0], "MB", "lower", detail),
    ]
