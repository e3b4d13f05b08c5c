"""What runs in the slots; travels there by value."""

from __future__ import annotations

import time

from manyhands import current_task


class Deliberate(Exception):
    """Part of the load; its argument is the task's."""


def same(x: int) -> int:
    return x


def label(x: int) -> str:
    return f"task {x} of the soak"


def filled(x: int) -> bytes:
    """About 2 KB."""
    return b"%d " % x * 300


def nap(x: int) -> int:
    time.sleep(0.002)
    return x


def failing(x: int) -> int:
    """Every third raises."""
    if x % 3 == 0:
        raise Deliberate(x)
    return x


def flaky(x: int) -> int:
    """Fails the first time."""
    if current_task().attempt == 0:
        raise Deliberate(x)
    return x
