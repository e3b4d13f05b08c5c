"""The slots' shell: processes, pipes and pages, on the agent's loop. Decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from manyhands.wire.errors import KILLED_BY_US
from manyhands.worker import page, process_tree
from manyhands.worker import slot_frames as frames
from manyhands.worker.output import LineTagger, OutputStream
from manyhands.worker.reaper import Reaper
from manyhands.worker.reports import Report
from manyhands.worker.slot_frames import Buffer, FrameCutter, FrameError
from manyhands.worker.slot_interrupts import SIGNAL
from manyhands.worker.slot_process import SlotProcess, spawn
from manyhands.worker.slot_state import Sight, SlotFault

#: Beyond 128 KiB the allocator maps and unmaps memory for every read.
_READ_BYTES = 64 << 10
_OUTPUT_BYTES = 64 << 10
#: Buffers that go into one system call; it takes 1024 at most.
_PARTS_MAX = 256
#: More reads than a pipe's content can need.
_LAST_READS = 64
_UNSEEN = Sight(0, busy=False, since=0.0)

#: Seconds for killed slots to be gone: only the kernel can delay that.
KILL_TIMEOUT = 5.0

#: Seconds from the end of a slot's reports to its own end; longer, and it closed the pipe and lives on.
CLOSED_TIMEOUT = 0.5


class SlotEvents(Protocol):
    """Who is told, on the loop's thread."""

    def on_reports(self, slot: int, reports: list[Report]) -> None:
        """May raise SlotFault: the process is then killed."""
        ...

    def on_death(self, slot: int, exit_code: int, stderr_tail: str) -> None: ...


