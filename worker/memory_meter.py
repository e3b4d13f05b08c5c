"""The agent's shell around `private_memory`: quick measurements at once, long ones in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from manyhands.worker import private_memory


class MemoryMeter:
    """One for the agent, on its loop's thread."""

    def __init__(self) -> None:
        self._is_countable = private_memory.is_countable()
        self._has_complained = False

    def measure(self, pid: int, limit_bytes: int, on_measured: Callable[[int], None]) -> str:
        """Have `on_measured` called with the bytes that a slot uses, exactly if they are above the limit.

        Where they cannot be counted it is not called; returns what to say of that, once.
        """
        if not self._is_countable:
            complaint = "" if self._has_complained else "this system does not tell who uses memory: no task is limited"
            self._has_complained = True
            return complaint
        loop = asyncio.get_running_loop()
        bound, pids = private_memory.estimate(pid)
        if bound <= limit_bytes or len(pids) == 1:
            loop.call_soon(on_measured, bound)
        else:
            counting = loop.run_in_executor(None, private_memory.exact, pids)
            counting.add_done_callback(lambda done: None if done.cancelled() else on_measured(done.result()))
        return ""
