"""Who waits for workers, and when the client says that there are none."""

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable
from typing import Any

import pytest

from manyhands.client.cluster import NO_WORKER_DELAY, ClusterView


class FakeLoop:
    """Timers only, run by hand."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, action: Callable[[], None]) -> Any:
        entry = delay, action
        self.timers.append(entry)
        loop = self

        class Handle(asyncio.TimerHandle):
            def __init__(self) -> None:
                pass

            def cancel(self) -> None:
                loop.timers.remove(entry)

        return Handle()

    def fire(self) -> None:
        (_, action), self.timers = self.timers[0], []
        action()


def make() -> tuple[FakeLoop, ClusterView]:
    loop = FakeLoop()
    return loop, ClusterView(loop, "host:7077")  # type: ignore[arg-type]


def test_waiting_for_workers() -> None:
    _, view = make()
    two: concurrent.futures.Future[None] = concurrent.futures.Future()
    one: concurrent.futures.Future[None] = concurrent.futures.Future()
    view.wait_for(2, two)
    view.wait_for(1, one)
    view.update(1, 8)
    assert one.done()
    assert not two.done()
    assert view.shortage(2, 3) == "after 3 s 1 of 2 workers have joined the master at host:7077"
    view.update(2, 16)
    assert two.result(0) is None
    there: concurrent.futures.Future[None] = concurrent.futures.Future()
    view.wait_for(2, there)
    assert there.done()


def test_those_who_wait_hear_of_the_end() -> None:
    _, view = make()
    waiting: concurrent.futures.Future[None] = concurrent.futures.Future()
    given_up: concurrent.futures.Future[None] = concurrent.futures.Future()
    view.wait_for(1, waiting)
    view.wait_for(1, given_up)
    given_up.cancel()
    view.fail(OSError("gone"))
    assert isinstance(waiting.exception(0), OSError)
    late: concurrent.futures.Future[None] = concurrent.futures.Future()
    view.wait_for(1, late)
    assert isinstance(late.exception(0), OSError)


def test_the_warning_comes_once_and_names_the_command(caplog: pytest.LogCaptureFixture) -> None:
    loop, view = make()
    assert not loop.timers
    view.has_work(True)
    assert [delay for delay, _ in loop.timers] == [NO_WORKER_DELAY]
    view.update(1, 1)
    assert not loop.timers
    view.update(0, 0)
    with caplog.at_level(logging.WARNING):
        loop.fire()
    assert "manyhands worker host:7077" in caplog.text
    view.has_work(False)
    view.has_work(True)
    assert not loop.timers


def test_no_warning_without_work() -> None:
    loop, view = make()
    view.has_work(True)
    view.has_work(False)
    assert not loop.timers
