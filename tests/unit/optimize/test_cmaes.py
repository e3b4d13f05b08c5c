"""CMA-ES: its rules are those of the papers; it converges in any mode, on any column, and goes on from a state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.optimize.functions import Problem, continuous, mixed, rosenbrock, sphere

from manyhands.optimize import packing
from manyhands.optimize.algorithm import Algorithm, Scores, Told
from manyhands.optimize.categorical import Categoricals
from manyhands.optimize.cmaes import CMAES
from manyhands.optimize.convergence import Convergence
from manyhands.optimize.cube import Column, Cube, Floats, Kind
from manyhands.optimize.gaussian import Gaussian, rates
from manyhands.optimize.plan import Mode, Plan
from manyhands.optimize.portfolio import Portfolio
from manyhands.optimize.random_streams import Use, stream
from manyhands.optimize.search import Search

MIXED = Cube(
    [
        Column(Kind.CONTINUOUS),
        Column(Kind.ORDERED, 2),
        Column(Kind.ORDERED, 9),
        Column(Kind.ORDERED, 1),
        Column(Kind.CATEGORICAL, 3),
        Column(Kind.CATEGORICAL, 1),
    ]
)
CUBES = {
    "mixed": MIXED,
    "one column": continuous(1),
    "one point": Cube([Column(Kind.ORDERED, 1)]),
    "categories": Cube([Column(Kind.CATEGORICAL, 4)] * 3),
    "integers": Cube([Column(Kind.ORDERED, 7)] * 4),
}
METHODS: list[Any] = [CMAES, Portfolio]


def run(algorithm: Algorithm, problem: Problem, budget: int, mode: Mode = Mode.WINDOWED, noisy: bool = True) -> float:
    plan = Plan(problem.cube, budget=budget, mode=mode, noisy=noisy)
    search = Search(plan, algorithm=algorithm)
    while not search.done():
        batch = search.ask()
        search.tell(batch.ids, problem.values(batch.U))
    best = search.best()
    assert best is not None
    return best.score


def step(algorithm: Algorithm, first: int, n: int, failing: float = 0.0) -> Floats:
    """Proposes and commits points whose score is the sum of their coordinates, and returns them."""
    proposal = algorithm.propose(first, n, stream(1, Use.PROPOSE, first))
    assert proposal.U.shape[0] == n
    assert (proposal.U >= 0).all()
    assert (proposal.U < 1).all()
    ok = stream(1, Use.EVALUATION, first).random(n) >= failing
    F = np.where(ok, proposal.U.sum(axis=1), np.nan)[:, np.newaxis]
    told = Told(np.arange(first, first + n), proposal.U, F, np.where(ok, 0.0, np.inf), ok, proposal.own)
    algorithm.commit(told, stream(1, Use.COMMIT, first))
    return proposal.U


def test_rates_are_those_of_the_tutorial() -> None:
    rate = rates(10, 10)
    raw = np.log(5.5) - np.log(np.arange(1, 11))
    assert rate.parents == 5
    assert rate.weights[:5] == pytest.approx(raw[:5] / raw[:5].sum())
    assert rate.mu_eff == pytest.approx(3.167, abs=1e-3)
    assert rate.c_sigma == pytest.approx((3.1673 + 2) / (10 + 3.1673 + 5), abs=1e-4)
    assert rate.c_1 == pytest.approx(2 / (11.3**2 + 3.1673), abs=1e-6)
    assert -(rate.weights[5:].sum()) <= 1 + rate.c_1 / rate.c_mu


@pytest.mark.parametrize("d", [1, 2, 10, 500])
@pytest.mark.parametrize("k", [2, 3, 5, 100, 5000])
def test_rates_are_sane_for_any_number_of_samples(k: int, d: int) -> None:
    rate = rates(k, d)
    assert rate.weights[: rate.parents].sum() == pytest.approx(1)
    assert (np.diff(rate.weights) <= 0).all()
    assert 0 <= rate.c_1 + rate.c_mu <= 1 + 1e-12
    assert 0 < rate.c_sigma < 1


def test_a_covariance_is_that_of_what_is_drawn() -> None:
    gaussian = Gaussian(np.array([0.5, 0.5]), 0.3)
    rng = np.random.default_rng(1)
    for _ in range(60):
        steps = gaussian.draw(20, rng)
        points = gaussian.mean + steps - 0.4
        order = np.argsort(points[:, 0] ** 2 + 100 * points[:, 1] ** 2)
        gaussian.update(steps[order], np.tile(gaussian.mean, (20, 1)), np.zeros(20, dtype=np.bool_))
    steps = gaussian.draw(40_000, rng) / gaussian.sigma
    assert np.cov(steps.T) == pytest.approx(gaussian.C, rel=0.1, abs=0.05 * float(gaussian.C.max()))
    assert gaussian.C[0, 0] > 20 * gaussian.C[1, 1]


def test_a_stale_sample_from_afar_moves_the_mean_no_further_than_a_long_step() -> None:
    gaussian = Gaussian(np.full(4, 0.5), 0.01)
    steps = np.array([[1e6, 0.0, 0.0, 0.0], [0.0, 0.01, 0.0, 0.0]])
    gaussian.update(steps, np.tile(gaussian.mean, (2, 1)), np.array([True, False]))
    assert gaussian.mean - 0.5 == pytest.approx([0.01 * (2 + 8 / 6), 0, 0, 0])


@pytest.mark.parametrize(("mode", "score"), [(Mode.GENERATIONAL, 1e-3), (Mode.WINDOWED, 1.0), (Mode.ASYNC, 10.0)])
def test_it_converges_in_every_mode_the_slower_the_later_it_is_told(mode: Mode, score: float) -> None:
    assert run(CMAES(continuous(10)), sphere(10, 3), 2500, mode) < score


def test_it_solves_a_curved_valley() -> None:
    assert run(CMAES(continuous(5)), rosenbrock(5, 2), 6000, Mode.GENERATIONAL) < 1e-6


def test_an_optimum_at_a_corner_is_found() -> None:
    problem = Problem(continuous(5), lambda U: U.sum(axis=1))
    assert run(CMAES(problem.cube), problem, 3000) < 1e-3


def test_mixed_columns_are_searched_together() -> None:
    scores = [run(CMAES(mixed(seed).cube), mixed(seed), 3000) for seed in range(3)]
    assert np.median(scores) < 1.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cube", CUBES.values(), ids=CUBES)
def test_any_space_any_failures_any_block(cube: Cube, method: Any) -> None:
    algorithm = method(cube, seed=5, budget=600)
    first = 0
    for n in [1, 3, 100, 7, 1, 64, 200, 1]:
        step(algorithm, first, n, failing=0.3)
        first += n
    assert algorithm.generation >= 1


@pytest.mark.parametrize("method", METHODS)
def test_if_all_fail_it_goes_on(method: Any) -> None:
    algorithm = method(continuous(3), seed=5, budget=600)
    for first in range(0, 400, 40):
        step(algorithm, first, 40, failing=2.0)
    assert np.isfinite(step(algorithm, 400, 40)).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_objective_is_searched_to_the_end(method: Any) -> None:
    problem = Problem(MIXED, lambda U: np.zeros(len(U)))
    assert run(method(MIXED, seed=1, budget=2000), problem, 2000) == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("after", [0, 50, 700])
def test_it_goes_on_from_its_state_as_if_nothing_had_been(method: Any, after: int) -> None:
    def make() -> Algorithm:
        algorithm: Algorithm = method(MIXED, seed=5, budget=2000, initial=np.full((2, 6), 0.3))
        return algorithm

    one, other = make(), make()
    for first in range(0, after, 25):
        step(one, first, 25, failing=0.1)
    state = packing.pack(one.state())
    other.load(packing.unpack(state))
    for first in range(after, after + 500, 25):
        assert (step(one, first, 25) == step(other, first, 25)).all()
    assert packing.pack(one.state()) == packing.pack(other.state())


@pytest.mark.parametrize("method", METHODS)
def test_initial_points_come_first(method: Any) -> None:
    initial = np.random.default_rng(1).random((5, 3))
    algorithm = method(continuous(3), seed=5, budget=600, initial=initial)
    assert (np.concatenate([step(algorithm, 0, 2), step(algorithm, 2, 4)])[:5] == initial).all()


def test_a_search_that_has_converged_begins_anew_with_twice_as_many_or_ends() -> None:
    problem = sphere(2, 1)
    anew, once = CMAES(problem.cube), CMAES(problem.cube, restarts=False)
    run(anew, problem, 4000)
    assert anew.size in {64, 128}
    search = Search(Plan(problem.cube, noisy=True), algorithm=once)
    while not search.done():
        batch = search.ask()
        search.tell(batch.ids, problem.values(batch.U))
    assert search.done() == "exhausted"


def test_what_an_objective_is_counted_from_changes_nothing() -> None:
    def convergence(offset: float) -> list[bool]:
        watched, over = Convergence(), []
        for at in range(60):
            watched.add(offset + 2.0**-at * np.arange(1.0, 9.0))
            over.append(watched.is_over(32, 2))
        return over

    assert convergence(0.0) == convergence(1024.0)[:50] + convergence(0.0)[50:]
    assert convergence(0.0)[-1]


def test_levels_beside_the_mean_stay_possible() -> None:
    cube = Cube([Column(Kind.ORDERED, 9)] * 3)
    algorithm = CMAES(cube)
    algorithm._gaussian.sigma = 1e-9
    algorithm._gaussian.mean[:] = [0.001, 0.45, 0.999]
    algorithm._keep_margin()
    levels = cube.level_of(cube.snap(algorithm.propose(0, 20_000, np.random.default_rng(2)).U))
    for at, level in enumerate([0, 4, 8]):
        share = float((levels[:, at] != level).mean())
        assert share == pytest.approx(1 - 0.73 ** (1 / 3), rel=0.1)


def test_a_categorical_distribution_moves_to_the_better_levels_and_keeps_its_margin() -> None:
    choices = Categoricals(np.array([4, 1]), 0.1)
    best = np.array([[2, 0]] * 10)
    for _ in range(200):
        choices.update(best, np.full(10, 0.1), 10.0)
    assert choices.probabilities == pytest.approx([0.1 / 3, 0.1 / 3, 0.9, 0.1 / 3, 1.0])
    drawn = choices.draw(10_000, np.random.default_rng(3))
    assert float((drawn[:, 0] == 2).mean()) == pytest.approx(0.9, abs=0.01)


def test_a_point_from_elsewhere_takes_part() -> None:
    plain, told = CMAES(continuous(2)), CMAES(continuous(2))
    told.inject(
        np.full((1, 2), 0.1), Scores(np.array([-1.0]), np.zeros(1), np.ones(1, dtype=np.bool_)), stream(1, 1, 1)
    )
    for algorithm in (plain, told):
        step(algorithm, 0, 32)
    assert (told._gaussian.mean < plain._gaussian.mean).all()


@pytest.mark.parametrize(
    ("settings", "word"), [({"population": 3}, "population"), ({"sigma": 0}, "sigma"), ({"sigma": 2}, "sigma")]
)
def test_settings_out_of_range_are_refused_by_name(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        CMAES(continuous(2), **settings)


def test_a_space_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="2000"):
        CMAES(continuous(2001))
