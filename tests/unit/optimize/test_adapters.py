"""Any optimizer on any executor: asked as there is room, told what comes as it comes, failures too."""

from __future__ import annotations

import enum
import math
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from random import Random
from typing import Any

import numpy as np
import pytest

from manyhands.optimize import (
    AskTell,
    Categorical,
    Evaluation,
    Float,
    Generations,
    Int,
    Optimizer,
    OptunaStudy,
    Space,
    minimize,
    run_ask_tell,
)
from manyhands.wire.errors import DataLost, EncodeError, TaskCrashed, TaskTimeout

SPACE = Space(x=Float(-5, 5), n=Int(0, 9))


class Shuffled(Executor):
    """Runs a task when somebody waits for one: any of those that are out."""

    def __init__(self, slots: int = 3, seed: int = 0) -> None:
        self._max_workers = slots
        self._random = Random(seed)
        self.most = 0
        self.out: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.out.append((future, lambda: fn(*args, **kwargs)))
        self.most = max(self.most, len(self.out))
        return future

    def run_one(self) -> None:
        future, run = self.out.pop(self._random.randrange(len(self.out)))
        future.set_running_or_notify_cancel()
        try:
            result = run()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)


class Waiting:
    """In the place of the queue of what has arrived: whoever reads it has one task run."""

    executor: Shuffled

    def __init__(self) -> None:
        self._arrived: deque[Any] = deque()

    def put(self, future: Any) -> None:
        self._arrived.append(future)

    def get(self) -> Any:
        while not self._arrived:
            self.executor.run_one()
        return self._arrived.popleft()


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Shuffled:
    executor = Shuffled()
    monkeypatch.setattr(Waiting, "executor", executor, raising=False)
    monkeypatch.setattr("manyhands.optimize.adapters.queue.SimpleQueue", Waiting)
    return executor


class Points(AskTell):
    """0, 1, 2, ...; remembers what it is told."""

    def __init__(self) -> None:
        self.asked = 0
        self.told: list[tuple[int, Evaluation]] = []
        self.given_up: list[int] = []

    def ask(self, n: int) -> Iterator[tuple[int, int]]:
        for _ in range(n):
            self.asked += 1
            yield self.asked - 1, self.asked - 1

    def tell(self, handle: int, evaluation: Evaluation) -> None:
        self.told.append((handle, evaluation))

    def give_up(self, handle: int) -> None:
        self.given_up.append(handle)


def bowl(params: dict[str, Any]) -> float:
    return float((params["x"] - 1) ** 2 + abs(params["n"] - 3))


def test_each_is_told_as_it_comes_and_two_a_slot_are_out(executor: Shuffled) -> None:
    source = Points()
    evaluations = run_ask_tell(executor, lambda n: 2 * n, source, 20)
    assert [each for _, each in source.told] == evaluations
    assert [handle for handle, _ in source.told] == [each.point for each in evaluations]
    assert sorted(evaluations) == [Evaluation(n, 2.0 * n) for n in range(20)]
    assert evaluations != sorted(evaluations), "the order of arrival"
    assert executor.most == 6
    assert run_ask_tell(executor, abs, Points(), 3, in_flight=1) == [Evaluation(n, float(n)) for n in range(3)]


def test_failures_are_told_as_failures(executor: Shuffled) -> None:
    def objective(n: int) -> Any:
        match n:
            case 0:
                raise ArithmeticError("no")
            case 1:
                return math.nan
            case 2:
                return "text"
            case 3:
                return (1, math.nan)
            case 4:
                return math.inf
            case _:
                return np.array([1, 2])

    source = Points()
    run_ask_tell(executor, objective, source, 6)
    told = dict(source.told)
    assert [told[n].score for n in range(6)] == [None, None, None, None, math.inf, (1.0, 2.0)]
    assert isinstance(told[0].error, ArithmeticError)
    assert str(told[1].error) == "the score is not a number: nan"


@pytest.mark.parametrize(
    "error", [DataLost("x", "y"), EncodeError("x", "y"), BrokenExecutor(), KeyboardInterrupt(), SystemExit()]
)
def test_what_is_no_fault_of_a_point_ends_it_and_cancels_what_is_out(executor: Shuffled, error: BaseException) -> None:
    source = Points()

    def objective(n: int) -> float:
        if n == 4:
            raise error
        return n

    with pytest.raises(type(error)):
        run_ask_tell(executor, objective, source, 100)
    assert all(future.cancelled() for future, _ in executor.out)
    assert len(executor.out) == 5
    assert sorted([handle for handle, _ in source.told] + source.given_up) == list(range(source.asked))


