"""States that an older version has written: searches go on from them."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from tests.unit.optimize.old_states import BUDGET, CASES, SPACE, asked, path_of, run

from manyhands.optimize import Optimizer
from manyhands.optimize.packing import VERSION

#: Their steps may differ in the last bit from one processor to another.
BY_LAPACK = {"ga", "cmaes", "portfolio"}


@pytest.mark.parametrize("version", range(1, VERSION + 1))
@pytest.mark.parametrize(("method", "mode"), CASES)
def test_a_search_goes_on_from_an_older_state(version: int, method: str, mode: str) -> None:
    packed = json.loads(path_of(version).read_text())[f"{method} {mode}"]
    state = zlib.decompress(base64.b85decode(packed))
    optimizer = Optimizer(SPACE, state=state, **asked(method, mode))
    counted = optimizer.counts().counted
    assert BUDGET // 2 <= counted < BUDGET
    rest = run(optimizer, method, BUDGET)
    assert optimizer.done() == "budget"
    assert optimizer.counts().counted == BUDGET
    if method not in BY_LAPACK and mode != "async":
        whole = Optimizer(SPACE, **asked(method, mode))
        run(whole, method, counted)
        assert run(whole, method, BUDGET) == rest
