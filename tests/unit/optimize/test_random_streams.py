"""Streams depend on seed, use and id, and on nothing that was drawn before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from manyhands.optimize.random_streams import Streams, Use, evaluation_seeds, stream

IDS = st.integers(0, 2**63 - 1)


@given(
    seed=st.integers(0, 2**63 - 1), ids=st.lists(st.tuples(st.sampled_from(Use), IDS, st.integers(0, 9)), max_size=5)
)
def test_streams_that_are_used_again_are_those_that_are_made_anew(seed: int, ids: list[tuple[Use, int, int]]) -> None:
    streams = Streams(seed)
    for use, id, drawn in ids:
        generator = streams.at(use, id)
        generator.integers(2**32, size=drawn, dtype=np.uint32)
        again, anew = streams.at(use, id), stream(seed, use, id)
        assert (
            again.integers(2**32, size=3, dtype=np.uint32).tolist()
            == anew.integers(2**32, size=3, dtype=np.uint32).tolist()
        )
        assert again.random(5).tolist() == anew.random(5).tolist()


def test_streams_of_other_seeds_uses_and_ids_are_others() -> None:
    streams = [stream(seed, use, id) for seed in (0, 1, 2**63 - 1) for use in Use for id in (0, 1, 2**62)]
    assert len({each.random() for each in streams}) == len(streams)


def test_seeds_of_evaluations_are_all_different() -> None:
    seeds = [evaluation_seeds(seed, np.arange(10_000)) for seed in (0, 1, 2**63 - 1)]
    assert len(np.unique(np.concatenate(seeds))) == 30_000
    assert (evaluation_seeds(1, np.array([9_999])) == seeds[1][-1:]).all()
