"""Owns the contest for several objectives: how much of the plane NSGA-II's front covers, ours and pymoo's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.optimize.crew import say, work
from benchmarks.optimize.findings import Findings, Judged
from benchmarks.optimize.functions import Floats
from manyhands.optimize.cube import Column, Cube, Kind
from manyhands.optimize.front import hypervolume_2d, nondominated, thinned
from manyhands.optimize.nsga2 import NSGA2
from manyhands.optimize.plan import Mode, Plan
from manyhands.optimize.search import Search

D = 30
POPULATION = 100
EVALUATIONS = 25_000
REFERENCE = np.array([1.1, 1.1])
ABOUT = """\
ZDT1 to ZDT3 in 30 dimensions, population 100, 25 000 evaluations: the hypervolume as far as (1.1, 1.1), median of the \
seeds. *Last population* is what papers compare, and what pymoo hands back: by this it is judged. *Handed back* is \
what the caller gets, from manyhands up to 1000 points of all evaluations. *All, thinned* is the front of all \
evaluations, thinned to 100 points by our rule for everybody."""


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

    last: float
    handed_back: float
    thinned: float


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
        """All, thinned."""
        F = np.concatenate(self._scores)[:EVALUATIONS]
        front = F[nondominated(F, np.zeros(len(F)), np.ones(len(F), dtype=np.bool_))]
        return hypervolume_2d(front[thinned(front, POPULATION)], REFERENCE)


def _ours(mode: Mode) -> Callable[[_Recorded, int], tuple[Floats, Floats]]:
    def search(problem: _Recorded, seed: int) -> tuple[Floats, Floats]:
        cube = Cube([Column(Kind.CONTINUOUS)] * D)
        plan = Plan(cube, "nsga2", mode=mode, signs=(1.0, 1.0), budget=EVALUATIONS, seed=seed)
        method = NSGA2(cube, seed=seed, budget=EVALUATIONS, population=POPULATION)
        search = Search(plan, algorithm=method)
        while not search.done():
            batch = search.ask()
            search.tell(batch.ids, problem(batch.U))
            search.take_history()
        return method._members.F, search.front()[2]

    return search


def _pymoo(problem: _Recorded, seed: int) -> tuple[Floats, Floats]:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.optimize import minimize as run

    class Scored(Problem):  # type: ignore[misc]
        def _evaluate(self, X: Any, out: dict[str, Any], *arguments: Any, **more: Any) -> None:
            out["F"] = problem(X)

    scored = Scored(n_var=D, n_obj=2, xl=np.zeros(D), xu=np.ones(D))
    result = run(scored, NSGA2(pop_size=POPULATION), ("n_eval", EVALUATIONS), seed=seed % 2**32, verbose=False)
    front: Floats = np.atleast_2d(result.F)
    return front, front


PEER = "pymoo NSGA2"
#: The first is the default.
CONTESTANTS: dict[str, Callable[[_Recorded, int], tuple[Floats, Floats]]] = {
    "nsga2": _ours(Mode.WINDOWED),
    "nsga2, generational": _ours(Mode.GENERATIONAL),
    PEER: _pymoo,
}


def contest(job: Job) -> Found:
    """In a process of its own."""
    problem = _Recorded(job.number)
    last, front = CONTESTANTS[job.contestant](problem, job.seed)
    return Found(hypervolume_2d(last, REFERENCE), hypervolume_2d(front, REFERENCE), problem.covers())


def measure(seeds: Sequence[int], processes: int) -> Findings:
    jobs = [Job(number, who, seed) for number in (1, 2, 3) for who in CONTESTANTS for seed in seeds]
    found: dict[tuple[int, str], list[Found]] = {}
    for job, outcome in work(contest, jobs, processes):
        if isinstance(outcome, Exception):
            raise outcome
        of_this = found.setdefault((job.number, job.contestant), [])
        of_this.append(outcome)
        if job.seed == seeds[-1]:
            say(f"ZDT{job.number}, {job.contestant}: {float(np.median([each.last for each in of_this])):.5f}")
    medians = {
        key: Found(*(float(np.median(column)) for column in zip(*each, strict=True))) for key, each in found.items()
    }
    rows = [(f"ZDT{number}", who, *(f"{value:.5f}" for value in median)) for (number, who), median in medians.items()]
    judged = [
        Judged(
            f"NSGA-II on ZDT{number}: hypervolume",
            medians[number, next(iter(CONTESTANTS))].last,
            medians[number, PEER].last,
            medians[number, PEER].last,
            "higher",
            aim_is_strict=True,
        )
        for number in (1, 2, 3)
    ]
    data = [
        {"problem": f"ZDT{number}", "contestant": who, "runs": [each._asdict() for each in of_this]}
        for (number, who), of_this in found.items()
    ]
    return Findings(
        "Several objectives", ABOUT, ("", "", "last population", "handed back", "all, thinned"), rows, judged, data
    )
