"""map_reduce with commutative=True: whatever partial results are there are combined, in any order. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from manyhands.master.drivers.driver import Command, Deliver, Drop, Finish, Keep, Phase, Reject
from manyhands.master.drivers.tree import EMPTY, FAN_IN, Part, combining, name_of, node_of
from manyhands.protos import manyhands_pb2 as pb


class Heap:
    """One reduction. See Driver. Tasks are numbered, and named as if they were nodes of a tree's level 1."""

    call = pb.CALL_COMBINE
    results = 1
    keeps_leaves = False

    def __init__(self) -> None:
        #: Leaves; None until all have come.
        self._total: int | None = None
        self._leaves_done = 0
        self._combined = 0
        self._waiting: list[Part] = []
        self._count = 0  # of results in them
        #: Tasks under way: the keys of what they combine.
        self._running: dict[int, tuple[int, ...]] = {}
        self._next = 0

    def restored(self, rows: Iterable[tuple[int, pb.Results]], done: int, total: int | None) -> list[Command]:
        """See Driver."""
        self._leaves_done, self._total = done, total
        for key, results in rows:
            level, place = node_of(key)
            if level:
                self._next = max(self._next, place + 1)
            self._add(key, results)
        return self._combine()

    def leaves(self, results: pb.Results) -> list[Command]:
        """See Driver."""
        self._leaves_done += len(results.ends) // 4
        key = name_of(0, results.first)
        self._add(key, results)
        return [Keep(key, results), *self._combine()]

    def task(self, name: int, results: pb.Results) -> list[Command]:
        """See Driver."""
        self._combined += 1
        keys = self._running.pop(name)
        self._add(name, results)
        return [Drop(keys), Keep(name, results), *self._combine()]

    def lost(self, name: int, id: bytes) -> list[Command]:
        """See Driver."""
        raise AssertionError("leaves leave nothing behind")

    def failed(self, name: int, failure: pb.Failure) -> None:
        """See Driver."""

    def sealed(self, total: int) -> list[Command]:
        """See Driver."""
        self._total = total
        return self._combine() if total else [Reject(EMPTY)]

    def phases(self, received: int) -> list[Phase]:
        """See Driver. How many tasks it will take nobody knows: those that would always combine FAN_IN, at least."""
        least = self._combined + len(self._running) + -(-max(0, self._count - 1) // (FAN_IN - 1))
        return [Phase("map", self._leaves_done, received), Phase("combine", self._combined, least)]

    def _add(self, key: int, results: pb.Results) -> None:
        count = len(results.ends) // 4
        self._waiting.append(Part(0, count, key, results))
        self._count += count

    def _combine(self) -> list[Command]:
        """All that waits, if that is enough, or nothing else will come."""
        is_all = self._leaves_done == self._total and not self._running
        if is_all and self._count == 1:
            return [Deliver(0, self._waiting[0].results), Finish()]
        if self._count < FAN_IN and not (is_all and self._count):
            return []
        name = name_of(1, self._next)
        self._next += 1
        task = combining(name, self._waiting)
        self._running[name] = tuple(part.key for part in self._waiting)
        self._waiting, self._count = [], 0
        return [task]

    def check_invariants(self) -> None:
        """Assert that counts are of what is there. For tests."""
        assert self._count == sum(part.hi for part in self._waiting)
        assert not self._waiting or self._count < FAN_IN or self._total == self._leaves_done
