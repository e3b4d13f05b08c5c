"""The block codec under attack: a valid block made wrong in one of the ways that its offsets and indices allow."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from random import Random

from manyhands.protos import manyhands_pb2 as pb

_Edit = Callable[[pb.Block, Random], None]


def _offsets(block: pb.Block) -> list[int]:
    return list(struct.unpack(f"<{len(block.ends) // 4}I", block.ends))


def _put(block: pb.Block, offsets: list[int]) -> None:
    block.ends = struct.pack(f"<{len(offsets)}I", *(each % (1 << 32) for each in offsets))


def _truncated(block: pb.Block, rng: Random) -> None:
    block.payload = block.payload[: rng.randrange(len(block.payload) + 1)]


def _oversized(block: pb.Block, rng: Random) -> None:
    block.payload += rng.randbytes(rng.choice((1, 100, 70_000)))


def _moved(block: pb.Block, rng: Random) -> None:
    """One offset elsewhere."""
    offsets = _offsets(block)
    offsets[rng.randrange(len(offsets))] += rng.choice((-1, 1, 100, 1 << 31, -(1 << 31)))
    _put(block, offsets)


def _overlapping(block: pb.Block, rng: Random) -> None:
    """Items that end before they begin."""
    offsets = _offsets(block)
    last = offsets.pop()
    rng.shuffle(offsets)
    _put(block, [last, *offsets, last])


def _many(block: pb.Block, rng: Random) -> None:
    """Empty items by the thousand, before what is there."""
    _put(block, [block.base] * rng.choice((100, 5000)) + _offsets(block))


def _rebased(block: pb.Block, rng: Random) -> None:
    block.base = rng.choice((0, 1, block.base + 1, (1 << 32) - 1))


def _torn(block: pb.Block, rng: Random) -> None:
    block.ends = block.ends[: rng.randrange(len(block.ends))]


def _elsewhere(block: pb.Block, rng: Random) -> None:
    """Not the next tasks of its job."""
    block.first = rng.choice((block.first + 1, max(0, block.first - 1), 1 << 31, (1 << 63) - 2, 1 << 63, (1 << 64) - 1))


def _foreign(block: pb.Block, rng: Random) -> None:
    """Another job's: the master's own numbers, somebody else's, nobody's."""
    block.job = rng.choice((0, block.job + 1, 1 << 36, (1 << 36) + rng.randrange(1000), 1 << 63, (1 << 64) - 1))


def _unknown(block: pb.Block, rng: Random) -> None:
    """A function or definition that nobody has, or that is no hash."""
    block.call = pb.CALL_STAR
    block.function = rng.choice((rng.randbytes(16), b"", rng.randbytes(15), rng.randbytes(4096)))
    block.definitions.append(rng.randbytes(rng.choice((16, 16, 0, 17))))


def _called(block: pb.Block, rng: Random) -> None:
    block.call = rng.choice((0, 1, 2, 3, 5, -1, 1 << 30))  # type: ignore[assignment]


_EDITS: tuple[_Edit, ...] = (
    _truncated,
    _oversized,
    _moved,
    _overlapping,
    _many,
    _rebased,
    _torn,
    _elsewhere,
    _foreign,
    _unknown,
    _called,
)


def make_wrong(block: pb.Block, rng: Random) -> str:
    """Change the block in place; return how."""
    edit = rng.choice(_EDITS)
    edit(block, rng)
    return edit.__name__.strip("_")


def names() -> Iterator[str]:
    """Of all the ways."""
    return (edit.__name__.strip("_") for edit in _EDITS)
