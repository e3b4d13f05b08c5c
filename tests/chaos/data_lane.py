"""A client's work beyond calls: what is put, what stays with workers, arrays that change, reductions, searches."""

from __future__ import annotations

import operator
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from tests.chaos.notes import Notes
from tests.chaos.orders import Orders
from tests.chaos.tasks import Order, array_of, bowl, made, pair, remade, seen, single, used
from tests.chaos.values import digest, filler

from manyhands import Client, Ref
from manyhands.client.futures import Future
from manyhands.optimize import Float, Int, Space, minimize

#: Seconds between two pieces of work, on average.
PACE = 0.1
#: Keys of a reduction by key.
KEYS = 7
#: Bytes of an array that changes: enough to be kept in the cluster when it is met first.
CHANGING_BYTES = 1_500_000
#: Of a search: where, and how many evaluations.
SPACE, BUDGET = Space(x=Float(-1, 1), y=Float(-1, 1), n=Int(0, 9)), 150


class DataLane:
    """For any number of threads, with orders of their own."""

    def __init__(self, client: Client, notes: Notes, stopping: threading.Event) -> None:
        self._client = client
        self._keeping = client.with_options(keep_results=True)
        self._notes = notes
        self._stopping = stopping

    def run(self, orders: Orders) -> None:
        """Until `stopping` is set."""
        ways = (self._put, self._chain, self._change, self._reduce, self._reduce_by_key, self._search)
        while not self._stopping.wait(orders.rng.expovariate(1 / PACE)):
            orders.rng.choice(ways)(orders)

    @contextmanager
    def _outcome_of(self, order: Order) -> Iterator[None]:
        """What is raised inside is this order's outcome."""
        try:
            yield
        except Exception as error:
            self._notes.raised(order.task, error)

    # ------------------------------------------------------------ data

    def _put(self, orders: Orders) -> None:
        order = orders.datum("put")
        self._notes.invoked(order)
        with self._outcome_of(order):
            ref = self._client.put(array_of(order))
            self._use(ref, order, orders)
            self._get(order, ref)

    def _chain(self, orders: Orders) -> None:
        """Results that stay where they were computed, each made of the one before."""
        order, since = orders.datum("made"), time.monotonic()
        self._notes.invoked(order, since)
        future = self._submitted(order, self._keeping, made)
        for _ in range(orders.rng.randrange(3)):
            ref = self._kept(order, future)
            if ref is None:
                return
            following = orders.datum("made")
            self._notes.invoked(following, since)
            future = self._submitted(following, self._keeping, remade, order, ref)
            self._use(ref, order, orders, since)
            with self._outcome_of(order):
                self._get(order, ref)
            order = following
        ref = self._kept(order, future)
        if ref is not None:
            with self._outcome_of(order):
                self._get(order, ref)

    def _use(self, ref: Ref[Any], source: Order, orders: Orders, since: float = 0.0) -> None:
        """A few tasks that need it."""
        users = [orders.small("used") for _ in range(orders.rng.randrange(1, 5))]
        futures = []
        for user in users:
            self._notes.invoked(user, since)
            futures.append(self._submitted(user, self._client, used, source, ref))
        for user, future in zip(users, futures, strict=True):
            self._see(user, future)

    def _change(self, orders: Orders) -> None:
        """The same array again and again, changed in place now and then."""
        array = np.zeros(CHANGING_BYTES, "u1")
        users, futures = [], []
        for _ in range(orders.rng.randrange(1, 4)):
            array[orders.rng.randrange(CHANGING_BYTES)] ^= 1
            wanted = digest("", array.tobytes())
            for _ in range(orders.rng.randrange(1, 6)):
                users.append(orders.small("seen"))
                self._notes.invoked(users[-1])
                futures.append(self._submitted(users[-1], self._client, seen, wanted, array))
        for user, future in zip(users, futures, strict=True):
            self._see(user, future)

    def _submitted(
        self, order: Order, view: Client, function: Callable[..., Any], *arguments: Any
    ) -> Future[Any] | Exception:
        try:
            return view.submit(function, order, *arguments)
        except Exception as error:
            return error

    def _see(self, order: Order, future: Future[Any] | Exception) -> None:
        with self._outcome_of(order):
            self._notes.value(order.task, _result(future))

    def _kept(self, order: Order, future: Future[Any] | Exception) -> Ref[Any] | None:
        found: list[Ref[Any]] = []
        with self._outcome_of(order):
            found.append(_result(future))
        return found[0] if found else None

    def _get(self, order: Order, ref: Ref[Any]) -> None:
        self._notes.value(order.task, (order.task, self._client.get(ref).tobytes()))

    # ------------------------------------------------------------ reductions

    def _reduce(self, orders: Orders) -> None:
        count = orders.rng.randrange(1, 2000)
        order = orders.small("reduced")
        self._notes.invoked(order)
        with self._outcome_of(order):
            found = self._client.map_reduce(single, range(count), operator.add, [-1])
            self._notes.value(order.task, _checked(order, found, [-1, *range(count)]))

    def _reduce_by_key(self, orders: Orders) -> None:
        count = orders.rng.randrange(1, 2000)
        order = orders.small("reduced")
        self._notes.invoked(order)
        with self._outcome_of(order):
            found = self._client.map_reduce_by_key(pair, [(KEYS, number) for number in range(count)], operator.add)
            wanted = {key: sum(range(key, count, KEYS)) for key in range(min(KEYS, count))}
            self._notes.value(order.task, _checked(order, found, wanted))

    # ------------------------------------------------------------ searches

    def _search(self, orders: Orders) -> None:
        """Its history is that of the same search in one process."""
        order, seed = orders.small("searched"), orders.rng.randrange(1 << 30)
        self._notes.invoked(order)
        with self._outcome_of(order):
            found = self._client.optimize(bowl, SPACE, budget=BUDGET, seed=seed)
            wanted = minimize(bowl, SPACE, budget=BUDGET, seed=seed)
            self._notes.value(order.task, _checked(order, found.history.digest(), wanted.history.digest()))


def _result(future: Future[Any] | Exception) -> Any:
    """Raises what the task did, or what was said against submitting it."""
    if isinstance(future, Exception):
        raise future
    return future.result()


def _checked(order: Order, found: Any, wanted: Any) -> tuple[str, bytes]:
    """The value of this order if they are equal, another one if not."""
    return order.task, filler(order.task, order.size) if found == wanted else repr(found).encode()
