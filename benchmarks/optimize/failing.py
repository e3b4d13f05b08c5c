"""Owns what a fifth of failures costs: a search with them against a clean one with that much less to spend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.optimize.budgeted import Budgeted
from benchmarks.optimize.crew import say, work
from benchmarks.optimize.findings import Findings, Judged, short
from benchmarks.optimize.functions import CASES, Floats
from manyhands.optimize import minimize

SHARE = 0.2
NAMES = ("rastrigin", "ackley", "rosenbrock")
#: How many times worse it may be than the clean one.
REACH = 10.0
ABOUT = """\
The default search with the whole budget, of whose evaluations 20 % fail at random, against a clean one with 80 % of \
the budget; medians over the seeds."""


class Job(NamedTuple):
    case: str
    is_failing: bool
    seed: int


def search(job: Job) -> float:
    """The best score."""
    case = CASES[job.case]
    budget = case.budget if job.is_failing else round((1 - SHARE) * case.budget)
    objective = Budgeted(case.make(job.seed), budget)
    chance = np.random.default_rng([job.seed, 0xFA11])

    def score(columns: Mapping[str, Any]) -> Floats:
        scores = objective.of_columns(columns)
        if job.is_failing:
            scores[chance.random(len(scores)) < SHARE] = np.nan
        return scores

    result = minimize(score, objective.function.space, budget=budget, seed=job.seed, batch=True)
    if result.best_score is None:
        raise AssertionError("all evaluations failed")
    return result.best_score


def measure(seeds: Sequence[int], processes: int) -> Findings:
    jobs = [Job(case, is_failing, seed) for case in NAMES for is_failing in (False, True) for seed in seeds]
    found: dict[tuple[str, bool], list[float]] = {}
    for job, best in work(search, jobs, processes):
        if isinstance(best, Exception):
            raise best
        found.setdefault((job.case, job.is_failing), []).append(best)
    rows, judged = [], []
    for name in NAMES:
        clean, failing = (float(np.median(found[name, is_failing])) for is_failing in (False, True))
        title = CASES[name].title
        say(f"{title}: {short(clean)} clean, {short(failing)} with failures")
        ratio = failing / clean if clean else 1.0 if failing == clean else np.inf
        rows.append((title, short(clean), short(failing), short(ratio)))
        judged.append(Judged(f"{title}, 20 % failing: times the clean one's score", ratio, REACH, unit="x"))
    data = [{"case": case, "is_failing": is_failing, "best": best} for (case, is_failing), best in found.items()]
    head = ("", "clean, 0.8 of the budget", "20 % failing", "times as much")
    return Findings("A fifth fails", ABOUT, head, rows, judged, data)
