"""The method of a client that searches: what users call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from manyhands.client import optimizing
from manyhands.client.detached import DetachedJob
from manyhands.client.options import Options
from manyhands.client.search_progress import SearchBar
from manyhands.client.session import Session
from manyhands.wire.function_name import name_of

if TYPE_CHECKING:
    from manyhands.optimize.result import OptimizeResult
    from manyhands.optimize.space import Space


class Searches:
    """Part of `Client`."""

    session: Session

    def named(self, name: str | None) -> Options:
        """The options of a call by that name; None: no other than theirs."""
        raise NotImplementedError

    @overload
    def optimize(
        self, objective: Callable[..., Any], space: Space | Mapping[str, Any], *, detach: Literal[False] = False,
        **asked: Any,
    ) -> OptimizeResult: ...  # fmt: skip

    @overload
    def optimize(
        self, objective: Callable[..., Any], space: Space | Mapping[str, Any], *, detach: Literal[True], **asked: Any
    ) -> DetachedJob: ...

    def optimize(
        self,
        objective: Callable[..., Any],
        space: Space | Mapping[str, Any],
        *,
        method: str | None = None,
        budget: int | None = None,
        direction: str | Sequence[str] = "min",
        mode: str = "windowed",
        population: int | None = None,
        generations: int | None = None,
        target: float | None = None,
        stagnation: int | None = None,
        time_limit: float | None = None,
        initial: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | None = None,
        constraints: Callable[..., Any] | Sequence[Callable[..., Any]] = (),
        noisy: bool = False,
        max_failed_share: float = 0.5,
        batch: bool = False,
        window: int | None = None,
        seed: int | None = None,
        callback: optimizing.Callback | None = None,
        progress: bool = False,
        detach: bool = False,
        name: str | None = None,
        **settings: Any,
    ) -> OptimizeResult | DetachedJob:
        """Find the best point of a space: `objective(params)` returns the score of a dict of parameters.

        space: a `manyhands.optimize.Space`, or {name: (low, high)}. method: "ga" (default), "ga-classic", "portfolio",
        "cmaes", "nsga2" (several objectives), "grid", "random", "latin" or "sobol", with its `population` and other
        `settings`; see docs/optimize.md for which one when. direction: "min", "max", or one for each score that the
        objective returns. mode: "windowed" (default), "generational", or "async", which keeps most slots busy and is
        not the same twice. The other two give the same history for the same `seed`, whatever workers there are.

        It ends after `budget` evaluations (10 000 if nothing else ends it), `generations`, when a score is as good as
        `target`, after `stagnation` evaluations without a better one, or after `time_limit` seconds. constraints:
        functions of the same params, each positive where it is violated. initial: points to begin with. An evaluation
        that raises, crashes, takes longer than with_options(timeout=), or returns no number has failed: it loses, and
        if more than `max_failed_share` of them do, TooManyFailures is raised. What was evaluated before is not
        evaluated again, unless the objective is `noisy`. batch: the objective takes a dict of arrays, and returns one.
        window: evaluations that may be out at a time, where the mode has a choice: with more than 32 slots, more than
        the 64 that are usual. In a task `current_task().seed` is a seed of the evaluation's own.

        callback: called with a `Progress` now and then; if it returns True, the search ends with what it has.
        `progress` shows a bar on stderr. Returns an OptimizeResult; with `detach` and a `name` a DetachedJob, whose
        `result()` is one. Raises TypeError and ValueError for what cannot be asked for, before anything runs.
        """
        from manyhands.optimize.request import request

        what = request(
            objective, space, method=method, budget=budget, direction=direction, mode=mode, population=population,
            generations=generations, target=target, stagnation=stagnation, time_limit=time_limit, initial=initial,
            constraints=constraints, noisy=noisy, max_failed_share=max_failed_share, batch=batch, window=window,
            seed=seed, **settings,
        )  # fmt: skip
        session, options = self.session, self.named(name)
        if detach:
            check_detached(callback)
            return optimizing.detach(session, options, what)
        bar = SearchBar(name_of(objective)) if progress else None
        return optimizing.run(session, options, what, optimizing.SearchJob(session.connection), callback, bar)


def check_detached(callback: optimizing.Callback | None) -> None:
    """Raises ValueError for what cannot go with `detach`."""
    if callback is not None:
        raise ValueError("a detached search outlives this process, and its callback: look with progress()")
