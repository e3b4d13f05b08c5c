"""Classical operators, each against the distribution that its paper states."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.optimize.functions import continuous

from manyhands.optimize import operators
from manyhands.optimize.cube import Column, Cube, Floats, Kind

N = 20_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_distributed(sample: Floats, distribution: Callable[[Floats], Floats]) -> None:
    """Kolmogorov and Smirnov's distance is below what one sample in a thousand exceeds."""
    expected = distribution(np.sort(sample))
    steps = np.arange(len(sample) + 1) / len(sample)
    distance = max(np.abs(expected - steps[1:]).max(), np.abs(expected - steps[:-1]).max())
    assert distance < 1.95 / math.sqrt(len(sample))


def assert_share(hits: int, of: int, chance: float) -> None:
    """Within 5 standard deviations."""
    assert abs(hits - of * chance) <= 5 * math.sqrt(of * chance * (1 - chance)) + 1e-9


def spread(beta: Floats, eta: float, farthest: float = np.inf) -> Floats:
    """Deb & Agrawal's distribution of SBX's spread factor, given that it is at most `farthest`."""
    below = np.where(beta <= 1, beta ** (eta + 1) / 2, 1 - beta ** -(eta + 1) / 2)
    return below / (1 - farthest ** -(eta + 1) / 2)


def parents(a: float, b: float, n: int = N) -> tuple[Cube, Floats, Floats]:
    return continuous(1), np.full((n, 1), a), np.full((n, 1), b)


@pytest.mark.parametrize("rivals", [1, 2, 3, 7])
def test_a_tournament_is_won_by_rank(rivals: int) -> None:
    won = np.bincount(operators.tournament(10, N, rng(), rivals=rivals), minlength=10)
    for i, wins in enumerate(won):
        assert_share(wins, N, ((10 - i) ** rivals - (9 - i) ** rivals) / 10**rivals)


@pytest.mark.parametrize("pressure", [1.0, 1.5, 2.0])
def test_ranking_falls_linearly(pressure: float) -> None:
    drawn = np.bincount(operators.ranking(8, N, rng(1), pressure=pressure), minlength=8)
    for i, count in enumerate(drawn):
        assert_share(count, N, (pressure - (2 * pressure - 2) * i / 7) / 8)


def test_one_member_is_always_chosen() -> None:
    for chosen in (
        operators.tournament(1, 5, rng(), rivals=2),
        operators.ranking(1, 5, rng(), pressure=2.0),
        operators.anyone(1, 5, rng()),
    ):
        assert chosen.tolist() == [0] * 5


@pytest.mark.parametrize("eta", [0.0, 2.0, 15.0])
def test_sbx_spreads_as_in_the_paper(eta: float) -> None:
    cube, A, B = parents(0.4, 0.6)
    C, D = operators.sbx(cube, A, B, rng(2), eta=eta)
    is_crossed = (C != A)[:, 0]
    assert_share(int(is_crossed.sum()), N, operators.EXCHANGE)
    beta = np.abs(C - D)[is_crossed, 0] / 0.2
    # A child is at the cube's end when the spread is 5.
    assert_distributed(beta, partial(spread, eta=eta, farthest=5.0))


def test_sbx_far_from_the_ends_is_not_cut_off_and_keeps_the_mean() -> None:
    cube, A, B = parents(0.495, 0.505)
    C, D = operators.sbx(cube, A, B, rng(3), eta=5.0)
    assert np.allclose(C + D, A + B, rtol=0, atol=1e-9)
    is_crossed = (C != A)[:, 0]
    assert_distributed(np.abs(C - D)[is_crossed, 0] / 0.01, partial(spread, eta=5.0))


def test_sbx_near_an_end_is_cut_off_there_only() -> None:
    cube, A, B = parents(0.05, 0.15)
    C, D = operators.sbx(cube, A, B, rng(4), eta=1.0)
    is_crossed = (C != A)[:, 0]
    low, high = np.minimum(C, D)[is_crossed, 0], np.maximum(C, D)[is_crossed, 0]
    assert low.min() >= 0
    assert high.max() < 1
    assert_distributed((0.1 - low) / 0.05, partial(spread, eta=1.0, farthest=2.0))
    assert_distributed((high - 0.1) / 0.05, partial(spread, eta=1.0, farthest=18.0))


