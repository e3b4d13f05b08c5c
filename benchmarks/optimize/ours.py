"""Owns the ways manyhands takes part in a contest, each with its defaults: (objective, seed) to nothing returned."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.optimize.budgeted import Budgeted
from manyhands.optimize import minimize

Contestant = Callable[[Budgeted, int], None]


def search(objective: Budgeted, seed: int, method: str = "ga", mode: str = "windowed") -> None:
    """The whole budget, in this process."""
    function, budget = objective.function, objective.budget
    result = minimize(
        objective.of_columns, function.space, method=method, mode=mode, budget=budget, seed=seed, batch=True
    )
    if result.best_score != objective.best or objective.used > budget:
        raise AssertionError(f"{method} says {result.best_score} after {objective.used}, and found {objective.best}")


#: The first is the default of `Client.optimize`, by which the bars are judged.
OURS: dict[str, Contestant] = {
    "ga": search,
    "ga, generational": partial(search, mode="generational"),
    "portfolio": partial(search, method="portfolio"),
    "cmaes": partial(search, method="cmaes"),
    "ga-classic": partial(search, method="ga-classic"),
}
