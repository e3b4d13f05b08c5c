"""What runs in the slots; travels there by value. Each start is written down before anything else happens."""

from __future__ import annotations

import ctypes
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.values import filler

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
