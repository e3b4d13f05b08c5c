"""Owns how soon work starts: the first task of a huge `map`, and of a small one that comes behind a huge one.

Instants are CLOCK_MONOTONIC, shared by all processes of a host; a task returns the instant at which it began.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from benchmarks.readings import Reading, Scale
from benchmarks.systems import JUDGED, running
from benchmarks.systems.manyhands_cluster import ManyhandsSeparate
from benchmarks.systems.protocol import Function, System
from benchmarks.tasks import noop, sleep_one_millisecond, spin_one_millisecond, started_at

NAME = "first-task"
SYSTEMS = JUDGED
TIMEOUT = 90.0
REPETITIONS = 3

ITEMS = 1_000_000
SMALL_ITEMS = 10
PROBES = 7
#: Seconds between two small jobs, and what the big job may take to get going.
PROBE_PAUSE = 0.2
BIG_JOB_TIMEOUT = 30.0
#: Results of the big job that must have come back before the first probe.
BIG_JOB_RUN_UP = 1_000


def run(name: str, scale: Scale) -> list[Reading]:
    with running(name) as system:
        list(system.map(noop, range(1_000)))
        list(system.map(started_at, range(100)))
        readings = [_first_of_a_million(system)]
        small: Callable[[Function], Iterator[object]] = lambda f: system.map(f, range(SMALL_ITEMS))  # noqa: E731
        readings += _behind_big_job(system, small, "small-job", spin_one_millisecond)
        readings += _behind_big_job(system, small, "small-job.sleep", sleep_one_millisecond)
        if isinstance(system, ManyhandsSeparate):
            with _second_client(system) as second:
                readings += _behind_big_job(system, second, "small-job.second-client", spin_one_millisecond)
    return readings


def _first_of_a_million(system: System) -> Reading:
    begun = time.monotonic_ns()
    results = system.map(started_at, range(ITEMS))
    returned = time.monotonic_ns()
    first = cast("int", next(results))
    arrived = time.monotonic_ns()
    _close(results)
    detail = {"first_result_after": (arrived - begun) / 1e9, "map_returned_after": (returned - begun) / 1e9}
    return Reading("first-task", (first - begun) / 1e9, "s", "lower", detail)


def _behind_big_job(
    system: System, small_map: Callable[[Function], Iterator[object]], key: str, one_millisecond: Function
) -> list[Reading]:
    waits = []
    ended = []
    with _big_job(system, one_millisecond):
        for _ in range(PROBES):
            begun = time.monotonic_ns()
            starts = cast("list[int]", list(small_map(started_at)))
            ended.append((time.monotonic_ns() - begun) / 1e9)
            waits.append((min(starts) - begun) / 1e9)
            time.sleep(PROBE_PAUSE)
    waits.sort()
    detail = {"probes": PROBES, "median_until_all_results": sorted(ended)[PROBES // 2]}
    return [
        Reading(key, waits[PROBES // 2], "s", "lower", detail),
        Reading(f"{key}.worst", waits[-1], "s", "lower", {"probes": PROBES}),
    ]


@contextmanager
def _big_job(system: System, one_millisecond: Function) -> Iterator[None]:
    """A million 1-ms tasks whose results a thread takes as they come; closed on the way out."""
    running_well, enough = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def consume() -> None:
        try:
            results = system.map(one_millisecond, range(ITEMS))
            for count, _ in enumerate(results):
                if count == BIG_JOB_RUN_UP:
                    running_well.set()
                if enough.is_set():
                    break
            _close(results)
        except BaseException as error:
            errors.append(error)
            running_well.set()

    consumer = threading.Thread(target=consume, daemon=True)
    consumer.start()
    try:
        if not running_well.wait(BIG_JOB_TIMEOUT):
            raise TimeoutError(f"the big job gave no {BIG_JOB_RUN_UP} results in {BIG_JOB_TIMEOUT:.0f} s")
        yield
    finally:
        enough.set()
        consumer.join(BIG_JOB_TIMEOUT)
    if errors:
        raise errors[0]
    if consumer.is_alive():
        raise TimeoutError(f"the big job did not end within {BIG_JOB_TIMEOUT:.0f} s of being closed")


@contextmanager
def _second_client(system: ManyhandsSeparate) -> Iterator[Callable[[Function], Iterator[object]]]:
    from manyhands import Client

    with Client(system.address) as client:
        client.wait_for_workers(1, timeout=20)
        list(client.map(started_at, range(100)))
        yield lambda function: iter(client.map(function, range(SMALL_ITEMS)))


def _close(results: Iterator[object]) -> None:
    """Cancels what a `map` has not delivered, the way an executor's user does it."""
    close = getattr(results, "close", None)
    if close is not None:
        close()
