"""The reduce side of map_reduce_by_key: one partition's segments, of all leaves in their order, to its final pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any

from manyhands.wire.pair_chunks import Buffer, Pairs, read_chunks, write_pairs
from manyhands.wire.stable_hash import BITS, stable_hash
from manyhands.worker.key_table import LIMIT_BYTES, Encode, KeyTable
from manyhands.worker.spill_file import SpillFile

#: A partition that does not fit into memory is cut into so many, by digits of the hash that nobody has cut by before.
FAN_OUT = 16
#: What is gathered of a result in memory.
GATHERED_BYTES = 4 << 20


def gather(chunks: Iterator[bytes], *, memory_bytes: int = GATHERED_BYTES, folder: Path | None = None) -> Pairs:
    """All the chunks as one; what is longer than that lies on disk, mapped. folder: see SpillFile."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size > memory_bytes:
            file = SpillFile(folder, 1)
            file.write(0, chain(held, chunks))
            return Pairs(file.read()[0][0])
    return Pairs(b"".join(held))


def merge(
    reduce_fn: Callable[[Any, Any], Any],
    segments: Iterable[Buffer],
    cut_by: int,
    decode: Callable[[Buffer], Any],
    encode: Encode,
    *,
    limit_bytes: float = LIMIT_BYTES,
    folder: Path | None = None,
) -> Iterator[bytes]:
    """The partition as `pair_chunks`, each key once, made while it is read.

    cut_by: the keys are those of one remainder of their hash by this. Keywords as of KeyTable. Raises ChunkError, and
    whatever the function, `decode` and `encode` do.
    """
    if cut_by >> BITS:
        limit_bytes = inf  # the same hash, all of it: nothing to cut by
    table = KeyTable(
        reduce_fn,
        FAN_OUT,
        lambda key: stable_hash(key) // cut_by % FAN_OUT,
        encode,
        limit_bytes=limit_bytes,
        folder=folder,
    )
    chunks = chain.from_iterable(map(read_chunks, segments))
    table.fill(chain.from_iterable(zip(*decode(chunk), strict=True) for chunk in chunks))
    if table.fits:
        yield from write_pairs(*table.take_all(), encode)
        return
    for part in table.take_parts():
        yield from merge(reduce_fn, part, cut_by * FAN_OUT, decode, encode, limit_bytes=limit_bytes, folder=folder)
