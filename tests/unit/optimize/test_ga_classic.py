"""The textbook's genetic algorithm: who survives, in every mode, with failures, and from its state."""

from typing import Any

import numpy as np
import pytest
from tests.unit.optimize.functions import continuous, mixed, plateau, sphere
from tests.unit.optimize.interleaved import Drive, best, of_one, points

from manyhands.optimize import packing
from manyhands.optimize.algorithm import Algorithm, Told
from manyhands.optimize.cube import Column, Cube, Floats, Kind
from manyhands.optimize.ga_classic import ClassicGA

MODES = pytest.mark.parametrize(
    ("block", "ahead"), [(20, 20), (8, 32), (1, 8)], ids=["generational", "window", "async"]
)
SURVIVALS = pytest.mark.parametrize("survival", ["plus", "generational"])


@MODES
@SURVIVALS
def test_it_finds_what_random_points_do_not(block: int, ahead: int, survival: str) -> None:
    problem = sphere(3, 3)
    algorithm: Algorithm = ClassicGA(problem.cube, seed=3, population=20, survival=survival)
    told = Drive(algorithm, problem.cube, of_one(problem.values), block=block, ahead=ahead).run(600)
    assert best(told) < 0.04 < problem.values(np.random.default_rng(1).random((600, 3))).min() / 5
    assert algorithm.generation == 600 // 20


@pytest.mark.parametrize(
    "settings",
    [
        {"crossover": "blx"},
        {"crossover": "uniform", "mutation": "gaussian"},
        {"crossover": "two-point", "mutation": "gaussian", "selection": "ranking"},
        {"crossover": "one-point", "mutation": "uniform", "tournament": 5},
    ],
    ids=str,
)
def test_so_do_other_operators(settings: dict[str, Any]) -> None:
    problem = sphere(5, 4)
    algorithm = ClassicGA(problem.cube, population=20, **settings)
    told = Drive(algorithm, problem.cube, of_one(problem.values), block=8, ahead=32).run(1500)
    assert best(told) < 0.5


def test_it_searches_mixed_spaces_and_leaves_plateaus() -> None:
    problem = mixed(1)
    told = Drive(ClassicGA(problem.cube, population=30), problem.cube, of_one(problem.values), block=8, ahead=64).run(
        2000
    )
    random = problem.values(problem.cube.snap(np.random.default_rng(1).random((2000, problem.cube.d)))).min()
    assert best(told) < random / 3
    flat = plateau(5, 1)
    told = Drive(ClassicGA(flat.cube, population=30), flat.cube, of_one(flat.values), block=8, ahead=64).run(1500)
    assert best(told) < flat.values(np.random.default_rng(1).random((1500, 5))).min()


@MODES
@SURVIVALS
def test_a_fifth_of_failures_does_no_harm_and_none_is_a_member(block: int, ahead: int, survival: str) -> None:
    problem = sphere(3, 5)
    algorithm = ClassicGA(problem.cube, population=20, survival=survival)
    drive = Drive(algorithm, problem.cube, of_one(problem.values), block=block, ahead=ahead, failing=0.2)
    assert best(drive.run(600)) < 0.1
    assert np.isfinite(algorithm._members.F).all()
    assert len(algorithm._members.U) == 20


@MODES
@SURVIVALS
def test_when_all_fail_it_goes_on_at_random(block: int, ahead: int, survival: str) -> None:
    cube = continuous(2)
    algorithm = ClassicGA(cube, population=10, survival=survival)
    U = points(Drive(algorithm, cube, of_one(lambda U: U[:, 0]), block=block, ahead=ahead, failing=1.0).run(300))
    assert len(np.unique(U[200:], axis=0)) == 100


@MODES
@SURVIVALS
def test_it_goes_on_from_its_state_to_the_bit(block: int, ahead: int, survival: str) -> None:
    problem = mixed(2)
    settings: dict[str, Any] = {"seed": 6, "population": 20, "survival": survival, "elites": 2}
    one = Drive(
        ClassicGA(problem.cube, **settings), problem.cube, of_one(problem.values), block=block, ahead=ahead, failing=0.1
    )
    for stop in (0, 13, 130):
        one.run(stop)
        other = Drive(
            ClassicGA(problem.cube, **settings), problem.cube, one.scored, block=block, ahead=ahead, failing=0.1
        )
        other.algorithm.load(packing.unpack(packing.pack(one.algorithm.state())))
        other.out, other.proposed, other.committed = one.out.copy(), one.proposed, one.committed
        one.run(stop + 100)
        assert np.array_equal(points(other.run(stop + 100)), points(one.told)[-len(points(other.told)) :])
        assert packing.pack(other.algorithm.state()) == packing.pack(one.algorithm.state())
        assert other.algorithm.generation == one.algorithm.generation


