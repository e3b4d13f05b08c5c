"""The default method: what it reaches with small budgets, what it survives, and that it goes on where it was."""

import numpy as np
import pytest
from tests.unit.optimize import functions
from tests.unit.optimize.driving import Drive
from tests.unit.optimize.functions import Problem, continuous

from manyhands.optimize.algorithm import Told
from manyhands.optimize.cube import LEVELS_MAX, Column, Cube, Kind
from manyhands.optimize.ga import GA, population_size
from manyhands.optimize.random_streams import Use, stream


def drive(problem: Problem, budget: int, seed: int = 1, window: int = 64, failing: float = 0.0) -> Drive:
    method = GA(problem.cube, seed=seed, budget=budget)
    return Drive(problem.cube, method, problem.values, window, failing)


@pytest.mark.parametrize("window", [0, 64])
def test_it_finds_the_valley_of_rosenbrock(window: int) -> None:
    best = [drive(functions.rosenbrock(5, seed), 3000, seed, window).run(3000) for seed in range(3)]
    assert np.median(best) < 1.0


@pytest.mark.parametrize("window", [0, 64])
def test_it_leaves_the_local_minima_of_rastrigin(window: int) -> None:
    best = [drive(functions.rastrigin(5, seed), 5000, seed, window).run(5000) for seed in range(3)]
    assert np.median(best) < 1e-2


def test_it_finds_the_right_categories_and_the_optimum_that_they_move() -> None:
    best = [drive(functions.mixed(seed), 3000, seed, window=0).run(3000) for seed in range(5)]
    assert np.median(best) < 1e-2


def test_one_at_a_time_is_as_good_as_any_block() -> None:
    assert drive(functions.sphere(3, 1), 1000, window=1).run(1000) < 1e-3


def test_failing_evaluations_cost_little() -> None:
    clean = [drive(functions.sphere(5, seed), 1600, seed).run(1600) for seed in range(5)]
    failing = [drive(functions.sphere(5, seed), 2000, seed, failing=0.2).run(2000) for seed in range(5)]
    assert np.median(failing) < 10 * np.median(clean)


@pytest.mark.parametrize("window", [0, 1, 64])
def test_all_evaluations_may_fail(window: int) -> None:
    assert drive(functions.sphere(3, 1), 500, window=window, failing=1.0).run(500) == np.inf


@pytest.mark.parametrize(
    "columns",
    [
        [Column(Kind.CONTINUOUS)],
        [Column(Kind.CATEGORICAL, 1)],
        [Column(Kind.ORDERED, 1), Column(Kind.CONTINUOUS)],
        [Column(Kind.CATEGORICAL, 3)] * 4,
        [Column(Kind.ORDERED, LEVELS_MAX), Column(Kind.CATEGORICAL, 2)],
        [Column(Kind.CONTINUOUS)] * 70,
    ],
)
@pytest.mark.parametrize("budget", [1, 10, 100, 700])
@pytest.mark.parametrize("window", [0, 64])
def test_any_space_and_any_budget(columns: list[Column], budget: int, window: int) -> None:
    search = drive(Problem(Cube(columns), lambda U: U.sum(axis=1)), budget, window=window, failing=0.1)
    search.run(budget)
    assert sum(map(len, search.points)) == budget


@pytest.mark.parametrize("score", [3.0, np.inf])
def test_scores_that_are_all_the_same_lead_to_new_populations(score: float) -> None:
    search = drive(Problem(continuous(3), lambda U: np.full(len(U), score)), 2000)
    assert search.run(2000) == score
    assert len(np.unique(np.concatenate(search.points), axis=0)) == 2000
    # Points of later populations are anywhere again.
    assert np.concatenate(search.points[-30:]).std(axis=0).min() > 0.2


def test_a_population_that_has_become_one_point_is_left_but_its_best_member_is_kept() -> None:
    problem = functions.sphere(2, 3)
    method = GA(problem.cube, seed=1, budget=8000)
    search = Drive(problem.cube, method, problem.values)
    best = search.run(6000)
    assert method.state()["counts"]["epoch"] > 0
    assert np.nanmin(method.state()["members"]["F"]) == best


def test_the_optimum_may_be_in_a_corner() -> None:
    search = drive(Problem(continuous(4), lambda U: U[:, 0] + U[:, 1] - U[:, 2] - U[:, 3] + 2.0), 3000)
    assert search.run(3000) < 1e-6


