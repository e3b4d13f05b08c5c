"""Owns the functions that every measured system runs; importable by name, so they travel by reference."""

import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

#: What `array_of` returns.
ARRAY_BYTES = 10_000_000


def noop(item: object) -> object:
    """Returns its argument, so a measure can check that every result came back and in which order."""
    return item


def spin(duration: float) -> None:
    """Keeps a core busy for `duration` seconds of wall time."""
    end = time.perf_counter() + duration
    while time.perf_counter() < end:
        pass


def spin_one_millisecond(_: object) -> None:
    """A 1-ms task that needs its core."""
    spin(0.001)


def sleep_one_millisecond(_: object) -> None:
    """A 1-ms task that leaves its core free."""
    time.sleep(0.001)


def started_at(_: object) -> int:
    """When this task began: CLOCK_MONOTONIC in nanoseconds, which all processes of a Linux host share."""
    return time.monotonic_ns()


def trace_and_sleep(path: str, duration: float) -> None:
    """Appends when it started (as `started_at`) and its worker's process id to a file, then sleeps."""
    with open(path, "a") as file:  # noqa: PTH123 -- pathlib is a slow import
        file.write(f"{time.monotonic_ns()} {os.getppid()}\n")
    time.sleep(duration)


def ends_of(array: "np.ndarray[Any, Any]") -> float:
    """Touches two pages of it: what this takes is the array's way here."""
    return float(array[0] + array[-1])


def sum_of(array: "np.ndarray[Any, Any]") -> float:
    """Reads all of it."""
    return float(array.sum())


def array_of(number: int) -> "np.ndarray[Any, Any]":
    """An array of `ARRAY_BYTES`, full of this number."""
    import numpy as np

    return np.full(ARRAY_BYTES // 8, number, dtype=np.float64)