def commit(algorithm: ClassicGA, first: int, F: list[float], V: list[float] | None = None) -> None:
    n = len(F)
    ids = np.arange(first, first + n)
    told = Told(
        ids,
        ids[:, np.newaxis] / 100.0,
        np.array(F)[:, np.newaxis],
        np.zeros(n) if V is None else np.array(V),
        ~np.isnan(F),
        {},
    )
    algorithm.commit(told, np.random.default_rng())


def members(algorithm: ClassicGA) -> Floats:
    return algorithm._members.F[:, 0]


def test_plus_keeps_the_best_of_parents_and_children_each_point_once() -> None:
    algorithm = ClassicGA(continuous(1), population=4)
    commit(algorithm, 0, [5.0, 3.0, 9.0, 7.0])
    commit(algorithm, 4, [4.0, np.nan, np.inf, 8.0])
    assert members(algorithm).tolist() == [3.0, 4.0, 5.0, 7.0]
    commit(algorithm, 4, [4.0])
    assert members(algorithm).tolist() == [3.0, 4.0, 5.0, 7.0]
    commit(algorithm, 9, [1.0], [0.5])
    assert members(algorithm).tolist() == [3.0, 4.0, 5.0, 7.0]


def test_a_generation_takes_the_place_of_the_one_before_but_for_the_elites() -> None:
    algorithm = ClassicGA(continuous(1), population=4, survival="generational", elites=1)
    commit(algorithm, 0, [1.0, 2.0, 3.0])
    assert not len(algorithm._members.U)
    # It ends in the middle of a block.
    commit(algorithm, 3, [4.0, 5.0])
    assert members(algorithm).tolist() == [1.0, 2.0, 3.0, 4.0]
    commit(algorithm, 5, [6.0, 8.0, 7.0])
    assert members(algorithm).tolist() == [1.0, 5.0, 6.0, 7.0]
    assert algorithm.generation == 2


def test_members_stay_for_children_that_failed() -> None:
    algorithm = ClassicGA(continuous(1), population=4, survival="generational", elites=0)
    commit(algorithm, 0, [1.0, 2.0, 3.0, 4.0])
    commit(algorithm, 4, [9.0, np.nan, 8.0, np.nan])
    assert members(algorithm).tolist() == [1.0, 2.0, 8.0, 9.0]


def test_those_who_violate_constraints_come_after_those_who_do_not() -> None:
    algorithm = ClassicGA(continuous(1), population=3)
    commit(algorithm, 0, [1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 0.0, 0.0])
    assert members(algorithm).tolist() == [3.0, 4.0, 2.0]


def test_known_points_come_first_and_the_population_follows_a_small_budget() -> None:
    known = np.random.default_rng(7).random((5, 3))
    algorithm = ClassicGA(continuous(3), budget=400, initial=known)
    proposal = algorithm.propose(0, 7, np.random.default_rng())
    assert np.array_equal(proposal.U[:5], known)
    assert algorithm.size == 20
    assert ClassicGA(continuous(3)).size == ClassicGA(continuous(3), budget=10**6).size == 100
    assert ClassicGA(continuous(3), budget=3).size == 10


@MODES
@pytest.mark.parametrize(
    "columns",
    [[Column(Kind.CONTINUOUS)], [Column(Kind.CATEGORICAL, 1)], [Column(Kind.ORDERED, 2), Column(Kind.CATEGORICAL, 2)]],
    ids=["line", "point", "four"],
)
def test_small_spaces_are_searched(block: int, ahead: int, columns: list[Column]) -> None:
    cube = Cube(columns)
    told = Drive(ClassicGA(cube, population=10), cube, of_one(lambda U: U.sum(axis=1)), block=block, ahead=ahead).run(
        200
    )
    assert best(told) <= cube.snap(np.full((1, cube.d), 1e-3)).sum() + 1e-12
