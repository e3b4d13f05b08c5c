"""map_reduce_by_key: each leaf's pairs are grouped into partitions, then each partition's of all leaves merged. Pure.

```
   a leaf                           a partition
                grouped                        every leaf is here           merged
       running ─────────► here           waiting ────────────────► merging ────────► merged
          ▲                 │               ▲                         │
          └─────────────────┘               └─────────────────────────┘
                 lost                                  lost
```
What a leaf comes to is, unless it is small, a datum in the store of its worker's host, with a segment for each
partition. It may be lost with that host. Who was to merge it says so: then the leaf is run again, and the partitions
that are not merged yet are merged from its new datum. Results are the partitions, in their order.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate

from manyhands.master.drivers.driver import Again, Command, Deliver, Finish, Keep, Phase, Reject, Run
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import results_slice
from manyhands.wire.segments import NO_ID, Grouped, Part, Segment, SegmentsError, pack_merge

#: So often what a leaf has made may be lost. Then something is wrong that another time will not mend.
LOSSES_MAX = 10

#: Rows are kept by the numbers of leaves, of which there are fewer; and of partitions that are merged from this on.
_MERGED = 1 << 56


class ByKey:
    """One job. See Driver."""

    call = pb.CALL_MERGE
    keeps_leaves = True

    def __init__(self, partitions: int) -> None:
        self.results = partitions
        self._total: int | None = None
        #: Of leaves that are here: the datum's id, and the ends of the segments in it; or in what came of it.
        self._ids: dict[int, bytes] = {}
        self._contents: dict[int, bytes] = {}
        self._ends: dict[int, array[int]] = {}
        self._losses: Counter[int] = Counter()
        self._waiting = set(range(partitions))
        #: Names of their tasks: each time that a partition is to be merged has one, `results` beyond the one before it.
        self._merging: set[int] = set()
        self._times: Counter[int] = Counter()

    @property
    def _merged(self) -> int:
        return self.results - len(self._waiting) - len(self._merging)

    def restored(self, rows: Iterable[tuple[int, pb.Results]], done: int, total: int | None) -> list[Command]:
        """See Driver. Data that are gone meanwhile are missed by who is to merge them."""
        self._total = total
        for key, results in rows:
            if key >= _MERGED:
                self._waiting.remove(key - _MERGED)
            else:
                self._take(key, results)
        return self._go_on()

    def leaves(self, results: pb.Results) -> list[Command]:
        """See Driver. A leaf that was run again is told again."""
        out: list[Command] = []
        for leaf in range(results.first, results.first + len(results.ends) // 4):
            one = results_slice(results, leaf, leaf + 1)
            try:
                self._take(leaf, one)
            except SegmentsError as error:
                return [Reject(f"leaf {leaf}: {error}")]
            out.append(Keep(leaf, one))
        return out + self._go_on()

    def _take(self, leaf: int, results: pb.Results) -> None:
        grouped = Grouped.read(results.payload, self.results)
        self._ids[leaf] = grouped.id
        self._ends[leaf] = array("Q", accumulate(grouped.lengths))
        if grouped.id == NO_ID:
            self._contents[leaf] = grouped.content

    def task(self, name: int, results: pb.Results) -> list[Command]:
        """See Driver."""
        self._merging.remove(name)
        partition = name % self.results
        out: list[Command] = [Keep(_MERGED + partition, pb.Results()), Deliver(partition, results)]
        return [*out, Finish()] if self._merged == self.results else out

    def lost(self, name: int, id: bytes) -> list[Command]:
        """See Driver."""
        self._merging.remove(name)
        self._waiting.add(name % self.results)
        leaf = next((leaf for leaf, its in self._ids.items() if its == id), None)
        if leaf is None:  # somebody was faster to miss it
            return self._go_on()
        del self._ids[leaf], self._ends[leaf]
        self._losses[leaf] += 1
        if self._losses[leaf] > LOSSES_MAX:
            return [
                Reject(f"what leaf {leaf} had made was lost {LOSSES_MAX + 1} times, with its host or from its store")
            ]
        return [Again(leaf)]

    def failed(self, name: int, failure: pb.Failure) -> None:
        """See Driver."""

    def sealed(self, total: int) -> list[Command]:
        """See Driver."""
        self._total = total
        return self._go_on()

    def phases(self, received: int) -> list[Phase]:
        """See Driver."""
        return [Phase("map", len(self._ids), received), Phase("reduce", self._merged, self.results)]

    def _go_on(self) -> list[Command]:
        """Merge what waits, once every leaf is here."""
        if len(self._ids) != self._total:
            return []
        ready = sorted(self._waiting)
        self._waiting.clear()
        out: list[Command] = [self._merge(partition) for partition in ready]
        return out if self._merging else [Finish()]

    def _merge(self, partition: int) -> Run:
        name = self._times[partition] * self.results + partition
        self._times[partition] += 1
        self._merging.add(name)
        parts: list[Part] = []
        needs: list[pb.DataNeed] = []
        for leaf in range(len(self._ids)):
            id, ends = self._ids[leaf], self._ends[leaf]
            offset = ends[partition - 1] if partition else 0
            length = ends[partition] - offset
            if length and id == NO_ID:
                parts.append(self._contents[leaf][offset : offset + length])
            elif length:
                parts.append(Segment(id, offset, length))
                needs.append(pb.DataNeed(id=id, offset=offset, length=length))
        return Run(name, pack_merge(self.results, parts), tuple(needs))

    def check_invariants(self) -> None:
        """Assert that every leaf and partition is in one place. For tests."""
        assert self._ids.keys() == self._ends.keys()
        assert self._total is None or all(0 <= leaf < self._total for leaf in self._ids)
        places = [*self._waiting, *(name % self.results for name in self._merging)]
        assert len(set(places)) == len(places)
        assert set(places) <= set(range(self.results))
        assert not (self._waiting and len(self._ids) == self._total), "they could be merged"
