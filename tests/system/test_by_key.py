"""map_reduce_by_key on real clusters: what it returns, and what becomes of it when workers, masters and hosts go."""

import functools
import gc
import operator
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.daemons import start_master, wait_until
from tests.support.elsewhere import skip_unless_possible, worker_elsewhere
from tests.support.restarted import Cluster

from manyhands import Client
from manyhands.errors import UnstableKey
from manyhands.wire.store_folder import memory_base


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(workers=2, slots=1) as client:
        yield client


def words(line: str) -> Iterator[tuple[str, int]]:
    return ((word, 1) for word in line.split())


LINES = [f"word{n % 300} word{n % 31} and word{n}" for n in range(500)]
COUNTS = Counter(word for line in LINES for word in line.split())


@pytest.mark.parametrize("partitions", [None, 1, 5])
def test_words_are_counted(client: Client, partitions: int | None) -> None:
    counts = client.map_reduce_by_key(words, LINES, operator.add, partitions)
    assert counts == COUNTS
    assert client.map_reduce_by_key(words, iter(LINES), operator.add, partitions, stream=False) == COUNTS
    assert list(client.map_reduce_by_key(words, LINES, operator.add, partitions, stream=True)) == list(counts.items())


def test_values_of_a_key_are_reduced_in_the_order_of_the_items(client: Client) -> None:
    def of_seven(n: int) -> list[tuple[int, str]]:
        return [(n % 7, f"{n},")]

    expected = {rest: "".join(f"{n}," for n in range(rest, 1000, 7)) for rest in range(7)}
    assert client.map_reduce_by_key(of_seven, range(1000), operator.add) == expected


def test_equal_keys_meet_and_the_first_stays(client: Client) -> None:
    keys = [1, 1.0, True, np.int64(1), np.float32(1), (2, "a"), (2.0, "a")] * 100
    counts = client.map_reduce_by_key(lambda key: [(key, 1)], keys, operator.add)
    assert counts == {1: 500, (2, "a"): 200}
    assert sorted(map(repr, counts)) == ["(2, 'a')", "1"]


@dataclass(frozen=True)
class Place:
    """A key whose class travels by value."""

    name: str
    x: int


@dataclass
class Seen:
    """And a value."""

    times: int

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(self.times + other.times)


def test_classes_that_travel_by_value(client: Client) -> None:
    seen = client.map_reduce_by_key(lambda n: [(Place("p", n % 3), Seen(1))], range(300), operator.add, stream=True)
    assert dict(seen) == {Place("p", x): Seen(100) for x in range(3)}


def test_nothing_and_what_yields_nothing(client: Client) -> None:
    assert client.map_reduce_by_key(words, [], operator.add) == {}
    assert list(client.map_reduce_by_key(words, iter(()), operator.add, stream=True)) == []
    assert client.map_reduce_by_key(words, ["", ""], operator.add) == {}


def test_users_faults_are_told(client: Client) -> None:
    class Plain:
        pass

    with pytest.raises(UnstableKey, match=r"key\[1\], <.*Plain"):
        client.map_reduce_by_key(lambda n: [((n, Plain()), 1)], range(10), operator.add)
    with pytest.raises(TypeError, match=r"yielded 5 for item (\d+), \1: it has to yield pairs"):
        client.map_reduce_by_key(lambda n: [5], range(1000), operator.add)
    with pytest.raises(ZeroDivisionError) as raised:
        list(client.map_reduce_by_key(lambda n: [(1 / (n - 400), n)], range(1000), operator.add, stream=True))
    assert "(raised at item 400 of the reduction)" in raised.value.__notes__
    for wrong in (0, 1025):
        with pytest.raises(ValueError, match="partitions must be"):
            client.map_reduce_by_key(words, LINES, operator.add, wrong)
    assert client.map_reduce_by_key(words, ["a"], operator.add) == {"a": 1}


def test_who_stops_reading_ends_it_and_leaves_no_data(client: Client) -> None:
    def large(n: int) -> list[tuple[int, bytes]]:
        return [(n, bytes(1000))]

    (store,) = [path for path in memory_base().iterdir() if path.name.startswith(client._connection.cluster_id.hex())]

    def data() -> list[str]:
        return [path.name for path in store.iterdir() if len(path.name) == 32]

    pairs = client.map_reduce_by_key(large, range(3000), operator.add, 4, stream=True)
    assert next(pairs)[1] == bytes(1000)
    assert data()
    del pairs
    wait_until(lambda: gc.collect() * 0 or not data(), what="data that are left")
    assert len(client.map_reduce_by_key(large, range(3000), operator.add, 4)) == 3000
    wait_until(lambda: not data(), what="data that are left")


