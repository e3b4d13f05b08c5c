"""Owns the peers on the mixed function, each by what it has for variables of several kinds."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.optimize.budgeted import Budgeted
from benchmarks.optimize.ours import Contestant
from benchmarks.optimize.peers import scipy_de

POPULATION = 50


def pygad_gene_space(objective: Budgeted, seed: int) -> None:
    import pygad

    function = objective.function
    search = pygad.GA(
        num_generations=objective.budget,  # ended by the callback
        num_parents_mating=POPULATION // 2,
        sol_per_pop=POPULATION,
        num_genes=function.d,
        gene_space=[
            list(range(int(low), int(high) + 1)) if is_whole else {"low": low, "high": high}
            for low, high, is_whole in zip(function.lower, function.upper, function.is_whole, strict=True)
        ],
        gene_type=[int if is_whole else float for is_whole in function.is_whole],
        fitness_func=lambda _search, points, _at: -objective(np.asarray(points, dtype=np.float64)),
        fitness_batch_size=POPULATION,
        on_generation=lambda _search: "stop" if objective.is_spent else None,
        random_seed=seed % 2**32,
        suppress_warnings=True,
    )
    search.run()


def pymoo_mixed(objective: Budgeted, seed: int) -> None:
    from pymoo.core.mixed import MixedVariableGA
    from pymoo.core.problem import Problem
    from pymoo.core.variable import Choice, Integer, Real
    from pymoo.optimize import minimize

    function = objective.function
    names = [f"v{at:02}" for at in range(function.d)]
    variables: dict[str, Any] = {}
    for at, name in enumerate(names):
        low, high = function.lower[at], function.upper[at]
        if function.is_category[at]:
            variables[name] = Choice(options=list(range(int(high) + 1)))
        else:
            variables[name] = (
                Integer(bounds=(int(low), int(high))) if function.is_whole[at] else Real(bounds=(low, high))
            )

    class Scored(Problem):  # type: ignore[misc]
        def _evaluate(self, X: Any, out: dict[str, Any], *arguments: Any, **more: Any) -> None:
            out["F"] = objective(np.array([[float(point[name]) for name in names] for point in X]))

    problem = Scored(vars=variables, n_obj=1)
    algorithm = MixedVariableGA(pop_size=POPULATION)
    minimize(problem, algorithm, ("n_eval", objective.budget), seed=seed % 2**32, verbose=False)


def cmaes_catcma(objective: Budgeted, seed: int) -> None:
    """CatCMA with margin, from the middle, again after each stop; the log and the steps are done for it."""
    import cmaes

    function = objective.function
    whole = function.is_whole & ~function.is_category
    real = ~function.is_whole
    order = [*np.flatnonzero(real), *np.flatnonzero(whole), *np.flatnonzero(function.is_category)]
    rng = np.random.default_rng(seed)

    def begin() -> Any:
        return cmaes.CatCMAwM(
            x_space=np.column_stack([function.lower[real], function.upper[real]]),
            z_space=[
                list(range(int(low), int(high) + 1))
                for low, high in zip(function.lower[whole], function.upper[whole], strict=True)
            ],
            c_space=function.upper[function.is_category].astype(np.int64) + 1,
            population_size=POPULATION,
            seed=int(rng.integers(2**31)),
        )

    search = begin()
    while not objective.is_spent:
        points = [search.ask() for _ in range(search.population_size)]
        X = np.empty((len(points), function.d))
        X[:, order] = [np.concatenate([each.x, each.z, np.argmax(each.c, axis=1)]) for each in points]
        search.tell(list(zip(points, objective(X).tolist(), strict=True)))
        if search.should_stop():
            search = begin()


MIXED_PEERS: dict[str, Contestant] = {
    "PyGAD": pygad_gene_space,
    "pymoo GA": pymoo_mixed,
    "SciPy DE": scipy_de,
    "cmaes CatCMAwM": cmaes_catcma,
}
