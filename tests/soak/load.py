"""The load of one client: pieces of work of many kinds, each of them seen through, its values checked."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from random import Random
from typing import Any

from tests.soak.tasks import Deliberate, failing, filled, flaky, label, nap, same

from manyhands import Client
from manyhands.client.session import MAX_STREAMS


class WrongOutcome(AssertionError):
    """A task did not come to what it should have."""


class Load:
    """Pieces on order; a seed gives the order."""

    def __init__(self, client: Client, rng: Random) -> None:
        self._client = client
        self._retrying = client.with_options(retries=3, retry_delay=0.02)
        self._rng = rng
        self._names = itertools.count()
        #: (piece, how often it comes among all, tasks of one)
        self._pieces: list[tuple[Callable[[int], int], float, int]] = [
            (self._map, 0.30, 40_000),
            (self._label, 0.15, 10_000),
            (self._generate, 0.15, 20_000),
            (self._unordered, 0.06, 20_000),
            (self._submit, 1.0, 2_000),
            (self._abandon, 0.15, 10_000),
            (self._fail, 1.0, 300),
            (self._fail_submits, 0.5, 100),
            (self._retry, 0.5, 200),
            (self._retry_submits, 0.5, 100),
            (self._cancel, 0.6, 150),
            (self._fill, 0.10, 300),
            (self._close_over, 3.0, 50),
            (self._rename, 2.5, 10),
            (self._detach, 0.10, 1_000),
        ]

    def warm_up(self) -> int:
        """Fill what is kept by intent and is bounded by count; how many tasks it was. Raises WrongOutcome."""
        return sum(self._rename(10) for _ in range(MAX_STREAMS))

    def piece(self) -> int:
        """Do one, whole; how many tasks it was. Raises WrongOutcome."""
        ((piece, _, size),) = self._rng.choices(self._pieces, [weight for _, weight, _ in self._pieces])
        return piece(max(10, int(size * self._rng.uniform(0.5, 1.5))))

    # ------------------------------------------------------------ maps

    def _map(self, count: int) -> int:
        _check(self._client.map(same, range(count)), range(count))
        return count

    def _label(self, count: int) -> int:
        _check(self._client.map(label, range(count)), map(label, range(count)))
        return count

    def _fill(self, count: int) -> int:
        _check(self._client.map(filled, range(count)), map(filled, range(count)))
        return count

    def _generate(self, count: int) -> int:
        _check(self._client.map(same, (x for x in range(count))), range(count))
        return count

    def _unordered(self, count: int) -> int:
        _check(sorted(self._client.map_unordered(same, range(count))), range(count))
        return count

    def _abandon(self, count: int) -> int:
        """Read a part, and want no more."""
        results = self._client.map(same, range(count))
        read = self._rng.randrange(count)
        _check(itertools.islice(results, read), range(read))
        results.close()
        return count

    def _fail(self, count: int) -> int:
        for x, outcome in enumerate(self._client.map(failing, range(count), return_exceptions=True)):
            _check_failing(x, outcome)
        return count

    def _retry(self, count: int) -> int:
        _check(self._retrying.map(flaky, range(count)), range(count))
        return count

    def _close_over(self, count: int) -> int:
        """With a function made anew. There are twenty: the caches for ever new ones fill slowly."""
        change = self._rng.randrange(20)
        _check(self._client.map(lambda x: x + change, range(count)), range(change, change + count))
        return count

    # ------------------------------------------------------------ submits

    def _submit(self, count: int) -> int:
        futures = [self._client.submit(same, x) for x in range(count)]
        _check((future.result() for future in futures), range(count))
        return count

    def _fail_submits(self, count: int) -> int:
        futures = [self._client.submit(failing, x) for x in range(count)]
        for x, future in enumerate(futures):
            _check_failing(x, future.exception() or future.result())
        return count

    def _retry_submits(self, count: int) -> int:
        futures = [self._retrying.submit(flaky, x) for x in range(count)]
        _check((future.result() for future in futures), range(count))
        return count

    def _cancel(self, count: int) -> int:
        """Every third, at different times: pending, sent, running, over."""
        futures = [self._client.submit(nap, x) for x in range(count)]
        cancelled = set()
        for x in range(0, count, 3):
            if futures[x].cancel():
                cancelled.add(x)
            elif x % 2:
                futures[x].result()
        for x, future in enumerate(futures):
            try:
                outcome: Any = future.result()
            except CancelledError as error:
                outcome = error
            if isinstance(outcome, CancelledError) != (x in cancelled) or (x not in cancelled and outcome != x):
                raise WrongOutcome(f"submit {x}, cancelled {x in cancelled}, came to {outcome!r}")
        return count

    def _rename(self, count: int) -> int:
        """Under options that there were not before."""
        client = self._client.with_options(name=f"soak {next(self._names)}")
        futures = [client.submit(same, x) for x in range(count)]
        _check((future.result() for future in futures), range(count))
        return count

    # ------------------------------------------------------------ detached

    def _detach(self, count: int) -> int:
        name = f"soak {os.getpid()} {next(self._names)}"
        job = self._client.map(label, range(count), detach=True, name=name)
        try:
            _check(job.results(), map(label, range(count)))
            progress = job.wait(timeout=60)
            if not progress.finished or progress.succeeded != count:
                raise WrongOutcome(f"the detached job {name!r} came to {progress}")
        finally:
            job.cancel()
        return count


def _check(found: Iterator[Any], expected: Any) -> None:
    for number, (one, other) in enumerate(itertools.zip_longest(found, expected, fillvalue="nothing")):
        if one != other:
            raise WrongOutcome(f"task {number} came to {one!r} instead of {other!r}")


def _check_failing(x: int, outcome: Any) -> None:
    right = isinstance(outcome, Deliberate) and outcome.args == (x,) if x % 3 == 0 else outcome == x
    if not right:
        raise WrongOutcome(f"task {x} of those that fail came to {outcome!r}")
