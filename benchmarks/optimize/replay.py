"""Owns the ideal: how long a search takes if nothing but its evaluations takes any time. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence


def makespan(seconds: Sequence[float], slots: int, *, block: int, window: int, in_order: bool = True) -> float:
    """Seconds until the last evaluation has ended, each handed to whichever slot is free first, in their order.

    They are proposed in blocks, as soon as no more than `window` are out with the next one. A block is out until all of
    it and all those before it have ended; without `in_order` each evaluation is out until it has ended. With
    block == window that is a barrier after each generation.
    """
    if not 1 <= block <= window:
        raise ValueError(f"a block is 1 to {window} evaluations, as many as may be out, not {block}")
    now, proposed, out = 0.0, 0, 0
    waiting: deque[int] = deque()
    running: list[tuple[float, int]] = []
    blocks: deque[tuple[int, int]] = deque()
    has_ended = bytearray(len(seconds))
    while True:
        while proposed < len(seconds) and out + (size := min(block, len(seconds) - proposed)) <= window:
            waiting.extend(range(proposed, proposed + size))
            blocks.append((proposed, proposed + size))
            proposed += size
            out += size
        while waiting and len(running) < slots:
            id = waiting.popleft()
            heapq.heappush(running, (now + seconds[id], id))
        if not running:
            return now
        now, id = heapq.heappop(running)
        has_ended[id] = True
        if not in_order:
            out -= 1
            continue
        while blocks and all(has_ended[slice(*blocks[0])]):
            first, end = blocks.popleft()
            out -= end - first
