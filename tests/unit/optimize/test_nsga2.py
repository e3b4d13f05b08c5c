"""NSGA-II: who survives, how well it covers known fronts, in every mode, with failures, and from its state."""

from typing import Any

import numpy as np
import pytest
from tests.unit.optimize.functions import continuous, mixed, sphere
from tests.unit.optimize.interleaved import Drive, best, of_one, points

from manyhands.optimize import packing
from manyhands.optimize.algorithm import Algorithm
from manyhands.optimize.cube import Floats
from manyhands.optimize.front import Front, crowding, hypervolume_2d, nondominated, ranks
from manyhands.optimize.nsga2 import NSGA2, survivors

MODES = pytest.mark.parametrize(
    ("block", "ahead"), [(20, 20), (8, 32), (1, 8)], ids=["generational", "window", "async"]
)
REFERENCE = np.array([1.1, 1.1])


def zdt1(U: Floats) -> tuple[Floats, Floats]:
    """Zitzler, Deb & Thiele 2000; the front is 1 - sqrt(f1)."""
    g = 1 + 9 * U[:, 1:].mean(axis=1)
    return np.column_stack([U[:, 0], g * (1 - np.sqrt(U[:, 0] / g))]), np.zeros(len(U))


def constrained(U: Floats) -> tuple[Floats, Floats]:
    """The same, but only where the first is at least 0.3."""
    return zdt1(U)[0], np.maximum(0.3 - U[:, 0], 0.0)


@MODES
def test_it_covers_the_front(block: int, ahead: int) -> None:
    cube = continuous(3)
    algorithm: Algorithm = NSGA2(cube, population=20)
    drive = Drive(algorithm, cube, zdt1, block=block, ahead=ahead)
    front = Front(limit=20)
    for told in drive.run(800):
        front.add(told)
    # The front covers 0.8767 with points without end, 0.85 with 20; 800 random points cover 0.47.
    assert hypervolume_2d(front.F, REFERENCE) > 0.8
    assert algorithm.generation == 40


@MODES
def test_a_constraint_is_kept(block: int, ahead: int) -> None:
    cube = continuous(3)
    algorithm = NSGA2(cube, population=20)
    Drive(algorithm, cube, constrained, block=block, ahead=ahead).run(600)
    assert not algorithm._members.V.any()
    assert algorithm._members.U[:, 0].min() == pytest.approx(0.3, abs=0.01)


@MODES
def test_a_fifth_of_failures_does_no_harm(block: int, ahead: int) -> None:
    cube = continuous(3)
    algorithm = NSGA2(cube, population=20)
    Drive(algorithm, cube, zdt1, block=block, ahead=ahead, failing=0.2).run(800)
    assert hypervolume_2d(algorithm._members.F, REFERENCE) > 0.8


def test_when_all_fail_it_goes_on_at_random() -> None:
    cube = continuous(2)
    U = points(Drive(NSGA2(cube, population=10), cube, zdt1, block=8, ahead=64, failing=1.0).run(300))
    assert len(np.unique(U[200:], axis=0)) == 100


@MODES
def test_one_objective_will_do(block: int, ahead: int) -> None:
    problem = sphere(4, 1)
    told = Drive(
        NSGA2(problem.cube, population=20), problem.cube, of_one(problem.values), block=block, ahead=ahead
    ).run(500)
    assert best(told) < 0.05


def test_so_will_three_and_mixed_spaces() -> None:
    problem = mixed(3)

    def scored(U: Floats) -> tuple[Floats, Floats]:
        return np.column_stack([problem.values(U), U[:, 0], 1 - U[:, 1]]), np.zeros(len(U))

    algorithm = NSGA2(problem.cube, population=30)
    Drive(algorithm, problem.cube, scored, block=8, ahead=64).run(1000)
    members = algorithm._members
    assert len(np.unique(members.U, axis=0)) == 30
    assert nondominated(members.F, members.V, np.ones(30, dtype=bool)).sum() >= 25


def test_constant_and_infinite_scores_are_no_trouble() -> None:
    cube = continuous(2)
    for F in ([1.0, 1.0], [np.inf, 1.0], [np.inf, np.inf]):
        algorithm = NSGA2(cube, population=10)
        U = points(
            Drive(algorithm, cube, lambda U, F=F: (np.tile(F, (len(U), 1)), np.zeros(len(U))), block=8, ahead=16).run(
                200
            )  # type: ignore[misc]
        )
        assert len(np.unique(U, axis=0)) == 200


def test_survivors_are_whole_fronts_and_the_least_crowded_of_the_next() -> None:
    F = np.random.default_rng(8).random((200, 2))
    V = np.zeros(200)
    kept = survivors(F, V, 100)
    rank = ranks(F)
    last = rank[kept].max()
    assert len(set(kept.tolist())) == 100
    assert set(np.flatnonzero(rank < last)) <= set(kept.tolist())
    assert (np.diff(rank[kept]) >= 0).all()
    distance = crowding(F[kept], rank[kept])
    same = rank[kept][1:] == rank[kept][:-1]
    assert (distance[1:][same] <= distance[:-1][same]).all()
    ends = np.flatnonzero(rank == last)[[F[rank == last, 0].argmin(), F[rank == last, 0].argmax()]]
    assert set(ends.tolist()) <= set(kept.tolist())


def test_told_a_generation_at_a_time_it_is_mu_plus_lambda() -> None:
    cube = continuous(3)
    algorithm = NSGA2(cube, population=30)
    told = Drive(algorithm, cube, zdt1, block=30, ahead=30).run(60)
    F = np.concatenate([each.F for each in told])
    expected = F[np.sort(survivors(F, np.zeros(60), 30))]
    assert sorted(map(tuple, algorithm._members.F)) == sorted(map(tuple, expected))


@MODES
def test_it_goes_on_from_its_state_to_the_bit(block: int, ahead: int) -> None:
    cube = continuous(4)
    settings: dict[str, Any] = {"seed": 6, "population": 20}
    one = Drive(NSGA2(cube, **settings), cube, constrained, block=block, ahead=ahead, failing=0.1)
    for stop in (0, 13, 130):
        one.run(stop)
        other = Drive(NSGA2(cube, **settings), cube, constrained, block=block, ahead=ahead, failing=0.1)
        other.algorithm.load(packing.unpack(packing.pack(one.algorithm.state())))
        other.out, other.proposed, other.committed = one.out.copy(), one.proposed, one.committed
        one.run(stop + 100)
        assert np.array_equal(points(other.run(stop + 100)), points(one.told)[-len(points(other.told)) :])
        assert packing.pack(other.algorithm.state()) == packing.pack(one.algorithm.state())
