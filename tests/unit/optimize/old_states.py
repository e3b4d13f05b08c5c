"""States as version 1 wrote them: `python -m tests.unit.optimize.old_states` writes those of a new version.

They are never written again: whoever changes what a state is makes another version, and translates these.
"""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

from manyhands.optimize import Categorical, Float, Int, Optimizer, Space
from manyhands.optimize.methods import METHODS
from manyhands.optimize.packing import VERSION

FOLDER = Path(__file__).parent / "states"
SPACE = Space(x=Float(-5, 5), n=Int(0, 9), kind=Categorical(["a", "b", "c"]))
#: A generation of these is larger than the budget.
SAMPLERS = ("grid", "random", "latin", "sobol")
CASES = [
    (method, mode)
    for method in METHODS
    for mode in ("windowed", "generational", "async")
    if method not in SAMPLERS or mode != "generational"
]
BUDGET = 160


def asked(method: str, mode: str) -> dict[str, Any]:
    common = {"method": method, "mode": mode, "budget": BUDGET, "seed": 5}
    return {
        **common,
        **({"direction": ["min", "max"]} if method == "nsga2" else {}),
        **({"points": 7} if method == "grid" else {}),
    }


def scores(method: str, params: list[dict[str, Any]]) -> list[Any]:
    first = [each["x"] ** 2 + (each["n"] - 3) ** 2 + (each["kind"] != "b") for each in params]
    return list(zip(first, [each["n"] for each in params], strict=True)) if method == "nsga2" else first


def run(optimizer: Optimizer, method: str, until: int) -> list[bytes]:
    """What counts until so many do, and no further points are asked for."""
    rows = []
    while not optimizer.done() and optimizer.counts().counted < until:
        points = optimizer.ask(5)
        optimizer.tell(points.ids[::-1], scores(method, points.params)[::-1])
    if (taken := optimizer.take_history()) is not None:
        rows = [column.tobytes() for column in taken[:5]]
    return rows


def path_of(version: int) -> Path:
    return FOLDER / f"version{version}.json"


def main() -> None:
    states = {}
    for method, mode in CASES:
        optimizer = Optimizer(SPACE, **asked(method, mode))
        run(optimizer, method, BUDGET // 2)
        states[f"{method} {mode}"] = base64.b85encode(zlib.compress(optimizer.state(), 9)).decode()
    FOLDER.mkdir(exist_ok=True)
    path_of(VERSION).write_text(json.dumps(states, indent=1) + "\n")


if __name__ == "__main__":
    main()
