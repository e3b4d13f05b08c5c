"""Whether there is room for more work on the way to the master, and with it; and waiting for that."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

#: Whoever submits waits while the master has not acknowledged so much. More than the session's window, and less than
#: what is left of the least that a master takes when it says that it is short of room.
UNACKNOWLEDGED_BYTES = 32 << 20
#: Seconds between two looks: acknowledgements come with no event of their own, news of the master's room do.
LOOK_INTERVAL, LOOK_INTERVAL_MAX = 0.002, 0.1
#: Nobody waits longer than so many seconds for room at the master while the results of a map wait to be read: its tasks
#: may be what takes the room, and whoever waits be who should read. What goes beyond the master's limit it refuses.
STALLED_TIMEOUT = 5.0
#: For who was refused.
WAY_OUT = "submit again when some of that is done"


class Room:
    """One connection's. From any thread, except where it says otherwise."""

    def __init__(
        self, pending_bytes: Callable[[], int], is_over: Callable[[], bool], is_stalled: Callable[[], bool]
    ) -> None:
        """pending_bytes: with the session, not acknowledged. is_over: nobody need wait any more. is_stalled: results
        wait to be read, and so many that the master starts nothing more of their job.
        """
        self._pending_bytes = pending_bytes
        self._is_over = is_over
        self._is_stalled = is_stalled
        self._unsent_bytes = 0  # in blocks that the session has not been given yet
        self._lock = threading.Lock()
        self._is_short = False
        self._news = threading.Event()

    def count_unsent(self, size: int) -> None:
        """`size` bytes were added to blocks, or, if negative, given to the session or dropped."""
        with self._lock:
            self._unsent_bytes += size

    def master_is_short(self, is_short: bool) -> None:
        """On the loop's thread: what the master says of its own room."""
        self._is_short = is_short
        if is_short:
            self._news.clear()
        else:
            self._news.set()

    @property
    def is_full(self) -> bool:
        """Whether a caller who adds more should wait."""
        full = self._is_short or self._unsent_bytes + self._pending_bytes() > UNACKNOWLEDGED_BYTES
        return full and not self._is_over()

    def wait(self) -> None:
        """Wait until there is room, or waiting makes no sense."""
        patience = _Patience(self._is_stalled)
        while self.is_full and not patience.is_over:
            if self._is_short:
                self._news.wait(LOOK_INTERVAL_MAX)
            else:
                time.sleep(LOOK_INTERVAL)

    async def wait_async(self) -> None:
        """The same in anybody's event loop."""
        patience = _Patience(self._is_stalled)
        interval = LOOK_INTERVAL
        while self.is_full and not patience.is_over:
            await asyncio.sleep(interval)
            interval = min(interval * 1.2, LOOK_INTERVAL_MAX)


class _Patience:
    """See STALLED_TIMEOUT."""

    def __init__(self, is_stalled: Callable[[], bool]) -> None:
        self._is_stalled = is_stalled
        self._since: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has been stalled for so long, without interruption."""
        if not self._is_stalled():
            self._since = None
            return False
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since > STALLED_TIMEOUT
