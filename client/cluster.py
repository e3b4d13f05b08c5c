"""What the master says of its workers, who waits for more of them, and the warning when there are none."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging

#: Seconds that work waits without any worker before the client says so.
NO_WORKER_DELAY = 5.0

logger = logging.getLogger("manyhands.client")


class ClusterView:
    """Written on the loop's thread; `workers` and `slots` may be read from any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        self._loop = loop
        self._address = address
        self.workers = 0
        self.slots = 0
        self._waiting: list[tuple[int, concurrent.futures.Future[None]]] = []
        self._has_work = False
        self._timer: asyncio.TimerHandle | None = None
        self._warned = False
        self._failure: BaseException | None = None

    def update(self, workers: int, slots: int) -> None:
        """The master reports a change."""
        self.workers, self.slots = workers, slots
        for count, future in self._waiting:
            if workers >= count and future.set_running_or_notify_cancel():
                future.set_result(None)
        self._waiting = [(count, future) for count, future in self._waiting if not future.done()]
        self._watch()

    def wait_for(self, count: int, future: concurrent.futures.Future[None]) -> None:
        """Complete `future` once there are `count` workers, or will never be."""
        self._waiting.append((count, future))
        if self._failure is None:
            self.update(self.workers, self.slots)
        else:
            self.fail(self._failure)

    def shortage(self, count: int, timeout: float | None) -> str:
        """From any thread: the sentence for somebody who waited in vain."""
        return f"after {timeout or 0.0:g} s {self.workers} of {count} workers have joined the master at {self._address}"

    def fail(self, cause: BaseException) -> None:
        """No news will come any more."""
        self._failure = cause
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(cause)
        self.has_work(False)

    def has_work(self, has_work: bool) -> None:
        """Whether any task waits to be done."""
        if has_work != self._has_work:
            self._has_work = has_work
            self._watch()

    def _watch(self) -> None:
        """Have the timer run exactly while somebody waits in vain and has not been told."""
        lonely = self.workers == 0 and (self._has_work or bool(self._waiting)) and not self._warned
        if lonely and self._timer is None:
            self._timer = self._loop.call_later(NO_WORKER_DELAY, self._warn)
        elif not lonely and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _warn(self) -> None:
        self._timer = None
        self._warned = True
        logger.warning(
            "no worker has joined the master at %s yet, so nothing runs; start one on any machine with: "
            "manyhands worker %s",
            self._address,
            self._address,
        )
