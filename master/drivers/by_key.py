"""The driver of map_reduce_by_key: leaves are grouped, then each partition's segments of all of them are merged; pure.

```
   a leaf                           a partition
                grouped                        every leaf is here           merged
       running ─────────► here           waiting ────────────────► merging ────────► merged
          ▲                 │               ▲                         │
          └─────────────────┘               └─────────────────────────┘
                 lost                                  lost
```
A leaf's datum may be lost with its host after it was reported. Who was to merge it says so: the leaf is grouped again,
and those partitions that are not merged yet are merged from its new datum.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate

from manyhands.wire.segments import Buffer, Grouped, Segment, pack_merge

#: So often a leaf's datum may be lost. Then something is wrong that another time will not mend.
LOSSES_MAX = 10


@dataclass(frozen=True, slots=True)
class Group:
    """Run the leaf's task once more."""

    leaf: int


@dataclass(frozen=True, slots=True)
class Merge:
    """Run a task with this item, which needs these data. Its result is the partition."""

    partition: int
    item: bytes
    needs: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job cannot go on, and why."""

    reason: str


Step = Group | Merge | GiveUp


class ByKey:
    """One job. Leaves are numbered in the order of the items; their tasks are running from the start."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        #: Of leaves that are here: the id of the datum, and the ends of the segments in it.
        self._ids: dict[int, bytes] = {}
        self._ends: dict[int, array[int]] = {}
        self._leaves: int | None = None  # how many there will be
        self._losses: Counter[int] = Counter()
        self._waiting = set(range(partitions))
        self._merging: set[int] = set()

    @property
    def merged(self) -> int:
        """How many partitions are."""
        return self._partitions - len(self._waiting) - len(self._merging)

    @property
    def is_grouped(self) -> bool:
        """Whether every leaf is here, and no more will come."""
        return len(self._ids) == self._leaves

    @property
    def is_finished(self) -> bool:
        """Whether all partitions are merged."""
        return self.merged == self._partitions

    def sealed(self, leaves: int) -> list[Step]:
        """There will be so many leaves."""
        self._leaves = leaves
        return self._steps()

    def grouped(self, leaf: int, report: Buffer) -> list[Step]:
        """A leaf's task reported its datum. Raises SegmentsError."""
        datum = Grouped.read(report, self._partitions)
        self._ids[leaf] = datum.id
        self._ends[leaf] = array("Q", accumulate(datum.lengths))
        return self._steps()

    def merged_one(self, partition: int) -> None:
        """A partition's task ended well."""
        self._merging.remove(partition)

    def lost(self, partition: int, id: bytes) -> list[Step]:
        """A partition's task could not run: this datum is gone."""
        self._merging.remove(partition)
        self._waiting.add(partition)
        leaf = next((leaf for leaf, its in self._ids.items() if its == id), None)
        if leaf is None:  # another partition's task was faster to say so
            return self._steps()
        del self._ids[leaf], self._ends[leaf]
        self._losses[leaf] += 1
        if self._losses[leaf] > LOSSES_MAX:
            return [GiveUp(f"what leaf {leaf} had made was lost {LOSSES_MAX + 1} times")]
        return [Group(leaf)]

    def _steps(self) -> list[Step]:
        if not self.is_grouped:
            return []
        ready = sorted(self._waiting)
        self._merging |= self._waiting
        self._waiting.clear()
        return [self._merge(partition) for partition in ready]

    def _merge(self, partition: int) -> Merge:
        segments: list[Segment] = []
        for leaf in range(self._leaves or 0):
            ends = self._ends[leaf]
            offset = ends[partition - 1] if partition else 0
            if ends[partition] > offset:
                segments.append(Segment(self._ids[leaf], offset, ends[partition] - offset))
        return Merge(partition, pack_merge(self._partitions, segments), tuple(segments))

    def check_invariants(self) -> None:
        """Assert that every leaf and partition is in one place. For tests."""
        assert self._ids.keys() == self._ends.keys()
        assert not self._waiting & self._merging
        assert self._waiting | self._merging <= set(range(self._partitions))
        assert not (self.is_grouped and self._waiting), "they could be merged"
        assert self._leaves is None or all(0 <= leaf < self._leaves for leaf in self._ids)
