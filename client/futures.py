"""Futures: completed with raw bytes by the loop's thread, decoded by the thread that asks."""

from __future__ import annotations

import concurrent.futures
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from typing import Any, Protocol, TypeVar

from manyhands.client.loop import background
from manyhands.protos import manyhands_pb2 as pb

T = TypeVar("T")

#: How a task ended, as it travelled: the encoded result, the master's report of a failure, or our own error.
Outcome = bytes | pb.Failure | BaseException

# Guards the step from "no thread has ever looked" to "has a condition of its own", for all futures: most
# are finished before anybody waits, and making a condition costs as much as all the rest of a submit.
# Reentrant, because the garbage collector may run a finalizer that touches a future meanwhile.
_gate = threading.RLock()


class Owner(Protocol):
    """The job a future belongs to."""

    def cancel(self, index: int) -> None:
        """The future was cancelled: tell the master."""
        ...

    def is_dispatched(self, index: int) -> bool:
        """Whether the task has been sent to a worker, as far as is known; may wait for the answer, for a moment."""
        ...

    def check_forked(self) -> None:
        """Raise ForkedClient in a forked child, where no result will ever come."""
        ...

    def is_awaited(self, index: int) -> None:
        """Somebody has nothing to do until this future ends."""
        ...

    def decode(self, outcome: Outcome) -> tuple[Any, BaseException | None]:
        """The (result, exception) that the bytes stand for; runs user code, so never on the loop's thread."""
        ...


