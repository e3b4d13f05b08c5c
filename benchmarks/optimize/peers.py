"""Owns the peers on continuous functions: each spends its budget, with its own defaults where it has some."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from benchmarks.optimize.budgeted import Budgeted
from benchmarks.optimize.ours import Contestant

#: For those that have no size of their own.
POPULATION = 100


def pygad_default(objective: Budgeted, seed: int) -> None:
    """Steady-state selection, single-point crossover, random mutation of 10 % of the genes, half of them parents."""
    import pygad

    function = objective.function
    search = pygad.GA(
        num_generations=objective.budget,  # ended by the callback
        num_parents_mating=POPULATION // 2,
        sol_per_pop=POPULATION,
        num_genes=function.d,
        gene_space=[{"low": low, "high": high} for low, high in zip(function.lower, function.upper, strict=True)],
        fitness_func=lambda _search, points, _at: -objective(np.asarray(points, dtype=np.float64)),
        fitness_batch_size=POPULATION,
        on_generation=lambda _search: "stop" if objective.is_spent else None,
        random_seed=seed % 2**32,
        suppress_warnings=True,
    )
    search.run()


def deap_sbx(objective: Budgeted, seed: int) -> None:
    """(mu + lambda) by its bounded SBX and polynomial mutation, with the usual rates (it has no defaults)."""
    from deap import tools

    function = objective.function
    d, low, high = function.d, function.lower.tolist(), function.upper.tolist()
    make = _deap_population(objective, seed)
    population = make()
    while not objective.is_spent:
        children = [_deap_copy(each) for each in tools.selTournament(population, POPULATION, tournsize=2)]
        for one, other in zip(children[::2], children[1::2], strict=True):
            if random.random() < 0.9:
                tools.cxSimulatedBinaryBounded(one, other, eta=15.0, low=low, up=high)
        for child in children:
            tools.mutPolynomialBounded(child, eta=20.0, low=low, up=high, indpb=1.0 / d)
        _deap_evaluate(objective, children)
        population = tools.selBest(population + children, POPULATION)


def deap_tutorial(objective: Budgeted, seed: int) -> None:
    """`eaSimple` with the operators and rates of its overview: two-point crossover, Gaussian mutation by 1."""
    from deap import tools

    make = _deap_population(objective, seed)
    population = make()
    while not objective.is_spent:
        children = [_deap_copy(each) for each in tools.selTournament(population, POPULATION, tournsize=3)]
        for one, other in zip(children[::2], children[1::2], strict=True):
            if random.random() < 0.5:
                tools.cxTwoPoint(one, other)
        for child in children:
            if random.random() < 0.2:
                tools.mutGaussian(child, mu=0.0, sigma=1.0, indpb=0.1)
        _deap_evaluate(objective, children)
        population = children


def _deap_population(objective: Budgeted, seed: int) -> Any:
    """A maker of evaluated individuals; DEAP draws from Python's global generator."""
    from deap import base, creator

    random.seed(seed)
    if not hasattr(creator, "BenchIndividual"):
        creator.create("BenchFitness", base.Fitness, weights=(-1.0,))
        creator.create("BenchIndividual", list, fitness=creator.BenchFitness)
    function = objective.function

    def make() -> list[Any]:
        population = [
            creator.BenchIndividual(map(random.uniform, function.lower.tolist(), function.upper.tolist()))
            for _ in range(POPULATION)
        ]
        _deap_evaluate(objective, population)
        return population

    return make


def _deap_copy(individual: Any) -> Any:
    copied = type(individual)(individual)
    copied.fitness.values = individual.fitness.values
    return copied


def _deap_evaluate(objective: Budgeted, individuals: list[Any]) -> None:
    for individual, score in zip(individuals, objective(np.array(individuals)), strict=True):
        individual.fitness.values = (float(score),)


def pymoo_ga(objective: Budgeted, seed: int) -> None:
    from pymoo.algorithms.soo.nonconvex.ga import GA

    _pymoo(objective, GA(pop_size=POPULATION), seed)


def pymoo_de(objective: Budgeted, seed: int) -> None:
    from pymoo.algorithms.soo.nonconvex.de import DE

    _pymoo(objective, DE(pop_size=POPULATION), seed)


def _pymoo(objective: Budgeted, algorithm: Any, seed: int) -> None:
    from pymoo.core.problem import Problem
    from pymoo.optimize import minimize

    class Scored(Problem):  # type: ignore[misc]
        def _evaluate(self, X: Any, out: dict[str, Any], *arguments: Any, **more: Any) -> None:
            out["F"] = objective(X)

    function = objective.function
    problem = Scored(n_var=function.d, n_obj=1, xl=function.lower, xu=function.upper)
    minimize(problem, algorithm, ("n_eval", objective.budget), seed=seed % 2**32, verbose=False)


def scipy_de(objective: Budgeted, seed: int, popsize: int = 15) -> None:
    """Vectorised differential evolution by its defaults, `popsize` for each dimension; no stop before the end."""
    from scipy.optimize import differential_evolution

    function = objective.function
    differential_evolution(
        lambda X: objective(X.T),
        list(zip(function.lower, function.upper, strict=True)),
        integrality=function.is_whole if function.is_whole.any() else None,
        vectorized=True,
        updating="deferred",
        polish=False,
        tol=0.0,
        popsize=popsize,
        maxiter=objective.budget,  # ended by the callback
        callback=lambda *_: objective.is_spent,
        rng=np.random.default_rng(seed),
    )


def cmaes_ipop(objective: Budgeted, seed: int) -> None:
    """In the unit cube, from anywhere in it, sigma 0.3; a population twice as large after each stop."""
    import cmaes

    function = objective.function
    rng = np.random.default_rng(seed)
    bounds = np.tile([0.0, 1.0], (function.d, 1))

    def begin(population: int) -> Any:
        return cmaes.CMA(
            mean=rng.random(function.d),
            sigma=0.3,
            bounds=bounds,
            population_size=population,
            seed=int(rng.integers(2**31)),
        )

    search = begin(POPULATION)
    while not objective.is_spent:
        U = np.array([search.ask() for _ in range(search.population_size)])
        scores = objective(function.lower + U * (function.upper - function.lower))
        search.tell(list(zip(U, scores.tolist(), strict=True)))
        if search.should_stop():
            search = begin(2 * search.population_size)


PEERS: dict[str, Contestant] = {
    "PyGAD": pygad_default,
    "DEAP SBX": deap_sbx,
    "DEAP tutorial": deap_tutorial,
    "pymoo GA": pymoo_ga,
    "pymoo DE": pymoo_de,
    "SciPy DE": scipy_de,
    "cmaes IPOP": cmaes_ipop,
}
#: Those that are genetic algorithms, of which the best is what has to be reached.
GENETIC = ("PyGAD", "DEAP SBX", "DEAP tutorial", "pymoo GA")
