"""A search counts what it is told in its own order, in whatever order it is told; and it stops by its rules."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyhands.optimize.algorithm import Proposal, State, Told
from manyhands.optimize.cube import Column, Cube, Floats, Kind
from manyhands.optimize.evaluations import Batch, Status
from manyhands.optimize.packing import StateRefused
from manyhands.optimize.plan import Mode, Plan
from manyhands.optimize.search import Search

SQUARE = Cube([Column(Kind.CONTINUOUS)] * 2)
DICE = Cube([Column(Kind.ORDERED, 4), Column(Kind.CATEGORICAL, 3)])


class Follower:
    """Proposes points near the mean of all that it was told, so that what it knows when is seen in what it proposes."""

    def __init__(self, d: int = 2, size: int = 10, total: int | None = None) -> None:
        self.size = self.least_window = size
        self.generation = 0
        self._d = d
        self._total = total
        self._proposed = 0
        self._told: Floats = np.zeros(d + 1)

    @property
    def is_exhausted(self) -> bool:
        return self._proposed == self._total

    def propose(self, first: int, n: int, rng: np.random.Generator) -> Proposal:
        assert first == self._proposed
        n = n if self._total is None else min(n, self._total - first)
        self._proposed += n
        drift = self._told[:-1] / max(1.0, self._told[-1])
        U = (rng.random((n, self._d)) + drift) % 1.0
        return Proposal(U, {"drift": np.tile(drift, (n, 1)), "odd": np.arange(first, first + n) % 2 == 1})

    def commit(self, told: Told, rng: np.random.Generator) -> None:
        assert (told.own["odd"] == (told.ids % 2 == 1)).all()
        assert (np.isnan(told.F).any(axis=1) == ~told.ok).all()
        assert np.isinf(told.V[~told.ok]).all()
        for U, ok, F in zip(told.U, told.ok, told.F, strict=True):
            self._told += [*U, 1.0] if ok else 0.5
            self._told[0] += F[0] if ok and np.isfinite(F[0]) else rng.random()
            self._told[:-1] %= 7.0
        self.generation = int(self._told[-1]) // self.size

    def state(self) -> State:
        return {"told": self._told, "proposed": self._proposed, "generation": self.generation}

    def load(self, state: State) -> None:
        self._told, self._proposed, self.generation = state["told"], state["proposed"], state["generation"]


def plan(cube: Cube = SQUARE, **asked: Any) -> Plan:
    return Plan(cube, **{"budget": 100, "seed": 3, **asked})


def search(cube: Cube = SQUARE, size: int = 10, total: int | None = None, **asked: Any) -> Search:
    return Search(plan(cube, **asked), algorithm=Follower(cube.d, size, total))


def score(U: Floats) -> Floats:
    """Of which some fail, some are as bad as can be."""
    worth: Floats = U.sum(axis=1)
    return np.where(worth % 0.1 < 0.01, np.nan, np.where(worth % 0.1 < 0.02, np.inf, worth))


def tell_all(to: Search, batch: Batch) -> None:
    to.tell(batch.ids, score(batch.U), cost=np.full(len(batch.ids), 0.25))


def story(of: Search) -> list[Any]:
    rows = of.take_history(all_of_it=True)
    assert rows is not None
    return [column.tobytes() for column in rows[:5]]


def run(of: Search) -> Search:
    while of.done() is None:
        tell_all(of, of.ask())
    return of


def run_at_random(of: Search, draw: Random) -> Search:
    """Points are asked for a few at a time, told in any order; the search is stored and restored in the middle."""
    out: list[tuple[int, Floats]] = []
    while of.done() is None:
        batch = of.ask(draw.randint(0, 5))
        out += zip(batch.ids.tolist(), batch.U, strict=True)
        draw.shuffle(out)
        told = [out.pop() for _ in range(min(len(out), draw.randint(0, 5)))]
        if told:
            U = np.array([U for _, U in told])
            of.tell([id for id, _ in told], score(U), cost=np.full(len(told), 0.25))
        if draw.random() < 0.1:
            of = Search(of.plan, of.state(), algorithm=Follower(of.plan.cube.d))
            out = []
    return of


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    mode=st.sampled_from([Mode.GENERATIONAL, Mode.WINDOWED]),
    cube=st.sampled_from([SQUARE, DICE]),
)
def test_the_history_is_the_same_for_any_order_split_and_restart(seed: int, mode: Mode, cube: Cube) -> None:
    asked: dict[str, Any] = {"mode": mode, "budget": 173}
    expected, other = run(search(cube, **asked)), run_at_random(search(cube, **asked), Random(seed))
    assert expected.done() == other.done() == "budget"
    assert expected.best() is not None
    assert str(expected.best()) == str(other.best())
    assert expected.counts() == other.counts()
    assert story(expected) == story(other)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), cube=st.sampled_from([SQUARE, DICE]))
def test_in_async_mode_the_order_of_arrival_makes_the_history(seed: int, cube: Cube) -> None:
    first = run_at_random(search(cube, mode=Mode.ASYNC, max_failed_share=1.0), Random(seed))
    rows = first.take_history(all_of_it=True)
    assert rows is not None
    assert sorted(rows.ids) == list(range(100))
    again = search(cube, mode=Mode.ASYNC, max_failed_share=1.0)
    seen: dict[int, Floats] = {}
    for id, status in zip(rows.ids.tolist(), rows.status.tolist(), strict=True):
        batch = again.ask()
        seen.update(zip(batch.ids.tolist(), batch.U, strict=True))
        if id in seen and status != Status.CACHED:
            again.tell([id], score(seen[id][np.newaxis]), cost=[0.25])
    assert again.done() == "budget"
    assert story(again) == [column.tobytes() for column in rows[:5]]


def test_a_generation_waits_for_the_last_one_and_a_window_does_not() -> None:
    barrier, window = search(mode=Mode.GENERATIONAL), search(mode=Mode.WINDOWED, window=16)
    assert barrier.ready() == 10
    assert window.ready() == 16
    for each in (barrier, window):
        batch = each.ask()
        each.tell(batch.ids[:-1], score(batch.U[:-1]))
    assert barrier.ready() == 0
    assert window.ready() == 14


def test_async_lets_as_many_be_out_as_there_are_slots() -> None:
    one = search(mode=Mode.ASYNC, budget=1000)
    assert len(one.ask().ids) == 64
    one.widen(100)
    assert len(one.ask().ids) == 36
    fixed = search(mode=Mode.ASYNC, window=5)
    fixed.widen(100)
    assert len(fixed.ask().ids) == 5


def test_a_point_that_comes_again_is_not_evaluated_again() -> None:
    one = run(search(DICE, budget=200))
    rows = one.take_history()
    assert rows is not None
    ran = rows.cost > 0
    assert sum(ran) == len({tuple(U) for U in rows.U}) <= 12
    assert one.counts().cached == 200 - sum(ran)
    assert (rows.status[~ran] != Status.OK).all()
    noisy = run(search(DICE, budget=200, noisy=True))
    assert noisy.counts().cached == 0


def test_a_space_that_is_used_up_ends_a_search_without_a_budget() -> None:
    assert run(search(DICE, budget=None, stagnation=None)).done() == "exhausted"
    assert run(search(SQUARE, budget=None, total=37)).done() == "exhausted"
    assert run(search(SQUARE, budget=None, total=37)).counts().counted == 37


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"budget": 7}, "budget"),
        ({"generations": 2}, "generations"),
        ({"target": 0.4}, "target"),
        ({"stagnation": 30}, "stagnation"),
    ],
)
def test_it_stops_by_the_first_rule_that_holds(asked: dict[str, Any], reason: str) -> None:
    one = run(search(**{"budget": 10_000, **asked}))
    assert one.done() == reason
    assert one.ready() == 0
    assert len(one.ask().ids) == 0
    if reason == "budget":
        assert one.counts().counted == 7
    if reason == "target":
        best = one.best()
        assert best is not None
        assert best.score <= 0.4


def test_a_maximum_is_sought_with_the_sign_turned() -> None:
    low, high = (run(search(signs=(sign,), target=None)).best() for sign in (1.0, -1.0))
    assert low is not None
    assert high is not None
    assert low.score < 0.5
    assert high.score > 1.5


def test_a_score_that_is_infinitely_bad_has_not_failed_and_one_that_is_infinitely_good_has() -> None:
    for sign in (1.0, -1.0):
        one = search(signs=(sign,), budget=3)
        ids = one.ask().ids
        one.tell(ids, [sign * math.inf, -sign * math.inf, math.nan])
        assert one.done() == "failures"
        best, rows = one.best(), one.take_history()
        assert best is not None
        assert rows is not None
        assert (best.id, best.score) == (0, sign * math.inf)
        assert rows.status.tolist() == [Status.OK, Status.FAILED, Status.FAILED]


def test_too_many_failures_end_it_and_a_few_at_the_beginning_do_not() -> None:
    def with_failures(count: int, **asked: Any) -> Search:
        one = search(budget=1000, **asked)
        while one.done() is None and one.counts().counted < 100:
            batch = one.ask()
            one.tell(batch.ids, np.where(batch.ids < count, np.nan, 1.0))
        return one

    assert with_failures(15).done() is None
    assert with_failures(40).done() == "failures"
    assert with_failures(40, max_failed_share=1.0).done() is None


def test_who_violates_least_is_best_and_of_those_who_do_not_who_scores_best() -> None:
    one = search(budget=5)
    one.tell(one.ask().ids, [0.0, 5.0, 4.0, 1.0, 3.0], V=[[1, 0], [-1, 0], [0, 0], [0.5, 0.25], [math.nan, 0]])
    best, rows = one.best(), one.take_history()
    assert best is not None
    assert rows is not None
    assert (best.id, best.violation) == (2, 0.0)
    assert rows.V[:4].tolist() == [1.0, 0.0, 0.0, 0.75]
    assert rows.status.tolist() == [0, 0, 0, 0, Status.FAILED]


def test_what_is_told_twice_or_is_not_out_is_ignored_and_counted() -> None:
    one = search()
    batch = one.ask()
    ids = batch.ids
    one.tell(ids[:3], [1.0, 2.0, 3.0])
    one.tell([*ids[:2], ids[3], ids[3], 10**6], [9.0] * 5)
    assert one.ignored == 4
    tell_all(one, batch)
    assert one.ignored == 8
    assert run(one).done() == "budget"


def test_scores_of_a_wrong_shape_are_refused() -> None:
    one = search()
    with pytest.raises(ValueError, match="F has to have the shape"):
        one.tell(one.ask(2).ids, [1.0])
    with pytest.raises(ValueError, match="V has to have 2 rows"):
        one.tell([0, 1], [1.0, 2.0], V=[0.0])


def test_who_stops_it_has_what_was_told_counted() -> None:
    one = search()
    batch = one.ask()
    one.tell(batch.ids[5:9], [1.0, 2.0, 3.0, 4.0])
    assert one.counts().counted == 0
    one.stop("time limit")
    best, rows = one.best(), one.take_history()
    assert best is not None
    assert rows is not None
    assert (one.done(), best.id, rows.ids.tolist()) == ("time limit", 5, [5, 6, 7, 8])


def test_seeds_belong_to_the_evaluation() -> None:
    first, again, other = search().ask(), search().ask(), search(seed=4).ask()
    assert (first.seeds == again.seeds).all()
    assert len({*first.seeds.tolist(), *other.seeds.tolist()}) == 2 * len(first.ids)


def test_a_damaged_state_is_refused() -> None:
    state = search().state()
    for damaged in (b"", state[:-1], state[:100], b"x" + state[1:], state + b"x"):
        with pytest.raises(StateRefused):
            Search(plan(), damaged, algorithm=Follower())


def test_a_plan_comes_as_it_went() -> None:
    whole = plan(
        DICE, target=-math.inf, initial=np.array([[0.5, 0.25]]), settings={"rate": 0.5}, signs=(-1.0,), mode=Mode.ASYNC
    )
    again = Plan.unpack(whole.pack())
    assert again.pack() == whole.pack()
    assert again.cube.columns == DICE.columns
    assert again.target == -math.inf
    for damaged in (b"", whole.pack()[:-3], whole.pack().replace(b"ordered", b"orderly")):
        with pytest.raises(ValueError):
            Plan.unpack(damaged)


@pytest.mark.parametrize(
    "asked",
    [
        {"budget": 0},
        {"max_failed_share": 1.5},
        {"target": math.nan},
        {"signs": (1.0, 1.0), "target": 1.0},
        {"initial": np.zeros((1, 3))},
    ],
)
def test_a_plan_that_cannot_be_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        plan(**asked)


@pytest.mark.parametrize(
    ("method", "out"), [("ga", 104), ("cmaes", 104), ("ga-classic", 64), ("nsga2", 64), ("random", 1000)]
)
def test_as_many_are_out_as_the_method_makes_use_of(method: str, out: int) -> None:
    own = {} if method == "random" else {"population": 100}
    signs = (1.0, 1.0) if method == "nsga2" else (1.0,)
    search = Search(Plan(SQUARE, method, mode=Mode.WINDOWED, budget=20_000, seed=3, signs=signs, settings=own))
    assert search.counts().out == out
    assert Search(Plan(SQUARE, "nsga2", budget=100, seed=3, signs=(1.0, 1.0), window=8)).counts().out == 8
