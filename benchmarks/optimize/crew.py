"""Owns the processes that compute: fresh ones, which share nothing with who asks, a few at a time."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Found = TypeVar("Found")


def work(
    function: Callable[[Job], Found], jobs: Sequence[Job], processes: int
) -> Iterator[tuple[Job, Found | Exception]]:
    """(job, what the function returned or raised), in the order of the jobs. Numeric libraries get one thread each."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        futures: list[Future[Found]] = [pool.submit(function, job) for job in jobs]
        try:
            for job, future in zip(jobs, futures, strict=True):
                error = future.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield job, future.result() if error is None else error
        finally:
            pool.shutdown(cancel_futures=True)


_BEGUN = time.monotonic()


def say(what: str) -> None:
    """A line of progress."""
    print(f"{time.monotonic() - _BEGUN:6.0f} s  {what}", file=sys.stderr, flush=True)
