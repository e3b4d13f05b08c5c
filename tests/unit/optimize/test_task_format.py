"""Points of a task and their outcomes as bytes: all of it comes back, and anything else is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.optimize.evaluations import Batch, Outcomes
from manyhands.optimize.packing import StateRefused
from manyhands.optimize.task_format import pack_batch, pack_outcomes, unpack_batch, unpack_outcomes

COUNTS = st.integers(0, 4)


@given(COUNTS, COUNTS)
def test_points_come_back(k: int, d: int) -> None:
    rng = np.random.default_rng(k)
    batch = Batch(
        np.arange(k) - 2**40, rng.random((k, d)), np.full(k, 2**64 - 1, np.uint64), np.full(k, 2**31 - 1, np.int32)
    )
    for one, other in zip(batch, unpack_batch(pack_batch(batch)), strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert (one == other).all()


@given(COUNTS, COUNTS, COUNTS, st.none() | st.text(min_size=1))
def test_outcomes_come_back(k: int, m: int, c: int, error: str | None) -> None:
    F = np.random.default_rng(k).choice([1.5, np.nan, np.inf, -0.0], (k, m))
    outcomes = Outcomes(np.arange(k), F, np.ones((k, c)), np.full(k, 1, np.uint8), np.full(k, 0.25), error)
    again = unpack_outcomes(pack_outcomes(outcomes))
    for one, other in zip(outcomes[:-1], again[:-1], strict=True):
        assert isinstance(one, np.ndarray)
        assert isinstance(other, np.ndarray)
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    assert again.error == (None if error is None else error.encode(errors="replace").decode())


@given(st.binary(max_size=60), st.integers(0, 60))
def test_anything_else_is_refused(data: bytes, at: int) -> None:
    batch = Batch(np.arange(1), np.zeros((1, 2)), np.zeros(1, np.uint64), np.zeros(1, np.int32))
    packed = pack_batch(batch)
    for damaged in (packed[:-1], packed + b"x", packed[:at] + data + packed[at:]):
        if len(damaged) != len(packed):
            with pytest.raises(StateRefused):
                unpack_batch(damaged)
    for unpack in (unpack_batch, unpack_outcomes):
        try:
            unpack(data)
        except StateRefused as refused:
            assert "damaged" in str(refused)
