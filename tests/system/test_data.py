"""Data kept in the cluster: put, shared by all slots of a host, released; what stays with workers; what is lost."""

import gc
import os
import signal
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.support.daemons import wait_until

from manyhands import Client, Ref, current_task
from manyhands.wire.store_folder import memory_base


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(slots=1, workers=2) as client:
        yield client


def large(fill: float, count: int = 200_000) -> np.ndarray:
    return np.full(count, fill)


def store_of(client: Client) -> Path:
    (store,) = [path for path in memory_base().iterdir() if path.name.startswith(client._connection.cluster_id.hex())]
    return store


def data_in(client: Client) -> list[str]:
    """The data in the store of this host."""
    return [path.name for path in store_of(client).iterdir() if len(path.name) == 32]


def test_what_is_put_arrives_as_its_value_wherever_its_ref_stands(client: Client) -> None:
    array = np.arange(100_000.0)
    ref = client.put(array)
    assert isinstance(ref, Ref)
    assert client.submit(np.sum, ref).result() == array.sum()
    assert client.submit(lambda bag: bag["deep"][0][5], {"deep": [ref]}).result() == 5.0
    assert list(client.map(lambda pair: pair[0] + pair[1][7], [(1, ref), (2, ref)])) == [8.0, 9.0]
    small = client.put({"a": 1})
    assert client.submit(sorted, small).result() == ["a"]
    assert client.get(small) == {"a": 1}


def test_arrays_are_mapped_and_read_only(client: Client) -> None:
    array = np.arange(100_000.0)
    ref = client.put(array)

    def look(a: np.ndarray) -> tuple[bool, bool, float]:
        is_mapped = "manyhands-" in Path("/proc/self/maps").read_text()
        return a.flags.writeable, is_mapped, a[-1]

    assert client.submit(look, ref).result() == (False, True, 99_999.0)
    back = client.get(ref)
    assert not back.flags.writeable
    assert np.array_equal(back, array)
    array[0] = -1.0
    assert back[0] == 0.0


def test_the_last_ref_takes_it_along(client: Client) -> None:
    wait_until(lambda: gc.collect() * 0 or not data_in(client))
    ref = client.put(large(1.0))
    assert len(data_in(client)) == 1
    future = client.submit(np.sum, ref)
    del ref
    assert future.result() == 200_000.0
    wait_until(lambda: not data_in(client))


def test_values_hold_what_they_are_mapped_from(client: Client) -> None:
    wait_until(lambda: gc.collect() * 0 or not data_in(client))
    values = [client.get(client.put(large(1.0))), client.submit(large, 2.0).result()]
    put, result = data_in(client)
    last = client.put(large(3.0))
    assert len(data_in(client)) == 3
    del last
    wait_until(lambda: len(data_in(client)) < 3)  # so have those, if they ever will
    assert sorted(data_in(client)) == sorted([put, result])
    part = values[0][5:7]
    del values
    wait_until(lambda: len(data_in(client)) == 1)
    assert list(part) == [1.0, 1.0]
    del part
    wait_until(lambda: not data_in(client))


def test_a_task_holds_what_it_needs(client: Client) -> None:
    held = [client.submit(os.getpid) for _ in range(2)]
    as_completed(held)
    futures = [client.submit(lambda a, n: a[0] + n, client.put(large(float(n))), n) for n in range(20)]
    assert [future.result() for future in futures] == [2.0 * n for n in range(20)]


def test_large_arguments_that_come_again_are_sent_once(client: Client) -> None:
    array = np.zeros(300_000)  # 2.4 MB

    def add(a: np.ndarray, n: int) -> tuple[float, bool]:
        a += n  # its own copy, as ever
        return float(a[0]), a.flags.writeable

    futures = []
    for n in range(50):
        futures.append(client.submit(add, array, n))
        if n == 24:
            array[:] = 100.0  # another one from now on
    seen = [future.result() for future in futures]
    assert seen == [(float(n), True) for n in range(25)] + [(100.0 + n, True) for n in range(25, 50)]
    assert array[0] == 100.0
    wait_until(lambda: gc.collect() * 0 or len(data_in(client)) <= 2)


def test_scatter_and_gather(client: Client) -> None:
    arrays = [large(float(n)) for n in range(5)]
    refs = client.scatter(arrays)
    for array, back in zip(arrays, client.gather(refs), strict=True):
        assert np.array_equal(array, back)


@dataclass
class Model:
    weights: np.ndarray
    name: str


def test_an_object_of_a_class_by_value(client: Client) -> None:
    ref = client.put(Model(large(2.0), "m"))
    assert client.submit(lambda model: (model.name, float(model.weights[0])), ref).result() == ("m", 2.0)
    assert client.get(ref).name == "m"


def test_results_that_are_kept(client: Client) -> None:
    keeping = client.with_options(keep_results=True)
    ref = keeping.submit(large, 3.0).result()
    assert isinstance(ref, Ref)
    assert ref.size_bytes > 1_600_000
    total = client.submit(np.sum, ref)
    assert total.result() == 600_000.0
    assert client.get(ref)[0] == 3.0
    small = keeping.submit(pow, 2, 10).result()
    assert isinstance(small, Ref)
    assert client.submit(pow, small, 2).result() == 1 << 20
    refs = list(keeping.map(large, [1.0, 2.0]))
    assert [client.get(each)[0] for each in refs] == [1.0, 2.0]


def test_large_results_are_mapped_and_the_reader_s_own(client: Client) -> None:
    futures = [client.submit(large, float(n)) for n in range(4)]
    for n, future in enumerate(futures):
        array = future.result()
        array += 1.0  # as it always could
        assert array[0] == n + 1.0
    for n, array in enumerate(client.map(large, [float(n) for n in range(4)])):
        assert array[-1] == n
    del array, futures, future
    wait_until(lambda: gc.collect() * 0 or not data_in(client))


def test_wrong_use(client: Client) -> None:
    with pytest.raises(TypeError, match="takes a Ref"):
        client.get(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="get\\(\\) its value"):
        __import__("pickle").dumps(client.put(1))


def test_a_slot_that_dies_with_data(client: Client) -> None:
    def die_once(a: np.ndarray) -> float:
        if not current_task().attempt:
            os.kill(os.getpid(), signal.SIGKILL)
        return float(a.sum())

    assert client.submit(die_once, client.put(large(1.0))).result() == 200_000.0


def test_nothing_is_left() -> None:
    with Client(slots=1) as client:
        store = store_of(client)
        ref = client.put(large(1.0))
        kept = client.with_options(keep_results=True).submit(large, 2.0).result()
    wait_until(lambda: not store.exists())
    del ref, kept
