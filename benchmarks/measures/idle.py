"""Owns what a cluster costs that does nothing: CPU time of all its processes, this client's included."""

import time

from benchmarks.measures.processes import cpu_seconds, family
from benchmarks.readings import Reading, Scale
from benchmarks.systems import JUDGED, running
from benchmarks.tasks import noop

NAME = "idle"
SYSTEMS = (*JUDGED, "ray", "dask", "parsl")
TIMEOUT = 60.0
#: A mean over ten seconds; the best of several would hide a timer that fires now and then.
REPETITIONS = 1

SETTLE_TIME = 3.0
WATCH_TIME = 10.0


def run(name: str, scale: Scale) -> list[Reading]:
    watch_time = WATCH_TIME / 2 if scale.quick else WATCH_TIME
    with running(name) as system:
        system.gather([system.submit(noop, index) for index in range(100)])
        time.sleep(SETTLE_TIME)
        processes = family()
        used, begun = cpu_seconds(processes), time.monotonic()
        time.sleep(watch_time)
        used, elapsed = cpu_seconds(processes) - used, time.monotonic() - begun
    detail = {"processes": len(processes), "seconds": elapsed}
    return [Reading("idle", 100 * used / elapsed, "%", "lower", detail)]
