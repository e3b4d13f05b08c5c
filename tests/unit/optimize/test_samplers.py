"""Grid, random, latin and sobol: what their points are, and that nothing but seed and id decides on them."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from manyhands.optimize import packing
from manyhands.optimize.algorithm import Algorithm, Told
from manyhands.optimize.cube import Column, Cube, Floats, Kind
from manyhands.optimize.permutation import permuted
from manyhands.optimize.plan import Mode, Plan
from manyhands.optimize.samplers import Grid, Latin, Random, Sobol
from manyhands.optimize.search import Search
from manyhands.optimize.sobol_numbers import BITS, DIMENSIONS_MAX, directions

NO_RNG: Any = None  # what is a function of (seed, id) needs none

MIXED = Cube(
    [
        Column(Kind.CONTINUOUS),
        Column(Kind.ORDERED, 7),
        Column(Kind.ORDERED, 50, 1.0),
        Column(Kind.CATEGORICAL, 3),
        Column(Kind.ORDERED, 1),
        Column(Kind.ORDERED, 2**51),
    ]
)
DISCRETE = Cube([Column(Kind.ORDERED, 3), Column(Kind.CATEGORICAL, 2), Column(Kind.ORDERED, 4, 1.0)])
METHODS = {
    "grid": lambda cube, **more: Grid(cube, points=5, **more),
    "random": Random,
    "latin": Latin,
    "sobol": Sobol,
}


def points(sampler: Algorithm, first: int, n: int) -> Floats:
    return sampler.propose(first, n, NO_RNG).U


def told(ids: list[int], d: int) -> Told:
    n = len(ids)
    return Told(np.array(ids), np.zeros((n, d)), np.zeros((n, 1)), np.zeros(n), np.ones(n, dtype=np.bool_), {})


@pytest.mark.parametrize("method", METHODS)
def test_any_blocks_give_the_same_points(method: str) -> None:
    whole = points(METHODS[method](MIXED, seed=3, budget=2500), 0, 2500)
    assert whole.shape == (2500, MIXED.d)
    assert ((whole >= 0) & (whole <= 1)).all()
    pieces = METHODS[method](MIXED, seed=3, budget=2500)
    blocks = [points(pieces, first, min(n, 2500 - first)) for first, n in [(0, 1), (1, 700), (701, 6), (707, 2500)]]
    assert np.concatenate(blocks).tolist() == whole.tolist()
    backwards = METHODS[method](MIXED, seed=3, budget=2500)
    assert [points(backwards, id, 1)[0].tolist() for id in (2499, 512, 3)] == whole[[2499, 512, 3]].tolist()


@pytest.mark.parametrize("method", ["random", "latin", "sobol"])
def test_another_seed_gives_other_points(method: str) -> None:
    one, other = (points(METHODS[method](MIXED, seed=seed), 0, 50)[:, 0] for seed in (1, 2))
    assert not np.isin(one, other).any()


@pytest.mark.parametrize("method", METHODS)
def test_initial_points_come_first_and_a_copy_goes_on(method: str) -> None:
    initial = np.full((3, MIXED.d), 0.25)
    sampler = METHODS[method](MIXED, seed=1, budget=2003, initial=initial)
    first = points(sampler, 0, 5)
    assert first[:3].tolist() == initial.tolist()
    assert first[3:].tolist() == points(METHODS[method](MIXED, seed=1, budget=2000), 0, 2).tolist()
    sampler.commit(told(list(range(5)), MIXED.d), NO_RNG)
    again = METHODS[method](MIXED, seed=1, budget=2003, initial=initial)
    again.load(packing.unpack(packing.pack(sampler.state())))
    assert (again.state(), again.generation) == (sampler.state(), sampler.generation)
    assert points(again, 5, 90).tolist() == points(sampler, 5, 90).tolist()
    for copy in (sampler, again):
        copy.commit(told(list(range(5, 2003)), MIXED.d), NO_RNG)
    assert again.generation == sampler.generation == 2003 // sampler.size


def test_a_grid_has_every_point_once_the_last_parameter_fastest() -> None:
    grid = Grid(DISCRETE, seed=0)
    assert grid.cardinality == 24
    assert not grid.is_exhausted
    levels = DISCRETE.level_of(DISCRETE.snap(points(grid, 0, 1000)))
    assert levels.tolist() == [list(row) for row in product(range(3), range(2), range(4))]
    assert grid.is_exhausted
    again = Grid(DISCRETE, seed=0)
    again.load(grid.state())
    assert again.is_exhausted


def test_a_grid_divides_continuous_parameters_from_end_to_end() -> None:
    cube = Cube([Column(Kind.CONTINUOUS), Column(Kind.CATEGORICAL, 2), Column(Kind.CONTINUOUS)])
    U = points(Grid(cube, seed=0, points=[3, 1]), 0, 9)
    assert U.tolist() == [[u, c, 0.5] for u in (0, 0.5, 1) for c in (0.25, 0.75)]
    assert Grid(cube, seed=0, points=10).cardinality == 200


def test_a_grid_of_any_size_begins_at_once() -> None:
    cube = Cube([Column(Kind.ORDERED, 1000)] * 30)
    grid = Grid(cube, seed=0, initial=np.zeros((1, 30)))
    assert grid.cardinality == 10**90
    id = 10**18
    levels = cube.level_of(points(grid, id + 1, 2))
    assert levels.tolist() == [[0] * 23 + [1, 0, 0, 0, 0, 0, last] for last in (0, 1)]
    assert not grid.is_exhausted


@pytest.mark.parametrize("mode", Mode)
def test_a_search_with_a_grid_evaluates_every_point_once_and_ends(mode: Mode) -> None:
    grid = Grid(DISCRETE, seed=0)
    search = Search(Plan(DISCRETE, method="grid", mode=mode), algorithm=grid)
    seen: list[bytes] = []
    while search.done() is None:
        batch = search.ask(5)
        seen += DISCRETE.keys(batch.U)
        search.tell(batch.ids, DISCRETE.level_of(batch.U).sum(axis=1))
    assert search.done() == "exhausted"
    assert len(seen) == len(set(seen)) == 24
    history = search.take_history(all_of_it=True)
    assert history is not None
    assert sorted(history.ids.tolist()) == list(range(24))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "points: a grid needs to know how many of each of the 2 continuous parameters; give points=10"),
        (0, "points has to be a whole number, from 1 to .*, not 0"),
        ([3], "points: 1 numbers for 2 continuous parameters"),
        ([3, 2.5], r"not 2\.5"),
    ],
)
def test_a_grid_says_what_it_lacks(wrong: Any, message: str) -> None:
    cube = Cube([Column(Kind.CONTINUOUS), Column(Kind.CONTINUOUS), Column(Kind.ORDERED, 3)])
    with pytest.raises(ValueError, match=message):
        Grid(cube, seed=0, points=wrong)


def test_random_points_are_uniform_and_independent() -> None:
    U = points(Random(Cube([Column(Kind.CONTINUOUS)] * 5), seed=11), 0, 20_000)
    counts = np.stack([np.histogram(column, 20, (0, 1))[0] for column in U.T])
    assert ((counts - 1000) ** 2 / 1000).sum(axis=1).max() < 43.8  # chi-square of 19 degrees, 0.1 %
    correlations = np.corrcoef(np.hstack([U[:-1], U[1:]]).T)[~np.eye(10, dtype=np.bool_)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(20_000)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 11, 97, 1000, 4321])
def test_latin_stratifies_every_column_exactly(n: int) -> None:
    sampler = Latin(MIXED, seed=n, budget=n)
    for design in range(2):
        U = points(sampler, design * n, n)
        for at in (0, 2):  # continuous, and logarithmic before it is snapped
            assert np.sort(np.floor(U[:, at] * n)).tolist() == list(range(n))
        levels = MIXED.level_of(MIXED.snap(U))
        for at in (1, 3, 4, 5):
            k = MIXED.columns[at].levels
            used, counts = np.unique(levels[:, at], return_counts=True)
            assert set(counts.tolist()) <= ({n // k, -(-n // k)} if n >= k else {1})
            assert len(used) == min(n, k)


def test_latin_without_a_budget_makes_designs_of_a_thousand() -> None:
    sampler = Latin(MIXED, seed=1)
    U = points(sampler, 0, 2000)
    assert np.sort(np.floor(U[1000:, 0] * 1000)).tolist() == list(range(1000))
    assert U[:1000, 0].tolist() != U[1000:, 0].tolist()


def test_latin_gives_every_level_the_same_chance() -> None:
    cube = Cube([Column(Kind.ORDERED, 7)])
    levels = np.concatenate([cube.level_of(points(Latin(cube, seed=seed, budget=3), 0, 3)) for seed in range(350)])
    counts = np.bincount(levels[:, 0], minlength=7)
    assert ((counts - 150) ** 2 / 150).sum() < 22.5  # chi-square of 6 degrees, 0.1 %; strata make it smaller still


@pytest.mark.parametrize("length", [1, 2, 3, 4, 6, 7, 30, 1000])
def test_a_permutation_takes_every_index_once(length: int) -> None:
    where = permuted(np.arange(length), length, np.random.default_rng(length), 4)
    assert np.sort(where, axis=0).tolist() == np.tile(np.arange(length)[:, np.newaxis], (1, 4)).tolist()
    some = permuted(np.arange(length)[::3], length, np.random.default_rng(length), 4)
    assert some.tolist() == where[::3].tolist()


def test_all_permutations_of_four_are_about_as_frequent() -> None:
    where = permuted(np.arange(4), 4, np.random.default_rng(5), 24_000)
    _, counts = np.unique(where, axis=1, return_counts=True)
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 2 * 49.7  # twice what chi-square of 23 degrees has at 0.1 %


def test_a_long_permutation_scatters_neighbours() -> None:
    where = permuted(np.arange(20_000), 10_000_000, np.random.default_rng(5), 2) / 10_000_000
    assert len(np.unique(where[:, 0])) == 20_000
    assert abs(np.corrcoef(where[:-1, 0], where[1:, 0])[0, 1]) < 4.5 / np.sqrt(20_000)
    assert abs(np.corrcoef(where[:, 0], where[:, 1])[0, 1]) < 4.5 / np.sqrt(20_000)


def test_sobol_begins_with_the_published_numbers() -> None:
    # Lines 1 to 9 of new-joe-kuo-6.
    published = [[1], [1, 3], [1, 3, 1], [1, 1, 1], [1, 1, 3, 3], [1, 3, 5, 13], [1, 1, 5, 5, 17], [1, 1, 5, 5, 5]]
    vectors = directions(10)
    for vector, numbers in zip(vectors[1:], published, strict=False):
        assert [int(v) >> (BITS - 1 - i) for i, v in enumerate(vector[: len(numbers)])] == numbers
    # Each makes a permutation of 2 ** k parts out of 2 ** k indices: its matrix is triangular.
    all_vectors = directions(DIMENSIONS_MAX)
    assert all_vectors[:10].tolist() == vectors.tolist()
    lowest = all_vectors & (~all_vectors + np.uint64(1))
    assert lowest.tolist() == np.tile(2 ** np.arange(BITS - 1, -1, -1, dtype=np.uint64), (DIMENSIONS_MAX, 1)).tolist()
    assert len(np.unique(all_vectors, axis=0)) == DIMENSIONS_MAX


@pytest.mark.parametrize("seed", [0, 1])
def test_sobol_fills_every_dyadic_part_once_scrambled_or_not(seed: int) -> None:
    U = points(Sobol(Cube([Column(Kind.CONTINUOUS)] * 8), seed=seed), 0, 256)
    assert (np.sort(np.floor(U * 256), axis=0) == np.arange(256)[:, np.newaxis]).all()
    # The first two dimensions are a (0, m, 2)-net: one point in each rectangle of that area, whatever its form.
    for k in range(9):
        cells = np.floor(U[:, 0] * 2**k) * 2 ** (8 - k) + np.floor(U[:, 1] * 2 ** (8 - k))
        assert len(np.unique(cells)) == 256


def test_sobol_integrates_better_than_random_points() -> None:
    cube = Cube([Column(Kind.CONTINUOUS)] * 6)

    def error(U: Floats) -> float:
        return abs(float(np.prod(1 + (U - 0.5), axis=1).mean()) - 1)

    errors = [[error(points(method(cube, seed=seed), 0, 1024)) for seed in range(10)] for method in (Random, Sobol)]
    assert 10 * np.median(errors[1]) < np.median(errors[0])


def test_sobol_pairs_of_dimensions_differ() -> None:
    U = points(Sobol(Cube([Column(Kind.CONTINUOUS)] * 40), seed=2), 0, 1024)
    worst = max(abs(np.corrcoef(U[:, i], U[:, j])[0, 1]) for i, j in combinations(range(40), 2))
    assert worst < 0.15


def test_sobol_says_how_many_parameters_it_can_have() -> None:
    cube = Cube([Column(Kind.CONTINUOUS)] * (DIMENSIONS_MAX + 1))
    with pytest.raises(ValueError, match=f"sobol knows up to {DIMENSIONS_MAX} parameters, not {DIMENSIONS_MAX + 1}"):
        Sobol(cube, seed=1)
