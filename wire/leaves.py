"""How many items a leaf of a reduction takes: a rule of the items alone, so that the tree over the leaves is, too."""

from __future__ import annotations

#: A leaf takes one item more after each so many items, and never more than so many.
GROWTH, LEAF_ITEMS = 1024, 4096
#: With a reduction by key they grow faster: each leaves a datum behind, and each partition needs part of all of these.
GROWTH_BY_KEY = 128
#: It ends early once it has so many bytes, encoded.
LEAF_BYTES = 1 << 20
#: Items that are encoded together, at most, and about how many bytes of them.
RUN_ITEMS = 256
RUN_BYTES = 64 << 10


def leaf_length(position: int, growth: int = GROWTH) -> int:
    """Items of the leaf that begins with the item at `position`, should its bytes not end it before.

    The first leaves have one item: a few items may each take long, and all slots are to have some. Of many items none
    can take long, or nobody would wait for them.
    """
    return max(1, min(position // growth, LEAF_ITEMS))


def run_length(left: int, last_count: int, last_bytes: int) -> int:
    """How many of a leaf's `left` items to encode together, after `last_count` that had `last_bytes`."""
    fitting = RUN_BYTES * last_count // max(1, last_bytes)
    return max(1, min(left, fitting, RUN_ITEMS))
