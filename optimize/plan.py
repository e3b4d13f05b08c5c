"""What is asked of a search, as data: the master is told this and no more, and it decides all that follows."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from manyhands.optimize import packing
from manyhands.optimize.cube import Cube, Floats

#: Evaluations that may wait for others: more keep more slots busy when times are uneven, and learn later from each.
WINDOW = 64
#: Blocks that a window is cut into.
WINDOW_BLOCKS = 8
MAX_FAILED_SHARE = 0.5
OBJECTIVES_MAX = 100


def default_window(least: int) -> int:
    """For a method that makes use of `least`, in whole blocks: with one that does not fit, fewer would be out."""
    return -(-max(WINDOW, least) // WINDOW_BLOCKS) * WINDOW_BLOCKS


class Mode(StrEnum):
    """When results count, and what proposals may know; see docs/optimize.md."""

    GENERATIONAL = "generational"
    WINDOWED = "windowed"
    ASYNC = "async"


@dataclass(frozen=True)
class Plan:
    """`settings` are the method's own. `signs`: 1.0 for each objective to be minimised, -1.0 to be maximised.

    budget, stagnation: evaluations, the latter without an improvement; target: a score; generations: see Algorithm;
    initial: (k, d) points to begin with; window: evaluations that may be out at a time, where the mode has a choice.
    """

    cube: Cube
    method: str = "ga"
    settings: dict[str, Any] = field(default_factory=dict)
    mode: Mode = Mode.WINDOWED
    signs: tuple[float, ...] = (1.0,)
    seed: int = 0
    budget: int | None = None
    generations: int | None = None
    target: float | None = None
    stagnation: int | None = None
    initial: Floats | None = None
    noisy: bool = False
    max_failed_share: float = MAX_FAILED_SHARE
    window: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be."""
        for name in ("budget", "generations", "stagnation", "window"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} has to be at least 1, not {value}")
        self.cube.check_room(self.window or WINDOW)
        if len(self.signs) > OBJECTIVES_MAX:
            raise ValueError(f"a search has up to {OBJECTIVES_MAX} objectives, not {len(self.signs)}")
        if not 0 <= self.max_failed_share <= 1:
            raise ValueError(f"max_failed_share is a share, from 0 to 1, not {self.max_failed_share}")
        if self.target is not None and (len(self.signs) != 1 or math.isnan(self.target)):
            raise ValueError("target is a number, for a search with one objective")
        if self.stagnation is not None and len(self.signs) != 1:
            raise ValueError("stagnation is for a search with one objective")
        if self.initial is not None and self.initial.shape[1:] != (self.cube.d,):
            raise ValueError(f"initial points have {self.cube.d} parameters, not shape {self.initial.shape}")

    @property
    def objectives(self) -> int:
        """How many scores an evaluation has."""
        return len(self.signs)

    def pack(self) -> bytes:
        """For `unpack`."""
        document = {
            "columns": self.cube.to_json(),
            "method": self.method,
            "settings": self.settings,
            "mode": str(self.mode),
            "signs": list(self.signs),
            "seed": self.seed,
            "budget": self.budget,
            "generations": self.generations,
            "target": None if self.target is None else np.array(self.target, dtype=np.float64),
            "stagnation": self.stagnation,
            "initial": self.initial,
            "noisy": self.noisy,
            "max_failed_share": self.max_failed_share,
            "window": self.window,
        }
        return packing.pack(document)

    @classmethod
    def unpack(cls, data: bytes) -> Plan:
        """Raises ValueError for anything that `pack` does not make."""
        document = packing.unpack(data)
        try:
            target = document["target"]
            return cls(
                cube=Cube.from_json(document["columns"]),
                method=str(document["method"]),
                settings=dict(document["settings"]),
                mode=Mode(document["mode"]),
                signs=tuple(-1.0 if sign < 0 else 1.0 for sign in document["signs"]) or (1.0,),
                seed=int(document["seed"]),
                budget=_whole(document["budget"]),
                generations=_whole(document["generations"]),
                target=None if target is None else float(target),
                stagnation=_whole(document["stagnation"]),
                initial=_points(document["initial"]),
                noisy=bool(document["noisy"]),
                max_failed_share=float(document["max_failed_share"]),
                window=_whole(document["window"]),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"no plan of a search: {error!r}") from error


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _points(value: Any) -> Floats | None:
    if value is None:
        return None
    points: Floats = np.asarray(value, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise ValueError(f"initial points are a table of numbers, not {json.dumps(points.tolist())[:100]}")
    return points
