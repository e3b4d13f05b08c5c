"""Owns the contest for several objectives: how much of the plane NSGA-II's front covers, ours and pymoo's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.optimize.crew import say, work
from benchmarks.optimize.findings import Findings, Judged
from benchmarks.optimize.functions import Floats
from manyhands.optimize import minimize
from manyhands.optimize.front import hypervolume_2d, nondominated, thinned

D = 30
POPULATION = 100
EVALUATIONS = 25_000
REFERENCE = np.array([1.1, 1.1])
ABOUT = """\
ZDT1 to ZDT3 in 30 dimensions, population 100, 25 000 evaluations: the hypervolume as far as (1.1, 1.1), median of the \
seeds. *On equal terms* is the front of all evaluations, thinned to 100 points by the same rule for everybody: by this \
it is judged. *Handed back* is what the caller gets: from manyhands up to 1000 points of all evaluations, from pymoo \
the front of its last population."""


def zdt(number: int, X: Floats) -> Floats:
    """(n, d) in the unit cube -> (n, 2), to be minimised (Zitzler, Deb & Thiele 2000): ZDT1, ZDT2 or ZDT3."""
    first = X[:, 0]
    rest = 1.0 + 9.0 * X[:, 1:].mean(axis=1)
    share = first / rest
    if number == 2:
        shape = 1.0 - share**2
    else:
        shape = 1.0 - np.sqrt(share)
        if number == 3:
            shape -= share * np.sin(10.0 * np.pi * first)
    return np.column_stack([first, rest * shape])


class Job(NamedTuple):
    number: int
    contestant: str
    seed: int


class Found(NamedTuple):
    """Hypervolumes."""

    equal: float
    handed_back: float


class _Recorded:
    """A problem that keeps what it was asked, up to the budget."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._scores: list[Floats] = []

    def __call__(self, X: Floats) -> Floats:
        scores = zdt(self._number, X)
        self._scores.append(scores)
        return scores

    def covers(self) -> float:
        """On equal terms."""
        F = np.concatenate(self._scores)[:EVALUATIONS]
        front = F[nondominated(F, np.zeros(len(F)), np.ones(len(F), dtype=np.bool_))]
        return hypervolume_2d(front[thinned(front, POPULATION)], REFERENCE)


def _ours(mode: str) -> Callable[[_Recorded, int], Floats]:
    names = [f"x{at:02}" for at in range(D)]

    def search(problem: _Recorded, seed: int) -> Floats:
        def objective(columns: Mapping[str, Floats]) -> Floats:
            return problem(np.column_stack([columns[name] for name in names]))

        result = minimize(
            objective,
            dict.fromkeys(names, (0.0, 1.0)),
            direction=["min", "min"],
            mode=mode,
            population=POPULATION,
            budget=EVALUATIONS,
            seed=seed,
            batch=True,
        )
        return np.array([point.scores for point in result.front])

    return search


def _pymoo(problem: _Recorded, seed: int) -> Floats:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.optimize import minimize as run

    class Scored(Problem):  # type: ignore[misc]
        def _evaluate(self, X: Any, out: dict[str, Any], *arguments: Any, **more: Any) -> None:
            out["F"] = problem(X)

    scored = Scored(n_var=D, n_obj=2, xl=np.zeros(D), xu=np.ones(D))
    result = run(scored, NSGA2(pop_size=POPULATION), ("n_eval", EVALUATIONS), seed=seed % 2**32, verbose=False)
    front: Floats = np.atleast_2d(result.F)
    return front


PEER = "pymoo NSGA2"
#: The first is the default.
CONTESTANTS: dict[str, Callable[[_Recorded, int], Floats]] = {
    "nsga2": _ours("windowed"),
    "nsga2, generational": _ours("generational"),
    PEER: _pymoo,
}


def contest(job: Job) -> Found:
    """In a process of its own."""
    problem = _Recorded(job.number)
    front = CONTESTANTS[job.contestant](problem, job.seed)
    return Found(problem.covers(), hypervolume_2d(front, REFERENCE))


def measure(seeds: Sequence[int], processes: int) -> Findings:
    jobs = [Job(number, who, seed) for number in (1, 2, 3) for who in CONTESTANTS for seed in seeds]
    found: dict[tuple[int, str], list[Found]] = {}
    for job, outcome in work(contest, jobs, processes):
        if isinstance(outcome, Exception):
            raise outcome
        of_this = found.setdefault((job.number, job.contestant), [])
        of_this.append(outcome)
        if job.seed == seeds[-1]:
            say(f"ZDT{job.number}, {job.contestant}: {float(np.median([each.equal for each in of_this])):.5f}")
    medians = {
        key: Found(*(float(np.median(column)) for column in zip(*each, strict=True))) for key, each in found.items()
    }
    rows = [
        (f"ZDT{number}", who, f"{median.equal:.5f}", f"{median.handed_back:.5f}")
        for (number, who), median in medians.items()
    ]
    judged = [
        Judged(
            f"NSGA-II on ZDT{number}: hypervolume",
            medians[number, next(iter(CONTESTANTS))].equal,
            medians[number, PEER].equal,
            medians[number, PEER].equal,
            "higher",
            aim_is_strict=True,
        )
        for number in (1, 2, 3)
    ]
    data = [
        {"problem": f"ZDT{number}", "contestant": who, "runs": [each._asdict() for each in of_this]}
        for (number, who), of_this in found.items()
    ]
    return Findings("Several objectives", ABOUT, ("", "", "on equal terms", "handed back"), rows, judged, data)