def test_what_cannot_be_submitted_is_given_up(executor: Shuffled, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Points()
    monkeypatch.setattr(executor, "submit", lambda *_: (_ for _ in ()).throw(RuntimeError("shut down")))
    with pytest.raises(RuntimeError, match="shut down"):
        run_ask_tell(executor, abs, source, 100)
    assert source.given_up == [0]


def test_a_callback_ends_it(executor: Shuffled) -> None:
    source = Points()
    evaluations = run_ask_tell(executor, abs, source, 100, callback=lambda _: len(source.told) == 7)
    assert len(evaluations) == 7
    assert len(source.given_up) == 5


@pytest.mark.parametrize("method", ["ga", "cmaes", "random"])
def test_an_optimizer_of_ours_finds_what_minimize_finds(executor: Shuffled, method: str) -> None:
    optimizer = Optimizer(SPACE, method=method, budget=300, seed=4)
    evaluations = run_ask_tell(executor, bowl, optimizer)
    result = minimize(bowl, SPACE, method=method, budget=300, seed=4)
    assert optimizer.done() == "budget"
    assert optimizer.best_params() == result.best_params
    assert len(evaluations) == 300 - result.stats.cached
    rows = optimizer.take_history()
    assert rows is not None
    assert rows.F.tolist() == result.history.rows.F.tolist()


def test_an_optimizer_of_ours_is_told_how_it_failed(executor: Shuffled) -> None:
    errors = [TaskTimeout("f", 0, "", 1.0, "timeout"), ValueError(), TaskCrashed.__new__(TaskCrashed)]

    def objective(params: dict[str, Any]) -> tuple[float, float]:
        if params["n"] < 3:
            raise errors[params["n"]]
        return params["x"], -params["x"]

    optimizer = Optimizer(SPACE, direction=["min", "max"], budget=60, seed=4, mode="async")
    run_ask_tell(executor, objective, optimizer)
    rows = optimizer.take_history()
    assert rows is not None
    numbers = np.array([each["n"] for each in SPACE.params(rows.U)])
    known = rows.status != 4
    assert (rows.status[known] == np.array([2, 1, 3, 0, 0, 0, 0, 0, 0, 0])[numbers[known]]).all()
    assert np.isnan(rows.F[numbers < 3]).all()
    assert optimizer.front()


class Evolution:
    """As cmaes.CMA has it; the array that it hands out is its own."""

    def __init__(self, size: int = 4) -> None:
        self.population_size = size
        self.told: list[list[tuple[Any, float]]] = []
        self._x = np.zeros(1)

    def ask(self) -> Any:
        self._x += 1
        return self._x

    def tell(self, solutions: list[tuple[Any, float]]) -> None:
        self.told.append([(float(x[0]), value) for x, value in solutions])


def test_an_object_of_generations_is_told_whole_ones_in_order(executor: Shuffled) -> None:
    def objective(x: Any) -> float:
        if x[0] == 6:
            raise ValueError("no")
        return float(10 * x[0])

    evolution = Evolution()
    assert len(run_ask_tell(executor, objective, evolution, 10)) == 10
    assert evolution.told == [
        [(1, 10), (2, 20), (3, 30), (4, 40)],
        [(5, 50), (6, math.inf), (7, 70), (8, 80)],
    ]
    assert executor.most == 4, "as many as a generation has"
    evolution = Evolution()
    run_ask_tell(executor, objective, Generations(evolution, 2, direction="max"), 4)
    assert evolution.told == [[(1, -10), (2, -20)], [(3, -30), (4, -40)]]
    with pytest.raises(TypeError, match="one score for each point"):
        run_ask_tell(executor, lambda x: (1, 2), Evolution(), 4)


class State(enum.Enum):
    FAIL = 3


class Study:
    """As far as Optuna's is used."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.asked: list[dict[str, Any]] = []
        self.told: list[tuple[int, Any]] = []

    def ask(self, fixed_distributions: dict[str, Any]) -> Any:
        self.asked.append(fixed_distributions)
        return types.SimpleNamespace(number=len(self.asked) - 1, params=dict(self.values))

    def tell(self, trial: Any, values: Any = None, state: Any = None) -> None:
        assert (values is None) != (state is None)
        self.told.append((trial.number, state or values))


@pytest.fixture
def fake_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of these names, with what is used of them."""

    def named(kind: str) -> Callable[..., Any]:
        def make(*args: Any, **keywords: Any) -> Any:
            if keywords.get("log") and keywords.get("step") not in {None, 1}:
                raise ValueError("log and step")
            return (kind, *args, *sorted(keywords.items()))

        return make

    kinds = ["FloatDistribution", "IntDistribution", "CategoricalDistribution"]
    distributions = types.ModuleType("optuna.distributions")
    for kind in kinds:
        setattr(distributions, kind, named(kind))
    optuna, trial = types.ModuleType("optuna"), types.ModuleType("optuna.trial")
    optuna.distributions = distributions  # type: ignore[attr-defined]
    trial.TrialState = State  # type: ignore[attr-defined]
    for module in (optuna, distributions, trial):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("fake_optuna")
def test_a_study_is_asked_with_its_space_and_told_what_failed(executor: Shuffled) -> None:
    layers = [(16,), (16, 16)]
    space = Space(
        rate=Float(1e-4, 1, log=True), step=Float(0, 1, step=0.25), n=Int(1, 9), act=Categorical(["relu", None]),
        layers=Categorical(layers),
    )  # fmt: skip
    study = Study({"rate": 0.1, "step": 0.5, "n": 3, "act": None, "layers": 1})
    seen = []

    def objective(params: dict[str, Any]) -> float:
        seen.append(params)
        if len(seen) == 2:
            raise ValueError("no")
        return float(len(seen))

    run_ask_tell(executor, objective, OptunaStudy(study, space), 3, in_flight=1)  # type: ignore[arg-type]
    assert study.asked[0] == {
        "rate": ("FloatDistribution", 1e-4, 1.0, ("log", True), ("step", None)),
        "step": ("FloatDistribution", 0.0, 1.0, ("log", False), ("step", 0.25)),
        "n": ("IntDistribution", 1, 9, ("log", False), ("step", 1)),
        "act": ("CategoricalDistribution", ("relu", None)),
        "layers": ("CategoricalDistribution", (0, 1)),
    }
    assert study.told == [(0, 1.0), (1, State.FAIL), (2, 3.0)]
    assert seen[0] == {"rate": 0.1, "step": 0.5, "n": 3, "act": None, "layers": (16, 16)}

    study.told.clear()
    with pytest.raises(BrokenExecutor):
        run_ask_tell(executor, lambda _: (_ for _ in ()).throw(BrokenExecutor()), OptunaStudy(study, space), 9)  # type: ignore[arg-type]
    assert sorted(study.told, key=lambda each: each[0]) == [(n, State.FAIL) for n in range(3, 9)]
    with pytest.raises(ValueError, match="rate: Optuna cannot search Int"):
        OptunaStudy(study, {"rate": Int(1, 9, step=2, log=True)})  # type: ignore[arg-type]


def test_what_cannot_be_is_said(executor: Shuffled, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="budget: how many evaluations"):
        run_ask_tell(executor, abs, Points())
    for name in ("budget", "in_flight"):
        with pytest.raises(ValueError, match=f"{name} has to be at least 1, not 0"):
            run_ask_tell(executor, abs, Points(), **{"budget": 1, name: 0})
    with pytest.raises(TypeError, match=r"has ask\(\) and tell\(\), and list has not"):
        run_ask_tell(executor, abs, [], 3)
    with pytest.raises(ValueError, match="size: how many points does Evolution want"):
        Generations(Evolution(0))
    with pytest.raises(ValueError, match='direction is "min" or "max"'):
        Generations(Evolution(), direction="up")
    monkeypatch.setattr(Study, "__module__", "optuna.study.study")
    with pytest.raises(TypeError, match="OptunaStudy"):
        run_ask_tell(executor, abs, Study({}), 3)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r'pip install "manyhands\[optuna\]"'):
        OptunaStudy(Study({}), SPACE)  # type: ignore[arg-type]