def test_a_small_space_is_searched_to_its_last_point() -> None:
    cube = Cube([Column(Kind.CATEGORICAL, 5), Column(Kind.ORDERED, 6), Column(Kind.CATEGORICAL, 4)])
    search = drive(Problem(cube, lambda U: np.ones(len(U))), 240)
    search.run(240)
    assert len(np.unique(np.concatenate(search.points), axis=0)) > 100


@pytest.mark.parametrize("problem", [functions.rastrigin(4, 2), functions.mixed(2)])
@pytest.mark.parametrize("window", [0, 64, 1])
@pytest.mark.parametrize("at", [5, 400])
def test_a_loaded_state_goes_on_as_the_one_it_was_saved_from(problem: Problem, window: int, at: int) -> None:
    search = drive(problem, 600, window=window, failing=0.1)
    search.run(at)
    search.points.clear()
    other = search.hand_over(GA(problem.cube, seed=1, budget=600))
    assert search.run(600) == other.run(600)
    assert np.array_equal(np.concatenate(search.points), np.concatenate(other.points))


def test_a_state_from_after_a_restart_can_be_loaded() -> None:
    problem = Problem(continuous(2), lambda U: np.ones(len(U)))
    search = drive(problem, 3000)
    search.run(2000)
    assert search.method.state()["counts"]["epoch"] > 0
    search.points.clear()
    other = search.hand_over(GA(problem.cube, seed=1, budget=3000))
    search.run(3000)
    other.run(3000)
    assert np.array_equal(np.concatenate(search.points), np.concatenate(other.points))


def test_initial_points_come_first() -> None:
    known = np.random.default_rng(1).random((40, 3))
    U = GA(continuous(3), seed=1, budget=100, initial=known).propose(0, 45, stream(1, Use.PROPOSE, 0)).U
    assert np.array_equal(U[:40], known)


def test_the_population_narrows_to_its_least_size() -> None:
    problem = functions.rastrigin(3, 1)
    method = GA(problem.cube, seed=1, budget=1000, population=40, population_min=10, restarts=False)
    search = Drive(problem.cube, method, problem.values)
    assert method.size == 40
    search.run(500)
    assert 20 <= method.size <= 30
    search.run(1000)
    assert 10 <= method.size <= 11
    assert method.generation > 1000 / 40


def test_a_budget_that_fails_in_part_is_for_a_smaller_population() -> None:
    problem = functions.rastrigin(3, 1)
    sizes = []
    for failing in (0.0, 0.5):
        search = drive(problem, 4000, failing=failing)
        search.run(1000)
        sizes.append(search.method.size)
    assert 0.4 < sizes[1] / sizes[0] < 0.65


def test_the_size_of_a_population_follows_from_budget_and_columns() -> None:
    assert [population_size(20_000, d) for d in (2, 10, 20)] == [36, 100, 100]
    assert [population_size(budget, 10) for budget in (1, 10, 100, 1000, 10**6)] == [1, 8, 20, 50, 180]


def test_feasible_points_win_over_lower_scores() -> None:
    """Where the first column is below a half the constraint is violated, and the scores are lower."""
    method = GA(continuous(3), seed=1, budget=2000)
    for first in range(0, 2000, 20):
        U, own = method.propose(first, 20, stream(1, Use.PROPOSE, first))
        F, V = U.sum(axis=1)[:, np.newaxis], np.maximum(0.5 - U[:, 0], 0.0)
        told = Told(np.arange(first, first + 20), U, F, V, np.ones(20, dtype=bool), own)
        method.commit(told, stream(1, Use.COMMIT, first))
    members = method.state()["members"]
    best = np.lexsort((members["F"], members["V"]))[0]
    assert members["V"][best] == 0.0
    assert members["F"][best] < 0.51


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"population": 3}, "population has to be at least 4, not 3"),
        ({"population_min": 0}, "population_min has to be at least 4, not 0"),
        ({"best_share": 0.0}, "best_share is a share"),
        ({"best_share": 1.5}, "not 1.5"),
        ({"archive": -1.0}, "archive has to be from 0 to 100, not -1.0"),
    ],
)
def test_settings_out_of_their_range_are_named(settings: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GA(continuous(2), seed=1, **settings)  # type: ignore[arg-type]  # a dict of whatever
