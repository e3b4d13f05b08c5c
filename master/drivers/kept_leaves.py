"""Leaves' blocks that outlast their tasks, so that a leaf can be run again; pure."""

from __future__ import annotations

from bisect import bisect_right

from manyhands.master.definitions import HeldBlock

#: Of one job: what comes beyond that is not kept, as inputs that fill the master's memory are worse than a loss.
KEPT_BYTES = 64 << 20


class KeptLeaves:
    """In the order of the leaves."""

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._firsts: list[int] = []
        self._blocks: list[HeldBlock] = []
        self._bytes = 0

    def add(self, block: HeldBlock) -> None:
        """Keep it, unless that is too much."""
        size = len(block.payload) + len(block.ends)
        if self._bytes + size <= self._limit_bytes:
            self._bytes += size
            self._firsts.append(block.first)
            self._blocks.append(block)

    def block_of(self, leaf: int) -> HeldBlock | None:
        """The block with that leaf, if it was kept."""
        at = bisect_right(self._firsts, leaf) - 1
        return self._blocks[at] if at >= 0 and leaf < self._blocks[at].end else None