class SlotShell:
    """One slot and its present process, if there is one."""

    def __init__(
        self,
        number: int,
        name: str,
        events: SlotEvents,
        stdout: OutputStream,
        stderr: OutputStream,
        reaper: Reaper | None = None,
    ) -> None:
        self._number = number
        self._name = name
        self._events = events
        self._streams = (stdout, stderr)
        self._reaper = reaper
        self._loop = asyncio.get_running_loop()
        self._process: SlotProcess | None = None
        self._cutter = FrameCutter()
        self._taggers = (LineTagger(""), LineTagger(""))
        self._unwritten: deque[memoryview] = deque()
        self._last_sight = _UNSEEN
        self._pidfd = -1
        self._killed_for = ""
        self._ended = asyncio.Event()
        self._ended.set()

    def spawn(self) -> None:
        """Start a process; one that cannot be started dies at once, in the eyes of `events`."""
        assert self._process is None
        place = f"worker {self._name!r}" if self._name else "the worker"
        try:
            process = spawn(place, self._reaper)
        except OSError as error:
            self._last_sight = _UNSEEN
            self._loop.call_soon(self._events.on_death, self._number, 0, f"cannot be started: {error}")
            return
        self._process = process
        self._cutter = FrameCutter()
        self._killed_for = ""
        tag = f"[{self._name}/{self._number}]" if self._name else f"[{self._number}]"
        self._taggers = (LineTagger(tag), LineTagger(tag))
        self._ended.clear()
        loop = self._loop
        loop.add_reader(process.outbox, self._read_reports)
        loop.add_reader(process.stdout, self._read_output, 0)
        loop.add_reader(process.stderr, self._read_output, 1)
        self._watch(process)

    @property
    def pid(self) -> int | None:
        """Of its process, which is not reaped yet; None: it has none."""
        return None if self._process is None else self._process.popen.pid

    def look(self) -> Sight:
        """The slot's page; of a dead one, as it was at the end."""
        if self._process is None:
            return self._last_sight
        shared = self._process.page
        words, times = shared.words, shared.times
        is_setting_up = bool(words[page.SETTING_UP])  # read before SINCE, or that might be of before the set-up
        length = min(words[page.NOTE], page.NOTE_BYTES)
        note = bytes(shared.note[:length]).decode(errors="replace") if length else ""
        return Sight(
            words[page.STARTED],
            bool(words[page.BUSY]),
            times[page.SINCE],
            times[page.PROGRESSED],
            note,
            is_setting_up,
        )

    def set_limit(self, limit: int) -> None:
        """Publish the limit in the page."""
        if self._process is not None:
            self._process.page.words[page.LIMIT] = limit

    def interrupt(self, position: int) -> None:
        """Have the task at this position interrupted, if it still runs."""
        process = self._process
        if process is not None and process.popen.returncode is None:
            process.page.words[page.INTERRUPT] = position
            os.kill(process.popen.pid, SIGNAL)  # not reaped yet, so the pid is its own

    # ------------------------------------------------------------ writing

    def write(self, parts: list[Buffer]) -> None:
        """Send frames; what the pipe does not take now goes as soon as it does."""
        if self._process is None:
            return
        if self._unwritten:
            self._unwritten.extend(map(memoryview, parts))
            return
        fd = self._process.inbox
        try:
            written = os.writev(fd, parts if len(parts) <= _PARTS_MAX else parts[:_PARTS_MAX])
        except BlockingIOError:
            written = 0
        except BrokenPipeError:
            return  # it is dying, and its end will be told
        if written < sum(map(len, parts)):
            self._unwritten.extend(map(memoryview, parts))
            self._skip(written)
            self._loop.add_writer(fd, self._write_more)

    def _write_more(self) -> None:
        assert self._process is not None
        fd = self._process.inbox
        try:
            while self._unwritten:
                self._skip(os.writev(fd, list(islice(self._unwritten, _PARTS_MAX))))
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unwritten.clear()
        self._loop.remove_writer(fd)

    def _skip(self, count: int) -> None:
        unwritten = self._unwritten
        while count:
            part = unwritten.popleft()
            if count < len(part):
                unwritten.appendleft(part[count:])
                return
            count -= len(part)

    # ------------------------------------------------------------ reading

    def _read_reports(self) -> bool:
        """One read's worth; whether there may be more."""
        assert self._process is not None
        fd = self._process.outbox
        try:
            data = os.read(fd, max(_READ_BYTES, min(self._cutter.missing, 8 << 20)))
        except BlockingIOError:
            return False
        if not data:
            # It is dying, or user code closed what is not its own: what its tasks return is lost then.
            self._loop.remove_reader(fd)
            self._loop.call_later(CLOSED_TIMEOUT, self._kill_deaf, self._process)
            return False
        try:
            reports = [frames.read_report(kind, body) for kind, body in self._cutter.feed(data)]
            if reports:
                self._events.on_reports(self._number, reports)
        except (SlotFault, FrameError) as fault:
            self._loop.remove_reader(fd)
            self.kill(str(fault))
            return False
        return True

    def _kill_deaf(self, process: SlotProcess) -> None:
        if process is self._process:
            self.kill(f"slot {self._number} closed the pipe to its agent")

    def _read_output(self, which: int) -> bool:
        """One read's worth of stdout (0) or stderr (1); whether there may be more."""
        assert self._process is not None
        fd = (self._process.stdout, self._process.stderr)[which]
        stream, tagger = self._streams[which], self._taggers[which]
        try:
            data = os.read(fd, _OUTPUT_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(fd)
            return False
        lines = tagger.feed(data, self._admit(stream))
        if lines:
            stream.put(lines)
        return True

    def _finish_output(self, which: int) -> None:
        """The last line may lack its end."""
        stream = self._streams[which]
        lines = self._taggers[which].finish(self._admit(stream))
        if lines:
            stream.put(lines)

    def _admit(self, stream: OutputStream) -> Callable[[int], int]:
        now = self._loop.time()
        return lambda count: stream.limit.admit(count, now)

    # ------------------------------------------------------------ the end

    def _watch(self, process: SlotProcess) -> None:
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(process.popen.pid)
            self._loop.add_reader(self._pidfd, self._end)
        else:  # pragma: no cover - not Linux
            waiting = self._loop.run_in_executor(None, process.popen.wait)
            waiting.add_done_callback(lambda _: self._end())

    def kill(self, fault: str = "") -> None:
        """Kill the process, its descendants, and what else is in its group; `on_death` follows, and tells the fault."""
        process = self._process
        if process is not None and process.popen.returncode is None:
            if fault:
                self._killed_for = f"{KILLED_BY_US}{fault}"
                self._streams[1].put([f"{self._killed_for}\n".encode()])
            started = process_tree.descendants(process.popen.pid)  # once it is dead they are nobody's children
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.popen.pid, signal.SIGKILL)
            for pid in started:  # those with a group of their own
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _end(self) -> None:
        """The process has ended but is not reaped: its pid, and so its group's, is still its own."""
        process = self._process
        assert process is not None
        self.kill()  # what it left behind in its group
        if self._reaper is not None:
            self._reaper.ended(process.popen.pid)
        exit_code = process.popen.wait()
        loop = self._loop
        if self._pidfd >= 0:
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        # What it wrote before its end counts.
        _repeat(self._read_reports)
        for which in (0, 1):
            _repeat(self._read_output, which)
            self._finish_output(which)
        for fd in (process.outbox, process.stdout, process.stderr):
            loop.remove_reader(fd)
        loop.remove_writer(process.inbox)
        self._unwritten.clear()
        self._last_sight = self.look()
        self._process = None
        process.close()
        self._ended.set()
        last_words = "\n".join(filter(None, (self._taggers[1].tail_text(), self._killed_for)))
        self._events.on_death(self._number, exit_code, last_words)

    async def stop(self) -> None:
        """Kill the process and wait until it is gone."""
        self.kill()
        await asyncio.wait_for(self._ended.wait(), KILL_TIMEOUT)


def _repeat(read: Callable[..., bool], *arguments: int) -> None:
    """Read what a dead process left in a pipe; not for ever, since what it started may hold the pipe and write on."""
    for _ in range(_LAST_READS):
        if not read(*arguments):
            return
