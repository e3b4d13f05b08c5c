"""Random permutations of any length of which any part can be had without the others."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.cube import Ints

#: Longest: two factors of it have to fit into 32 bits each.
LENGTH_MAX = 2**31
_ROUNDS = 8


def permuted(index: Ints, length: int, rng: np.random.Generator, d: int) -> Ints:
    """(n,) indices below `length` -> (n, d): where each of d permutations, which `rng` alone decides on, takes them.

    A Feistel network over two numbers whose product is at least `length`; what it takes beyond goes through it again
    (cycle walking; both: Black and Rogaway 2002).
    """
    keys = rng.integers(2**64, size=(_ROUNDS, d), dtype=np.uint64)
    height = math.isqrt(length - 1) + 1
    width = -(-length // height)
    where = np.tile(index.astype(np.uint64)[:, np.newaxis], (1, d))
    beyond = np.ones(where.shape, dtype=np.bool_)
    while beyond.any():
        column = np.nonzero(beyond)[1]
        left, right = np.divmod(where[beyond], np.uint64(width))
        for number in range(_ROUNDS):
            key = keys[number, column]
            if number % 2:
                right = (right + _below(width, left, key)) % np.uint64(width)
            else:
                left = (left + _below(height, right, key)) % np.uint64(height)
        where[beyond] = left * np.uint64(width) + right
        beyond = where >= length
    return where.astype(np.int64)


def _below(bound: int, number: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(n,): numbers below `bound` that look random: splitmix64's mixing of number and key."""
    mixed = (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) ^ key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32)
