"""Owns the rate of single `submit` calls: all of them sent first, then all results gathered."""

import time

from benchmarks.readings import Reading, Scale
from benchmarks.systems import OURS_ON_TASKS, PEERS, running
from benchmarks.systems.protocol import System
from benchmarks.tasks import noop

NAME = "submit"
SYSTEMS = (*OURS_ON_TASKS, *PEERS)
TIMEOUT = 90.0
REPETITIONS = 3

TASKS = 20_000
#: Slower systems get fewer tasks; rates are compared.
PEER_TASKS = {"ray": 4_000, "dask": 2_000, "parsl": 2_000}


def run(name: str, scale: Scale) -> list[Reading]:
    count = scale.count(PEER_TASKS.get(name, TASKS))
    with running(name) as system:
        _submit_and_gather(system, max(count // 10, 100))
        elapsed, submitting = _submit_and_gather(system, count)
    detail = {"tasks": count, "seconds": elapsed, "seconds_in_submit": submitting}
    return [Reading("submit", count / elapsed, "1/s", "higher", detail)]


def _submit_and_gather(system: System, count: int) -> tuple[float, float]:
    begun = time.perf_counter()
    handles = [system.submit(noop, index) for index in range(count)]
    submitted = time.perf_counter()
    results = system.gather(handles)
    ended = time.perf_counter()
    if results != list(range(count)):
        raise AssertionError("submit: wrong results")
    return ended - begun, submitted - begun
