"""Owns the contest: what everybody finds within the same budget on the same functions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.optimize.budgeted import Budgeted
from benchmarks.optimize.crew import say, work
from benchmarks.optimize.findings import Findings, Judged, short
from benchmarks.optimize.functions import CASES
from benchmarks.optimize.mixed_peers import MIXED_PEERS
from benchmarks.optimize.ours import OURS
from benchmarks.optimize.peers import GENETIC, PEERS

ABOUT = """\
The best score within the budget: median of the seeds (lower to upper quartile). Each seed has a function of its own, \
with its optimum anywhere in the central 80 % of the box; points outside of the box earn no credit; what is found \
after the budget does not count. On the mixed function PyGAD has `gene_space`, pymoo its MixedVariableGA, SciPy \
`integrality`, and cmaes is CatCMAwM with population 50."""


class Job(NamedTuple):
    case: str
    contestant: str
    seed: int


class Found(NamedTuple):
    best: float
    #: CPU, of everything.
    seconds: float


def contestants(case: str) -> list[str]:
    return [*OURS, *(MIXED_PEERS if case == "mixed" else PEERS)]


def contest(job: Job) -> Found:
    """In a process of its own."""
    case = CASES[job.case]
    run = (OURS | (MIXED_PEERS if job.case == "mixed" else PEERS))[job.contestant]
    objective = Budgeted(case.make(job.seed), case.budget)
    begun = time.process_time()
    run(objective, job.seed)
    return Found(objective.best, time.process_time() - begun)


def measure(seeds: Sequence[int], processes: int) -> Findings:
    jobs = [Job(case, who, seed) for case in CASES for who in contestants(case) for seed in seeds]
    found: dict[tuple[str, str], list[Found]] = {}
    failures: list[str] = []
    for job, outcome in work(contest, jobs, processes):
        if isinstance(outcome, Exception):
            failures.append(f"{job.contestant} on {CASES[job.case].title}, seed {job.seed}: {outcome!r}")
            say(failures[-1])
            continue
        of_this = found.setdefault((job.case, job.contestant), [])
        of_this.append(outcome)
        if job.seed == seeds[-1]:
            say(f"{CASES[job.case].title}, {job.contestant}: {_cell(of_this)}")
    return findings(found, failures)


def findings(found: dict[tuple[str, str], list[Found]], failures: Sequence[str]) -> Findings:
    """found: by case and contestant, a Found for each seed."""
    everybody = list(dict.fromkeys(who for case in CASES for who in contestants(case)))
    rows = [(who, *(_cell(found.get((case, who), [])) for case in CASES)) for who in everybody]
    rows.append(("**best GA among the peers**", *(short(best_genetic(found, case)) for case in CASES)))
    default = next(iter(OURS))
    judged = [
        Judged(
            f"{case.title}, {case.budget:,} evaluations", _median(found.get((name, default), [])), case.reach, case.aim
        )
        for name, case in CASES.items()
    ]
    data = [
        {
            "case": case,
            "contestant": who,
            "best": [each.best for each in of_this],
            "cpu": [each.seconds for each in of_this],
        }
        for (case, who), of_this in found.items()
    ]
    head = ("", *(case.title for case in CASES.values()))
    return Findings("What is found", ABOUT, head, rows, judged, data, failures)


def best_genetic(found: dict[tuple[str, str], list[Found]], case: str) -> float | None:
    """The median of the peer that the first bar is about, as it is in this run."""
    medians = [median for who in GENETIC if (median := _median(found.get((case, who), []))) is not None]
    return min(medians, default=None)


def _median(found: Sequence[Found]) -> float | None:
    return float(np.median([each.best for each in found])) if found else None


def _cell(found: Sequence[Found]) -> str:
    if not found:
        return ""
    low, middle, high = np.quantile([each.best for each in found], (0.25, 0.5, 0.75))
    return f"{short(middle)} ({short(low)} to {short(high)})"
