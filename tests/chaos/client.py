"""A client of a chaos run, as a process: submits and maps until SIGTERM, sees everything through, writes its history.

    python -m tests.chaos.client ADDRESS HISTORY NAME SEED

Five threads: one keeps a window of submits full and cancels a few, one waits for a task at a time, one maps, two work
with data.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.chaos.data_lane import DataLane
from tests.chaos.history import HistoryWriter, Left
from tests.chaos.notes import Notes
from tests.chaos.orders import RETRIES, Orders
from tests.chaos.tasks import FUNCTIONS, Order, mixed

from manyhands import Client
from manyhands.client.futures import Future

#: Submits that one thread has open: more than a worker that stands still can hold back.
WINDOW = 300
#: Seconds between two submits, on average; and after an error that nobody ordered.
PACE, PAUSE = 0.015, 0.2
#: Seconds between looks for signals.
WAKE_INTERVAL = 0.2
#: Of the submits, so many are cancelled again, after 0 to `CANCEL_DELAY` seconds.
CANCELLED_SHARE, CANCEL_DELAY = 0.08, 0.3


class Load:
    """One client's threads; stops asking for more when told, and then waits for what it asked for."""

    def __init__(self, client: Client, notes: Notes, name: str, seed: int, stopping: threading.Event) -> None:
        self._views = {0: client, RETRIES: client.with_options(retries=RETRIES, retry_delay=0.05)}
        self._data = DataLane(client, notes, stopping)
        self._notes = notes
        self._name = name
        self._seed = seed
        self._stopping = stopping
        self._failures: list[BaseException] = []

    def run(self) -> None:
        """Until `stopping` is set and the last outcome. Raises what went wrong in a thread: our own fault."""
        lanes = {"submit": self._submit, "wait": self._wait, "map": self._map}
        lanes |= dict.fromkeys(("data", "more-data"), self._data.run)
        threads = [threading.Thread(target=self._lane, args=lane, name=lane[0]) for lane in lanes.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                # A signal right after a SIGCONT is another thread's, and does not wake this one to handle it.
                thread.join(WAKE_INTERVAL)
        if self._failures:
            raise ExceptionGroup("threads failed", self._failures)

    def _lane(self, name: str, lane: Callable[[Orders], None]) -> None:
        try:
            lane(Orders(f"{self._name}.{name}", self._seed))
        except Exception as error:
            self._failures.append(error)
            self._stopping.set()

    # ------------------------------------------------------------ submits

    def _submit(self, orders: Orders) -> None:
        room = threading.Semaphore(WINDOW)
        to_cancel: list[tuple[float, str, Future[Any]]] = []
        while not self._stopping.wait(orders.rng.expovariate(1 / PACE)):
            while not room.acquire(timeout=0.05):
                self._cancel(to_cancel)
                if self._stopping.is_set():
                    break
            else:
                order = orders.next()
                future = self._submitted(order)
                if future is None:
                    room.release()
                    continue
                if orders.rng.random() < CANCELLED_SHARE:
                    due = time.monotonic() + orders.rng.uniform(0, CANCEL_DELAY)
                    to_cancel.append((due, order.task, future))
                future.add_done_callback(lambda done, task=order.task: self._over(task, done, room))
                self._cancel(to_cancel)
        for _ in range(WINDOW):  # all of them are back
            room.acquire()

    def _submitted(self, order: Order) -> Future[Any] | None:
        self._notes.invoked(order)
        try:
            return self._views[order.retries].submit(FUNCTIONS[order.kind], order)
        except Exception as error:
            self._notes.raised(order.task, error)
            self._stopping.wait(PAUSE)  # a cluster that is lost for good need not fill the disk with complaints
            return None

    def _over(self, task: str, future: Future[Any], room: threading.Semaphore) -> None:
        if future.cancelled():
            self._notes.cancelled(task)
        elif (error := future.exception()) is not None:
            self._notes.raised(task, error)
        else:
            self._notes.value(task, future.result())
        room.release()

    def _cancel(self, to_cancel: list[tuple[float, str, Future[Any]]]) -> None:
        now = time.monotonic()
        for each in [each for each in to_cancel if each[0] <= now]:
            to_cancel.remove(each)
            _, task, future = each
            self._notes.cancel(now, task, agreed=future.cancel())

    def _wait(self, orders: Orders) -> None:
        while not self._stopping.wait(orders.rng.expovariate(1 / PACE)):
            order = orders.next()
            future = self._submitted(order)
            if future is not None:
                try:
                    value = future.result()
                except Exception as error:
                    self._notes.raised(order.task, error)
                else:
                    self._notes.value(order.task, value)

    # ------------------------------------------------------------ maps

    def _map(self, orders: Orders) -> None:
        ways = (self._map_ordered, self._map_unordered, self._map_lazily, self._map_tolerantly)
        while not self._stopping.wait(orders.rng.uniform(0, 20 * PACE)):
            batch = orders.batch()
            orders.rng.choice(ways)(self._views[batch[0].retries], batch)

    def _map_ordered(self, view: Client, batch: list[Order]) -> None:
        for order in batch:
            self._notes.invoked(order)
        self._read_in_order(batch, lambda: view.map(mixed, batch, return_exceptions=True))

    def _map_lazily(self, view: Client, batch: list[Order]) -> None:
        """From a generator: what is invoked is known as it is pulled."""
        pulled: list[Order] = []

        def pull() -> Iterator[Order]:
            for order in batch:
                self._notes.invoked(order)
                pulled.append(order)
                yield order

        self._read_in_order(pulled, lambda: view.map(mixed, pull(), return_exceptions=True))

    def _map_tolerantly(self, view: Client, batch: list[Order]) -> None:
        for order in batch:
            self._notes.invoked(order)

        def outcomes() -> Iterator[Any]:
            results, failures = view.fault_tolerant_map(mixed, batch, retries=batch[0].retries)
            by_index = {failure.index: failure.exception for failure in failures}
            return iter([by_index.get(index, result) for index, result in enumerate(results)])

        self._read_in_order(batch, outcomes)

    def _read_in_order(self, asked: list[Order], outcomes: Callable[[], Iterator[Any]]) -> None:
        """`asked` may grow while outcomes are read."""
        seen = 0
        try:
            for outcome in outcomes():
                self._seen(asked[seen].task, outcome)
                seen += 1
        except Exception as error:
            for order in asked[seen:]:
                self._notes.raised(order.task, error)
            self._stopping.wait(PAUSE)

    def _map_unordered(self, view: Client, batch: list[Order]) -> None:
        open_tasks = {order.task: order for order in batch}
        for order in batch:
            self._notes.invoked(order)
        try:
            for outcome in view.map_unordered(mixed, batch, return_exceptions=True):
                task = _task_of(outcome, batch)
                open_tasks.pop(task, None)
                self._seen(task, outcome)
        except Exception as error:
            for task in open_tasks:
                self._notes.raised(task, error)
            self._stopping.wait(PAUSE)

    def _seen(self, task: str, outcome: tuple[str, bytes] | BaseException) -> None:
        if isinstance(outcome, BaseException):
            self._notes.raised(task, outcome)
        else:
            self._notes.value(task, outcome)


def _task_of(outcome: Any, batch: list[Order]) -> str:
    """Which task an outcome without a place belongs to, by its own word. Raises it, if it has none."""
    if not isinstance(outcome, BaseException):
        return str(outcome[0])
    match type(outcome).__name__:
        case "Deliberate":
            return str(outcome)
        case "TaskCrashed":
            return batch[int(outcome.task)].task  # type: ignore[attr-defined]
    raise outcome


def main() -> None:
    address, path, name, seed = sys.argv[1:]
    faulthandler.register(signal.SIGUSR1)  # the harness asks for stacks when this process hangs
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.INFO)
    history = HistoryWriter(Path(path))  # from now on signals are understood
    # The master may be stopped, or the way to it cut, at the very moment this client begins.
    client = Client(address, connect_timeout=60.0)
    Load(client, Notes(history), name, int(seed), stopping).run()
    client.shutdown()
    history.write(Left(time.monotonic()))


if __name__ == "__main__":
    main()
