"""Leaves' blocks that outlast their tasks."""

from manyhands.master.definitions import HeldBlock
from manyhands.master.drivers.kept_leaves import KeptLeaves
from manyhands.protos import manyhands_pb2 as pb


def block(first: int, count: int) -> HeldBlock:
    """Of 14 bytes a leaf."""
    ends = b"".join((10 * (leaf + 1)).to_bytes(4, "little") for leaf in range(count))
    return HeldBlock(first, 0, ends, bytes(10 * count), b"f" * 16, pb.CALL_GROUP)


def test_a_leaf_is_found_in_its_block_as_long_as_that_was_kept() -> None:
    kept = KeptLeaves(limit_bytes=14 * 5)
    assert kept.block_of(0) is None
    blocks = [block(0, 2), block(2, 1), block(3, 3), block(6, 2), block(8, 1)]
    for each in blocks:
        kept.add(each)
    places = [kept.block_of(leaf) for leaf in range(10)]
    large = [None] * 3  # it was too much, and what came behind it was not
    assert places == [blocks[0], blocks[0], blocks[1], *large, blocks[3], blocks[3], None, None]
