"""map_reduce on real clusters: what it returns, and what becomes of it when workers, masters and clients go."""

import functools
import operator
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.daemons import wait_until
from tests.support.restarted import Cluster

from manyhands import Client
from manyhands.errors import EncodeError, JobNameTaken, UnknownJob


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(workers=2, slots=1) as client:
        yield client


@dataclass
class Seen:
    """Partial results whose class travels by value."""

    words: list[str]

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(self.words + other.words)


def see(n: int) -> Seen:
    return Seen([str(n)])


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 256, 257, 5000])
def test_it_is_what_reduce_returns(client: Client, count: int) -> None:
    assert client.map_reduce(str, range(count), operator.add) == "".join(map(str, range(count)))
    expected = functools.reduce(operator.add, map(str, range(count)), "begins")
    assert client.map_reduce(str, (n for n in range(count)), operator.add, "begins") == expected
    assert client.map_reduce(abs, range(count), max, commutative=True) == count - 1
    assert client.map_reduce(see, range(count), operator.add).words == [str(n) for n in range(count)]


def test_many_items_and_large_ones(client: Client) -> None:
    assert client.map_reduce(lambda n: n * n, range(300_000), operator.add, 7) == 7 + sum(n * n for n in range(300_000))
    texts = ["a" * (1 << 20), "b", "c" * (3 << 20), *["d" * 100_000] * 20]
    assert client.map_reduce(str.upper, texts, operator.add) == "".join(texts).upper()


def test_nothing_to_reduce(client: Client) -> None:
    for nothing in ([], iter(())):
        with pytest.raises(TypeError, match="of empty iterable with no initial value"):
            client.map_reduce(abs, nothing, operator.add)
    assert client.map_reduce(abs, [], operator.add, None) is None
    assert client.map_reduce(abs, [], operator.add, [1]) == [1]


def test_the_first_exception_ends_it(client: Client) -> None:
    def fail(n: int) -> int:
        if n == 300:
            raise LookupError(f"no {n}")
        return n

    with pytest.raises(LookupError, match="no 300") as raised:
        client.map_reduce(fail, range(10_000_000), operator.add)
    assert "(raised at item 300 of the reduction)" in raised.value.__notes__

    def items() -> Iterator[int]:
        yield from range(100)
        raise OSError("the items broke")

    with pytest.raises(OSError, match="the items broke"):
        client.map_reduce(abs, items(), operator.add)
    with pytest.raises(EncodeError, match="item 2"):
        client.map_reduce(abs, [0, 1, threading.Lock()], operator.add)
    assert client.map_reduce(abs, range(10), operator.add) == 45


def test_what_cannot_be_is_refused(client: Client, tmp_path: Path) -> None:
    async def later(n: int) -> int:
        return n

    with pytest.raises(TypeError, match="map_fn must be a plain function"):
        client.map_reduce(later, [1], operator.add)
    with pytest.raises(ValueError, match="checkpoint"):
        client.with_options(checkpoint=tmp_path / "kept").map_reduce(abs, [1], operator.add)


def test_options_are_those_of_all_its_tasks(client: Client, tmp_path: Path) -> None:
    def flaky(n: int, context: int) -> int:
        tried = tmp_path / str(n)
        if n % 7 == 0 and not tried.exists():
            tried.touch()
            raise OSError("try again")
        return n + context

    patient = client.with_options(retries=1, retry_delay=0, retry_on=OSError, context=lambda: 1000)
    assert patient.map_reduce(flaky, range(40), operator.add) == sum(range(40)) + 40_000
    ref = client.with_options(keep_results=True).map_reduce(abs, range(10), operator.add)
    assert client.get(ref) == 45


def test_it_can_be_watched(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    def nap(n: int) -> int:
        time.sleep(0.02)
        return n

    assert client.map_reduce(nap, range(40), operator.add, progress=True) == sum(range(40))
    (line,) = capsys.readouterr().err.splitlines()
    assert "nap: map " in line
    assert " of 40, combine " in line


def slow(folder: str, n: int) -> float:
    """Leave a trace for each run."""
    with Path(folder, "runs").open("a") as file:
        file.write(f"{n}\n")
    time.sleep(0.001 + 0.004 * (n % 5 == 0))
    return random.Random(n).uniform(-1, 1) * 10 ** (n % 9)


def runs(folder: Path) -> Counter[int]:
    path = folder / "runs"
    return Counter(int(line) for line in path.read_text().split()) if path.exists() else Counter()


def the_tree_says(values: list[float]) -> float:
    """What the sum of so few items has to be, to the last bit."""
    while len(values) > 1:
        values = [functools.reduce(operator.add, values[lo : lo + 16]) for lo in range(0, len(values), 16)]
    return values[0]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, workers=3)
    yield cluster
    cluster.stop()


