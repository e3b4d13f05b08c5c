"""What a client writes down of what it asks for and sees. From any thread."""

from __future__ import annotations

import time

from tests.chaos.history import Cancel, Ended, HistoryWriter, Invoked
from tests.chaos.tasks import Order
from tests.chaos.values import digest


class Notes:
    """Into one history."""

    def __init__(self, history: HistoryWriter) -> None:
        self._history = history

    def invoked(self, order: Order, since: float = 0.0) -> None:
        """About to be asked for. since: see Invoked."""
        self._history.write(Invoked(time.monotonic(), order.task, order.kind, order.size, order.retries, since))

    def value(self, asked: str, value: tuple[str, bytes]) -> None:
        """`asked` is the task whose value this should be."""
        self._history.write(Ended(time.monotonic(), asked, "value", digest(*value)))

    def raised(self, task: str, error: BaseException) -> None:
        self._history.write(Ended(time.monotonic(), task, "raised", type(error).__name__, str(error)[:500]))

    def cancelled(self, task: str) -> None:
        self._history.write(Ended(time.monotonic(), task, "cancelled"))

    def cancel(self, at: float, task: str, *, agreed: bool) -> None:
        """cancel() was called, and returned `agreed`."""
        self._history.write(Cancel(at, task, agreed))
