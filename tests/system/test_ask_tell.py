"""Optimizers that are asked and told from here, on a real cluster; the packages of others only where they are."""

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from manyhands import Client
from manyhands.errors import EncodeError, TaskCrashed, TaskTimeout
from manyhands.optimize import Categorical, Float, Int, Optimizer, OptunaStudy, Space, minimize, run_ask_tell

SPACE = Space(x=Float(-5, 5), n=Int(0, 9))


def bowl(params: dict[str, Any]) -> float:
    return float((params["x"] - 1) ** 2 + abs(params["n"] - 3))


def uneven(params: dict[str, Any]) -> float:
    time.sleep(0.002 * (params["n"] % 4))
    return bowl(params)


def troubled(params: dict[str, Any]) -> float:
    if params["n"] == 0:
        os._exit(1)
    if params["n"] == 1:
        time.sleep(30)
    if params["n"] == 2:
        raise ArithmeticError("no")
    return bowl(params)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(slots=2) as client:
        yield client


def test_our_optimizer_comes_to_what_it_comes_to_anywhere(client: Client) -> None:
    optimizer = Optimizer(SPACE, budget=300, seed=4)
    run_ask_tell(client, uneven, optimizer)
    rows = optimizer.take_history()
    assert rows is not None
    assert rows.F.tolist() == minimize(bowl, SPACE, budget=300, seed=4).history.rows.F.tolist()


def test_what_fails_is_told(client: Client) -> None:
    optimizer = Optimizer({"n": (0, 5)}, method="grid")
    evaluations = run_ask_tell(
        client.with_options(timeout=0.3), lambda params: troubled({"x": 1.0, **params}), optimizer
    )
    errors = {each.point["n"]: each.error for each in evaluations}
    assert isinstance(errors[0], TaskCrashed)
    assert isinstance(errors[1], TaskTimeout)
    assert isinstance(errors[2], ArithmeticError)
    assert [errors[n] for n in range(3, 6)] == [None] * 3
    assert optimizer.best_params() == {"n": 3}


def test_an_objective_that_cannot_travel_is_no_failed_evaluation(client: Client) -> None:
    generator = (n for n in ())
    with pytest.raises(EncodeError):
        run_ask_tell(client, lambda params: len(generator), Optimizer(SPACE, budget=10))  # type: ignore[arg-type]


def test_cmaes(client: Client) -> None:
    cmaes = pytest.importorskip("cmaes", reason="not needed otherwise")
    evolution = cmaes.CMA(mean=np.zeros(3), sigma=1.0, seed=1)
    evaluations = run_ask_tell(client, lambda x: float(((x - [1, 2, 3]) ** 2).sum()), evolution, 600)
    assert min(each.score for each in evaluations if each.score is not None) < 1e-4


def test_optuna(client: Client) -> None:
    optuna = pytest.importorskip("optuna", reason="not needed otherwise")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1), direction="maximize")
    space = Space(
        x=Float(-5, 5), rate=Float(1e-4, 1, log=True), step=Float(0, 1, step=0.25), n=Int(0, 9),
        act=Categorical(["relu", None]), layers=Categorical([(16,), (16, 16)]),
    )  # fmt: skip
    seen = run_ask_tell(
        client.with_options(timeout=0.3), lambda params: -troubled(params), OptunaStudy(study, space), 60
    )
    states = [each.state for each in study.trials]
    assert states.count(optuna.trial.TrialState.FAIL) == sum(each.error is not None for each in seen) > 0
    assert states.count(optuna.trial.TrialState.COMPLETE) == sum(each.error is None for each in seen)
    assert {each.point["layers"] for each in seen} == {(16,), (16, 16)}
    assert study.best_value == max(each.score for each in seen if each.score is not None)