class Future(concurrent.futures.Future[T]):
    """A task's result to come; works wherever a `concurrent.futures.Future` does."""

    __manyhands_unsendable__ = (
        "a Future cannot be sent to a task: pass its result(), or submit the dependent task once it is done"
    )

    # Class attributes stand for the initial state, so that a submit sets only what differs.
    _state = PENDING
    _result = None
    _exception = None
    _outcome: Outcome | None = None
    _own_condition: threading.Condition | None = None
    _on_end: Callable[[], None] | None = None
    _done_callbacks: list[Callable[[Future[T]], object]]  # made with the condition

    def __init__(self, owner: Owner, index: int) -> None:
        # Not super().__init__(), which would make the condition and both lists.
        self._owner = owner
        self._index = index

    @classmethod
    def failed(cls, error: BaseException) -> Future[Any]:
        """A future whose task could not even be sent."""
        future: Future[Any] = cls(_NOBODY, -1)
        future._outcome = error
        future._state = FINISHED
        return future

    @classmethod
    def kept(cls, owner: Owner, outcome: bytes) -> Future[Any]:
        """A future whose result was there already, as it once travelled."""
        future: Future[Any] = cls(owner, -1)
        future._outcome = outcome
        future._state = FINISHED
        return future

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]  # what wait() and asyncio use
        if self._state not in _ENDED:
            self._owner.check_forked()  # or wait() would never return there
        if self._own_condition is not None:
            return self._own_condition
        made, ours = threading.Condition(), self.__dict__
        with _gate:
            # By setdefault, as a finalizer may come in between, in this very thread.
            ours.setdefault("_waiters", [])
            ours.setdefault("_done_callbacks", [])
            condition: threading.Condition = ours.setdefault("_own_condition", made)
            return condition

    # ------------------------------------------------------------ asking

    def done(self) -> bool:
        """Whether the task has ended, in whichever way."""
        return self._state in _ENDED

    def running(self) -> bool:
        """Whether the task has been sent to a worker and has not ended.

        The first call asks the master, which takes a round trip (1 s at most); from then on the master tells. A running
        task can still be cancelled.
        """
        return self._state == PENDING and self._owner.is_dispatched(self._index) and self._state == PENDING

    def cancelled(self) -> bool:
        """Whether `cancel` succeeded."""
        return self._state in _CANCELLED

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result, at most `timeout` seconds, and return it.

        Raises what the task raised (with the remote traceback as cause), TimeoutError, CancelledError, or
        SessionLost if the master forgot the task.
        """
        try:
            if self._state != FINISHED:
                self._wait(timeout)
            if self._outcome is not None:
                self._decode()
            if self._exception is not None:
                raise self._exception
            return self._result  # type: ignore[return-value]
        finally:
            del self  # or the exception's traceback and the future keep each other alive

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What `result` would raise, or None. Raises TimeoutError after `timeout` seconds, CancelledError."""
        if self._state != FINISHED:
            self._wait(timeout)
        if self._outcome is not None:
            self._decode()
        return self._exception

    def _wait(self, timeout: float | None) -> None:
        """Return once finished; raises CancelledError or TimeoutError otherwise."""
        deadline = None if timeout is None else time.monotonic() + timeout
        condition = self._condition
        self._owner.is_awaited(self._index)
        with condition:
            while self._state not in _ENDED:
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    raise TimeoutError
                condition.wait(remaining)
            if self._state != FINISHED:
                raise concurrent.futures.CancelledError

    def _decode(self) -> None:
        outcome = self._outcome
        if outcome is None:
            return
        value, exception = self._owner.decode(outcome)
        # Without a lock held while user code runs: should two threads decode at once, all see the first one's.
        with _gate:
            if self._outcome is not None:
                self._result = value
                self._exception = exception
                self._outcome = None

    # ------------------------------------------------------------ ending

    def cancel(self) -> bool:
        """Cancel the task unless it has ended: False then.

        Unlike the standard library's also when it runs: the future is cancelled at once, and TaskInterrupted is raised
        in the task. If that has not ended it after a second, its process is killed. A result that still arrives is
        dropped.
        """
        with self._condition:
            if self._state == FINISHED:
                return False
            if self._state in _CANCELLED:
                return True
            self._become_cancelled()
        self._owner.cancel(self._index)
        return True

    def _become_cancelled(self) -> None:
        """With the condition held: through both states, so that waiters wake as the protocol demands."""
        self._state = CANCELLED
        self.set_running_or_notify_cancel()
        self._condition.notify_all()
        self._call_back()

    def _finish(self, outcome: Outcome) -> None:
        """End with `outcome`, unless cancelled before."""
        with self._condition:
            if self._state in _ENDED:
                return
            self._outcome = outcome
            self._state = FINISHED
            failed = not isinstance(outcome, bytes)
            for waiter in self._waiters:
                if failed:
                    waiter.add_exception(self)
                else:
                    waiter.add_result(self)
            self._condition.notify_all()
            self._call_back()

    def on_end(self, action: Callable[[], None]) -> None:
        """For one of our own: run `action`, which is quick and no user code, on whatever thread ends this future."""
        self._owner.is_awaited(self._index)
        with self._condition:
            if self._state not in _ENDED:
                self._on_end = action
                return
        action()

    def _call_back(self) -> None:
        if self._on_end is not None:
            self._on_end()
            self._on_end = None
        if self._done_callbacks:
            background().call(self._invoke_callbacks)  # type: ignore[attr-defined]  # stdlib's, not in its stub

    def finish_cancelled(self) -> None:
        """The master cancelled it."""
        with self._condition:
            if self._state not in _ENDED:
                self._become_cancelled()

    def __repr__(self) -> str:
        if self._outcome is None:
            return super().__repr__()
        return f"<{type(self).__name__} at {id(self):#x} state=finished, not looked at yet>"  # decoding runs user code

    def __reduce__(self) -> Any:
        raise TypeError(self.__manyhands_unsendable__)


class _Nobody:
    """The owner of a task that was not sent."""

    def cancel(self, index: int) -> None:
        raise AssertionError("it has ended already")

    def is_dispatched(self, index: int) -> bool:
        return False

    def check_forked(self) -> None:
        pass

    def is_awaited(self, index: int) -> None:
        pass

    def decode(self, outcome: Outcome) -> tuple[Any, BaseException | None]:
        assert isinstance(outcome, BaseException)
        return None, outcome


_NOBODY = _Nobody()
_CANCELLED = frozenset((CANCELLED, CANCELLED_AND_NOTIFIED))
_ENDED = frozenset((CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED))


def settle(ended: Iterable[tuple[Future[Any], Outcome]]) -> None:
    """End many futures at once; cancelled ones stay so."""
    watched = []
    with _gate:
        for future, outcome in ended:
            if future._own_condition is None:  # noqa: SLF001 - the same file's business
                # Nobody looks, and nobody can begin to while we hold the gate.
                future._outcome = outcome  # noqa: SLF001
                future._state = FINISHED  # noqa: SLF001
            else:
                watched.append((future, outcome))
    for future, outcome in watched:
        future._finish(outcome)  # noqa: SLF001


def _forget() -> None:
    """In a forked child: whoever held the gate is not here to open it."""
    global _gate  # noqa: PLW0603
    _gate = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
