"""Random numbers that depend on what they are for, never on what was drawn before: streams keyed by (seed, use, id)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1


class Use(IntEnum):
    """What a stream is for."""

    PROPOSE = 1
    COMMIT = 2
    DESIGN = 3
    EVALUATION = 4


def stream(seed: int, use: Use, id: int) -> np.random.Generator:
    """A generator (Philox: Salmon et al. 2011) of its own for each seed, use and id."""
    # The counter has room for 2 ** 64 numbers before two streams of a key meet.
    return np.random.Generator(np.random.Philox(key=[seed & _MASK, int(use)], counter=[0, id & _MASK, 0, 0]))


def evaluation_seeds(seed: int, ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(n,) uint64, one for each evaluation: the same whenever and wherever it runs. By splitmix64."""
    with np.errstate(over="ignore"):
        mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed += np.uint64((seed * 0xD1B54A32D192ED03 + int(Use.EVALUATION)) & _MASK)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed ^= mixed >> np.uint64(shift)
            mixed *= np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    return mixed
