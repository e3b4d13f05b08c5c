"""What a user asks for, checked at once and put as data: a plan for who decides, an evaluator for who computes."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from manyhands.optimize.cube import Floats
from manyhands.optimize.evaluating import Evaluator
from manyhands.optimize.methods import make_algorithm
from manyhands.optimize.plan import MAX_FAILED_SHARE, Mode, Plan
from manyhands.optimize.space import Space
from manyhands.wire.preface import Preface

#: Evaluations, if neither a budget nor another end is asked for.
DEFAULT_BUDGET = 10_000
#: The method for one objective, and for several.
DEFAULT_METHOD, DEFAULT_METHOD_SEVERAL = "ga", "nsga2"

_SIGNS = {"min": 1.0, "max": -1.0}


@dataclass(frozen=True)
class Asked(Preface):
    """A search as who reads its results has to know it."""

    space: Space
    plan: Plan

    def whole(self, parts: Iterable[Any]) -> Any:
        """An OptimizeResult. Raises TooManyFailures, and whatever `parts` does."""
        from manyhands.optimize.recording import assembled

        return assembled(self, parts)

    def progress(self, packed: bytes) -> Any:
        """A Progress."""
        from manyhands.optimize.recording import read_progress

        return read_progress(self, packed)


class Request(NamedTuple):
    """One search, all of it. time_limit: seconds, or None."""

    space: Space
    plan: Plan
    evaluator: Evaluator
    time_limit: float | None

    @property
    def asked(self) -> Asked:
        """What its reader has to know."""
        return Asked(self.space, self.plan)


def request(
    objective: Callable[..., Any],
    space: Space | Mapping[str, Any],
    *,
    method: str | None = None,
    budget: int | None = None,
    direction: str | Sequence[str] = "min",
    mode: str = "windowed",
    generations: int | None = None,
    target: float | None = None,
    stagnation: int | None = None,
    time_limit: float | None = None,
    initial: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | None = None,
    constraints: Callable[..., Any] | Sequence[Callable[..., Any]] = (),
    noisy: bool = False,
    max_failed_share: float = MAX_FAILED_SHARE,
    batch: bool = False,
    window: int | None = None,
    seed: int | None = None,
    **settings: Any,
) -> Request:
    """See `Client.optimize`. Raises TypeError and ValueError for what cannot be, before anything runs."""
    if not callable(objective):
        raise TypeError(f"the objective must be callable, not {objective!r}")
    functions = (constraints,) if callable(constraints) else tuple(constraints)
    for each in functions:
        if not callable(each):
            raise TypeError(f"constraints must be callable, not {each!r}")
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"time_limit is a number of seconds above 0, not {time_limit!r}")
    whole = Space.of(space)
    signs = _signs_of(direction)
    name = method or (DEFAULT_METHOD if len(signs) == 1 else DEFAULT_METHOD_SEVERAL)
    has_end = any(each is not None for each in (budget, generations, target, stagnation, time_limit))
    if not has_end and name != "grid":
        budget = DEFAULT_BUDGET
    plan = Plan(
        cube=whole.cube,
        method=name,
        settings={key: _plain(value) for key, value in settings.items() if value is not None},
        mode=_mode(mode),
        signs=signs,
        seed=secrets.randbits(63) if seed is None else _seed(seed),
        budget=_whole("budget", budget),
        generations=_whole("generations", generations),
        target=None if target is None else float(target),
        stagnation=_whole("stagnation", stagnation),
        initial=_points(whole, initial),
        noisy=noisy,
        max_failed_share=max_failed_share,
        window=_whole("window", window),
    )
    make_algorithm(plan)  # what its settings cannot be is said here and now
    evaluator = Evaluator(objective, whole, len(signs), batch, functions)
    return Request(whole, plan, evaluator, time_limit)


def _signs_of(direction: str | Sequence[str]) -> tuple[float, ...]:
    directions = (direction,) if isinstance(direction, str) else tuple(direction)
    if not directions or not set(directions) <= _SIGNS.keys():
        raise ValueError(f'direction is "min" or "max", or one of them for each objective, not {direction!r}')
    return tuple(_SIGNS[each] for each in directions)


def _mode(mode: str) -> Mode:
    try:
        return Mode(mode)
    except ValueError:
        raise ValueError(f"mode is one of {', '.join(Mode)}, not {mode!r}") from None


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= seed < 1 << 63:
        raise ValueError(f"seed is a whole number from 0 to 2**63 - 1, not {seed!r}")
    return int(seed)


def _whole(name: str, value: Any) -> int | None:
    """Also of what is written 20e3."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
        raise ValueError(f"{name} is a whole number, not {value!r}")
    if value != int(value):
        raise ValueError(f"{name} is a whole number, not {value!r}")
    return int(value)


def _points(space: Space, initial: Any) -> Floats | None:
    if initial is None or not len(initial):
        return None
    try:
        return space.encode(initial)
    except ValueError as error:
        raise ValueError(f"initial: {error}") from error


def _plain(value: Any) -> Any:
    """A setting as JSON can say it."""
    return value.item() if isinstance(value, np.generic) else value
