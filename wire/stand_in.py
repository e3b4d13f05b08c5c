"""What stands in for a task where evaluations run outside of a cluster: `current_task()` finds it there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Drawer:
    """Keeps a state in this process."""

    def __init__(self) -> None:
        self._state: Any = None

    def save(self, state: Any) -> None:
        """Keep it; the last one counts."""
        self._state = state

    def load(self) -> Any:
        """What was kept; None: nothing."""
        return self._state


class StandIn:
    """In place of a slot: evaluations one by one. What they save is theirs only."""

    __slots__ = ("desk", "evaluation", "name", "seed")

    def __init__(self, name: str) -> None:
        self.name = name
        self.desk = Drawer()
        self.evaluation = 0
        self.seed: int | None = None

    def begin(self, id: int, seed: int) -> None:
        """From now on it is this evaluation, with this seed."""
        self.evaluation = id
        self.seed = seed


#: In this thread or coroutine, before what the slot is at.
standing: ContextVar[StandIn | None] = ContextVar("standing", default=None)


@contextmanager
def stand_in(name: str) -> Iterator[Callable[[int, int], None]]:
    """For who evaluates points outside of a cluster, in this thread: what to call when one begins; then
    `current_task()` is a task of job 0 with the evaluation's number as its index.
    """
    place = StandIn(name)
    token = standing.set(place)
    try:
        yield place.begin
    finally:
        standing.reset(token)
