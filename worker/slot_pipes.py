"""The slot's ends of its two pipes: frames in, reports out; blocking, one thread."""

from __future__ import annotations

import contextlib
import os
import select
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from time import monotonic

from manyhands.worker import slot_frames as frames

#: Beyond 128 KiB the allocator maps and unmaps memory for every read.
_READ_BYTES = 64 << 10
#: A frame of which much is missing is read in pieces of this size.
_READ_BYTES_MAX = 8 << 20


class AgentGone(Exception):
    """The agent closed its end: there is nothing left to do here."""


class Outbox:
    """Reports on their way to the agent; `send` is the caller's decision."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._out: list[bytes] = []
        self._base = 0  # where the next report's offsets begin
        #: When `send` was last called, in monotonic seconds.
        self.sent = 0.0

    def close(self) -> None:
        """Make every later `send` fail."""
        _close(self._fd)
        self._fd = -1

    def ready(self) -> None:
        self._out.append(frames.write_ready())

    def done(self, before: int, payloads: list[bytes], seconds: float) -> None:
        """Results of the consecutive positions that end before `before`, if any; empties `payloads`."""
        count = len(payloads)
        if not count:
            return
        payload = b"".join(payloads)
        base = self._base
        if base + len(payload) > frames.OFFSET_MAX:
            base = 0
        ends = frames.pack_offsets(accumulate(map(len, payloads), initial=base))[4:]
        self._out.append(frames.write_done(before - count, count, base, ends, payload, seconds))
        self._base = base + len(payload)
        payloads.clear()

    def failed(self, position: int, payload: bytes, retryable: bool, seconds: float) -> None:
        self._out.append(frames.write_failed(position, payload, retryable, seconds))

    def interrupted(self, position: int, seconds: float) -> None:
        self._out.append(frames.write_interrupted(position, seconds))

    def saved(self, position: int, state: bytes) -> None:
        self._out.append(frames.write_saved(position, state))

    def stored(self, position: int, id: bytes, size: int) -> None:
        self._out.append(frames.write_stored(position, id, size))

    def wanted(self, hashes: list[bytes]) -> None:
        self._out.append(frames.write_wanted(hashes))

    def cut_done(self, cut: int) -> None:
        self._out.append(frames.write_cut_done(cut))

    def send(self) -> None:
        """Write everything. Raises AgentGone."""
        self.sent = monotonic()
        if not self._out:
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        try:
            written = os.write(self._fd, data)
            if written < len(data):
                rest = memoryview(data)[written:]
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise AgentGone(str(error)) from error


class Inbox:
    """Frames from the agent, in order, but some are taken as soon as they are read.

    define, use_store: take definitions; the prefix of ids, and the folder, of the store to use from now on.
    `before_wait` is called before a read that may block.
    """

    def __init__(
        self,
        fd: int,
        define: Callable[[bytes, bytes], None],
        use_store: Callable[[bytes, str], None],
        before_wait: Callable[[], None],
    ) -> None:
        self._fd = fd
        self._define = define
        self._use_store = use_store
        self._before_wait = before_wait
        self._cutter = frames.FrameCutter()
        self._pending: deque[tuple[int, memoryview]] = deque()

    def close(self) -> None:
        """Make every later `read` fail."""
        _close(self._fd)
        self._fd = -1

    def next(self) -> tuple[int, memoryview]:
        """The next frame that is not taken yet."""
        while not self._pending:
            self.read()
        return self._pending.popleft()

    def cut_ahead(self) -> int:
        """The cut that lies among the next frames, or will: the limit was lowered. It stays there."""
        seen = 0
        while True:
            for kind, body in list(self._pending)[seen:]:
                if kind == frames.CUT:
                    return frames.read_cut(body)
            seen = len(self._pending)
            self.read()

    def wait(self, seconds: float) -> bool:
        """Whether anything arrives within that time, or the agent goes."""
        waiting = select.poll()
        waiting.register(self._fd, select.POLLIN)
        return bool(waiting.poll(1000 * seconds))

    def read(self) -> None:
        """Wait for something to arrive. Raises AgentGone."""
        self._before_wait()
        try:
            data = os.read(self._fd, min(max(_READ_BYTES, self._cutter.missing), _READ_BYTES_MAX))
        except OSError as error:
            raise AgentGone(str(error)) from error
        if not data:
            raise AgentGone("the agent closed the pipe")
        for kind, body in self._cutter.feed(data):
            if kind == frames.DEFINE:
                self._define(*frames.read_define(body))
            elif kind == frames.STORE:
                self._use_store(*frames.read_store(body))
            else:
                self._pending.append((kind, body))


def _close(fd: int) -> None:
    with contextlib.suppress(OSError):  # a task has closed it already
        os.close(fd)