def test_whoever_dies_the_result_is_the_same_to_the_last_bit(cluster: Cluster, tmp_path: Path) -> None:
    folder, count = str(tmp_path), 600
    expected = the_tree_says([slow(folder, n) for n in range(count)])
    (tmp_path / "runs").unlink()
    with Client(cluster.address) as client, ThreadPoolExecutor() as threads:
        client.wait_for_workers(3, timeout=30)
        asked = threads.submit(client.map_reduce, functools.partial(slow, folder), range(count), operator.add)
        wait_until(lambda: len(runs(tmp_path)) > 100)
        cluster.workers[0].kill()
        wait_until(lambda: len(runs(tmp_path)) > 200)
        cluster.restart()
        wait_until(lambda: len(runs(tmp_path)) > 400)
        cluster.restart()
        assert asked.result(timeout=30) == expected
        seen = runs(tmp_path)
        assert len(seen) == count
        twice = [n for n, times in seen.items() if times > 1]
        assert len(twice) <= 5, f"only what the killed worker had in hand: {twice}"
        cluster.workers[1].kill()
        assert client.map_reduce(functools.partial(slow, folder), range(count), operator.add) == expected


def large(folder: str, n: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """A result that stays with its worker."""
    return np.full(20_000, slow(folder, n))


def test_large_partial_results_stay_with_the_workers_and_outlive_the_master(cluster: Cluster, tmp_path: Path) -> None:
    folder, count = str(tmp_path), 300
    expected = the_tree_says([slow(folder, n) for n in range(count)])
    (tmp_path / "runs").unlink()
    with Client(cluster.address) as client, ThreadPoolExecutor() as threads:
        client.wait_for_workers(3, timeout=30)
        asked = threads.submit(client.map_reduce, functools.partial(large, folder), range(count), operator.add)
        wait_until(lambda: len(runs(tmp_path)) > 60)
        cluster.workers[0].kill()
        wait_until(lambda: len(runs(tmp_path)) > 120)
        cluster.restart()
        result = asked.result(timeout=30)
        assert (result == expected).all()
        assert sum(runs(tmp_path).values()) < 1.1 * count, "they were not computed again"
        result += 1.0  # it is its reader's own


def test_detached_ones_outlive_client_and_master(cluster: Cluster, tmp_path: Path) -> None:
    folder = str(tmp_path)

    def call(client: Client, name: str, **more: Any) -> Any:
        function = functools.partial(slow, folder)
        return client.map_reduce(function, range(300), operator.add, detach=True, name=name, **more)

    with Client(cluster.address) as client:
        job = call(client, "night")
        with pytest.raises(JobNameTaken):
            call(client, "night")
    wait_until(lambda: len(runs(tmp_path)) > 50)
    cluster.restart()
    with Client(cluster.address) as client:
        job = client.job("night")
        progress = job.progress()
        assert progress.total == 1
        assert [phase.name for phase in progress.phases] == ["map", "combine"]
        assert progress.phases[0].total == 300
        assert progress.phases[0].done > 10
        assert progress.phases[1].total == 19 + 2 + 1
        expected = the_tree_says([slow(folder, n) for n in range(300)])
        assert job.result(timeout=30) == expected
        assert list(job.results()) == [expected]
        assert job.wait(timeout=10) == (1, 1, 0, True)
        cluster.restart()
        assert client.job("night").result(timeout=30) == expected
        again = call(client, "again", commutative=True)
        again.cancel()
        with pytest.raises(UnknownJob):
            again.progress()


def test_who_cancels_leaves_nothing_behind(cluster: Cluster, tmp_path: Path) -> None:
    with Client(cluster.address) as client, ThreadPoolExecutor() as threads:
        client.wait_for_workers(1, timeout=30)
        asked = threads.submit(client.map_reduce, functools.partial(slow, str(tmp_path)), range(5000), operator.add)
        wait_until(lambda: len(runs(tmp_path)) > 20)
        client.shutdown(cancel_futures=True)
        with pytest.raises(CancelledError):
            asked.result(timeout=10)
    ran = len(runs(tmp_path))
    assert ran < 4000
