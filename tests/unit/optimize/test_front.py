"""Domination, crowding, hypervolume and the front of all that was found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.optimize import packing
from manyhands.optimize.algorithm import Told
from manyhands.optimize.cube import Floats
from manyhands.optimize.front import Front, crowding, hypervolume_2d, nondominated, ranks, thinned

#: Few values, so that many are equal.
TABLES = st.tuples(st.integers(1, 40), st.integers(1, 4), st.integers(0, 10_000)).map(
    lambda it: np.random.default_rng(it[2]).integers(0, 6, size=it[:2]).astype(np.float64)
)


def told(F: Floats, first: int = 0, V: Floats | None = None, ok: object = None) -> Told:
    n = len(F)
    ids = np.arange(first, first + n)
    return Told(
        ids,
        ids[:, np.newaxis] / 1000.0,
        F,
        np.zeros(n) if V is None else V,
        np.ones(n, dtype=bool) if ok is None else np.array(ok),
        {},
    )


def dominates(f: Floats, v: float, g: Floats, w: float) -> bool:
    """Deb's constrained domination, as he writes it."""
    if v > 0 or w > 0:
        return v < w
    return bool((f <= g).all() and (f < g).any())


def peeled(F: Floats, V: Floats) -> list[int]:
    rank, left, level = [0] * len(F), set(range(len(F))), 0
    while left:
        front = {i for i in left if not any(dominates(F[j], V[j], F[i], V[i]) for j in left)}
        for i in front:
            rank[i] = level
        left, level = left - front, level + 1
    return rank


@given(F=TABLES, seed=st.integers(0, 100))
def test_ranks_are_those_of_peeling_front_by_front(F: Floats, seed: int) -> None:
    V = np.random.default_rng(seed).choice([0.0, 0.0, 1.0, 2.0], len(F))
    assert ranks(F, V).tolist() == peeled(F, V)
    assert ranks(F).tolist() == peeled(F, np.zeros(len(F)))


@given(F=TABLES, seed=st.integers(0, 100))
def test_nondominated_are_those_that_no_other_dominates(F: Floats, seed: int) -> None:
    rng = np.random.default_rng(seed)
    V, ok = rng.choice([0.0, 0.0, 1.0, 2.0], len(F)), rng.random(len(F)) < 0.8
    F, V = np.where(ok[:, np.newaxis], F, np.nan), np.where(ok, V, np.inf)
    expected = [
        bool(ok[i]) and not any(ok[j] and dominates(F[j], V[j], F[i], V[i]) for j in range(len(F)))
        for i in range(len(F))
    ]
    assert nondominated(F, V, ok).tolist() == expected


def test_nondominated_takes_long_tables() -> None:
    F = np.random.default_rng(1).random((30_000, 2))
    found = nondominated(F, np.zeros(len(F)), np.ones(len(F), dtype=bool))
    order = np.lexsort(F.T[::-1])
    least = np.minimum.accumulate(np.append(np.inf, F[order, 1]))
    assert np.array_equal(np.sort(order[F[order, 1] < least[:-1]]), np.flatnonzero(found))


def test_crowding_is_the_distance_of_the_neighbours_in_units_of_the_range() -> None:
    F = np.array([[0.0, 10.0], [4.0, 0.0], [1.0, 4.0], [3.0, 2.0]])
    assert crowding(F).tolist() == [np.inf, np.inf, 3 / 4 + 8 / 10, 3 / 4 + 4 / 10]


def test_each_front_has_its_own_crowding() -> None:
    F = np.random.default_rng(2).random((60, 3))
    rank = ranks(F)
    distance = crowding(F, rank)
    for front in range(rank.max() + 1):
        assert np.array_equal(distance[rank == front], crowding(F[rank == front]))


def test_scores_that_are_there_twice_and_infinite_ones_do_not_hide_others() -> None:
    F = np.array([[0.0, 3.0], [0.0, 3.0], [1.0, 1.0], [2.0, np.inf], [3.0, 0.0]])
    distance = crowding(F)
    assert distance[1] == 0
    assert not np.isnan(distance).any()
    assert crowding(np.full((3, 2), np.inf)).tolist() == [np.inf, 0, 0]
    assert crowding(np.zeros((0, 2))).tolist() == []


