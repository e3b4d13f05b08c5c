"""Ctrl-C at bad moments: whatever it strikes, the client goes on as if that call had not been made."""

import itertools
import sys
import threading
from types import FrameType
from typing import Any

import pytest
from tests.support.daemons import wait_until
from tests.support.fake_master import FakeMaster

from manyhands import Client
from manyhands.client.futures import Future
from manyhands.client.gathering import OpenBlock
from manyhands.client.loop import Background, background
from manyhands.client.submitting import SubmitJob

#: Everything that runs between the first and the last change that a submit makes. Background.post by its start
#: alone: inside it nothing lets a signal in, but for the loop's own method, which has a test of its own.
POST = Background.post.__code__
STRUCK = frozenset(
    (SubmitJob._add.__code__, OpenBlock.__init__.__code__, OpenBlock.add.__code__, Future.__init__.__code__, POST)
)


class Strike:
    """Raises KeyboardInterrupt at the n-th line of what is struck."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.struck = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code not in STRUCK or (frame.f_code is POST and not self._is_adding(frame)):
            return self
        if event == "call" or (event == "line" and frame.f_code is not POST):
            self.n -= 1
            if self.n < 0:
                self.struck = True
                raise KeyboardInterrupt
        return self

    @staticmethod
    def _is_adding(frame: FrameType) -> bool:
        return frame.f_back is not None and frame.f_back.f_code is SubmitJob._add.__code__


@pytest.mark.parametrize("waiting", [0, 3])
def test_in_submit(client: Client, master: FakeMaster, waiting: int) -> None:
    """Alone, and after others that are still unsent."""
    total = 0
    for n in itertools.count():
        posted = threading.Event()
        held = threading.Event()
        background().post(lambda: (posted.set(), held.wait(10)))  # type: ignore[func-returns-value] # noqa: B023
        assert posted.wait(10)
        before = [client.submit(abs, -each) for each in range(waiting)]
        strike = Strike(n)
        sys.settrace(strike)
        try:
            client.submit(abs, -7)
        except KeyboardInterrupt:
            assert strike.struck
        finally:
            sys.settrace(None)
        after = client.submit(abs, -8)
        held.set()
        assert [future.result(5) for future in (*before, after)] == [*range(waiting), 8]
        total += waiting + 1
        if not strike.struck:
            break
    assert n > 15
    wait_until(lambda: client.get_stats()["tasks_completed"] == total + 1, 5)
    client.shutdown()


class InterruptedLoop:
    """A loop in whose call_soon_threadsafe Ctrl-C strikes once."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._left = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_soon_threadsafe(self, *arguments: Any) -> None:
        if self._left:
            self._left -= 1
            raise KeyboardInterrupt
        self._loop.call_soon_threadsafe(*arguments)


def test_while_the_loop_is_woken(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.submit(abs, 1).result(5)
    monkeypatch.setattr(background(), "loop", InterruptedLoop(background().loop))
    ran = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        background().post(ran.set)
    assert ran.wait(5), "it had been accepted"
    assert client.submit(abs, -2).result(5) == 2
