"""map_reduce: partial results of the leaves are combined in a tree, whose shape depends on their number alone. Pure.

Node k of a level stands for nodes [k * FAN_IN, (k + 1) * FAN_IN) of the level below; leaves are level 0. A node is
computed as soon as all below it have been, in whatever order, by one task that reduces their results from left to
right; the last node of a level may have fewer below it, and takes over the result of a single one as it is. The only
node of the topmost level is the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from manyhands.master.drivers.driver import Command, Deliver, Drop, Finish, Keep, Phase, Reject, Run
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import results_slice

FAN_IN = 16

#: Leaves stay below 2 ** 56, levels below 2 ** 6: so does a name below 2 ** 62.
_PLACE_BITS = 56

#: Why a reduction of no leaves comes to nothing; clients do not send one.
EMPTY = "there is nothing to reduce: it was closed without a leaf"


def name_of(level: int, place: int) -> int:
    """A node's name; that of a leaf is its number."""
    return level << _PLACE_BITS | place


def node_of(name: int) -> tuple[int, int]:
    """The inverse: (level, place)."""
    return name >> _PLACE_BITS, name & ((1 << _PLACE_BITS) - 1)


def inner_nodes(leaves: int) -> int:
    """Tasks that a tree of so many leaves takes beside them."""
    tasks = 0
    while leaves > 1:
        full, rest = divmod(leaves, FAN_IN)
        tasks += full + (rest > 1)
        leaves = full + (rest > 0)
    return tasks


@dataclass(frozen=True, slots=True)
class Part:
    """Results of consecutive nodes [lo, hi) of one level, kept under `key`."""

    lo: int
    hi: int
    key: int
    results: pb.Results


def combining(name: int, parts: list[Part]) -> Run:
    """The task that reduces these, in this order."""
    data = tuple(pb.DataNeed(id=each.id) for part in parts for each in part.results.stored)
    return Run(name, b"".join(part.results.payload for part in parts), data)


@dataclass(slots=True)
class _Node:
    """A node that cannot be computed yet: what is there of those below it."""

    parts: list[Part] = field(default_factory=list)
    count: int = 0


class Tree:
    """One reduction. See Driver."""

    call = pb.CALL_COMBINE
    results = 1
    keeps_leaves = False

    def __init__(self) -> None:
        #: Leaves; None until all have come.
        self._total: int | None = None
        self._leaves_done = 0
        self._combined = 0
        self._waiting: dict[int, _Node] = {}  # by name
        #: Nodes that are being computed: the keys of what they are computed from.
        self._running: dict[int, tuple[int, ...]] = {}

    # ------------------------------------------------------------ what happens

    def restored(self, rows: Iterable[tuple[int, pb.Results]], done: int, total: int | None) -> list[Command]:
        """See Driver."""
        self._leaves_done, self._total = done, total
        out: list[Command] = []
        for key, results in rows:
            level, place = node_of(key)
            end = place + len(results.ends) // 4
            if level:
                self._combined += inner_nodes(self._leaves_below(level, place))
            self._place(level, Part(place, end, key, results), out)
        return out

    def leaves(self, results: pb.Results) -> list[Command]:
        """See Driver."""
        out: list[Command] = []
        first, end = results.first, results.first + len(results.ends) // 4
        self._leaves_done += end - first
        for lo, hi in _by_parent(first, end):
            part = results if (lo, hi) == (first, end) else results_slice(results, lo, hi)
            key = name_of(0, lo)
            out.append(Keep(key, part))
            self._place(0, Part(lo, hi, key, part), out)
        return out

    def task(self, name: int, results: pb.Results) -> list[Command]:
        """See Driver."""
        level, place = node_of(name)
        self._combined += 1
        out: list[Command] = [Drop(self._running.pop(name)), Keep(name, results)]
        self._place(level, Part(place, place + 1, name, results), out)
        return out

    def lost(self, name: int, id: bytes) -> list[Command]:
        """See Driver."""
        raise AssertionError("leaves leave nothing behind")

    def failed(self, name: int, failure: pb.Failure) -> None:
        """See Driver."""

    def sealed(self, total: int) -> list[Command]:
        """See Driver."""
        if not total:
            return [Reject(EMPTY)]
        self._total = total
        out: list[Command] = []
        for name in sorted(self._waiting):  # from the leaves up
            if name in self._waiting:
                self._compute_if_whole(name, out)
        return out

    def phases(self, received: int) -> list[Phase]:
        """See Driver."""
        return [Phase("map", self._leaves_done, received), Phase("combine", self._combined, inner_nodes(received))]

    # ------------------------------------------------------------ the tree

    def _place(self, level: int, part: Part, out: list[Command]) -> None:
        """What is there of a level, all of it below one node."""
        name = name_of(level + 1, part.lo // FAN_IN)
        node = self._waiting.setdefault(name, _Node())
        node.parts.append(part)
        node.count += part.hi - part.lo
        self._compute_if_whole(name, out)

    def _compute_if_whole(self, name: int, out: list[Command]) -> None:
        node = self._waiting[name]
        level, place = node_of(name)
        width = self._width(level - 1)
        if node.count < (FAN_IN if width is None else min(FAN_IN, width - place * FAN_IN)):
            return
        if width == 1:
            del self._waiting[name]
            out += (Deliver(0, node.parts[0].results), Finish())
        elif node.count == 1:
            del self._waiting[name]
            part = node.parts[0]
            self._place(level, Part(place, place + 1, part.key, part.results), out)
        else:
            del self._waiting[name]
            node.parts.sort(key=lambda part: part.lo)
            self._running[name] = tuple(part.key for part in node.parts)
            out.append(combining(name, node.parts))

    def _width(self, level: int) -> int | None:
        """How many nodes a level has; None if that is not known yet."""
        return None if self._total is None else -(-self._total // FAN_IN**level)

    def _leaves_below(self, level: int, place: int) -> int:
        each: int = FAN_IN**level
        return each if self._total is None else min(each, self._total - place * each)

    def check_invariants(self) -> None:
        """Assert that every leaf that is done is in one place. For tests."""
        covered = 0
        for name, node in self._waiting.items():
            level, place = node_of(name)
            assert node.count == sum(part.hi - part.lo for part in node.parts)
            assert 0 < node.count <= FAN_IN
            taken: set[int] = set()
            for part in node.parts:
                places = set(range(part.lo, part.hi))
                assert not places & taken
                assert all(each // FAN_IN == place for each in places)
                taken |= places
                covered += sum(self._leaves_below(level - 1, each) for each in places)
        covered += sum(self._leaves_below(*node_of(name)) for name in self._running)
        assert covered == self._leaves_done, (covered, self._leaves_done)


def _by_parent(lo: int, hi: int) -> Iterator[tuple[int, int]]:
    """Nodes [lo, hi), cut into those that are below the same one."""
    while lo < hi:
        end = min(hi, (lo // FAN_IN + 1) * FAN_IN)
        yield lo, end
        lo = end