def test_thinning_keeps_the_ends_and_spreads_the_rest() -> None:
    x = np.sort(np.append(np.random.default_rng(3).beta(1, 5, 300), [0.0, 1.0]))
    F = np.column_stack([x, 1 - x])
    kept = thinned(F, 21)
    assert len(kept) == 21
    assert {0, 301} <= set(kept.tolist())
    gaps = np.diff(x[kept])
    at_once = np.sort(np.argsort(-crowding(F), kind="stable")[:21])
    assert gaps.max() < np.diff(x[at_once]).max()


def test_hypervolume_is_the_area_up_to_the_reference() -> None:
    reference = np.array([4.0, 4.0])
    assert hypervolume_2d(np.zeros((0, 2)), reference) == 0
    assert hypervolume_2d(np.array([[1.0, 3.0], [3.0, 1.0]]), reference) == 3 + 3 - 1
    # Dominated ones, equals, and those beyond the reference add nothing.
    others = np.array([[1.0, 3.0], [3.0, 1.0], [3.0, 1.0], [3.5, 3.5], [0.0, 4.0], [5.0, 0.0]])
    assert hypervolume_2d(others, reference) == 5


@given(F=TABLES)
def test_hypervolume_counts_the_cells_below(F: Floats) -> None:
    F = np.column_stack([F[:, 0], F[:, -1]])
    cells = sum(bool(np.less_equal(F, (x, y)).all(axis=1).any()) for x in range(6) for y in range(6))
    assert hypervolume_2d(F, np.array([6.0, 6.0])) == cells


@given(F=TABLES, block=st.integers(1, 12))
def test_a_front_is_that_of_all_that_was_told(F: Floats, block: int) -> None:
    front = Front()
    for at in range(0, len(F), block):
        front.add(told(F[at : at + block], at))
    best = F[nondominated(F, np.zeros(len(F)), np.ones(len(F), dtype=bool))]
    assert {*map(tuple, front.F)} == {*map(tuple, best)}
    assert len(front.F) == len(np.unique(best, axis=0))
    first = [int(np.flatnonzero(np.equal(F, f).all(axis=1))[0]) for f in front.F]
    assert front.ids.tolist() == sorted(first) == first
    assert np.array_equal(front.U[:, 0], front.ids / 1000.0)


def test_a_front_takes_neither_failures_nor_violations() -> None:
    front = Front()
    front.add(told(np.array([[0.0, np.nan], [1.0, 1.0], [2.0, 2.0]]), 0, np.array([np.inf, 1.0, 0.0]), [0, 1, 1]))
    assert front.ids.tolist() == [2]


def test_a_front_is_bounded_and_keeps_its_ends() -> None:
    front = Front(limit=10)
    x = np.random.default_rng(4).random(500)
    F = np.column_stack([x, 1 - x])
    for at in range(0, 500, 20):
        front.add(told(F[at : at + 20], at))
    assert len(front.ids) == 10
    assert {int(x.argmin()), int(x.argmax())} <= set(front.ids.tolist())
    assert (np.diff(front.ids) > 0).all()
    assert np.array_equal(front.F, F[front.ids])
    with pytest.raises(ValueError, match="at least 1"):
        Front(0)


def test_a_front_goes_on_from_its_state() -> None:
    F = np.random.default_rng(5).random((100, 3))
    one, other = Front(limit=15), Front(limit=15)
    one.add(told(F[:50]))
    other.load(packing.unpack(packing.pack(one.state())))
    for front in (one, other):
        front.add(told(F[50:], 50))
    assert packing.pack(one.state()) == packing.pack(other.state())
    fresh = Front()
    fresh.load(packing.unpack(packing.pack(Front().state())))
    fresh.add(told(F))
    assert len(fresh.ids)
