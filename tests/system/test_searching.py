"""Searches on real clusters, told by a client that knows only the protocol: whoever comes and goes, one history."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.daemons import Daemon, wait_until
from tests.support.restarted import Cluster
from tests.support.searches import begin, detach, gathered

from manyhands import Client, current_task
from manyhands.client.attached import inquiring
from manyhands.errors import ClusterError
from manyhands.optimize.evaluations import Status
from manyhands.optimize.plan import Plan
from manyhands.optimize.search import Search
from manyhands.optimize.space import Float, Int, Space
from manyhands.protos import manyhands_pb2 as pb

SPACE = Space({"x": Float(-3, 3), "y": Float(-3, 3), "n": Int(0, 20)})


def plan_of(**changes: Any) -> Plan:
    return Plan(**{"cube": SPACE.cube, "method": "ga-classic", "budget": 600, "seed": 3, **changes})


def bowl(params: dict[str, Any]) -> float:
    return float(params["x"] ** 2 + params["y"] ** 2 + abs(params["n"] - 7))


def slow_bowl(params: dict[str, Any]) -> float:
    time.sleep(0.001 + 0.004 * (params["n"] % 5 == 0))
    return bowl(params)


def history_of(plan: Plan) -> list[list[float]]:
    """What it has to be."""
    search, scores = Search(plan), []
    while search.done() is None:
        batch = search.ask()
        search.tell(batch.ids, [bowl(each) for each in SPACE.params(batch.U)])
        while (rows := search.take_history()) is not None:
            scores += rows.F.tolist()
    return scores


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(workers=2, slots=1) as client:
        yield client


def test_any_number_of_workers_comes_to_what_the_search_says(client: Client) -> None:
    told = begin(client, bowl, SPACE, plan_of()).told()
    assert told.rows.F.tolist() == history_of(plan_of())
    assert told.rows.ids.tolist() == list(range(600))
    assert told.end.reason == "budget"
    assert 1 <= told.end.slots <= 2  # the second worker may have come a moment later
    for workers in (1, 4):
        with Client(workers=workers, slots=1) as other:
            assert begin(other, slow_bowl, SPACE, plan_of(budget=300), chunk=7).told().rows.F.tolist() == (
                history_of(plan_of(budget=300))
            )


def test_it_can_be_watched_and_stopped(client: Client) -> None:
    job = begin(client, slow_bowl, SPACE, plan_of(budget=1_000_000))
    job.watch()
    wait_until(lambda: job.reports and job.reports[-1]["counted"] > 100)
    job.stop_search("enough")
    told = job.told()
    assert told.end.reason == "enough"
    assert len(told.rows.ids) == told.end.counts.counted > 100
    assert job.reports[-1]["slots"] == 2
    assert job.reports[-1]["best"]["score"].shape == (1,)
    assert begin(client, slow_bowl, SPACE, plan_of(budget=None), time_limit=0.5).told().end.reason == "time limit"


def test_what_is_cancelled_runs_no_more(client: Client, tmp_path: Path) -> None:
    def leave_trace(params: dict[str, Any]) -> float:
        time.sleep(0.002)
        with (tmp_path / "runs").open("a") as file:
            file.write("x")
        return bowl(params)

    job = begin(client, leave_trace, SPACE, plan_of(budget=1_000_000))
    wait_until((tmp_path / "runs").exists)
    client.session.connection.background.post(lambda: job.cancel_open(spare_running=False))
    assert client.submit(abs, -1).result(20) == 1  # behind the cancel
    size = (tmp_path / "runs").stat().st_size
    time.sleep(0.3)
    assert (tmp_path / "runs").stat().st_size <= size + 2 * 16


def test_an_evaluation_knows_its_seed_and_is_given_the_context(client: Client) -> None:
    def noisy(params: dict[str, Any], context: float) -> float:
        task = current_task()
        assert task.seed is not None
        return context + float(np.random.default_rng(task.seed).random())

    told = [
        begin(client.with_options(context=lambda: 100.0), noisy, SPACE, plan_of(budget=100, noisy=True), chunk=chunk)
        for chunk in (1, 30)
    ]
    one, other = [each.told() for each in told]
    assert one.digest == other.digest
    assert len(set(one.rows.F[:, 0].tolist())) == 100
    assert 100 <= one.rows.F.min() <= one.rows.F.max() < 101


def test_a_whole_batch_at_a_time(client: Client) -> None:
    def bowls(columns: dict[str, Any]) -> Any:
        return columns["x"] ** 2 + columns["y"] ** 2 + abs(columns["n"] - 7)

    told = begin(client, bowls, SPACE, plan_of(), batch=True).told()
    assert told.rows.F.tolist() == pytest.approx(np.array(history_of(plan_of())))


def test_points_that_take_their_process_down_are_only_theirs(client: Client) -> None:
    def deadly(params: dict[str, Any]) -> float:
        if params["n"] == 13:
            os._exit(3)
        if params["n"] % 5 == 0:
            raise LookupError("no such thing")
        return bowl(params)

    told = begin(client, deadly, SPACE, plan_of(budget=60, seed=4)).told()
    n = np.array([each["n"] for each in SPACE.params(told.rows.U)])
    assert set(told.rows.status[n == 13]) == {Status.CRASHED}
    assert set(told.rows.status[n % 5 == 0]) == {Status.FAILED}
    assert not set(told.rows.status[(n != 13) & (n % 5 > 0)]) - {Status.OK, Status.CACHED}
    assert told.end.error is not None


def test_too_slow_is_a_failure_and_so_is_what_retries_do_not_mend(client: Client, tmp_path: Path) -> None:
    def stuck(params: dict[str, Any]) -> float:
        if params["n"] == 5:
            time.sleep(60)
        return bowl(params)

    told = begin(client.with_options(timeout=0.3), stuck, SPACE, plan_of(budget=40)).told()
    n = np.array([each["n"] for each in SPACE.params(told.rows.U)])
    assert set(told.rows.status[n == 5]) == {Status.TIMED_OUT}
    assert "timeout, 0.3 s" in (told.end.error or "")

    def flaky(params: dict[str, Any]) -> float:
        tried = tmp_path / str(current_task().seed)
        if params["n"] % 3 == 0 and (not tried.exists() or params["n"] == 6):
            tried.touch()
            raise OSError("try again")
        return bowl(params)

    patient = client.with_options(retries=1, retry_delay=0)
    told = begin(patient, flaky, SPACE, plan_of(budget=60)).told()
    n = np.array([each["n"] for each in SPACE.params(told.rows.U)])
    assert set(told.rows.status[n == 6]) == {Status.FAILED}
    assert not set(told.rows.status[n != 6]) - {Status.OK, Status.CACHED}
    assert "OSError: try again" in (told.end.error or "")


def test_too_many_failures_end_it(client: Client) -> None:
    def wrong(params: dict[str, Any]) -> float:
        raise ValueError("it is all wrong")

    told = begin(client, wrong, SPACE, plan_of()).told()
    assert told.end.reason == "failures"
    assert "it is all wrong" in (told.end.error or "")


def test_what_cannot_evaluate_fails_as_any_task_would(client: Client) -> None:
    class Unloadable:
        def __reduce__(self) -> Any:
            return __import__, ("no_such_module_anywhere",)

    missing = Unloadable()
    job = begin(client, lambda params: missing, SPACE, plan_of())
    failure = job.outcome.result(20)
    assert failure.kind == pb.Failure.KIND_EXCEPTION
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        raise client.session.encoding.decode_outcome(failure)[1] or AssertionError

    job = begin(client, bowl, SPACE, plan_of(settings={"population": 10**9}))
    with pytest.raises(ClusterError, match="there cannot be such a search: population"):
        job.outcome.result(20)
    assert begin(client, bowl, SPACE, plan_of(budget=50)).told().end.reason == "budget"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, workers=2)
    yield cluster
    cluster.stop()


def test_masters_and_workers_may_be_killed_in_the_middle(cluster: Cluster) -> None:
    plan = plan_of(budget=2500)
    with Client(cluster.address, reconnect_timeout=30) as client:
        job = begin(client, slow_bowl, SPACE, plan)
        for restart in range(5):
            chunks = len(job.payloads)
            wait_until(lambda chunks=chunks: len(job.payloads) > chunks)
            time.sleep(random.Random(restart).uniform(0.0, 0.2))
            assert not job.outcome.done()
            cluster.restart()
            if restart == 2:
                cluster.workers[0].kill()
                cluster.workers[0].stop()
                cluster.workers[0] = Daemon("worker", cluster.address, "--slots", "2")
        told = job.told()
    assert told.rows.F.tolist() == history_of(plan)
    assert told.end.counts.counted == 2500


def test_detached_ones_outlive_client_and_master_and_can_be_stopped(cluster: Cluster) -> None:
    plan = plan_of(budget=900)
    with Client(cluster.address) as first:
        detach(first, slow_bowl, SPACE, plan, "found later")
        detach(first, slow_bowl, SPACE, plan_of(budget=None), "endless")
    cluster.restart()
    with Client(cluster.address, reconnect_timeout=30) as second:
        job = second.job("found later")
        assert job.wait(60).finished
        told = gathered(job.results())
        assert told.rows.F.tolist() == history_of(plan)
        assert gathered(job.results()).digest == told.digest
        with inquiring(second.session, "endless", until=lambda report: True) as inquiry:
            report = inquiry.report.result(20)
            assert report.phases[0].done > 0
            stop = pb.Body(stop_search=pb.StopSearch(job=inquiry.number, reason="enough"))
            second.session.connection.post(inquiry, stop)
            endless = second.job("endless")
            assert endless.wait(20).finished
        assert gathered(endless.results()).end.reason == "enough"
