"""Points that come again: their scores are known, or will be, so that they need not run."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyhands.optimize.cube import Floats

KEY_BYTES = 16
#: Points that are remembered, those that came last. In a space with continuous parameters hardly any comes again.
REMEMBERED, REMEMBERED_CONTINUOUS = 4096, 512

#: (F: (m,), V, status)
Outcome = tuple[Floats, float, int]


class Duplicates:
    """m: objectives."""

    def __init__(self, m: int, *, is_finite: bool) -> None:
        self._m = m
        self._limit = REMEMBERED if is_finite else REMEMBERED_CONTINUOUS
        self._known: dict[bytes, Outcome] = {}
        #: Of points that are out: the number of each; and of others at the same place, by that number.
        self._out: dict[bytes, int] = {}
        self._twins: dict[int, list[int]] = {}

    def known(self, key: bytes) -> Outcome | None:
        """What became of this point earlier."""
        return self._known.get(key)

    def first_out(self, key: bytes, id: int) -> int:
        """Which was the first of those out at this place: this one, if there was none."""
        return self._out.setdefault(key, id)

    def wait_for(self, first: int, id: int) -> None:
        """What becomes of `first` is what becomes of this one."""
        self._twins.setdefault(first, []).append(id)

    def twins(self, id: int) -> list[int]:
        """Who has waited for this one."""
        return self._twins.pop(id, [])

    def counted(self, keys: list[bytes], F: Floats, V: Floats, status: NDArray[np.uint8]) -> None:
        """These have ended, and count."""
        known, out = self._known, self._out
        for key, scores, violation, ended in zip(keys, F, V.tolist(), status.tolist(), strict=True):
            out.pop(key, None)
            known[key] = scores, violation, ended
        for key in list(islice(known, max(0, len(known) - self._limit))):
            del known[key]

    def state(self) -> dict[str, Any]:
        """For `load`. What is out is told again by who restores it."""
        outcomes = list(self._known.values())
        return {
            "keys": np.frombuffer(b"".join(self._known), np.uint8).reshape(-1, KEY_BYTES),
            "F": np.array([F for F, _, _ in outcomes]).reshape(-1, self._m),
            "V": np.array([V for _, V, _ in outcomes], dtype=np.float64),
            "status": np.array([status for _, _, status in outcomes], dtype=np.uint8),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Know what the one knew whose state this is."""
        content = state["keys"].tobytes()
        keys = [content[at : at + KEY_BYTES] for at in range(0, len(content), KEY_BYTES)]
        outcomes = zip(state["F"], state["V"].tolist(), state["status"].tolist(), strict=True)
        self._known = dict(zip(keys, outcomes, strict=True))
