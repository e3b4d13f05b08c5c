"""Client.optimize on real clusters: what users call, what they are returned, and what they see meanwhile."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.restarted import Cluster

from manyhands import Client, current_task
from manyhands.errors import EncodeError, JobNameTaken, TooManyFailures, UnknownJob
from manyhands.optimize import Categorical, Float, Int, OptimizeResult, Progress, Space, minimize


class Shape:
    """A choice whose class travels by value."""

    def __init__(self, sides: int) -> None:
        self.sides = sides


SHAPES = [Shape(3), Shape(4), None]
SPACE = Space(x=Float(1e-3, 1e3, log=True), n=Int(1, 9), step=Int(16, 512, step=16), kind=Categorical(["a", "b"]))


def cost(params: dict[str, Any]) -> float:
    return float(math.log10(params["x"]) ** 2 + abs(params["n"] - 4) + params["step"] / 16 + (params["kind"] == "a"))


def slow_cost(params: dict[str, Any]) -> float:
    time.sleep(0.003)
    return cost(params)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(workers=2, slots=1) as client:
        yield client


@pytest.mark.parametrize("method", ["ga", "ga-classic", "portfolio", "cmaes", "random", "latin", "sobol"])
def test_the_cluster_comes_to_what_this_process_comes_to(client: Client, method: str) -> None:
    asked: dict[str, Any] = {"method": method, "budget": 300, "seed": 7}
    there, here = client.optimize(cost, SPACE, **asked), minimize(cost, SPACE, **asked)
    assert there.history.digest() == here.history.digest()
    assert there.best_params == here.best_params
    assert there.best_score == here.best_score == there.history.scores.min() == cost(there.best_params or {})
    assert (there.reason, there.seed, there.stats.total_evaluations) == ("budget", 7, 300)
    assert there.stats.num_workers == pytest.approx(2, abs=0.1)
    assert 0 < there.stats.efficiency < 1


def test_a_maximum_with_scores_of_any_kind(client: Client) -> None:
    def score(params: dict[str, Any]) -> Any:
        kinds = [float, Decimal, np.float32, lambda number: np.array([number]), lambda _: -math.inf]
        return kinds[params["n"] % 5](params["n"])

    result = client.optimize(score, {"n": (0, 99)}, direction="max", method="grid")
    assert (result.best_params, result.best_score, result.reason) == ({"n": 98}, 98.0, "exhausted")
    assert result.history.scores.tolist() == [-math.inf if n % 5 == 4 else n for n in range(100)]
    assert set(result.history.status) == {"ok"}


def test_a_sweep_of_a_huge_grid_begins_at_once(client: Client) -> None:
    space = dict.fromkeys("abcd", (1, 1000))
    assert Space.of(space).cardinality() == 10**12
    result = client.optimize(lambda params: sum(params.values()), space, method="grid", budget=500)
    assert result.history.params["d"].tolist() == list(range(1, 501))
    assert result.best_score == 4


def test_several_objectives_make_a_front(client: Client) -> None:
    result = client.optimize(
        lambda params: (params["x"], (1 - params["x"]) ** 2),
        {"x": (0.0, 1.0)},
        direction=["min", "max"],
        budget=300,
        seed=1,
    )
    assert (result.best_params, result.best_score) == (None, None)
    assert len(result.front) >= 1
    assert min(point.scores[0] for point in result.front) < 1e-3
    assert result.history.scores.shape == (300, 2)


def test_objects_as_choices_are_those_that_were_given(client: Client) -> None:
    space = Space(shape=Categorical(SHAPES))
    result = client.optimize(lambda params: params["shape"].sides if params["shape"] else 9, space, budget=20)
    assert result.best_params == {"shape": SHAPES[0]}
    assert result.history.params["shape"].tolist().count(None) > 0


def test_a_batch_is_a_dict_of_arrays(client: Client) -> None:
    def costs(columns: dict[str, Any]) -> Any:
        assert columns["n"].dtype == np.int64
        return columns["x"] ** 2 + columns["n"]

    def over(columns: dict[str, Any]) -> Any:
        return columns["x"] - 0.5

    asked: dict[str, Any] = {"space": {"x": (0.0, 1.0), "n": (0, 5)}, "budget": 300, "seed": 1}
    there = client.optimize(costs, batch=True, constraints=over, **asked)
    one_by_one = minimize(lambda p: p["x"] ** 2 + p["n"], constraints=lambda p: p["x"] - 0.5, **asked)
    assert there.history.digest() == one_by_one.history.digest()
    assert there.best_violation == 0


def test_initial_points_come_first_and_constraints_hold(client: Client) -> None:
    initial = [{"x": 1.0, "n": 2, "step": 32, "kind": "b"}]
    result = client.optimize(
        cost, SPACE, initial=initial, budget=400, constraints=[lambda params: 5 - params["n"]], seed=1
    )
    first = {name: column[0] for name, column in result.history.params.items()}
    assert {**first, "x": round(float(first["x"]), 9)} == initial[0]
    assert result.history.violations[0] == 3
    assert result.best_params is not None
    assert result.best_params["n"] == 5


def test_failures_lose_and_are_recorded(client: Client) -> None:
    def fragile(params: dict[str, Any]) -> float:
        if params["n"] == 3:
            raise ValueError("three")
        return math.nan if params["n"] == 5 else cost(params)

    result = client.optimize(fragile, SPACE, budget=300, seed=2)
    failed = np.isin(result.history.params["n"], [3, 5])
    assert ((result.history.status == "failed") == failed).all()
    assert np.isnan(result.history.scores[failed]).all()
    assert result.stats.failed == failed.sum() > 0
    assert result.best_params is not None
    assert result.best_params["n"] == 4


def test_too_many_failures_say_what_the_first_was(client: Client) -> None:
    def broken(_params: dict[str, Any]) -> float:
        raise LookupError("no such file")

    with pytest.raises(TooManyFailures, match=r"evaluations failed[\s\S]*no such file") as raised:
        client.optimize(broken, SPACE, budget=1000)
    assert raised.value.failed == raised.value.evaluations < 1000


def test_timeouts_of_single_evaluations(client: Client) -> None:
    def uneven(params: dict[str, Any]) -> float:
        time.sleep(2 if params["n"] == 3 else 0)
        return float(params["n"])

    result = client.with_options(timeout=0.2).optimize(uneven, {"n": (0, 9)}, method="grid")
    assert [n for n, status in enumerate(result.history.status) if status == "timed out"] == [3]


def test_copies_of_slow_evaluations_change_nothing_but_the_time(client: Client, tmp_path: Path) -> None:
    def stuck_once(params: dict[str, Any]) -> float:
        task = current_task()
        if params["n"] == 7 and not (here := tmp_path / "stuck").exists():
            here.touch()
            time.sleep(30)
        return task.seed % 1000 + params["n"]  # type: ignore[operator,no-any-return]

    asked: dict[str, Any] = {"method": "grid", "seed": 3}
    begun = time.monotonic()
    there = client.with_options(speculate=True).optimize(stuck_once, {"n": (0, 99)}, **asked)
    assert time.monotonic() - begun < 20
    assert there.history.digest() == minimize(stuck_once, {"n": (0, 99)}, **asked).history.digest()


def test_progress_and_an_end_by_the_callback(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Progress] = []

    def look(progress: Progress) -> bool:
        seen.append(progress)
        return progress.evaluations >= 50

    result = client.optimize(slow_cost, SPACE, budget=100_000, callback=look, progress=True)
    assert result.reason == "stopped"
    assert 50 <= result.stats.total_evaluations < 100_000
    assert seen[-1].best_score == result.best_score
    assert [progress.evaluations for progress in seen] == sorted(progress.evaluations for progress in seen)
    assert "slow_cost: " in capsys.readouterr().err


def test_a_time_limit(client: Client) -> None:
    begun = time.monotonic()
    result = client.optimize(slow_cost, SPACE, budget=10**6, time_limit=0.5)
    assert result.reason == "time limit"
    assert time.monotonic() - begun < 5
    assert 0 < result.stats.total_evaluations < 10**6


def test_an_evaluation_has_a_seed_and_its_context(client: Client) -> None:
    def seeded(_params: dict[str, Any], context: int) -> float:
        seed = current_task().seed
        assert seed is not None
        return float(np.random.default_rng(seed).random() + context)

    result = client.with_options(context=lambda: 10).optimize(seeded, SPACE, budget=64, noisy=True, seed=5)
    assert len(set(result.history.scores)) == 64
    assert result.history.scores.min() >= 10


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"method": "gradient"}, "method has to be one of"),
        ({"popluation": 100}, "has no setting popluation"),
        ({"mode": "sync"}, "mode is one of"),
        ({"direction": "up"}, 'direction is "min" or "max"'),
        ({"budget": 0}, "budget has to be at least 1"),
        ({"budget": 1.5}, "budget is a whole number"),
        ({"seed": -1}, "seed is a whole number"),
        ({"initial": [{"x": 1.0}]}, "initial: the parameter 'n' is missing"),
        ({"time_limit": 0}, "time_limit is a number of seconds"),
        ({"max_failed_share": 2}, "max_failed_share is a share"),
        ({"method": "grid"}, "points"),
        ({"detach": True}, "give it one, with name="),
    ],
)
def test_what_cannot_be_is_said_at_once(client: Client, asked: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        client.optimize(cost, SPACE, **asked)


def test_an_objective_cannot_hold_a_ref(client: Client) -> None:
    data = client.put(np.arange(3.0))
    with pytest.raises(EncodeError, match=r"'data'.*let it hold the value"):
        client.optimize(lambda params: params["n"] * data[2], {"n": (0, 9)})  # type: ignore[index]


def test_an_objective_that_cannot_travel_is_refused(client: Client) -> None:
    lock = threading.Lock()
    with pytest.raises(EncodeError):
        client.optimize(lambda params: lock.locked() + params["n"], SPACE)
    with pytest.raises(TypeError, match="must be callable"):
        client.optimize(3, SPACE)  # type: ignore[call-overload]  # the fault


def test_a_client_that_is_shut_down_ends_its_search() -> None:
    with Client(slots=1) as client:
        raised: list[BaseException] = []

        def search() -> None:
            try:
                client.optimize(slow_cost, SPACE, budget=10**6)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=search)
        thread.start()
        time.sleep(0.5)
        client.shutdown(cancel_futures=True)
        thread.join(20)
        assert not thread.is_alive()
    assert isinstance(raised[0], CancelledError)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, 2)
    yield cluster
    cluster.stop()


def test_a_detached_search_is_read_by_another_client_after_the_master_was_killed(cluster: Cluster) -> None:
    asked: dict[str, Any] = {"budget": 400, "seed": 3}
    with Client(cluster.address) as client:
        study = client.optimize(slow_cost, SPACE, name="tuning", detach=True, **asked)
        with pytest.raises(JobNameTaken):
            client.optimize(slow_cost, SPACE, name="tuning", detach=True, **asked)
        while (best := study.best) is None:
            time.sleep(0.05)
        assert cost(best.params) == best.score
        progress = study.progress().search
        assert isinstance(progress, Progress)
        assert progress.budget == 400
    cluster.restart()
    with Client(cluster.address) as client:
        study = client.job("tuning")
        assert study.wait(30).finished
        result = study.result()
        assert isinstance(result, OptimizeResult)
        assert result.history.digest() == minimize(cost, SPACE, **asked).history.digest()
        assert study.result().best_params == result.best_params
        assert study.best is not None
        assert study.best.params == result.best_params
        study.cancel()
        with pytest.raises(UnknownJob):
            client.job("tuning")


def test_an_attached_search_survives_its_master(cluster: Cluster) -> None:
    with Client(cluster.address) as client:
        killer = threading.Timer(0.5, cluster.restart)
        killer.start()
        result = client.optimize(slow_cost, SPACE, budget=400, seed=3)
        killer.join()
        assert result.history.digest() == minimize(cost, SPACE, budget=400, seed=3).history.digest()
