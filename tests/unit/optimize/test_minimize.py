"""A search in this process, and the public optimizer that it stands on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from manyhands import current_task
from manyhands.errors import NotInTask, TooManyFailures
from manyhands.optimize import Categorical, Float, Int, Optimizer, Progress, Space, Status, minimize
from manyhands.optimize.methods import METHODS
from manyhands.optimize.request import request
from manyhands.optimize.search import Search

SPACE = Space(x=Float(-5, 5), n=Int(0, 9), kind=Categorical(["a", "b", "c"]))
GRID = Space(n=Int(0, 9), kind=Categorical(["a", "b", "c"]))


def score(params: dict[str, Any]) -> float:
    return float(params["x"] ** 2 + (params["n"] - 3) ** 2 + (params["kind"] != "b"))


@pytest.mark.parametrize("mode", ["windowed", "generational", "async"])
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"grid"}))
def test_every_method_in_every_mode_finds_something_and_does_it_again(method: str, mode: str) -> None:
    asked: dict[str, Any] = {"method": method, "mode": mode, "budget": 300, "seed": 11}
    if method == "nsga2":
        asked["direction"] = ["min", "min"]

    def objective(params: dict[str, Any]) -> Any:
        return (score(params), params["n"]) if method == "nsga2" else score(params)

    first, again = minimize(objective, SPACE, **asked), minimize(objective, SPACE, **asked)
    assert first.history.digest() == again.history.digest()
    assert len(first.history) == first.stats.total_evaluations == 300
    if method == "nsga2":
        assert min(point.scores[0] for point in first.front) < 1.5
    else:
        assert first.best_score is not None
        assert first.best_score < 1.5
        assert first.best_params is not None
        assert score(first.best_params) == first.best_score


@pytest.mark.parametrize("mode", ["windowed", "generational"])
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"grid", "nsga2"}))
def test_an_optimizer_goes_on_from_its_state(method: str, mode: str) -> None:
    asked: dict[str, Any] = {"method": method, "mode": mode, "budget": 200, "seed": 5}
    one, other = Optimizer(SPACE, **asked), Optimizer(SPACE, **asked)
    order = np.random.default_rng(0)
    for optimizer, size in ((one, 7), (other, 30)):
        turn = 0
        current = optimizer
        rows = []
        while not current.done():
            points = current.ask(size)
            shuffled = order.permutation(len(points.ids))
            current.tell(points.ids[shuffled], np.array([score(each) for each in points.params])[shuffled])
            turn += 1
            if (taken := current.take_history()) is not None:
                rows.append(taken.F)
            if turn % 3 == 0:
                current = Optimizer(SPACE, state=current.state(), **asked)
        optimizer.total = np.concatenate(rows)  # type: ignore[attr-defined]  # for the comparison
    assert np.array_equal(one.total, other.total)  # type: ignore[attr-defined]  # as above


def test_an_optimizer_has_no_business_with_evaluating() -> None:
    with pytest.raises(TypeError, match="time_limit is for who evaluates"):
        Optimizer(SPACE, time_limit=3)
    with pytest.raises(ValueError, match="one objective has a best point"):
        Optimizer(SPACE).front()


def test_points_say_what_they_stand_for() -> None:
    optimizer = Optimizer(SPACE, seed=1, budget=50)
    points = optimizer.ask(4)
    assert points.U.shape == (4, 3)
    assert [params["n"] for params in points.params] == points.columns["n"].tolist()
    optimizer.tell(points.ids, [1.0, math.nan, 3.0, 4.0], status=[Status.OK, Status.OK, Status.CRASHED, Status.OK])
    assert optimizer.best() is None  # nothing counts before its block has been told
    while not optimizer.done():
        points = optimizer.ask()
        optimizer.tell(points.ids, [score(params) for params in points.params])
    assert optimizer.counts().failed == 2
    assert optimizer.best_params() is not None


def test_a_grid_has_every_cell_once_and_in_order() -> None:
    seen = []
    result = minimize(lambda params: seen.append(params) or len(seen), GRID, method="grid")
    assert seen == [{"n": n, "kind": kind} for n in range(10) for kind in "abc"]
    assert (result.reason, result.best_params) == ("exhausted", seen[0])


def at_random(widths: dict[int, int], budget: int, seed: int) -> tuple[list[int], list[float]]:
    """A search in mode "async", whose results come in any order: its arrivals, and its scores in that order.

    widths: how many evaluations are let out at a time once so many results have come.
    """
    rng = np.random.default_rng(seed)
    search = Search(request(score, SPACE, mode="async", budget=budget, seed=2).plan)
    out: list[tuple[int, dict[str, Any]]] = []
    arrivals, scores = [], []
    while not search.done():
        counted = search.counts().counted
        if (width := widths.pop(counted, 0)) != 0:
            search.widen(width)
            arrivals.append(-width)
        points = search.ask()
        out += zip(points.ids.tolist(), SPACE.params(points.U), strict=True)
        id, params = out.pop(int(rng.integers(len(out))))
        search.tell([id], [score(params)])
        if (taken := search.take_history(all_of_it=True)) is not None:
            arrivals += taken.ids.tolist()
            scores += taken.F[:, 0].tolist()
    return arrivals, scores


@pytest.mark.parametrize("widths", [{}, {0: 100}, {0: 80, 75: 200, 130: 1000}])
def test_arrivals_repeat_an_async_run(widths: dict[int, int]) -> None:
    arrivals, scores = at_random(dict(widths), 300, 1)
    ids = [each for each in arrivals if each >= 0]
    assert ids != sorted(ids)
    again = minimize(score, SPACE, mode="async", budget=300, seed=2, arrivals=arrivals)
    assert again.history.ids.tolist() == ids
    assert again.history.scores.tolist() == scores
    assert again.reason == "budget"
    assert again.arrivals is not None
    assert again.arrivals.tolist() == arrivals


def test_arrivals_are_of_this_search_and_may_be_of_a_part_of_it() -> None:
    arrivals, scores = at_random({0: 100}, 300, 1)
    part = minimize(score, SPACE, mode="async", budget=300, seed=2, arrivals=np.array(arrivals[:120]))
    assert (part.reason, part.history.scores.tolist()) == ("stopped", scores[:119])
    for wrong in (arrivals[1:], [1000]):  # nobody says how many were out
        with pytest.raises(ValueError, match="another search: evaluation"):
            minimize(score, SPACE, mode="async", budget=300, seed=2, arrivals=wrong)
    with pytest.raises(ValueError, match="arrivals are for"):
        minimize(score, SPACE, arrivals=arrivals)
    assert minimize(score, SPACE, budget=50).arrivals is None


def test_each_evaluation_has_a_seed_and_outside_there_is_none() -> None:
    def noise(_params: dict[str, Any]) -> float:
        task = current_task()
        assert task.seed is not None
        return float(np.random.default_rng(task.seed).random())

    first, again = (minimize(noise, SPACE, budget=80, seed=3, noisy=True) for _ in range(2))
    assert len(set(first.history.scores.tolist())) == 80
    assert first.history.digest() == again.history.digest()
    with pytest.raises(NotInTask):
        current_task()


def test_a_callback_may_end_it() -> None:
    seen: list[Progress] = []

    def look(progress: Progress) -> bool:
        seen.append(progress)
        return len(seen) == 2

    result = minimize(lambda params: math.fsum(range(100_000)), SPACE, budget=10**6, callback=look)
    assert result.reason == "stopped"
    assert seen[-1].evaluations <= result.stats.total_evaluations < 10**6
    assert "evaluations, best" in str(seen[-1])


def test_an_interrupt_ends_it() -> None:
    def interrupted(_params: dict[str, Any]) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimize(interrupted, SPACE)


def test_too_many_failures() -> None:
    def broken(_params: dict[str, Any]) -> float:
        raise OSError("no disk")

    with pytest.raises(TooManyFailures, match="no disk"):
        minimize(broken, SPACE)
    assert minimize(broken, SPACE, max_failed_share=1.0, budget=50).best_params is None


@pytest.mark.parametrize(
    ("returned", "match"),
    [((1.0, 2.0), "returned 2 scores, and there are 1"), ("many", "could not convert"), (None, "float")],
)
def test_what_is_no_score_is_a_failure_that_says_so(returned: Any, match: str) -> None:
    with pytest.raises(TooManyFailures, match=match):
        minimize(lambda _: returned, SPACE, budget=30)


def test_a_batch_of_a_wrong_shape_says_so() -> None:
    with pytest.raises(TooManyFailures, match=r"returned an array of shape \(3,\) for a batch of"):
        minimize(lambda _: np.zeros(3), SPACE, batch=True, budget=100)


def test_stats_and_what_is_shown() -> None:
    result = minimize(score, SPACE, budget=64, seed=4)
    stats = result.stats
    assert stats.throughput == stats.total_evaluations / stats.seconds
    assert stats.speedup == stats.busy_seconds / stats.seconds == stats.efficiency
    assert "64 evaluations, ended by 'budget', seed=4" in repr(result)
