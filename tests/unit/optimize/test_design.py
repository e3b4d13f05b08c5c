"""Initial designs: exact stratification of each column, and the points that are known come first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from manyhands.optimize.cube import Column, Cube, Kind
from manyhands.optimize.design import beginning, latin


@given(n=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_a_continuous_column_has_one_point_in_each_part(n: int, seed: int) -> None:
    U = latin(Cube([Column(Kind.CONTINUOUS)] * 3), n, np.random.default_rng(seed))
    assert U.shape == (n, 3)
    for column in U.T:
        assert sorted(np.floor(column * n).astype(int)) == list(range(n))


@given(n=st.integers(1, 200), k=st.integers(1, 300), kind=st.sampled_from([Kind.ORDERED, Kind.CATEGORICAL]))
def test_each_level_is_there_as_often_as_every_other_or_once_more(n: int, k: int, kind: Kind) -> None:
    cube = Cube([Column(kind, k), Column(Kind.CONTINUOUS), Column(kind, k)])
    U = latin(cube, n, np.random.default_rng(n * 1000 + k))
    assert np.array_equal(cube.snap(U), U)
    level = cube.level_of(U)
    for column in (0, 2):
        counts = np.bincount(level[:, column], minlength=k)
        assert set(counts) <= {n // k, -(-n // k)}


def test_a_logarithmic_column_has_each_level_as_often_as_it_is_wide() -> None:
    cube = Cube([Column(Kind.ORDERED, 1023, 1.0)])
    U = latin(cube, 1000, np.random.default_rng(1))
    assert np.array_equal(cube.snap(U), U)
    octaves = np.bincount(np.floor(np.log2(1 + cube.level_of(U)[:, 0])).astype(int))
    assert set(octaves) <= {99, 100, 101}
    few = Cube([Column(Kind.ORDERED, 8, 1.0)])
    assert len(np.unique(latin(few, 100, np.random.default_rng(1)))) == 8


def test_which_level_has_a_point_more_is_random() -> None:
    cube = Cube([Column(Kind.CATEGORICAL, 3)])
    more = {int(cube.level_of(latin(cube, 4, np.random.default_rng(seed))).max()) for seed in range(20)}
    often = {
        int(np.bincount(cube.level_of(latin(cube, 4, np.random.default_rng(s)))[:, 0]).argmax()) for s in range(40)
    }
    assert more == {2}
    assert often == {0, 1, 2}


def test_columns_with_more_levels_than_a_product_of_integers_can_count() -> None:
    cube = Cube([Column(Kind.ORDERED, 2**51), Column(Kind.ORDERED, 2**51 - 1)])
    U = latin(cube, 1001, np.random.default_rng(5))
    assert (U >= 0).all()
    assert (U < 1).all()
    for column in U.T:
        assert len(set(np.floor(column * 1001))) >= 999


def test_initial_points_come_first_and_are_snapped() -> None:
    cube = Cube([Column(Kind.CONTINUOUS), Column(Kind.ORDERED, 4)])
    known = np.array([[0.1, 0.0], [0.2, 0.99], [0.3, 0.5]])
    U = beginning(cube, 10, known, np.random.default_rng(1))
    assert U.shape == (10, 2)
    assert np.array_equal(U[:3], cube.snap(known))
    assert sorted(np.floor(U[3:, 0] * 7).astype(int)) == list(range(7))
    assert len(beginning(cube, 2, known, np.random.default_rng(1))) == 3
    assert len(beginning(cube, 0, None, np.random.default_rng(1))) == 0
