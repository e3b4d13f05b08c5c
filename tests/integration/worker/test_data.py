"""Data in a worker's store: results that stay there, and what becomes of them when a slot dies."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest
from tests.integration.worker.running import RunningWorker
from tests.support.daemons import wait_until

from manyhands import Client, current_task
from manyhands.errors import ResultEncodeError
from manyhands.wire.host_store import HostStore

SIZE = 10 << 20


@pytest.fixture(scope="module")
def worker() -> Any:
    with RunningWorker(slots=1) as running:
        yield running


@pytest.fixture
def store(worker: RunningWorker) -> HostStore:
    """What is in it must be what the test has put there, and nothing else."""
    wait_until(lambda: worker.ask(lambda: worker.agent._storage._store) is not None)
    store = HostStore.at(worker.ask(lambda: worker.agent._storage._store.path))
    wait_until(lambda: store.ids() == [])
    return store


def ones(count: int) -> Any:
    return np.ones(count, np.uint8)


def test_a_large_result_stays_and_is_mapped(client: Client, store: HostStore) -> None:
    ref = client.with_options(keep_results=True).submit(ones, SIZE).result(20)
    assert SIZE < store.size(ref.id) == ref.size_bytes < SIZE + 1000
    array = client.get(ref)
    assert not array.flags.writeable
    assert np.array_equal(array, ones(SIZE))


class Lost:
    """Its pickle is large, and has no buffers."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (bytes(SIZE),)


def test_a_large_pickle_stays_too(client: Client, store: HostStore) -> None:
    ref = client.with_options(keep_results=True).submit(Lost).result(20)
    assert store.size(ref.id) > SIZE
    assert client.get(ref) == bytes(SIZE)


def test_small_results_travel(client: Client, store: HostStore) -> None:
    results = client.with_options(keep_results=False).map(lambda n: [n, ones(n)], [1, 100_000])
    assert [(n, len(array)) for n, array in results] == [(1, 1), (100_000, 100_000)]
    assert store.ids() == []


def test_what_cannot_be_pickled_fails_as_ever(client: Client, store: HostStore) -> None:
    with pytest.raises(ResultEncodeError, match="generator"):
        client.with_options(keep_results=True).submit(lambda: (n for n in ())).result(20)
    assert store.ids() == []


def die_before_commit() -> Any:
    """Once: the file is written, but has no name yet."""
    from manyhands.wire.store_writer import Writer

    if current_task().attempt == 0:
        Writer.commit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    return ones(SIZE)


def die_before_report() -> Any:
    """Once: the datum is in the store, but nobody has heard of it."""
    from manyhands.worker.slot_pipes import Outbox

    if current_task().attempt == 0:
        Outbox.stored = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    return ones(SIZE)


def die_before_done() -> Any:
    """Once: the datum has been told of, but not that the task is done."""
    from manyhands.worker.slot_pipes import Outbox

    def done(outbox: Outbox, *_: Any) -> None:
        outbox.send()
        os.kill(os.getpid(), signal.SIGKILL)

    if current_task().attempt == 0:
        Outbox.done = done  # type: ignore[method-assign]
    return ones(SIZE)


@pytest.mark.parametrize("function", [die_before_commit, die_before_report, die_before_done])
def test_a_slot_that_dies_while_it_writes_leaves_nothing(client: Client, store: HostStore, function: Any) -> None:
    ref = client.with_options(keep_results=True).submit(function).result(30)
    wait_until(lambda: store.ids() == [ref.id])
    assert [path.name for path in store.path.glob(".unfinished*")] == []
    assert np.array_equal(client.get(ref), ones(SIZE))
