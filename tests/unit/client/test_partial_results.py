"""Exceptions among results: each in its place, whatever failed, and nothing else lost."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.fake_master import FakeMaster, make_client

from manyhands import Client
from manyhands.client.aio import AsyncClient
from manyhands.client.partial_results import PartialResults, TaskFailure
from manyhands.wire.errors import DecodeError, EncodeError


class Brittle:
    """Pickles, and breaks when it is unpickled."""

    def __reduce__(self) -> Any:
        return broken, ()


def broken() -> None:
    raise LookupError("broken on the way")


def picky(item: Any) -> Any:
    if item == 5:
        raise ValueError(item)
    if item == 7:
        return KeyError("not raised, but returned")
    return Brittle() if item == 9 else item


def kinds(outcomes: Any) -> list[Any]:
    return [type(each) if isinstance(each, Exception) else each for each in outcomes]


EXPECTED = [0, 1, 2, 3, 4, ValueError, 6, KeyError, 8, DecodeError, 10, 11]


@pytest.mark.parametrize("is_sized", [True, False])
def test_exceptions_come_in_their_places(client: Client, is_sized: bool) -> None:
    inputs: Any = range(12) if is_sized else iter(range(12))
    assert kinds(client.map(picky, inputs, return_exceptions=True)) == EXPECTED
    stars = [(each,) for each in range(12)]
    assert kinds(client.starmap(picky, stars if is_sized else iter(stars), return_exceptions=True)) == EXPECTED


def test_in_any_order(client: Client) -> None:
    outcomes = kinds(client.map_unordered(picky, [*range(12), threading.Lock()], return_exceptions=True))
    assert sorted(map(str, outcomes)) == sorted(map(str, [*EXPECTED, EncodeError]))


@pytest.mark.parametrize("is_sized", [True, False])
@pytest.mark.parametrize("bad", [[0], [3, 4, 5], [11], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [0, 5, 11], [5]])
@pytest.mark.parametrize("run_count", [1, 1000])
def test_inputs_that_cannot_be_pickled(
    client: Client, master: FakeMaster, bad: list[int], run_count: int, is_sized: bool
) -> None:
    master.run_count = run_count
    inputs: Any = [threading.Lock() if each in bad else each for each in range(12)]
    outcomes = client.map(abs, inputs if is_sized else iter(inputs), return_exceptions=True)
    assert kinds(outcomes) == [EncodeError if each in bad else each for each in range(12)]


def test_endless_inputs_that_cannot_be_pickled(client: Client) -> None:
    def locks() -> Iterator[Any]:
        while True:
            yield threading.Lock()

    outcomes = client.map(abs, locks(), return_exceptions=True)
    assert kinds(next(outcomes) for _ in range(100)) == [EncodeError] * 100
    outcomes.close()


def test_what_ends_the_inputs_is_raised(client: Client) -> None:
    def inputs() -> Iterator[int]:
        yield from range(6)
        raise RuntimeError("no more")

    outcomes = client.map(picky, inputs(), return_exceptions=True)
    assert kinds(next(outcomes) for _ in range(6)) == EXPECTED[:6]
    with pytest.raises(RuntimeError, match="no more"):
        next(outcomes)


def test_cancelled_tasks_are_exceptions_too(client: Client, master: FakeMaster) -> None:
    master.running.clear()
    outcomes = client.map(abs, range(5), return_exceptions=True)
    client.shutdown(wait=False, cancel_futures=True)
    assert set(kinds(outcomes)) <= {concurrent.futures.CancelledError, 0, 1, 2, 3, 4}


def test_fault_tolerant_map(client: Client) -> None:
    lock = threading.Lock()
    results, failures = client.fault_tolerant_map(picky, iter([*range(12), lock]))
    assert kinds(results) == [0, 1, 2, 3, 4, None, 6, KeyError, 8, None, 10, 11, None]
    assert isinstance(results[7], KeyError), "what a task returns is a result"
    assert [(each.index, each.item, type(each.exception)) for each in failures] == [
        (5, 5, ValueError),
        (9, 9, DecodeError),
        (12, lock, EncodeError),
    ]


def test_fault_tolerant_map_of_several_iterables(client: Client, master: FakeMaster) -> None:
    results, failures = client.fault_tolerant_map(divmod, [7, 8], (2, 0, 3), retries=5)
    assert results == [(3, 1), None]
    assert [(each.index, each.item) for each in failures] == [(1, (8, 0))]
    assert max(job.opening.retry.retries for job in master.jobs.values()) == 5
    assert client.fault_tolerant_map(abs, []) == ([], [])


def test_the_asynchronous_client() -> None:
    async def story() -> None:
        master = FakeMaster()
        client = AsyncClient("nowhere:1")
        client._connect = lambda: make_client(master)  # type: ignore[assignment]
        async with client:
            outcomes = client.map(picky, [*range(12), threading.Lock()], return_exceptions=True)
            assert kinds([each async for each in outcomes]) == [*EXPECTED, EncodeError]
            assert [each async for each in client.starmap(divmod, [(7, 2), (9, 4)])] == [(3, 1), (2, 1)]
            partial = await client.fault_tolerant_map(picky, range(6))
            assert isinstance(partial, PartialResults)
            assert partial.results == [0, 1, 2, 3, 4, None]
            [failure] = partial.failures
            assert isinstance(failure, TaskFailure)
            assert (failure.index, failure.item, str(failure.exception)) == (5, 5, "5")
        master.stop()

    asyncio.run(story())
