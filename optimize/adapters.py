"""Any optimizer that is asked and told, on a cluster: ours from your own loop, cmaes.CMA and its like, Optuna."""

from __future__ import annotations

import math
import queue
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from manyhands.optimize.choices import Categorical
from manyhands.optimize.evaluations import Status
from manyhands.optimize.optimizer import Optimizer
from manyhands.optimize.parameters import Float, Int, Parameter
from manyhands.optimize.space import Space
from manyhands.wire.errors import EncodeError, InfrastructureError, TaskCrashed, TaskMemoryExceeded, TaskTimeout

if TYPE_CHECKING:
    import optuna

#: Evaluations that are out for each slot, if nothing else is said: one that runs, and the next.
PER_SLOT = 2

#: What an objective returned: one number, or as many as there are objectives.
Score = float | tuple[float, ...]


class Evaluation(NamedTuple):
    """point: what the objective was given; score: None if it failed, by `error`."""

    point: Any
    score: Score | None
    error: BaseException | None = None


class AskTell(ABC):
    """What `run_ask_tell` asks and tells: write one of these for an optimizer of another form."""

    #: Whether `done` will say at some time that it is.
    has_end = False

    @abstractmethod
    def ask(self, n: int) -> Iterable[tuple[Any, Any]]:
        """Up to n pairs: a handle, by which it is told, and the point to be evaluated. None: tell it others first."""

    @abstractmethod
    def tell(self, handle: Any, evaluation: Evaluation) -> None:
        """What became of it. Each as it comes, whatever was asked for before or since."""

    def give_up(self, handle: Any) -> None:  # noqa: B027 - most do not care
        """This one will not be told."""

    def done(self) -> bool:
        """Whether it wants no more points."""
        return False

    @classmethod
    def of(cls, optimizer: Any) -> AskTell:
        """As it is, or in what makes one of it. Raises TypeError."""
        if isinstance(optimizer, AskTell):
            return optimizer
        if isinstance(optimizer, Optimizer):
            return _Ours(optimizer)
        if type(optimizer).__module__.partition(".")[0] == "optuna":
            raise TypeError("an Optuna study does not know its space: give OptunaStudy(study, space)")
        if callable(getattr(optimizer, "ask", None)) and callable(getattr(optimizer, "tell", None)):
            return Generations(optimizer)
        raise TypeError(f"an optimizer has ask() and tell(), and {type(optimizer).__name__} has not: write an AskTell")


def run_ask_tell(
    client: Executor,
    objective: Callable[[Any], Any],
    optimizer: Any,
    budget: int | None = None,
    *,
    in_flight: int | None = None,
    callback: Callable[[Evaluation], Any] | None = None,
) -> list[Evaluation]:
    """Evaluate what `optimizer` asks for on the cluster, and tell it what comes, as it comes; all evaluations, in the
    order in which they ended.

    client: a Client, with any options, or another executor. objective: of one point, as the optimizer has it: a dict
    of params where there is a Space. optimizer: an Optimizer; an object like cmaes.CMA, see Generations; OptunaStudy;
    any AskTell. budget: evaluations; None: until an Optimizer says that it is done. in_flight: evaluations that are out
    at a time, by default two for each slot there is. callback: called with each; if it returns True, that is the end.

    What an objective raises, a score that is not a number, a crash or a timeout is told as a failure. Raises what is
    wrong with the cluster, the connection or the objective itself, such as EncodeError; whatever is raised here,
    KeyboardInterrupt too, cancels what is out. Raises ValueError and TypeError for what cannot be.
    """
    source = AskTell.of(optimizer)
    for name, value in (("budget", budget), ("in_flight", in_flight)):
        if value is not None and value < 1:
            raise ValueError(f"{name} has to be at least 1, not {value}")
    if budget is None and not source.has_end:
        raise ValueError("budget: how many evaluations? This optimizer does not say when it is done")
    out: dict[Future[Any], tuple[Any, Any]] = {}
    arrived: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    evaluations: list[Evaluation] = []
    asked, is_over = 0, False
    try:
        while True:
            room = (in_flight or PER_SLOT * _slots(client)) - len(out)
            wanted = room if budget is None else min(room, budget - asked)
            if wanted > 0 and not is_over and not source.done():
                for handle, point in source.ask(wanted):
                    try:
                        future = client.submit(objective, point)
                    except BaseException:
                        source.give_up(handle)
                        raise
                    out[future] = handle, point
                    future.add_done_callback(arrived.put)
                    asked += 1
            if is_over or not out:
                return evaluations
            future = arrived.get()
            handle, point = out[future]
            evaluation = _evaluated(point, future)
            del out[future]
            source.tell(handle, evaluation)
            evaluations.append(evaluation)
            is_over = callback is not None and callback(evaluation) is True
    finally:
        for future, (handle, _) in out.items():
            future.cancel()
            source.give_up(handle)


def _slots(client: Executor) -> int:
    """Executors, ours too, say it there, and nowhere else."""
    return int(getattr(client, "_max_workers", 1))


