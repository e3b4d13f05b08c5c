"""Owns what choosing the points costs: CPU without the objective's, for each evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from benchmarks.optimize.budgeted import Budgeted
from benchmarks.optimize.crew import say, work
from benchmarks.optimize.findings import Findings, Judged
from benchmarks.optimize.functions import rastrigin
from benchmarks.optimize.peers import scipy_de
from manyhands.optimize import minimize

POPULATION, D = 1000, 10
EVALUATIONS = 100_000
REPETITIONS = 3
PEER = "SciPy DE, vectorised"
AIM = 0.2
ABOUT = """\
Microseconds of CPU for each evaluation, without those of the objective, which takes all points at once: population \
1000, 10 dimensions, 100 000 evaluations, the best of 3. manyhands keeps a history of them meanwhile."""


def _ours(mode: str, objective: Budgeted, seed: int) -> None:
    minimize(
        objective.of_columns,
        objective.function.space,
        mode=mode,
        budget=objective.budget,
        population=POPULATION,
        population_min=POPULATION,
        seed=seed,
        batch=True,
    )


RUNS: dict[str, Callable[[Budgeted, int], None]] = {
    "ga, generational": partial(_ours, "generational"),
    "ga, windowed": partial(_ours, "windowed"),
    PEER: partial(scipy_de, popsize=POPULATION // D),
}


def microseconds(name: str) -> float:
    """In a process of its own."""
    run = RUNS[name]
    run(Budgeted(rastrigin(D, 0), 3 * POPULATION), 0)  # it has imported what it needs
    best = float("inf")
    for seed in range(1, REPETITIONS + 1):
        objective = Budgeted(rastrigin(D, seed), EVALUATIONS)
        begun = time.process_time()
        run(objective, seed)
        best = min(best, (time.process_time() - begun - objective.seconds) / objective.used)
    return best * 1e6


def measure() -> Findings:
    found: dict[str, float] = {}
    for name, outcome in work(microseconds, list(RUNS), processes=1):
        if isinstance(outcome, Exception):
            raise outcome
        found[name] = outcome
        say(f"{name}: {outcome:.2f} us")
    peer = found[PEER]
    rows = [(name, f"{each:.2f}", f"{each / peer:.2f}") for name, each in found.items()]
    judged = [
        Judged(f"overhead, {name}: times SciPy's", each / peer, 1.0, AIM, unit="x")
        for name, each in found.items()
        if name != PEER
    ]
    return Findings("What it costs", ABOUT, ("", "us", "times SciPy's"), rows, judged, found)