def test_sbx_leaves_equal_parents_alone() -> None:
    cube, A, B = parents(0.3, 0.3, 50)
    assert all(np.array_equal(child, A) for child in operators.sbx(cube, A, B, rng(), eta=2.0))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_blx_is_uniform_on_the_extended_interval(alpha: float) -> None:
    cube, A, B = parents(0.4, 0.6)
    for child in operators.blx(cube, A, B, rng(5), alpha=alpha):
        low, length = 0.4 - 0.2 * alpha, 0.2 * (1 + 2 * alpha)
        assert_distributed(child[:, 0], lambda x, low=low, length=length: (x - low) / length)  # type: ignore[misc]


def test_blx_is_uniform_on_what_is_inside_the_cube() -> None:
    cube, A, B = parents(0.1, 0.5)
    C, _ = operators.blx(cube, A, B, rng(6), alpha=0.5)
    assert_distributed(C[:, 0], lambda x: x / 0.7)


def exchanged(cross: Callable[..., tuple[Floats, Floats]], d: int, n: int = 2000) -> Floats:
    """(n, d): which columns of the pairs were exchanged; all are made sure to be from one of the parents."""
    A, B = np.zeros((n, d)), np.full((n, d), 0.5)
    C, D = cross(continuous(d), A, B, rng(7))
    assert np.array_equal(C + D, A + B)
    return C / 0.5


def test_uniform_crossover_exchanges_every_second_column() -> None:
    marks = exchanged(operators.uniform, 6)
    for column in marks.T:
        assert_share(int(column.sum()), len(marks), 0.5)


def test_one_point_crossover_exchanges_the_end() -> None:
    marks = exchanged(operators.one_point, 6)
    assert (np.diff(marks, axis=1) >= 0).all()
    for length, count in enumerate(np.bincount(marks.sum(axis=1).astype(int), minlength=7)):
        assert_share(int(count), len(marks), 1 / 5 if 0 < length < 6 else 0)


def test_two_point_crossover_exchanges_one_arc_of_a_ring() -> None:
    marks = exchanged(operators.two_point, 6)
    begins = (marks - np.roll(marks, 1, axis=1) == 1).sum(axis=1)
    assert (begins == 1).all()
    for column in marks.T:
        assert_share(int(column.sum()), len(marks), 0.5)


@pytest.mark.parametrize("cross", [operators.one_point, operators.two_point])
def test_there_is_nothing_to_cut_in_a_row_of_one(cross: Callable[..., tuple[Floats, Floats]]) -> None:
    assert not exchanged(cross, 1, 20).any()


@pytest.mark.parametrize(
    "cross", [partial(operators.sbx, eta=2.0), partial(operators.blx, alpha=0.5), operators.uniform]
)
def test_categories_are_exchanged_whole(cross: Callable[..., tuple[Floats, Floats]]) -> None:
    cube = Cube([Column(Kind.CATEGORICAL, 7)])
    A, B = np.full((2000, 1), 0.5 / 7), np.full((2000, 1), 4.5 / 7)
    C, D = cross(cube, A, B, rng(8))
    is_exchanged = (C == B)[:, 0]
    assert np.array_equal(C, np.where(is_exchanged[:, np.newaxis], B, A))
    assert np.array_equal(D, np.where(is_exchanged[:, np.newaxis], A, B))
    assert_share(int(is_exchanged.sum()), 2000, 0.5)


def test_polynomial_mutation_steps_as_in_the_paper() -> None:
    delta = operators.polynomial(np.full(N, 0.5), rng(9), eta=20.0) - 0.5

    def distribution(t: Floats) -> Floats:
        return np.where(t < 0, (1 + np.minimum(t, 0)) ** 21 / 2, 1 - (1 - np.maximum(t, 0)) ** 21 / 2)

    assert_distributed(delta, distribution)


