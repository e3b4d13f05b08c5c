"""The functions of `./scripts/bench optimize`, and the count of what is found on them."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.optimize.budgeted import Budgeted
from benchmarks.optimize.fronts import zdt
from benchmarks.optimize.functions import CASES, Function, rastrigin

SEEDS = range(5)


def random_points(function: Function, n: int) -> np.ndarray:
    X = np.random.default_rng(1).uniform(function.lower, function.upper, (n, function.d))
    return np.where(function.is_whole, np.rint(X), X)


@pytest.mark.parametrize("name", CASES)
def test_a_function_is_0_at_its_optimum_and_more_elsewhere(name: str) -> None:
    for seed in SEEDS:
        function = CASES[name].make(seed)
        [least] = function.values(function.optimum[np.newaxis])
        assert least == pytest.approx(0.0, abs=1e-12)
        assert (function.values(random_points(function, 1000)) > 0.01).all()


@pytest.mark.parametrize("name", CASES)
def test_a_step_away_from_the_optimum_it_is_more(name: str) -> None:
    function = CASES[name].make(3)
    for at in range(function.d):
        near = function.optimum[np.newaxis].copy()
        near[0, at] += 1.0 if function.is_whole[at] else 1e-3
        if function.is_category[at]:
            near[0, at] %= function.upper[at] + 1
        assert function.values(near)[0] > 1e-10


@pytest.mark.parametrize("name", CASES)
def test_the_optimum_is_in_the_central_part_of_the_box_and_another_for_each_seed(name: str) -> None:
    optima = np.array([CASES[name].make(seed).optimum for seed in SEEDS])
    function = CASES[name].make(0)
    share = ((optima - function.lower) / (function.upper - function.lower))[:, ~function.is_category]
    assert share.min() >= 0.09  # a whole number may be rounded outwards
    assert share.max() <= 0.91
    assert len(np.unique(optima, axis=0)) == len(optima)
    assert function.allows(optima).all()


def test_the_optimum_owes_nothing_to_the_generator_that_a_contestant_makes_of_the_same_seed() -> None:
    function = rastrigin(10, 7)
    share = (function.optimum - function.lower) / (function.upper - function.lower)
    assert not np.isclose((share - 0.1) / 0.8, np.random.default_rng(7).random(10)).any()


def test_rotation_turns_the_function_about_its_optimum() -> None:
    straight, rotated = rastrigin(10, 3), rastrigin(10, 3, is_rotated=True)
    assert (straight.optimum == rotated.optimum).all()
    axis = straight.optimum + np.eye(10)  # whole steps along the axes are local optima: 1 more each
    assert straight.values(axis) == pytest.approx(np.ones(10), abs=1e-9)
    assert (rotated.values(axis) > 2.0).all()


@pytest.mark.parametrize("name", CASES)
def test_what_an_objective_gets_is_coded_to_points_of_the_box(name: str) -> None:
    function = CASES[name].make(0)
    U = np.random.default_rng(2).random((500, function.d))
    U[0], U[1] = 0.0, np.nextafter(1.0, 0.0)
    X = function.code(function.space.decode(function.space.cube.snap(U)))
    assert X.shape == (500, function.d)
    assert function.allows(X).all()
    assert X[0] == pytest.approx(function.lower)
    assert X[1] == pytest.approx(function.upper)


def test_a_wrong_category_moves_the_optimum_of_the_floats() -> None:
    function = CASES["mixed"].make(0)
    wrong = function.optimum[np.newaxis].copy()
    wrong[0, 9] = (wrong[0, 9] + 1) % 6
    both = np.repeat(wrong, 2, axis=0)
    gradient = function.values(wrong)[0]
    both[0, :4] += 0.1
    both[1, :4] -= 0.1
    assert function.values(both).min() < gradient


def test_what_is_found_after_the_budget_does_not_count() -> None:
    function = rastrigin(10, 0)
    objective = Budgeted(function, 10)
    points = random_points(function, 9)
    scores = objective(points)
    assert objective.best == scores.min()
    assert not objective.is_spent
    objective(np.array([points[scores.argmax()], function.optimum]))
    assert objective.is_spent
    assert objective.best == scores.min()
    assert objective.used == 11


def test_points_outside_of_the_box_earn_no_credit_but_count() -> None:
    function = rastrigin(2, 0)
    objective = Budgeted(function, 10)
    outside = np.array([[5.2, 0.0], [np.nan, 0.0]])
    assert objective(outside)[0] == function.values(outside)[0]
    assert objective.best == np.inf
    assert objective.used == 2


def test_numbers_between_whole_ones_earn_no_credit() -> None:
    function = CASES["mixed"].make(0)
    between = function.optimum.copy()
    between[5] += 0.5
    assert function.allows(np.array([function.optimum, between])).tolist() == [True, False]


@pytest.mark.parametrize(("number", "height"), [(1, 0.5), (2, 0.75), (3, 0.5 - 0.25 * np.sin(2.5 * np.pi))])
def test_fronts_of_zdt(number: int, height: float) -> None:
    X = np.zeros((2, 30))
    X[:, 0] = 0.25 if number != 2 else 0.5
    X[1, 5] = 1.0
    F = zdt(number, X)
    assert F[0] == pytest.approx([X[0, 0], height])
    assert F[1, 0] == F[0, 0]
    assert F[1, 1] > F[0, 1]
