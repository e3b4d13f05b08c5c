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


class Streams:
    """The same streams for one seed, each valid until the next one of its use: 20 times as quick to be had."""

    def __init__(self, seed: int) -> None:
        self._generators = {use: stream(seed, use, 0) for use in Use}
        self._states = {use: generator.bit_generator.state for use, generator in self._generators.items()}

    def at(self, use: Use, id: int) -> np.random.Generator:
        """See `stream`."""
        generator, state = self._generators[use], self._states[use]
        state["state"]["counter"][1] = id & _MASK  # the others are 0, and its buffer is empty
        generator.bit_generator.state = state
        return generator


def splitmix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mixed bits of each, in place: the finalizer of splitmix64 (Steele, Lea, Flood 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words ^= words >> np.uint64(shift)
        words *= np.uint64(factor)
    words ^= words >> np.uint64(31)
    return words


def evaluation_seeds(seed: int, ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(n,) uint64, one for each evaluation: the same whenever and wherever it runs."""
    mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64((seed * 0xD1B54A32D192ED03 + int(Use.EVALUATION)) & _MASK)
    return splitmix(mixed)