def test_polynomial_mutation_near_an_end_is_cut_off_there() -> None:
    moved = operators.polynomial(np.full(N, 0.02), rng(10), eta=20.0)
    assert moved.min() >= 0
    assert_share(int((moved < 0.02).sum()), N, 0.5)
    least = 0.98**21
    down = moved[moved < 0.02] - 0.02
    assert_distributed(down, lambda t: ((1 + t) ** 21 - least) / (1 - least))


def test_a_gaussian_step_is_normal_and_reflected_at_the_ends() -> None:
    moved = operators.gaussian(np.full(N, 0.5), rng(11), sigma=0.05)
    normal = np.vectorize(lambda t: (1 + math.erf(t / (0.05 * math.sqrt(2)))) / 2)
    assert_distributed(moved - 0.5, normal)
    at_end = operators.gaussian(np.zeros(N), rng(12), sigma=0.05)
    assert_distributed(at_end, lambda t: 2 * normal(t) - 1)
    far = operators.gaussian(np.full(N, 0.9), rng(13), sigma=5.0)
    assert far.min() >= 0
    assert far.max() <= 1


def test_a_category_becomes_any_other_alike() -> None:
    cube = Cube([Column(Kind.CATEGORICAL, 5)])
    U = np.full((N, 1), 2.5 / 5)
    mutated = operators.mutate(cube, U, np.ones((N, 1), dtype=bool), rng(14), partial(operators.polynomial, eta=20.0))
    for level, count in enumerate(np.bincount(cube.level_of(mutated)[:, 0], minlength=5)):
        assert_share(int(count), N, 0 if level == 2 else 1 / 4)


@pytest.mark.parametrize("levels", [2, 3, 101])
@pytest.mark.parametrize("log_from", [0.0, 1.0])
def test_an_ordered_value_goes_to_the_next_level_at_least(levels: int, log_from: float) -> None:
    cube = Cube([Column(Kind.ORDERED, levels, log_from)])
    U = cube.at_level(np.arange(levels)[:, np.newaxis])
    U = np.repeat(U, 50, axis=0)
    mutated = operators.mutate(cube, U, np.ones(U.shape, dtype=bool), rng(15), partial(operators.polynomial, eta=1e4))
    assert np.array_equal(mutated, cube.snap(mutated))
    assert (np.abs(cube.level_of(mutated) - cube.level_of(U)) == 1).all()


@given(
    columns=st.lists(
        st.one_of(
            st.just(Column(Kind.CONTINUOUS)),
            st.builds(
                Column,
                st.sampled_from([Kind.ORDERED, Kind.CATEGORICAL]),
                st.sampled_from([1, 2, 9, 2**51]),
                st.just(0.0),
            ),
            st.builds(Column, st.just(Kind.ORDERED), st.sampled_from([1, 2, 9, 2**40]), st.sampled_from([0.5, 16.0])),
        ),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 1000),
    step=st.sampled_from(
        [partial(operators.polynomial, eta=3.0), partial(operators.gaussian, sigma=0.5), operators.redrawn]
    ),
)
def test_what_is_mutated_stays_in_the_cube_and_the_rest_as_it_was(
    columns: list[Column], seed: int, step: Callable[[Floats, np.random.Generator], Floats]
) -> None:
    cube = Cube(columns)
    U = cube.snap(rng(seed).random((20, cube.d)))
    where = rng(seed + 1).random(U.shape) < 0.5
    mutated = operators.mutate(cube, U, where, rng(seed + 2), step)
    assert mutated.min() >= 0
    assert mutated.max() <= 1
    assert np.array_equal(mutated[~where], U[~where])
    discrete = ~cube.is_continuous
    assert np.array_equal(mutated[:, discrete], cube.snap(mutated)[:, discrete])
    changes = where & (cube.is_continuous | (cube.levels > 1))
    assert (mutated != U)[changes].all()
