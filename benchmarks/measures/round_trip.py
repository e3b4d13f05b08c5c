"""Owns the time from one `submit` to its result with nothing else in flight."""

import time

from benchmarks.readings import Reading, Scale
from benchmarks.systems import OURS_ON_TASKS, PEERS, running
from benchmarks.tasks import noop

NAME = "round-trip"
SYSTEMS = (*OURS_ON_TASKS, *PEERS)
TIMEOUT = 60.0
REPETITIONS = 3

ROUNDS = 2_000
PEER_ROUNDS = {"ray": 1_000, "dask": 500, "parsl": 500}
WARM_UP_ROUNDS = 100


def run(name: str, scale: Scale) -> list[Reading]:
    rounds = scale.count(PEER_ROUNDS.get(name, ROUNDS))
    seconds = []
    with running(name) as system:
        for index in range(WARM_UP_ROUNDS + rounds):
            begun = time.perf_counter()
            [result] = system.gather([system.submit(noop, index)])
            seconds.append(time.perf_counter() - begun)
            if result != index:
                raise AssertionError(f"round-trip: {result!r} came back for {index}")
    return percentiles("round-trip", seconds[WARM_UP_ROUNDS:])


def percentiles(key: str, seconds: list[float]) -> list[Reading]:
    """The median under `key`, the 99th percentile under `key`.p99."""
    ordered = sorted(seconds)
    return [
        Reading(key, ordered[len(ordered) // 2], "s", "lower", {"rounds": len(ordered)}),
        Reading(f"{key}.p99", ordered[len(ordered) * 99 // 100], "s", "lower", {"rounds": len(ordered)}),
    ]
