"""What a datum is named by: the hash of its bytes, computed on several threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from hashlib import sha256

from manyhands.wire.data_format import Buffer

ID_BYTES = 16
#: What is hashed by itself. Large enough for the threads' switches not to count, small enough for a cache.
LEAF_BYTES = 1 << 20

#: Below so many leaves the threads would cost more than they save.
_PARALLEL_LEAVES = 4
_MAX_THREADS = 4

#: Consecutive pieces that make a leaf.
Pieces = list[memoryview]


def data_id(parts: Iterable[Buffer], visit: Callable[[int, Pieces], None] | None = None) -> bytes:
    """The name of the bytes in `parts`, however these are cut. Whoever changes one byte changes it.

    `visit` is called with each leaf's offset and pieces right before that is hashed, so that it leaves them in the
    processor's cache. Several threads call it.
    """
    leaves = _cut(parts)
    digests = [b""] * len(leaves)

    def hash_leaves(numbers: range) -> None:
        for number in numbers:
            if visit is not None:
                visit(number * LEAF_BYTES, leaves[number])
            leaf = sha256()
            for piece in leaves[number]:
                leaf.update(piece)
            digests[number] = leaf.digest()

    threads = min(_MAX_THREADS, len(os.sched_getaffinity(0))) if len(leaves) >= _PARALLEL_LEAVES else 1
    if threads == 1:
        hash_leaves(range(len(leaves)))
    else:
        from concurrent.futures import ThreadPoolExecutor  # late: few processes need it

        # Made anew each time: 0.2 ms, and no thread is there to get lost when the process forks.
        with ThreadPoolExecutor(threads) as pool:
            shares = [pool.submit(hash_leaves, range(first, len(leaves), threads)) for first in range(threads)]
        for share in shares:
            share.result()
    size = sum(len(piece) for leaf in leaves for piece in leaf)
    return sha256(b"".join(digests) + size.to_bytes(8, "little")).digest()[:ID_BYTES]


def _cut(parts: Iterable[Buffer]) -> list[Pieces]:
    leaves: list[Pieces] = []
    room = 0
    for part in parts:
        rest = memoryview(part)
        while rest:
            if not room:
                leaves.append([])
                room = LEAF_BYTES
            leaves[-1].append(rest[:room])
            rest = rest[room:]
            room -= len(leaves[-1][-1])
    return leaves