def test_it_can_be_watched(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    def nap(n: int) -> list[tuple[int, int]]:
        time.sleep(0.02)
        return [(n % 3, n)]

    client.map_reduce_by_key(nap, range(30), operator.add, progress=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert "nap: map " in line
    assert " of 30, reduce " in line


# ---------------------------------------------------------------- losses


def slow_words(folder: str, n: int) -> Iterator[tuple[str, str]]:
    """Leave a trace for each run."""
    with Path(folder, "runs").open("a") as file:
        file.write(f"{n}\n")
    time.sleep(0.002)
    yield f"key{n % 11}", f"{n},"
    yield f"key{n}", "once" * 2000  # more than comes with the leaf's report


def slow_join(folder: str, a: str, b: str) -> str:
    if not Path(folder, "joined").exists():
        time.sleep(0.01)
    return a + b


def expected(count: int) -> dict[str, str]:
    result: dict[str, str] = {}
    for n in range(count):
        result[f"key{n % 11}"] = result.get(f"key{n % 11}", "") + f"{n},"
        result[f"key{n}"] = result.get(f"key{n}", "") + "once" * 2000
    return result


def runs(folder: Path) -> Counter[int]:
    path = folder / "runs"
    return Counter(int(line) for line in path.read_text().split()) if path.exists() else Counter()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, workers=2)
    yield cluster
    cluster.stop()


def test_workers_and_masters_may_go_in_the_middle(cluster: Cluster, tmp_path: Path) -> None:
    folder, count = str(tmp_path), 240
    functions = functools.partial(slow_words, folder), functools.partial(slow_join, folder)
    with Client(cluster.address) as client, ThreadPoolExecutor() as threads:
        client.wait_for_workers(2, timeout=30)
        asked = threads.submit(client.map_reduce_by_key, functions[0], range(count), functions[1])
        wait_until(lambda: len(runs(tmp_path)) > 50)
        cluster.restart()
        wait_until(lambda: len(runs(tmp_path)) > 100)
        cluster.workers[0].kill()
        wait_until(lambda: len(runs(tmp_path)) == count)
        cluster.restart()  # in the middle of the reduce phase, as a join takes its time
        (tmp_path / "joined").touch()
        assert asked.result(timeout=30) == expected(count)
        twice = [n for n, times in runs(tmp_path).items() if times > 1]
        assert len(twice) <= 10, f"only what the killed worker had in hand: {twice}"


def test_detached_ones_outlive_client_and_master(cluster: Cluster, tmp_path: Path) -> None:
    functions = functools.partial(slow_words, str(tmp_path)), operator.add
    with Client(cluster.address) as client:
        client.map_reduce_by_key(functions[0], range(200), functions[1], 3, detach=True, name="night")
    wait_until(lambda: len(runs(tmp_path)) > 50)
    cluster.restart()
    with Client(cluster.address) as client:
        job = client.job("night")
        assert [phase.name for phase in job.progress().phases] == ["map", "reduce"]
        assert job.result(timeout=30) == expected(200)
        assert job.wait(timeout=10) == (3, 3, 0, True)
        cluster.restart()
        assert client.job("night").result(timeout=30) == expected(200)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    skip_unless_possible()
    master, address = start_master("--no-journal")
    with master:
        yield address


def never_the_same(folder: str, n: int) -> Iterator[tuple[int, str]]:
    """What comes of a leaf has another size each time."""
    for _, text in slow_words(folder, n):
        yield n, text + "x" * random.randrange(1000)


@pytest.mark.parametrize("map_fn", [slow_words, never_the_same], ids=lambda map_fn: map_fn.__name__)
def test_what_is_lost_with_its_host_is_mapped_again(address: str, tmp_path: Path, map_fn: Callable[..., Any]) -> None:
    """By its recipe, or if that leads to something else, as part of the job."""
    folder, count = str(tmp_path), 100
    functions = functools.partial(map_fn, folder), functools.partial(slow_join, folder)
    with (
        Client(address) as client,
        worker_elsewhere(address) as first,
        worker_elsewhere(address),
        ThreadPoolExecutor() as threads,
    ):
        client.wait_for_workers(2, timeout=30)
        asked = threads.submit(client.map_reduce_by_key, functions[0], range(count), functions[1], 4)
        wait_until(lambda: len(runs(tmp_path)) == count)
        first.kill()
        (tmp_path / "joined").touch()
        result = asked.result(timeout=30)
        assert runs(tmp_path).total() > count
        if map_fn is slow_words:
            assert result == expected(count)
        else:
            assert {n: text.replace("x", "") for n, text in result.items()} == {
                n: f"{n}," + "once" * 2000 for n in range(count)
            }
