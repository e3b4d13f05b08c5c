"""Owns how long a death is felt: of the master until the first result, of a worker until its task starts again."""

import os
import signal
import tempfile
import time
from pathlib import Path

from benchmarks.readings import Reading, Scale
from benchmarks.systems.manyhands_cluster import ManyhandsSeparate
from benchmarks.tasks import sleep_one_millisecond, trace_and_sleep

NAME = "recovery"
SYSTEMS = (ManyhandsSeparate.name,)
TIMEOUT = 180.0
REPETITIONS = 3

QUEUED = 100_000
LIMIT = 60.0


def run(name: str, scale: Scale) -> list[Reading]:
    system = ManyhandsSeparate()
    system.start()
    try:
        return [_master(system, scale.count(QUEUED)), _worker(system)]
    finally:
        system.stop()


def _master(system: ManyhandsSeparate, queued: int) -> Reading:
    futures = [system.client.submit(sleep_one_millisecond, index) for index in range(queued)]
    futures[1000].result(LIMIT)
    begun = time.monotonic()
    system.restart_master()
    done = sum(future.done() for future in futures)
    pending = [future for future in futures if not future.done()]
    while not any(future.done() for future in pending[:2000]):
        if time.monotonic() - begun > LIMIT:
            raise TimeoutError(f"no result within {LIMIT:.0f} s of the master's death")
        time.sleep(0.005)
    seconds = time.monotonic() - begun
    for future in pending:
        future.cancel()
    return Reading("recovery.master", seconds, "s", "lower", {"queued": queued - done})


def _worker(system: ManyhandsSeparate) -> Reading:
    with tempfile.TemporaryDirectory() as folder:
        traces = Path(folder, "starts")
        future = system.client.submit(trace_and_sleep, str(traces), 1000.0)
        _wait_for_lines(traces, 1)
        [owner] = [int(line.split()[1]) for line in traces.read_text().splitlines()]
        other = system.start_worker()
        system.client.wait_for_workers(2, timeout=LIMIT)
        begun = time.monotonic_ns()
        os.kill(owner, signal.SIGKILL)
        _wait_for_lines(traces, 2)
        again = int(traces.read_text().splitlines()[1].split()[0])
        future.cancel()
        assert other.poll() is None
        return Reading("recovery.worker", (again - begun) / 1e9, "s", "lower")


def _wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + LIMIT
    while not path.exists() or len(path.read_text().splitlines()) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the task did not start {count} times within {LIMIT:.0f} s")
        time.sleep(0.005)