def _evaluated(point: Any, future: Future[Any]) -> Evaluation:
    """Raises what is no fault of the point."""
    try:
        return Evaluation(point, _score(future.result()))
    except (InfrastructureError, EncodeError, BrokenExecutor, CancelledError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever an objective raises is told
        return Evaluation(point, None, error)


def _score(returned: Any) -> Score:
    is_one = not isinstance(returned, (list, tuple, np.ndarray))
    numbers = (float(returned),) if is_one else tuple(float(each) for each in np.ravel(returned))
    if any(map(math.isnan, numbers)):
        raise ValueError(f"the score is not a number: {returned!r}")
    return numbers[0] if is_one else numbers


class _Ours(AskTell):
    has_end = True

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def ask(self, n: int) -> Iterable[tuple[int, dict[str, Any]]]:
        points = self._optimizer.ask(n)
        return zip(points.ids.tolist(), points.params, strict=True)

    def tell(self, handle: int, evaluation: Evaluation) -> None:
        scores = np.nan if evaluation.score is None else evaluation.score
        F = np.broadcast_to(scores, (1, self._optimizer.objectives))
        self._optimizer.tell([handle], F, [_status(evaluation.error)])

    def done(self) -> bool:
        return self._optimizer.done() is not None


def _status(error: BaseException | None) -> Status:
    match error:
        case None:
            return Status.OK
        case TaskTimeout():
            return Status.TIMED_OUT
        case TaskCrashed() | TaskMemoryExceeded():
            return Status.CRASHED
        case _:
            return Status.FAILED


class Generations(AskTell):
    """An object whose `ask()` returns one point, and whose `tell` takes a list of (point, value) to be minimised, once
    for as many points as a generation has: cmaes.CMA, and others of that form. It is told in the order in which it was
    asked. A failed evaluation, for which it has no word, is told as infinite.

    Points of the next generation are not asked for before it has been told of all of this one: a long evaluation keeps
    all slots waiting, unlike with an Optimizer.
    """

    def __init__(self, optimizer: Any, size: int | None = None, *, direction: str = "min") -> None:
        """size: of a generation; None: its `population_size`. direction: "max": it is told the negative of scores.
        Raises ValueError.
        """
        if size is None:
            size = getattr(optimizer, "population_size", None)
        if size is None or size < 1:
            raise ValueError(f"size: how many points does {type(optimizer).__name__} want to be told at a time?")
        if direction not in {"min", "max"}:
            raise ValueError(f'direction is "min" or "max", not {direction!r}')
        self._optimizer = optimizer
        self._size = int(size)
        self._sign = 1.0 if direction == "min" else -1.0
        self._points: list[Any] = []
        self._values: dict[int, float] = {}

    def ask(self, n: int) -> Iterable[tuple[int, Any]]:
        first = len(self._points)
        # It may still write to what it has handed out.
        self._points += [np.copy(self._optimizer.ask()) for _ in range(min(n, self._size - first))]
        return list(enumerate(self._points))[first:]

    def tell(self, handle: int, evaluation: Evaluation) -> None:
        score = evaluation.score
        if isinstance(score, tuple):
            raise TypeError(f"{type(self._optimizer).__name__} takes one score for each point, not {score}")
        self._values[handle] = math.inf if score is None else self._sign * score
        if len(self._values) == self._size:
            told = [(point, self._values[at]) for at, point in enumerate(self._points)]
            self._points, self._values = [], {}
            self._optimizer.tell(told)


class OptunaStudy(AskTell):
    """A study of Optuna. The objective is given a dict of params. What fails, and what is out when all is given up, is
    told as TrialState.FAIL. The study says what is best, and knows its direction.
    """

    def __init__(self, study: optuna.Study, space: Space | Mapping[str, Any]) -> None:
        """Raises ImportError without Optuna; ValueError, naming the parameter, for one that Optuna does not have, such
        as a log scale with steps.
        """
        try:
            from optuna import distributions
            from optuna.trial import TrialState
        except ImportError as error:
            raise ImportError('a study needs Optuna: pip install "manyhands[optuna]"') from error
        self._study = study
        self._failed = TrialState.FAIL
        self._space = Space.of(space)
        self._distributions = {}
        for name, parameter in self._space.parameters.items():
            try:
                self._distributions[name] = _distribution(parameter, distributions)
            except ValueError as error:
                raise ValueError(f"{name}: Optuna cannot search {parameter}: {error}") from error

    def ask(self, n: int) -> Iterable[tuple[Any, dict[str, Any]]]:
        for _ in range(n):
            trial = self._study.ask(self._distributions)
            yield trial, {name: self._value(name, trial.params[name]) for name in self._distributions}

    def _value(self, name: str, suggested: Any) -> Any:
        parameter = self._space.parameters[name]
        if isinstance(parameter, Categorical) and not _is_plain(parameter):
            return parameter.choices[suggested]
        return suggested

    def tell(self, handle: Any, evaluation: Evaluation) -> None:
        if evaluation.score is None:
            self.give_up(handle)
        else:
            self._study.tell(handle, evaluation.score)

    def give_up(self, handle: Any) -> None:
        self._study.tell(handle, state=self._failed)


def _distribution(parameter: Parameter, distributions: Any) -> Any:
    """The same, as Optuna has it; choices that are no plain values by their number."""
    if isinstance(parameter, Float):
        return distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    if isinstance(parameter, Int):
        return distributions.IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    assert isinstance(parameter, Categorical)
    choices = tuple(parameter.choices)
    return distributions.CategoricalDistribution(choices if _is_plain(parameter) else tuple(range(len(choices))))


def _is_plain(parameter: Categorical) -> bool:
    """Whether all choices are of the kinds that Optuna stores, and different for it, to which True is 1."""
    choices = parameter.choices
    return all(isinstance(each, (str, int, float, bool, type(None))) for each in choices) and (
        len(set(choices)) == len(choices)
    )
