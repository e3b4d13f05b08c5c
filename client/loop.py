"""The client's background: one event loop thread per process, and the thread that runs futures' callbacks.

The loop thread moves bytes and runs no user code. grpc.aio shares one poller among all loops of a process
and misbehaves with several (grpc#25364), so all clients, synchronous or not, share this one.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, TypeVar

from manyhands.wire.eventloop import loop_factory

T = TypeVar("T")
Action = Callable[[], None]

logger = logging.getLogger("manyhands.client")

#: Seconds that the loop's thread may take to stand still at the interpreter's end.
END_TIMEOUT = 1.0


class Background:
    """The loop thread and how other threads reach it. Get it from `background()`, never construct it."""

    def __init__(self) -> None:
        self.loop = loop_factory()()
        self._posted: deque[Action] = deque()
        self._woken = False
        #: Called on the loop's thread with the cause, should the loop itself die.
        self.on_death: set[Callable[[BaseException], None]] = set()
        self._death: BaseException | None = None
        self._ending = False
        self._stands_still = threading.Event()
        self._thread = threading.Thread(target=self._run, name="manyhands-loop", daemon=True)
        self._thread.start()
        self._calls: SimpleQueue[Action] = SimpleQueue()
        self._caller: threading.Thread | None = None

    # ------------------------------------------------------------ the loop's thread

    def post(self, action: Action) -> None:
        """Have `action` run soon on the loop's thread, after what was posted before; cheap, from any thread.

        Takes no lock, because finalizers call it too. An exception of `action` ends everything: catch your own.
        At the interpreter's end nothing is run any more.
        """
        if self._ending:
            return
        self._posted.append(action)
        if not self._woken:
            self._woken = True
            try:
                self.loop.call_soon_threadsafe(self._drain)
            except RuntimeError as closed:  # the loop is closed: it died, and whoever waited has been told
                raise self._death or closed from None
            except BaseException:  # Ctrl-C in there: whoever posts next relies on this call
                self.loop.call_soon_threadsafe(self._drain)
                raise

    def _drain(self) -> None:
        self._woken = False  # before popping: whoever appends later wakes us again
        posted = self._posted
        try:
            while posted:
                posted.popleft()()
        except BaseException:
            self.loop.call_soon(self._drain)  # the others' actions are not to blame
            raise

    def run(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start `coroutine` on the loop; the future is for another thread to wait on."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(self._on_exception)
        try:
            self.loop.run_forever()
            if self._ending:
                self._stands_still.set()
                threading.Event().wait()  # for ever: what this thread holds is not to be torn down before it
            self._death = RuntimeError("manyhands' background loop was stopped")
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread, those who wait must be told
            self._death = error
        for told in list(self.on_death):
            told(self._death)
        self.loop.close()  # from now on `post` raises

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback of ours failed: what it served may be inconsistent, so everything that waits is failed."""
        error = context.get("exception")
        # grpc.aio's poller wakes every loop of the process; harmless noise (grpc#25364).
        if isinstance(error, BlockingIOError):
            return
        logger.error("in the background loop: %s", context.get("message"), exc_info=error)
        if error is not None and "task" not in context and "future" not in context:
            for told in list(self.on_death):
                told(error)

    def end(self) -> None:
        """At the interpreter's end: let the loop stand still.

        Finalizers run then that would wake it, and uvloop would call into an interpreter that is no more: a segfault.
        """
        self._ending = True
        try:
            self.loop.call_soon_threadsafe(self.loop.stop)
        except RuntimeError:
            return  # it died before
        self._stands_still.wait(END_TIMEOUT)

    @property
    def is_current(self) -> bool:
        """Whether the caller is on the loop's thread or the callback thread, which must never be blocked."""
        current = threading.current_thread()
        return current is self._thread or current is self._caller

    # ------------------------------------------------------------ the callback thread

    def call(self, action: Action) -> None:
        """Have `action` run on the callback thread. It deals with its own exceptions, as futures' callbacks do."""
        self._calls.put(action)
        if self._caller is None:
            with _starting:
                if self._caller is None:
                    caller = threading.Thread(target=self._call_all, name="manyhands-callbacks", daemon=True)
                    self._caller = caller  # before it starts: what it runs asks whether it is current
                    caller.start()

    def _call_all(self) -> None:
        while True:
            action = self._calls.get()
            try:
                action()
            except BaseException:  # sys.exit() in a callback must not end everybody's callbacks
                logger.exception("in a future's callback")
            del action  # keeps nothing alive while waiting for the next


_starting = threading.Lock()
_background: Background | None = None


def background() -> Background:
    """This process's background, started on first use."""
    global _background  # noqa: PLW0603 - one per process is the point
    with _starting:
        if _background is None:
            _background = Background()
        return _background


def _forget() -> None:
    """In a forked child: its parent's threads are not here, nor whoever held the lock."""
    global _background, _starting  # noqa: PLW0603
    _background = None
    _starting = threading.Lock()


def _end() -> None:
    if _background is not None:
        _background.end()


atexit.register(_end)  # before users register theirs: so it comes after them
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
