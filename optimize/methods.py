"""The methods by their names, and how one is made of a plan."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from manyhands.optimize import settings
from manyhands.optimize.algorithm import Algorithm
from manyhands.optimize.cmaes import CMAES
from manyhands.optimize.ga import GA
from manyhands.optimize.ga_classic import ClassicGA
from manyhands.optimize.nsga2 import NSGA2
from manyhands.optimize.plan import Plan
from manyhands.optimize.portfolio import Portfolio
from manyhands.optimize.samplers import Grid, Latin, Random, Sobol

METHODS: dict[str, Callable[..., Algorithm]] = {
    "ga": GA,
    "ga-classic": ClassicGA,
    "portfolio": Portfolio,
    "nsga2": NSGA2,
    "cmaes": CMAES,
    "grid": Grid,
    "random": Random,
    "latin": Latin,
    "sobol": Sobol,
}

#: What every method is given, beside its settings.
_GIVEN = ("cube", "seed", "budget", "initial")


def make_algorithm(plan: Plan) -> Algorithm:
    """The plan's method. Raises ValueError for an unknown one, and for settings that it does not have or allow."""
    make = METHODS[settings.one_of("method", plan.method, METHODS)]
    parameters = inspect.signature(make).parameters.values()
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):  # otherwise it looks at them itself
        settings.known(plan.method, plan.settings, [each.name for each in parameters if each.name not in _GIVEN])
    return make(plan.cube, seed=plan.seed, budget=plan.budget, initial=plan.initial, **plan.settings)
