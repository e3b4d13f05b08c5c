"""What slots print: complete lines, tagged, limited in rate, on the worker's own stdout and stderr."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

#: Lines a second that pass, and how many at once after a quiet time.
RATE = 1000.0
BURST = 2000.0

#: A longer line is cut into several.
LINE_BYTES = 4096

#: Lines of stderr kept for the report of a crash.
TAIL_LINES = 20

#: What waits for a slow terminal; beyond it lines are dropped.
BACKLOG_LINES = 4096


class RateLimit:
    """A token bucket for one stream of the worker; pure. Counts what it does not let pass."""

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = 0.0
        self._dropped = 0

    def admit(self, lines: int, now: float) -> int:
        """How many of `lines` lines pass now."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        passed = min(lines, int(self._tokens))
        self._tokens -= passed
        self._dropped += lines - passed
        return passed

    def drop(self, lines: int) -> None:
        """Lines were lost for another reason."""
        self._dropped += lines

    def take_dropped(self) -> int:
        """How many lines have been dropped since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped


def _pieces(line: bytes) -> list[bytes]:
    return [line[start : start + LINE_BYTES] for start in range(0, len(line) or 1, LINE_BYTES)]


class LineTagger:
    """Cuts one slot's stream into tagged lines; pure. `tail` has the last lines, untagged."""

    def __init__(self, tag: str) -> None:
        self._tag = tag.encode() + b" " if tag else b""
        self._rest = b""
        self.tail: deque[bytes] = deque(maxlen=TAIL_LINES)

    def feed(self, data: bytes, admit: Callable[[int], int]) -> list[bytes]:
        """The lines that `data` completes, as far as `admit(count)` lets them pass."""
        data = self._rest + data
        *lines, rest = data.split(b"\n")
        if len(data) > LINE_BYTES:
            lines = [piece for line in lines for piece in _pieces(line)]
            *more, rest = _pieces(rest)
            lines += more
        self._rest = rest
        return self._tagged(lines, admit)

    def finish(self, admit: Callable[[int], int]) -> list[bytes]:
        """The stream has ended: its last line may be incomplete."""
        rest, self._rest = self._rest, b""
        return self._tagged([rest], admit) if rest else []

    def _tagged(self, lines: list[bytes], admit: Callable[[int], int]) -> list[bytes]:
        self.tail.extend(line[:LINE_BYTES] for line in lines[-TAIL_LINES:])
        tag = self._tag
        return [tag + line + b"\n" for line in lines[: admit(len(lines))]]

    def tail_text(self) -> str:
        """The last lines, for a report."""
        return "\n".join(line.decode(errors="replace") for line in self.tail)


class OutputStream:
    """One of the worker's own streams. A thread writes: a terminal that is stopped must not stop the agent."""

    def __init__(self, target: BinaryIO, name: str) -> None:
        self._target = target
        self._queue: queue.Queue[bytes | None] = queue.Queue(BACKLOG_LINES)
        self.limit = RateLimit()
        self._thread = threading.Thread(target=self._write, name=f"manyhands-{name}", daemon=True)
        self._thread.start()

    def put(self, lines: list[bytes]) -> None:
        """Write lines, from the loop's thread; never waits."""
        dropped = self.limit.take_dropped()
        if dropped and not self._enqueue(f"... {dropped} lines dropped\n".encode()):
            self.limit.drop(dropped + len(lines))
            return
        for k, line in enumerate(lines):
            if not self._enqueue(line):
                self.limit.drop(len(lines) - k)
                return

    def _enqueue(self, line: bytes) -> bool:
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            return False
        return True

    def _write(self) -> None:
        while (line := self._queue.get()) is not None:
            try:
                self._target.write(line)
                if self._queue.empty():
                    self._target.flush()
            except (OSError, ValueError):
                return  # nobody reads any more, so there is nobody to tell; `put` then fills the queue and drops

    def close(self, timeout: float) -> None:
        """Write what waits, for at most `timeout` seconds."""
        self.put([])
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)
