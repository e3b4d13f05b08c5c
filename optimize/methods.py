"""The methods by their names, and how one is made of a plan."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from manyhands.optimize.algorithm import Algorithm
from manyhands.optimize.plan import Plan

METHODS: dict[str, Callable[..., Algorithm]] = {}


def make_algorithm(plan: Plan) -> Algorithm:
    """The plan's method. Raises ValueError for an unknown one, and for settings that it does not have or allow."""
    make = METHODS.get(plan.method)
    if make is None:
        raise ValueError(f"there is no method {plan.method!r}: choose one of {', '.join(sorted(METHODS))}")
    allowed = settings_of(make)
    for name in plan.settings:
        if name not in allowed:
            raise ValueError(f"method {plan.method!r} has no setting {name!r}: it has {', '.join(allowed) or 'none'}")
    return make(plan.cube, seed=plan.seed, budget=plan.budget, initial=plan.initial, **plan.settings)


def settings_of(make: Callable[..., Any]) -> tuple[str, ...]:
    """Names of what may be set, of a method."""
    given = ("seed", "budget", "initial")
    return tuple(
        name
        for name, parameter in inspect.signature(make).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in given
    )
