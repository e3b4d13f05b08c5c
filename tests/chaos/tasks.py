"""What runs in the slots; travels there by value. Each start is written down before anything else happens."""

from __future__ import annotations

import ctypes
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.chaos.values import digest, filler

#: Set for workers: where starts are written down, and as whose.
STARTS_VARIABLE = "CHAOS_STARTS"
WORKER_VARIABLE = "CHAOS_WORKER"


class Deliberate(Exception):
    """Part of the plan; its text is the task's id."""


@dataclass(frozen=True)
class Order:
    """One task: the argument of its function."""

    task: str
    kind: str
    seconds: float = 0.0
    size: int = 0
    retries: int = 0


def _begin(order: Order) -> None:
    """A line in a file of this process: when, and which task."""
    path = Path(os.environ[STARTS_VARIABLE]) / f"{os.environ[WORKER_VARIABLE]}.{os.getpid()}"
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, f"{time.monotonic():.6f} {order.task}\n".encode())
    finally:
        os.close(fd)


def quick(order: Order) -> tuple[str, bytes]:
    _begin(order)
    return order.task, filler(order.task, order.size)


def slow(order: Order) -> tuple[str, bytes]:
    _begin(order)
    time.sleep(order.seconds)
    return order.task, filler(order.task, order.size)


def holding(order: Order) -> tuple[str, bytes]:
    """Holds the interpreter's lock, so that nothing else in its process runs, and burns nothing."""
    _begin(order)
    ctypes.PyDLL(None).usleep(int(order.seconds * 1e6))
    return order.task, filler(order.task, order.size)


def failing(order: Order) -> tuple[str, bytes]:
    _begin(order)
    raise Deliberate(order.task)


def flaky(order: Order) -> tuple[str, bytes]:
    _begin(order)
    if random.random() < 0.5:
        raise Deliberate(order.task)
    return order.task, filler(order.task, order.size)


FUNCTIONS = {"quick": quick, "slow": slow, "big": quick, "holding": holding, "failing": failing, "flaky": flaky}


def mixed(order: Order) -> tuple[str, bytes]:
    """Any of them, for maps."""
    return FUNCTIONS[order.kind](order)


# ---------------------------------------------------------------- with data


def array_of(order: Order) -> Any:
    """The datum that this order puts, or makes."""
    return np.frombuffer(filler(order.task, order.size), "u1")


def made(order: Order) -> Any:
    _begin(order)
    return array_of(order)


def remade(order: Order, source: Order, datum: Any) -> Any:
    """The next one, made of another."""
    _begin(order)
    _check(source, datum)
    return array_of(order)


def used(order: Order, source: Order, datum: Any) -> tuple[str, bytes]:
    _begin(order)
    _check(source, datum)
    return order.task, filler(order.task, order.size)


def seen(order: Order, wanted: str, array: Any) -> tuple[str, bytes]:
    """An array that its client changes."""
    _begin(order)
    assert digest("", array.tobytes()) == wanted, "the array is not what it was when the task was submitted"
    return order.task, filler(order.task, order.size)


def _check(source: Order, datum: Any) -> None:
    assert datum.tobytes() == filler(source.task, source.size), f"this is not the datum of {source.task}"


def single(number: int) -> list[int]:
    """For a reduction whose result shows the order."""
    time.sleep(0.0005)
    return [number]


def pair(item: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """For a reduction by key."""
    keys, number = item
    time.sleep(0.0005)
    yield number % keys, number


def bowl(params: dict[str, Any]) -> float:
    """To be searched for its lowest point."""
    time.sleep(0.001)
    return float((params["x"] - 0.3) ** 2 + params["y"] ** 2 + abs(params["n"] - 5))
